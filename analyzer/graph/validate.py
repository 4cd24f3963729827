"""Damaged and hostile files are found before anything is made of them: external data, stored tensors, text."""

from __future__ import annotations

import ctypes
import os
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cache
from math import prod
from pathlib import Path
from textwrap import shorten
from typing import Any

import onnx
import onnx_ir as ir
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from onnx import numpy_helper

from analyzer.errors import ModelError
from analyzer.graph.external_files import DataFile, data_file, home_of, is_there, stamp_of
from analyzer.graph.nested import all_graphs, subgraphs

DAMAGED = "the file is damaged, export the model again"
MOST_AXES = 64  # of NumPy's arrays
_LIMIT = "swiglu_limit"  # of mixtures of experts


def check_external(proto: onnx.ModelProto, where: str, path: Path | None) -> dict[str, DataFile]:
    """Refuse external data that is missing, too short, or outside the model's folder, before it is touched.

    Returns its files by the names that tensors have for them: those of subgraphs and attributes as well.
    """
    files: dict[str, DataFile] = {}
    home = None if path is None else home_of(path, external_locations(proto)).absolute()
    for tensor in all_tensors(proto):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        entry = {e.key: e.value for e in tensor.external_data}
        location = entry.get("location", "")
        if path is None or home is None:
            raise ModelError(
                f"{where} came without its folder but keeps {tensor.name} in the file {location}: have both in one "
                "folder, and give the model's path."
            )
        behind = path.resolve().parent
        target = data_file(home, location, behind)
        if target is None:
            raise ModelError(
                f"{where} points to external data outside its folder ({location}): refused for safety; "
                "put the data file beside the model."
            )
        if not is_there(target):
            raise ModelError(f"{where} needs the external data file {location}, which is missing: copy it beside.")
        try:
            end = int(entry.get("offset", 0)) + int(entry.get("length", 0))
        except ValueError as error:
            raise ModelError(f"{where} states a damaged offset or length for {tensor.name}.") from error
        if end > target.stat().st_size or end < 0:
            raise ModelError(f"{where}: external data file {location} is too short for {tensor.name}: copy it again.")
        files[location] = DataFile(home, location, behind, stamp_of(target))
    return files


def external_locations(proto: onnx.ModelProto) -> list[str]:
    """What the model's tensors name as the files of their data."""
    outside = (t for t in all_tensors(proto) if t.data_location == onnx.TensorProto.EXTERNAL)
    return sorted({entry.value for tensor in outside for entry in tensor.external_data if entry.key == "location"})


def all_tensors(proto: onnx.ModelProto) -> list[onnx.TensorProto]:
    """The tensors that the model stores, those of nodes, subgraphs and functions as well."""
    tensors: list[onnx.TensorProto] = []
    for graph in all_graphs(proto):
        tensors.extend(graph.initializer if isinstance(graph, onnx.GraphProto) else ())
        for attribute in (attribute for node in graph.node for attribute in node.attribute):
            tensors.extend((attribute.t, *attribute.tensors) if attribute.HasField("t") else attribute.tensors)
    return tensors


def check_tensors(proto: onnx.ModelProto, where: str, elsewhere: Collection[str] = frozenset()) -> None:
    """Refuse stored tensors whose data is not what their element type and shape say.

    Tensors named in `elsewhere` have their bytes in another place, where they are checked when they are read.
    """
    for tensor in all_tensors(proto):
        problem = _problem(tensor, known_elsewhere=tensor.name in elsewhere)
        if problem:
            raise ModelError(f"{where}: stored tensor {tensor.name or '(no name)'} {problem}: {DAMAGED}.")


