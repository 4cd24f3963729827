"""NumPy's own files: `.npy` and `.npz`, headers first, large arrays mapped, never pickle."""

from __future__ import annotations

import io
import lzma
import math
import struct
import sys
import warnings
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from analyzer.algebra.pattern import Array
from analyzer.errors import ProbeError, first_line
from analyzer.probes.memory import check_size
from analyzer.regular_files import check_regular

MAP_FROM = 64 << 20  # bytes from which an uncompressed array is mapped rather than read (which checks its CRC)
PIECE = 1 << 20  # bytes that are unpacked at a time
PIECES_FROM = 256 << 20  # bytes from which unpacked arrays are not held, but unpacked again whenever they are needed
PIECE_OF_ARRAYS = 16 << 20  # bytes of these that are held at a time
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


@dataclass(frozen=True)
class _Header:
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    length: int  # bytes before the data

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def leading(self, entries: int | None) -> int:
        """Bytes of so many first entries along axis 0 (None: of all)."""
        if entries is None or self.fortran or not self.shape or entries >= self.shape[0]:
            return self.bytes
        return self.bytes // self.shape[0] * entries


def read_npy(path: Path) -> Array:
    """The array of a `.npy` file, mapped, not loaded.

    Raises:
        OSError: unreadable.
        ProbeError: not such a file, truncated, or of Python objects.
    """
    with path.open("rb") as stream:
        header = _header_of(stream, path.name)
    if path.stat().st_size < header.length + header.bytes:
        raise ProbeError(f"{path.name} is truncated: it is shorter than its header says; write it again.")
    return _mapped(path, header, header.length)


def array_of(content: bytes, where: str) -> Array:
    """The array that a `.npy` file of these bytes would hold.

    Raises:
        ProbeError: as of `read_npy`.
    """
    header = _header_of(io.BytesIO(content), where)
    if len(content) < header.length + header.bytes:
        raise ProbeError(f"{where} is truncated: it is shorter than its header says; write it again.")
    return np.ndarray(header.shape, header.dtype, content, header.length, order="F" if header.fortran else "C")


def read_npz(path: Path, limit: int | None = None, whole: Collection[str] = ()) -> dict[str, Array]:
    """All arrays of a `.npz` file by name; large uncompressed ones are mapped.

    Of arrays that are not named in `whole`, only the first `limit` entries along axis 0 are unpacked and take memory:
    the others are zeros.

    Raises:
        ProbeError: not such a file, truncated, of Python objects, or larger than memory when unpacked.
    """
    with _opened(path) as archive:
        members = _members(archive, path.name)
        needed = {n: m.header.leading(None if n in whole else limit) for n, m in members.items()}
        check_size(sum(needed[n] for n, m in members.items() if not m.mapped), path.name)
        return {n: _array(archive, m, needed[n], path) for n, m in members.items()}


def read_stored_npz(path: Path) -> dict[str, Array]:
    """All arrays of a `.npz` file that is not compressed, so that it holds no more than it is large; none is mapped.

    Raises:
        OSError: unreadable.
        ProbeError: not such a file, compressed, truncated, of Python objects, or larger than memory.
    """
    size = check_regular(path).stat().st_size
    check_size(size, path.name)
    with _opened(path) as archive:
        infos = archive.infolist()
        if sum(info.file_size for info in infos) > size or any(i.compress_type != zipfile.ZIP_STORED for i in infos):
            raise ProbeError(f"{path.name} is compressed, or says that it holds more than it does.")
        members = _members(archive, path.name)
        return {n: _array(archive, replace(m, mapped=False), m.header.bytes, path) for n, m in members.items()}


def npz_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of all arrays of a `.npz` file by name, from their headers.

    Raises:
        ProbeError: as of `read_npz`.
    """
    with _opened(path) as archive:
        return {n: m.header.shape for n, m in _members(archive, path.name).items()}


def large_npz(path: Path, limit: int | None = None, whole: Collection[str] = ()) -> int | None:
    """How many entries along axis 0 a `.npz` file has that `npz_pieces` reads; None for one that `read_npz` can hold.

    Raises:
        ProbeError: as of `read_npz`.
    """
    with _opened(path) as archive:
        members = {n: m for n, m in _members(archive, path.name).items() if n not in whole}
        lengths = {m.header.shape[:1] for m in members.values()}
        packed = sum(m.header.leading(limit) for m in members.values() if not m.mapped)
        regular = len(lengths) == 1 and all(m.header.shape and not m.header.fortran for m in members.values())
        return lengths.pop()[0] if packed > PIECES_FROM and regular else None


def npz_pieces(path: Path, whole: Collection[str] = ()) -> Iterator[dict[str, Array]]:
    """The arrays of a `.npz` file, some entries along axis 0 at a time; those named in `whole` come with each.

    Raises:
        ProbeError: as of `read_npz`.
    """
    with _opened(path) as archive, ExitStack() as streams:
        members = _members(archive, path.name)
        fixed = {n: m for n, m in members.items() if n in whole}
        entry = sum(m.header.leading(1) for n, m in members.items() if n not in whole)
        check_size(entry + sum(m.header.bytes for m in fixed.values()), path.name)
        constants = {n: _array(archive, m, m.header.bytes, path) for n, m in fixed.items()}
        opened = {n: streams.enter_context(archive.open(m.info)) for n, m in members.items() if n not in whole}
        for name, stream in opened.items():
            stream.read(members[name].header.length)
        left = members[next(iter(opened))].header.shape[0]
        while left:
            count = min(left, max(PIECE_OF_ARRAYS // max(entry, 1), 1))
            left -= count
            yield constants | {n: _entries(s, members[n], count, last=not left) for n, s in opened.items()}


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """An archive; what is wrong with it is said in our words."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except OSError as error:
        raise ProbeError(f"{path.name} cannot be read: {error.strerror or error}.") from error
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,
        struct.error,
    ) as error:
        raise ProbeError(
            f"{path.name} is not a readable .npz file or is truncated ({first_line(error)[:-1]}): write it again."
        ) from error


