"""Large weights stay in the model's file: the file is mapped into memory, and its tensors are views of it.

Reading a whole ONNX file into protobuf costs its size in private memory, and onnxruntime makes copies of its own
beside that. Here only a skeleton without the large tensors is parsed; onnxruntime reads those from the file itself.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from analyzer.errors import ModelError
from analyzer.graph.mapped_pages import watch

STORED_BYTES = 4096  # smaller tensors are read with the rest of the file
BLOCK = 1 << 20
# Element types whose bytes in the file are those of a NumPy array.
PLAIN_TYPES = frozenset(
    int(ir.DataType[name])
    for name in (
        *("FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16", "BOOL"),
        *("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"),
    )
)
# Field numbers of ONNX's protobuf messages.
MODEL_GRAPH, GRAPH_INITIALIZER = 7, 5
TENSOR_TYPE, TENSOR_NAME, TENSOR_RAW = 2, 8, 9
BYTES = 2  # wire type of strings, bytes and messages

Content = bytes | mmap.mmap  # of a model's file


class UnusualFile(Exception):
    """The file is not laid out as exporters do it; it must be parsed as a whole."""


class ModelFile:
    """A file mapped into memory, as it was when it was opened."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        with self.path.open("rb") as stream:
            self._identity = _identity(os.fstat(stream.fileno()))
            self.mapping = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
            watch(self.mapping)
            digest = hashlib.sha256()
            while block := stream.read(BLOCK):
                digest.update(block)
        self.sha256 = digest.hexdigest()

    def __reduce__(self) -> tuple[Callable[..., ModelFile], tuple[Path, str]]:
        """For another process, where the file is mapped again."""
        return _reopened, (self.path, self.sha256)

    @property
    def unchanged(self) -> bool:
        """Whether the path still leads to the file that is mapped."""
        try:
            return _identity(self.path.stat()) == self._identity
        except OSError:
            return False

    def release(self) -> None:
        """Let the system take back the memory of all pages that were read; they are read again when needed."""
        if hasattr(self.mapping, "madvise"):
            self.mapping.madvise(mmap.MADV_DONTNEED)


def _reopened(path: Path, sha256: str) -> ModelFile:
    file = ModelFile(path)
    if file.sha256 != sha256:
        raise ModelError(f"{path} has changed since it was loaded: start again.")
    return file


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tensor's bytes lie in the file."""

    offset: int
    length: int


class StoredTensor(ir.Tensor[Any]):
    """A tensor whose array is a view of the mapped file."""

    __slots__ = ("file", "place")

    def __init__(self, file: ModelFile, place: Place, like: ir.TensorProtocol) -> None:
        """`like` has the name, the shape and the element type, and no data.

        Raises:
            UnusualFile: the number of bytes does not fit the shape.
        """
        dtype, shape = like.dtype.numpy(), tuple(int(d) for d in like.shape.numpy())
        if int(np.prod(shape, dtype=object)) * dtype.itemsize != place.length:
            raise UnusualFile
        view: np.ndarray[Any, np.dtype[Any]] = np.frombuffer(file.mapping, np.uint8, place.length, place.offset)
        super().__init__(view.view(dtype).reshape(shape), like.dtype, name=like.name)
        self.file = file
        self.place = place

    def __reduce__(self) -> tuple[type[StoredTensor], tuple[object, ...]]:
        """For another process: the place, not the numbers."""
        return StoredTensor, (self.file, self.place, self.reference())

    def reference(self) -> ir.ExternalTensor:
        """The same tensor as external data, for which the model's file itself is named."""
        path, place = self.file.path, self.place
        return ir.ExternalTensor(
            path.name,
            place.offset,
            place.length,
            self.dtype,
            shape=ir.Shape(self.shape.numpy()),
            name=self.name or "",
            base_dir=path.parent,
        )


def skeleton(data: Content) -> tuple[bytes, dict[str, Place]]:
    """A model's bytes without those of its large tensors, and where these lie, by name.

    Raises:
        UnusualFile: where the tensors lie is not clear.
    """
    if sys.byteorder != "little":
        raise UnusualFile
    places: dict[str, Place] = {}
    graphs = [f for f in _fields(data, 0, len(data)) if f.number == MODEL_GRAPH]
    if len(graphs) != 1 or graphs[0].kind != BYTES:
        raise UnusualFile
    (graph,) = graphs
    inner = _without(data, graph, _thin_tensors(data, graph, places))
    return data[: graph.begin] + _wrapped(MODEL_GRAPH, inner) + data[graph.stop :], places


@dataclass(frozen=True, slots=True)
class _Field:
    """One field of a message: its tag begins at `begin`, its content lies at start:stop."""

    number: int
    kind: int
    begin: int
    start: int
    stop: int


def _thin_tensors(data: Content, graph: _Field, places: dict[str, Place]) -> Iterator[tuple[_Field, bytes]]:
    """Large stored tensors of the graph with what stands in for each; `places` gets their bytes' places."""
    for tensor in _fields(data, graph.start, graph.stop):
        if tensor.number != GRAPH_INITIALIZER or tensor.kind != BYTES or tensor.stop - tensor.start < STORED_BYTES:
            continue
        parts = {f.number: f for f in _fields(data, tensor.start, tensor.stop)}
        raw, name, kind = (parts.get(n) for n in (TENSOR_RAW, TENSOR_NAME, TENSOR_TYPE))
        if raw is None or name is None or kind is None or raw.stop - raw.start < STORED_BYTES:
            continue
        if _varint(data, kind.start)[0] not in PLAIN_TYPES:
            continue
        label = data[name.start : name.stop].decode()
        if label in places:
            raise UnusualFile
        places[label] = Place(raw.start, raw.stop - raw.start)
        yield tensor, _wrapped(GRAPH_INITIALIZER, _without(data, tensor, [(raw, b"")]))


def _without(data: Content, message: _Field, replaced: Iterable[tuple[_Field, bytes]]) -> bytes:
    """The message's content with some of its fields replaced."""
    pieces, at = [], message.start
    for field, instead in replaced:
        pieces += [data[at : field.begin], instead]
        at = field.stop
    return b"".join([*pieces, data[at : message.stop]])


def _wrapped(number: int, content: bytes) -> bytes:
    """A field of bytes with its tag and length."""
    return bytes([number << 3 | BYTES]) + _encoded(len(content)) + content


def _fields(data: Content, at: int, stop: int) -> Iterator[_Field]:
    while at < stop:
        begin = at
        tag, at = _varint(data, at)
        start = at
        match tag & 7:
            case 0:  # a number of any length
                at = _varint(data, at)[1]
            case 1:
                at += 8
            case 2:  # BYTES
                length, start = _varint(data, at)
                at = start + length
            case 5:
                at += 4
            case _:
                raise UnusualFile
        if at > stop:
            raise UnusualFile
        yield _Field(tag >> 3, tag & 7, begin, start, at)


def _varint(data: Content, at: int) -> tuple[int, int]:
    """The number and where it ends."""
    number = shift = 0
    while shift < 64:
        if at >= len(data):
            raise UnusualFile
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
        shift += 7
    raise UnusualFile


def _encoded(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