def _problem(tensor: onnx.TensorProto, *, known_elsewhere: bool) -> str | None:
    if tensor.data_type == onnx.TensorProto.UNDEFINED or tensor.data_type not in onnx.TensorProto.DataType.values():
        return f"has no known element type ({tensor.data_type})"
    if len(tensor.dims) > MOST_AXES:
        return f"has {len(tensor.dims)} axes, more than the {MOST_AXES} of NumPy's arrays"
    if any(d < 0 for d in tensor.dims):
        return f"has a negative length in its shape {list(tensor.dims)}"
    if known_elsewhere or tensor.data_location == onnx.TensorProto.EXTERNAL:
        return None
    wrong = f"does not hold as much data as its shape {list(tensor.dims)} says"
    elements = prod(tensor.dims)
    if tensor.data_type == onnx.TensorProto.STRING:
        return None if len(tensor.string_data) == elements else wrong
    if tensor.HasField("raw_data"):
        bits = elements * ir.DataType(tensor.data_type).bitwidth
        return None if len(tensor.raw_data) == -(-bits // 8) else wrong
    try:
        return None if numpy_helper.to_array(tensor).size == elements else wrong
    except (ValueError, TypeError, OverflowError, MemoryError):
        return wrong


def check_nodes(proto: onnx.ModelProto, where: str) -> None:
    """Refuse nodes without an operator, attributes without a name or a value: onnx-ir cannot write them again.

    And nodes that onnxruntime crashes of when it runs them: that leave out one of a list of outputs, such as a part of
    a Split, or limit activations to a range that ends before it begins.
    """
    for graph in all_graphs(proto):
        for node in graph.node:
            if not node.op_type:
                raise ModelError(f"{where}: node {node.name or '(no name)'} has no operator: {DAMAGED}.")
            needed = _needed_subgraphs(node.op_type, node.domain)
            if needed and (missing := needed.difference(attribute.name for attribute in node.attribute)):
                raise ModelError(f"{where}: node {node.name or node.op_type} has no {min(missing)}: {DAMAGED}.")
            if "" in node.output and _lists_outputs(node.op_type, node.domain):
                raise ModelError(f"{where}: node {node.name or node.op_type} leaves one of its outputs out: {DAMAGED}.")
            for attribute in node.attribute:
                problem = _problem_of(attribute)
                if attribute.name == _LIMIT and attribute.f < 0:
                    problem = f"{_LIMIT} below zero"
                if problem is not None:
                    raise ModelError(
                        f"{where}: node {node.name or node.op_type} has an attribute {problem}: {DAMAGED}."
                    )


@cache
def _needed_subgraphs(operator: str, domain: str) -> frozenset[str]:
    if not onnx.defs.has(operator, domain):
        return frozenset()
    graph, attributes = onnx.defs.OpSchema.AttrType.GRAPH, onnx.defs.get_schema(operator, domain).attributes
    return frozenset(name for name, entry in attributes.items() if entry.required and entry.type == graph)


@cache
def _lists_outputs(operator: str, domain: str) -> bool:
    """Whether it has any number of outputs, none of which can be missing."""
    if not onnx.defs.has(operator, domain) or _needed_subgraphs(operator, domain):
        return False
    kinds = [output.option for output in onnx.defs.get_schema(operator, domain).outputs]
    return onnx.defs.OpSchema.FormalParameterOption.Variadic in kinds


def _problem_of(attribute: onnx.AttributeProto) -> str | None:
    if not attribute.name:
        return "without a name"
    kind = attribute.type
    held = {of for of, field in _VALUE_FIELDS.items() if attribute.HasField(field)}
    held |= {of for of, field in _LIST_FIELDS.items() if getattr(attribute, field)}
    if held - {kind}:
        return f"{attribute.name} that holds something else than its type says"
    expected = kind in _VALUE_FIELDS and not attribute.ref_attr_name  # which stands for one of the function's caller
    if kind == onnx.AttributeProto.UNDEFINED or (expected and not held):
        return f"{attribute.name} without a value"
    return None


# Where a single value of an attribute stands that has no default to stand in for it.
_VALUE_FIELDS = {
    onnx.AttributeProto.TENSOR: "t",
    onnx.AttributeProto.SPARSE_TENSOR: "sparse_tensor",
    onnx.AttributeProto.GRAPH: "g",
    onnx.AttributeProto.TYPE_PROTO: "tp",
}
_LIST_FIELDS = {
    onnx.AttributeProto.TENSORS: "tensors",
    onnx.AttributeProto.SPARSE_TENSORS: "sparse_tensors",
    onnx.AttributeProto.GRAPHS: "graphs",
    onnx.AttributeProto.TYPE_PROTOS: "type_protos",
}


def check_names(graph: onnx.GraphProto, where: str, known: set[str] | None = None) -> None:
    """Refuse values that are read and never made, or made twice: then the graph computes nothing.

    `known` are the names that a subgraph sees around it; they are left as they were.
    """
    known = set() if known is None else known
    computed = [output for node in graph.node for output in node.output if output]
    given = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    twice = next((name for name, count in Counter(computed).items() if count > 1 or name in given), None)
    if twice is not None:
        raise ModelError(f"{where}: {_quoted(twice)} is made twice: {DAMAGED}.")
    added = given.union(computed) - known
    known |= added
    for node in graph.node:
        unmade = next((name for name in node.input if name and name not in known), None)
        if unmade is not None:
            reader = node.name or node.op_type
            raise ModelError(f"{where}: node {reader} reads {_quoted(unmade)}, which nothing makes: {DAMAGED}.")
        for attribute in node.attribute:
            for inner in subgraphs(attribute):
                check_names(inner, where, known)
    lost = next((value.name for value in graph.output if value.name not in known), None)
    if lost is not None:
        raise ModelError(f"{where}: nothing makes the output {_quoted(lost)}: {DAMAGED}.")
    known -= added


def _quoted(name: str) -> str:
    return f"'{shorten(name, 80, placeholder='…')}'"


def check_types(graph: onnx.GraphProto, where: str) -> None:
    """Refuse inputs that are maps, or of more axes than arrays have: nothing here can feed them."""
    for value in graph.input:
        kind = value.type
        if len(kind.tensor_type.shape.dim) > MOST_AXES:
            raise ModelError(f"{where}: input {_quoted(value.name)} has more than {MOST_AXES} axes: none can be fed.")
        while kind.WhichOneof("value") in ("sequence_type", "optional_type"):
            kind = getattr(kind, kind.WhichOneof("value")).elem_type
        if kind.HasField("map_type"):
            raise ModelError(f"{where}: input {_quoted(value.name)} is a map, which is not supported: export tensors.")


def check_text(proto: onnx.ModelProto, where: str) -> None:
    """Refuse names and other text that is not UTF-8: protobuf reads it, but nothing can write it again."""
    for name in _damaged_text(proto):
        raise ModelError(f"{where} has text that is not UTF-8 (a field {name}): {DAMAGED}.")


def _damaged_text(message: Message) -> Iterator[str]:
    for field, value in message.ListFields():
        many: Any = (value,) if isinstance(value, str | bytes | Message) else value
        if field.type == FieldDescriptor.TYPE_STRING:
            if any(isinstance(text, bytes) for text in many):
                yield field.name
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            for inner in many:
                yield from _damaged_text(inner)


def complaint(model: bytes | Path) -> str | None:
    """What `onnx.checker` and full shape inference say against a model or a file; None where it is valid."""
    try:
        with _muted():
            _check(model)
    except Exception as error:  # noqa: BLE001 - the checker raises several kinds
        lines = str(error).strip().splitlines()
        return lines[0] if lines else type(error).__name__
    return None


def _check(model: bytes | Path) -> None:
    if isinstance(model, Path):  # inference on a file writes it anew, so only its graph is inferred
        onnx.checker.check_model(str(model))
        proto = onnx.load(str(model), load_external_data=False)
        onnx.shape_inference.infer_shapes(proto, check_type=True, strict_mode=True)
    else:
        onnx.checker.check_model(model, full_check=True)


@contextmanager
def _muted() -> Iterator[None]:
    """The checker's native code speaks of old operators on standard output, where our reports go."""
    try:
        kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    except OSError:  # standard output is closed
        yield
        return
    native = ctypes.CDLL(None) if os.name == "posix" else ctypes.cdll.msvcrt
    native.fflush(None)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        native.fflush(None)
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