def mapping_of(arrays: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    """The arrays by input name; one array for a one-input model may have any name."""
    if len(arrays) == 1 and len(names) == 1:
        return {names[0]: next(iter(arrays.values()))}
    return dict(arrays)


@dataclass(frozen=True)
class _Member:
    info: zipfile.ZipInfo
    header: _Header
    mapped: bool  # not read at once


def _members(archive: zipfile.ZipFile, where: str) -> dict[str, _Member]:
    """The members by the names of their arrays."""
    members = {}
    for info in archive.infolist():
        with archive.open(info) as stream:
            header = _header_of(stream, f"{where}: '{info.filename}'")
        if header.length + header.bytes > info.file_size:
            raise ProbeError(f"{where}: '{info.filename}' is shorter than its header says: write the file again.")
        mapped = info.compress_type == zipfile.ZIP_STORED and info.file_size >= MAP_FROM
        members[info.filename.removesuffix(".npy")] = _Member(info, header, mapped)
    if not members:
        raise ProbeError(f"{where} holds no arrays: save them with numpy.savez.")
    return members


def _array(archive: zipfile.ZipFile, member: _Member, needed: int, path: Path) -> Array:
    """The array of a member, of which the first `needed` bytes are read."""
    info, header = member.info, member.header
    if member.mapped:
        with path.open("rb") as stream:
            stream.seek(info.header_offset)
            magic, name, extra = _LOCAL_HEADER.unpack(stream.read(_LOCAL_HEADER.size))
        if magic != b"PK\x03\x04":
            raise zipfile.BadZipFile("bad local header")
        return _mapped(path, header, info.header_offset + _LOCAL_HEADER.size + name + extra + header.length)
    with archive.open(info) as stream:
        stream.read(header.length)
        if needed < header.bytes:
            return _partly_read(stream, header, needed, f"{path.name}: '{info.filename}'")
        content = _read(stream, header.bytes, last=True)
    return np.ndarray(header.shape, header.dtype, content, order="F" if header.fortran else "C")


def _entries(stream: IO[bytes], member: _Member, count: int, *, last: bool) -> Array:
    header = member.header
    content = _read(stream, header.leading(1) * count, last=last)
    return np.ndarray((count, *header.shape[1:]), header.dtype, content)


def _read(stream: IO[bytes], size: int, *, last: bool) -> bytes:
    """So many bytes; after the last of a member its checksum is compared."""
    content = stream.read(size)
    if len(content) < size:
        raise EOFError("a member ends early")
    if last:
        stream.read(1)
    return content


def _partly_read(stream: IO[bytes], header: _Header, needed: int, where: str) -> Array:
    """An array of which only the first bytes were read; the system gives memory to what is written to alone."""
    try:
        array = np.zeros(header.shape, header.dtype)
    except MemoryError as error:
        raise ProbeError(f"{where} declares more than this machine can address: save fewer samples.") from error
    content, at = array.reshape(-1).view(np.uint8)[:needed].data, 0
    while at < needed:
        piece = stream.read(min(PIECE, needed - at))
        if not piece:
            raise EOFError(f"{where} ends early")
        content[at : at + len(piece)] = piece
        at += len(piece)
    return array


def _mapped(path: Path, header: _Header, offset: int) -> Array:
    if not header.bytes:
        return np.empty(header.shape, header.dtype)
    try:
        return np.memmap(path, header.dtype, "r", offset, header.shape, "F" if header.fortran else "C")
    except ValueError as error:
        raise ProbeError(f"{path.name} is truncated: it is shorter than it says; write it again.") from error


def _header_of(stream: IO[bytes], where: str) -> _Header:
    """Read a .npy header; leaves the stream at the data."""
    damaged = ProbeError(f"{where} is not a NumPy array file or is truncated: write it with numpy.save.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy warns of what it mends
            version = npy.read_magic(stream)
            shape, fortran, dtype = _READERS.get(version, npy.read_array_header_2_0)(stream)
    except Exception as error:  # a damaged header is parsed as Python text, which fails in many ways
        raise damaged from error
    if any(type(length) is not int or length < 0 for length in shape):
        raise damaged
    if math.prod(max(length, 1) for length in shape) * max(dtype.itemsize, 1) > sys.maxsize:
        raise damaged  # NumPy makes no such array, be it empty
    if dtype.hasobject:
        raise ProbeError(
            f"{where} holds Python objects, not numbers: save it as an array of one element type (object "
            "arrays need pickle, which is refused)."
        )
    if dtype.names is not None or version not in _READERS:
        raise ProbeError(f"{where} has named fields: save one plain array per input.")
    return _Header(tuple(shape), bool(fortran), dtype, stream.tell())
