"""A fingerprint of probe data that does not depend on how it was batched, stored or divided among machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xxhash

from analyzer.algebra.pattern import Array
from analyzer.probes.element_types import family

MODULUS = 1 << 128
_SEEDS = (1 << 64) - 1


class Digest:
    """The sum over all samples of XXH3 (128 bits) times 2 i + 1 for sample i, updated with samples in any order.

    It distinguishes data sets, and orders of the same samples; it is no proof against somebody who makes two that
    agree. SHA-256 over images would take as long as a tenth of a small network's run. As a sum, what parts of the data
    give adds up to what all of it gives.
    """

    def __init__(self, total: int = 0) -> None:
        self.total = total

    def update(self, hashes: Sequence[int], start: int) -> None:
        """Add samples, of which the first is number `start`."""
        self.total += sum((2 * (start + i) + 1) * number for i, number in enumerate(hashes))
        self.total %= MODULUS

    def merge(self, other: Digest) -> None:
        """Add what other samples gave."""
        self.total = (self.total + other.total) % MODULUS

    def hexdigest(self, samples: int) -> str:
        """`xxh3:...` of everything added so far, which is so many samples."""
        return f"xxh3:{xxhash.xxh3_128_hexdigest(b'%d:%x' % (samples, self.total))}"


def sample_hashes(per_sample: Mapping[str, Array], fixed: Mapping[str, Array], samples: int) -> list[int]:
    """XXH3 (128 bits) of each sample of a feed: names, element types, shapes and bytes of all its arrays.

    `per_sample` arrays hold samples along axis 0, `fixed` ones belong to all of them.
    """
    seed = 0
    for name, array in sorted(fixed.items()):
        seed = xxhash.xxh3_64_intdigest(bytes_of(array), seed ^ _header(name, array, array.shape))
    numbers = [seed] * samples
    for name, array in sorted(per_sample.items()):
        header = _header(name, array, array.shape[1:])
        numbers = [
            xxhash.xxh3_128_intdigest(row, (number & _SEEDS) ^ header)
            for row, number in zip(_rows(array, samples), numbers, strict=True)
        ]
    return numbers


def bytes_of(array: Array) -> Any:
    """What is hashed of an array."""
    if family(array.dtype) == "object":
        texts = [str(item).encode() for item in array.flat]
        return b"".join(b"%d:" % len(t) + t for t in texts)
    # Extension types do not offer their buffer, their bytes do.
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _header(name: str, array: Array, shape: tuple[int, ...]) -> int:
    return xxhash.xxh3_64_intdigest(f"{name}\0{array.dtype.name}{list(shape)}".encode())


def _rows(array: Array, samples: int) -> Any:
    """The bytes of each sample."""
    if family(array.dtype) == "object" or not array.size:
        return [bytes_of(array[i : i + 1]) for i in range(samples)]
    return np.ascontiguousarray(array).reshape(samples, -1).view(np.uint8)
