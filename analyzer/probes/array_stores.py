"""HDF5 files and Zarr stores as probe data: arrays by name, read some samples at a time, by themselves."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from types import EllipsisType
from typing import Any, Protocol

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.errors import ProbeError, first_line
from analyzer.facts.addresses import without_secrets
from analyzer.probes.fitting import Part, Role
from analyzer.probes.labels import without_labels
from analyzer.probes.memory import check_size
from analyzer.probes.opener import PIECE_BYTES, Opener, from_arrays, needs
from analyzer.probes.source import Piece, Source

MOST_ARRAYS = 10_000
# Codecs of Zarr that only unpack numbers; others, such as `pickle`, are not even looked up.
_CODECS = frozenset(
    ["blosc", "zlib", "gzip", "bz2", "lzma", "lz4", "zstd", "shuffle", "bitround", "delta", "fixedscaleoffset",
     "quantize", "packbits", "astype", "crc32", "crc32c", "adler32", "fletcher32", "bytes", "endian", "transpose",
     "vlen-utf8", "sharding_indexed"]
)  # fmt: skip


@dataclass(frozen=True)
class Stored:
    """An array that is read when it is needed; `text`: of words. `unit` entries along axis 0 are stored together."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    text: bool
    unit: int

    @property
    def entry(self) -> int:
        """Bytes of one entry along axis 0."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    @property
    def shadow(self) -> Array:
        """An array of the same form that takes no memory."""
        return np.broadcast_to(np.empty((), np.dtype("U1") if self.text else self.dtype), self.shape)


Rows = slice | EllipsisType  # entries along axis 0, or all there is


class Store(Protocol):
    """Arrays that lie in a file or a folder, which is opened for each piece that is read of them."""

    @property
    def arrays(self) -> Mapping[str, Stored]:
        """What there is, by name."""

    def opened(self) -> AbstractContextManager[Callable[[str, Rows], Array]]:
        """What reads entries along axis 0 of an array."""


def from_store(store: Store, name: str, opener: Opener) -> Source:
    """Arrays by name, in pieces of whole chunks.

    Raises:
        ProbeError: they do not fit the model, or what is stored together is larger than memory.
    """
    if not store.arrays:
        raise ProbeError(f"{name} holds no arrays: give one for each input.")
    rest, labels = without_labels({n: stored.shadow for n, stored in store.arrays.items()}, opener.inputs)
    one = len(rest) == len(opener.names) == 1  # whatever it is called
    named = dict(zip(opener.names, rest, strict=True)) if one else {n: n for n in rest}
    form = opener.fitter.part({n: rest[own] for n, own in named.items()}, name)
    stored = {n: store.arrays[own] for n, own in named.items()}
    fixed = {n for n in named if form.whole or form.roles[n] is Role.FIXED}
    check_size(sum(stored[n].entry * math.prod(stored[n].shape[:1]) for n in fixed), name)
    with store.opened() as read:
        constants = {n: read(named[n], ...) for n in fixed}
    if fixed == named.keys():
        return from_arrays(constants, name, opener, labels)
    sliced = [stored[n] for n in named if n not in fixed]
    unit, entry = max(s.unit for s in sliced), sum(s.entry for s in sliced)
    count = max(PIECE_BYTES // max(unit * entry, 1), 1) * unit
    check_size(unit * entry, name)
    fitter = opener.sampled.fitter

    def piece(start: int, stop: int) -> Iterator[Part]:
        with store.opened() as read:
            arrays = {n: read(own, slice(start, stop)) for n, own in named.items() if n not in fixed}
        yield fitter.part(constants | arrays, name)

    def pieces() -> Iterator[Piece]:
        for start in range(0, form.samples, count):
            stop = min(start + count, form.samples)
            yield Piece(stop - start, partial(piece, start, stop))

    return Source.of_pieces(name, pieces, form.samples, labels=labels)


def open_hdf5(path: Path, opener: Opener) -> Source:
    """The data sets of an HDF5 file, those of groups too; links out of it are not followed.

    Raises:
        ProbeError: h5py is missing, the file is damaged, refers to other files, or does not fit the model.
    """
    needs("h5py", "hdf5", path.name, "save it as .npz")
    return from_store(_Hdf5.of(path), path.name, opener)


@dataclass(frozen=True)
class _Hdf5:
    path: Path
    arrays: Mapping[str, Stored]

    @classmethod
    def of(cls, path: Path) -> _Hdf5:
        import h5py

        arrays: dict[str, Stored] = {}

        def note(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset) and item.shape is not None and len(arrays) < MOST_ARRAYS:
                arrays[name] = _of_hdf5(item, f"{path.name}: '{name}'")

        with _readable(path.name, "an HDF5 file"), h5py.File(path, "r", locking=False) as file:
            file.visititems(note)
        return cls(path, arrays)

    @contextmanager
    def opened(self) -> Iterator[Callable[[str, Rows], Array]]:
        import h5py

        with _readable(self.path.name, "an HDF5 file"), h5py.File(self.path, "r", locking=False) as file:
            yield lambda name, rows: np.asarray(
                file[name].asstr()[rows] if self.arrays[name].text else file[name][rows]
            )


def _of_hdf5(item: Any, where: str) -> Stored:
    import h5py

    if item.external or item.is_virtual:
        raise ProbeError(f"{where} lies in other files: write its numbers into this one.")
    chunks = item.chunks or (1,)
    if item.chunks:
        written, expected = item.id.get_num_chunks(), math.prod(map(lambda n, c: -(-n // c), item.shape, item.chunks))
    else:
        written, expected = item.id.get_storage_size(), math.prod(item.shape) and 1
    if written < expected:
        raise ProbeError(f"{where} was never written, or in part: write all samples, or make it as long as they are.")
    text = h5py.check_string_dtype(item.dtype) is not None
    return Stored(item.shape, item.dtype, text, chunks[0])


def open_zarr(path: Path, opener: Opener) -> Source:
    """The arrays of a Zarr store, a folder or a `.zip`, those of groups too.

    Raises:
        ProbeError: zarr is missing, the store is damaged, is unpacked by more than the usual codecs, or does not fit.
    """
    needs("zarr", "zarr", path.name, "save it as .npz")
    return from_store(_Zarr.of(path, path.name), path.name, opener)


def open_zarr_at(address: str, opener: Opener) -> Source:
    """The arrays of a Zarr store at an address, of which only chunks are read that somebody wants.

    Raises:
        ProbeError: as for `open_zarr`.
    """
    shown = without_secrets(address)
    needs("zarr", "zarr", shown, "save it as .npz")
    return from_store(_Zarr.of(address, shown), shown, opener)


@dataclass(frozen=True)
class _Zarr:
    place: Path | str  # an address
    name: str
    arrays: Mapping[str, Stored]

    @classmethod
    def of(cls, place: Path | str, name: str) -> _Zarr:
        with _zarr(place, name) as root:
            single = hasattr(root, "dtype")
            members = {"data": root} if single else dict(islice(root.members(max_depth=None), MOST_ARRAYS))
            arrays = {n: item for n, item in members.items() if hasattr(item, "dtype")}
            return cls(place, name, {n: _of_zarr(item, f"{name}: '{n}'") for n, item in arrays.items()})

    @contextmanager
    def opened(self) -> Iterator[Callable[[str, Rows], Array]]:
        with _zarr(self.place, self.name) as root:
            yield lambda name, rows: np.asarray((root if hasattr(root, "dtype") else root[name])[rows])


@contextmanager
def _zarr(place: Path | str, name: str) -> Iterator[Any]:
    import zarr

    with _readable(name, "a Zarr store"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what other programs may not read
        if isinstance(place, str) or place.is_dir():
            yield zarr.open(str(place), mode="r")
            return
        with zarr.storage.ZipStore(place, mode="r") as store:
            yield zarr.open(store, mode="r")


def _of_zarr(item: Any, where: str) -> Stored:
    unknown = sorted(_codecs(item.metadata.to_dict()) - _CODECS)
    if unknown:
        raise ProbeError(
            f"{where} is packed with {unknown[0][:40]!r}, which is not unpacked here: store plain numbers."
        )
    dtype = np.dtype(item.dtype)
    blocks = item.shards or item.chunks
    return Stored(item.shape, dtype, dtype.kind in "OT", max(blocks[0], 1) if blocks else 1)


def _codecs(metadata: Any) -> set[str]:
    """The names of all that unpacks, those inside others too."""
    if isinstance(metadata, list | tuple):
        return {name for entry in metadata for name in _codecs(entry)}
    if not isinstance(metadata, Mapping):
        return set() if metadata is None else {str(getattr(metadata, "codec_id", metadata))}
    own = [metadata.get(key) for key in ("id", "name")]
    inside = [metadata.get(key) for key in ("codecs", "index_codecs", "filters", "compressor", "configuration")]
    return {str(name) for name in own if name} | {n for entry in inside if entry for n in _codecs(entry)}


@contextmanager
def _readable(name: str, kind: str) -> Iterator[None]:
    """What is wrong with a store, in our words."""
    try:
        yield
    except ProbeError:
        raise
    except MemoryError:
        raise
    except Exception as error:  # libraries raise many kinds on damaged ones
        reason = without_secrets(first_line(error))
        raise ProbeError(f"{name} is not {kind} that can be read: {reason}") from error
