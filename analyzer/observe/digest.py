"""A fingerprint of probe data that does not depend on how it was batched or stored."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from analyzer.observe.dtypes import family

Array = np.ndarray[Any, np.dtype[Any]]

MEANWHILE = 1 << 18  # bytes from which hashing takes longer than handing it to another thread


class Digest:
    """SHA-256 over names, element types, shapes and bytes of all samples in order, updated feed by feed.

    One hash runs per input, over the bytes of its samples one after the other; a feed of ten samples thus
    updates it as ten feeds of one do. The shape of one sample is hashed where it changes, with the position
    at which it does. `begin` hashes while the caller goes on.
    """

    def __init__(self) -> None:
        self.samples = 0
        self._worker: ThreadPoolExecutor | None = None
        self._pending: Future[None] | None = None
        self._hashes: dict[str, Any] = {}
        self._headers: dict[str, bytes] = {}

    def update(self, per_sample: Mapping[str, Array], fixed: Mapping[str, Array], samples: int) -> None:
        """Add a feed: `per_sample` arrays hold samples along axis 0, `fixed` ones belong to all of them."""
        self.settle()
        self._take(per_sample, fixed, self.samples)
        self.samples += samples

    def begin(self, per_sample: Mapping[str, Array], fixed: Mapping[str, Array], samples: int) -> None:
        """As `update`, but large arrays are still being read when it returns: leave them alone until `settle`."""
        if sum(a.nbytes for a in per_sample.values()) < MEANWHILE:
            return self.update(per_sample, fixed, samples)
        self.settle()
        if self._worker is None:
            self._worker = ThreadPoolExecutor(1)
        self._pending = self._worker.submit(self._take, per_sample, fixed, self.samples)
        self.samples += samples
        return None

    def settle(self) -> None:
        """Wait until everything is hashed."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def _take(self, per_sample: Mapping[str, Array], fixed: Mapping[str, Array], position: int) -> None:
        for name, array in per_sample.items():
            self._add(name, array, array.shape[1:], b"", position)
        for name, array in fixed.items():
            # A fixed array counts once for as long as it stays the same.
            self._add(name, array, array.shape, hashlib.sha256(_bytes_of(array)).digest(), position)

    def _add(self, name: str, array: Array, shape: tuple[int, ...], content: bytes, position: int) -> None:
        hasher = self._hashes.setdefault(name, hashlib.sha256())
        header = f"{array.dtype.name}{list(shape)}{'fixed' if content else 'sample'}".encode() + content
        if self._headers.get(name) != header:
            self._headers[name] = header
            hasher.update(b"\0from %d:" % position + header)
        if not content:
            hasher.update(_bytes_of(array))

    def hexdigest(self) -> str:
        """`sha256:...` of everything added so far."""
        self.settle()
        total = hashlib.sha256(str(self.samples).encode())
        for name in sorted(self._hashes):
            encoded = name.encode()
            total.update(b"%d:" % len(encoded) + encoded + self._hashes[name].digest())
        return f"sha256:{total.hexdigest()}"


def _bytes_of(array: Array) -> Any:
    if family(array.dtype) == "object":
        texts = [str(item).encode() for item in array.flat]
        return b"".join(b"%d:" % len(t) + t for t in texts)
    # Extension types do not offer their buffer, their bytes do.
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
