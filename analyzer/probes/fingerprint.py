"""A fingerprint of probe data that does not depend on how it was batched or stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xxhash

from analyzer.algebra.pattern import Array
from analyzer.probes.element_types import family


class Digest:
    """XXH3 (128 bits) over names, element types, shapes and bytes of all samples in order, updated feed by feed.

    It distinguishes data sets; it is no proof against somebody who makes two that agree. SHA-256 over images would take
    as long as a tenth of a small network's run.

    One hash runs per input, over the bytes of its samples one after the other; a feed of ten samples thus
    updates it as ten feeds of one do. The shape of one sample is hashed where it changes, with the position
    at which it does.
    """

    def __init__(self) -> None:
        self.samples = 0
        self._hashes: dict[str, xxhash.xxh3_128] = {}
        self._headers: dict[str, bytes] = {}

    def update(self, per_sample: Mapping[str, Array], fixed: Mapping[str, Array], samples: int) -> None:
        """Add a feed: `per_sample` arrays hold samples along axis 0, `fixed` ones belong to all of them."""
        for name, array in per_sample.items():
            self._add(name, array, array.shape[1:], b"")
        for name, array in fixed.items():
            # A fixed array counts once for as long as it stays the same.
            self._add(name, array, array.shape, xxhash.xxh3_128_digest(bytes_of(array)))
        self.samples += samples

    def _add(self, name: str, array: Array, shape: tuple[int, ...], content: bytes) -> None:
        hasher = self._hashes.setdefault(name, xxhash.xxh3_128())
        header = f"{array.dtype.name}{list(shape)}{'fixed' if content else 'sample'}".encode() + content
        if self._headers.get(name) != header:
            self._headers[name] = header
            hasher.update(b"\0from %d:" % self.samples + header)
        if not content:
            hasher.update(bytes_of(array))

    def hexdigest(self) -> str:
        """`xxh3:...` of everything added so far."""
        total = xxhash.xxh3_128(str(self.samples).encode())
        for name in sorted(self._hashes):
            encoded = name.encode()
            total.update(b"%d:" % len(encoded) + encoded + self._hashes[name].digest())
        return f"xxh3:{total.hexdigest()}"


def bytes_of(array: Array) -> Any:
    """What is hashed of an array."""
    if family(array.dtype) == "object":
        texts = [str(item).encode() for item in array.flat]
        return b"".join(b"%d:" % len(t) + t for t in texts)
    # Extension types do not offer their buffer, their bytes do.
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
