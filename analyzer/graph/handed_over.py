"""Models that are no file, as the bytes of one: what an address leads to, a ModelProto, onnx-ir, an ONNXProgram."""

from __future__ import annotations

import io
from typing import Any, NoReturn

import onnx
import onnx_ir as ir

from analyzer.errors import ModelError, first_line
from analyzer.facts.addresses import is_address, without_secrets
from analyzer.free_memory import available_memory, readable_size
from analyzer.graph.other_formats import other_format
from analyzer.graph.remote_files import Remote

LARGEST_PROTO = (1 << 31) - 1  # protobuf cannot hold more; larger models keep their weights beside the file
HANDED_OVER = "bytes, a ModelProto, an onnx-ir model, an ONNXProgram, a PyTorch module or a Keras model"
_TIMES = 3  # what is read, what is parsed of it, and what onnxruntime makes of that
_BLOCK = 1 << 20


def as_bytes(source: object) -> bytes | None:
    """The bytes of the file that a model would be; None for what is a path.

    Raises:
        ModelError: there is no model of that kind, it is too large for a file, or it cannot be had.
    """
    if isinstance(source, bytes):
        return source
    if is_address(source):
        return _fetched(str(source))
    if isinstance(inner := getattr(source, "model", None), ir.Model):  # torch.onnx.ONNXProgram
        source = inner
    if isinstance(source, ir.Model):
        return _serialized(_with_data(source))
    return _serialized(source) if isinstance(source, onnx.ModelProto) else None


def _with_data(model: ir.Model) -> onnx.ModelProto:
    """A model whose tensors may lie in files, with all of them inside."""
    scopes = (model.graph, *model.graph.subgraphs())
    tensors = [value.const_value for scope in scopes for value in scope.initializers.values()]
    if sum(tensor.nbytes for tensor in tensors if tensor is not None) > LARGEST_PROTO:
        raise _too_large()
    try:
        if any(isinstance(tensor, ir.ExternalTensor) for tensor in tensors):
            model = ir.external_data.load_to_model(model.clone())
        return ir.to_proto(model)
    except Exception as error:  # onnx-ir raises many kinds on a damaged graph, and reads files here
        raise ModelError(f"The model is no valid ONNX graph: {first_line(error)}") from error


def _serialized(proto: onnx.ModelProto) -> bytes:
    try:
        return proto.SerializeToString(deterministic=True)
    except Exception as error:  # protobuf has had several classes for it
        raise _too_large() from error


def _too_large() -> ModelError:
    return ModelError(
        "The model is larger than one file can hold (2 GiB): save it with its weights beside it, as external data, and "
        "give the path."
    )


def _fetched(address: str) -> bytes:
    """What lies at an address, read by fsspec once its size is known to leave room."""
    shown = without_secrets(address)
    if "::" not in shown and (other := other_format(shown)):
        raise ModelError(other)
    remote = Remote(address, ModelError)
    files, path = remote.files, remote.path
    with remote.reached():
        about = files.info(path)
        if about["type"] == "directory":
            _refuse_folder(files, path, shown)
        size = about.get("size")
        with files.open(path, "rb") as stream:
            content = _read(stream, size, shown)
    remote.check_whole(len(content), size)
    return content


def _read(stream: Any, size: int | None, shown: str) -> bytes:
    free = available_memory()
    most = min(LARGEST_PROTO, free // _TIMES)
    content = io.BytesIO()
    while max(size or 0, content.tell()) <= most:
        block = stream.read(_BLOCK)
        if not block:
            return content.getvalue()
        content.write(block)
    stated = f"has {readable_size(size)}" if size else f"has more than {readable_size(most)}"
    room = (
        f"an ONNX file holds at most 2 GiB, and loading takes {_TIMES} times its size of the {readable_size(free)} free"
    )
    raise ModelError(f"{shown} {stated}; {room}: download it and give its path.")


def _refuse_folder(files: Any, path: str, shown: str) -> NoReturn:
    found = files.glob(f"{path.rstrip('/')}/**/*.onnx")
    names = sorted(found, key=lambda name: (not name.endswith("/model.onnx"), name))
    such = f", such as {names[0].removeprefix(path).lstrip('/')}" if names else " (it holds none)"
    raise ModelError(f"{shown} is a folder: name the .onnx file inside it{such}.")
