"""Damage with a meaning: valid protobuf that says what no exporter would, one function for each kind."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tests.mutants.damaged_messages import damaged_bytes
from tests.mutants.damaged_nodes import (
    Damage,
    Files,
    arity,
    attribute,
    function,
    long,
    operator,
    order,
    rewire,
    subgraph,
    value_names,
)

ODD_NAMES = (
    "",
    " ",
    "/",
    "..",
    "\n",
    "\x1b[31m\x9b\u202e",
    "a" * 70_000,
    "名" * 400,
    "x y",
    "%s{0}",
    "'\"\\",
    "_dead",
    "lent-by-deadunits",
)
LENGTHS = (0, 1, 2, 3, 5, 64, -1, -2, 1 << 20, 1 << 31, (1 << 63) - 1)
TYPES = (*range(28), 99, -1)


def stored_shape(random: Random, model: onnx.ModelProto, files: Files) -> None:
    """A stored tensor has another rank, other lengths, another type or odd numbers, and the data to go with it."""
    if not model.graph.initializer:
        return
    tensor = random.choice(model.graph.initializer)
    try:
        array = numpy_helper.to_array(tensor)
    except Exception:  # noqa: BLE001 - damaged before
        return
    match random.choice(("flat", "axis", "transpose", "cut", "empty", "type", "numbers", "scalar", "longer", "dims")):
        case "flat":
            array = array.reshape(-1)
        case "axis":
            array = np.expand_dims(array, random.randint(0, array.ndim))
        case "transpose":
            array = np.ascontiguousarray(array.T)
        case "cut" if array.ndim:
            axis = random.randrange(array.ndim)
            array = np.take(array, range(array.shape[axis] // 2), axis)
        case "empty":
            array = array[:0] if array.ndim else array
        case "type" if array.dtype.kind in "fiub":
            with np.errstate(all="ignore"):
                array = array.astype(random.choice(["f2", "f8", "i1", "i4", "i8", "u1", "?", "c8", "U"]))
            array = array.astype(object) if array.dtype.kind == "U" else array
        case "numbers" if array.dtype.kind == "f":
            array = np.full_like(array, random.choice([np.nan, np.inf, -np.inf, 0, 3e38, 1e-42, -1]))
        case "numbers" if array.dtype.kind == "i":
            array = np.full_like(
                array, random.choice([0, -1, 1, 7, np.iinfo(array.dtype).max, np.iinfo(array.dtype).min])
            )
        case "scalar":
            array = array.reshape(-1)[:1].reshape(()) if array.size else array
        case "longer":
            array = np.concatenate([array.reshape(-1)] * 2)
        case "dims":
            tensor.dims[:] = [random.choice(LENGTHS) for _ in range(random.randint(0, 5))]
            return
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def interface(random: Random, model: onnx.ModelProto, files: Files) -> None:
    """An input or output has another type or shape, is listed twice, missing, or not there at all."""
    entries: Any = random.choice([model.graph.input, model.graph.output])
    if not entries:
        return
    entry = random.choice(entries)
    shape = [random.choice([*LENGTHS, "n", "m", None]) for _ in range(random.randint(0, 5))]
    match random.choice(
        ("shape", "type", "sequence", "optional", "map", "none", "twice", "gone", "all", "unshaped", "weight")
    ):
        case "shape":
            kind = entry.type.tensor_type.elem_type
            entry.CopyFrom(helper.make_tensor_value_info(entry.name, kind, shape))
        case "type":
            entry.type.tensor_type.elem_type = random.choice(TYPES)
        case "sequence":
            entry.type.CopyFrom(helper.make_sequence_type_proto(onnx.TypeProto(tensor_type=entry.type.tensor_type)))
        case "optional":
            entry.type.CopyFrom(helper.make_optional_type_proto(onnx.TypeProto(tensor_type=entry.type.tensor_type)))
        case "map":
            entry.type.CopyFrom(helper.make_map_type_proto(7, onnx.TypeProto(tensor_type=entry.type.tensor_type)))
        case "none":
            entry.ClearField("type")
        case "twice":
            entries.add().CopyFrom(entry)
        case "gone":
            entries.remove(entry)
        case "all":
            del entries[:]
        case "unshaped":
            entry.type.tensor_type.ClearField("shape")
        case "weight" if model.graph.initializer:
            entries.add(name=random.choice(model.graph.initializer).name)


def declared(random: Random, model: onnx.ModelProto, files: Files) -> None:
    """The file claims shapes and types of values inside that they do not have."""
    for name in random.sample(value_names(model), min(3, len(value_names(model)))):
        shape = [random.choice([*LENGTHS, "n", None]) for _ in range(random.randint(0, 4))]
        model.graph.value_info.append(helper.make_tensor_value_info(name, random.choice(TYPES[:17]), shape))


def versions(random: Random, model: onnx.ModelProto, files: Files) -> None:
    """Other opsets and IR versions, none, or twice."""
    match random.choice(("opset", "opset", "ir", "none", "twice", "foreign")):
        case "opset":
            for entry in model.opset_import:
                entry.version = random.choice([0, 1, 6, 7, 9, 11, 13, 17, 18, 21, 24, 99, -1, (1 << 63) - 1])
        case "ir":
            model.ir_version = random.choice([0, 1, 3, 4, 8, 10, 13, 99, -1, (1 << 63) - 1])
        case "none":
            del model.opset_import[:]
        case "twice":
            model.opset_import.add(domain="", version=random.choice([7, 13, 20]))
        case "foreign":
            model.opset_import.add(domain="nobody", version=1)


def names(random: Random, model: onnx.ModelProto, files: Files) -> None:
    """Odd names of nodes and values, and one name for two things."""
    match random.choice(("value", "value", "node", "same", "graph", "text")):
        case "value":
            _rename(model, random.choice(value_names(model) or [""]), random.choice([*ODD_NAMES, *value_names(model)]))
        case "node":
            for node in model.graph.node:
                node.name = random.choice(ODD_NAMES)
        case "same":
            for node in model.graph.node:
                node.name = "same"
        case "graph":
            model.graph.name = random.choice(ODD_NAMES)
        case "text":
            model.producer_name = model.producer_version = model.domain = model.doc_string = random.choice(ODD_NAMES)
            model.metadata_props.add(key=random.choice(ODD_NAMES), value=random.choice(ODD_NAMES))
            model.metadata_props.add(key="deadunits", value="{")


def sparse(random: Random, model: onnx.ModelProto, files: Files) -> None:
    """A stored tensor is stored sparsely, with positions that may lie outside, twice, or nowhere."""
    floats = [t for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT]
    if not floats:
        return
    tensor = random.choice(floats)
    values = numpy_helper.from_array(np.array([1.0, 2.0], np.float32), tensor.name)
    places = random.choice([[0, 1], [1, 0], [0, 0], [-1, 0], [0, 1 << 40], [0], [[0], [1]], [[0, 0], [0, 1]]])
    dims = random.choice([list(tensor.dims), list(tensor.dims), [1 << 40], [-1, 4], [0], []])
    model.graph.initializer.remove(tensor)
    indices = numpy_helper.from_array(np.array(places, np.int64), "places")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, dims))


def external(random: Random, model: onnx.ModelProto, files: Files) -> None:
    """A stored tensor lies in another file, which is missing, short, elsewhere, or no file."""
    if not model.graph.initializer:
        return
    tensor = random.choice(model.graph.initializer)
    data = tensor.raw_data or b"\x00" * 64
    name = random.choice(
        ["weights.bin"] * 6
        + [
            "gone.bin",
            "",
            ".",
            "..",
            "../out/w",
            "/dev/zero",
            "/etc/hostname",
            "model.onnx",
            "a\0b",
            "sub/w.bin",
            "x" * 300,
            "\x1b[2J",
        ]
    )
    files["weights.bin"] = files["sub/w.bin"] = random.choice([data, data, data, data[: len(data) // 2], b""])
    odd = ["0", "-1", "4", "999999999999", str(1 << 63), "1e3", "x", "", " 4", "0x10", "٣"]
    entries = {"location": name, "offset": random.choice(["0", *odd]), "length": random.choice([str(len(data)), *odd])}
    for key in random.sample(["offset", "length", "location"], random.choice([0, 0, 1, 2])):
        del entries[key]
    tensor.ClearField("raw_data")
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    if random.random() < 0.1:
        tensor.external_data.add(key="location", value="weights.bin")
    tensor.data_location = onnx.TensorProto.EXTERNAL


def twice(random: Random, model: onnx.ModelProto, files: Files) -> None:
    """Something that has a name is there twice."""
    entries: Any = random.choice(
        [model.graph.initializer, model.graph.input, model.graph.output, model.graph.value_info]
    )
    if entries:
        entries.add().CopyFrom(random.choice(entries))


def beside_the_graph(random: Random, model: onnx.ModelProto, files: Files) -> None:
    """Training information, quantisation and metadata that mean nothing."""
    model.training_info.add().algorithm.CopyFrom(model.graph)
    note = model.graph.quantization_annotation.add(tensor_name=random.choice(value_names(model) or [""]))
    note.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="nowhere")
    model.graph.metadata_props.add(key="a", value=damaged_bytes(random, b"abc").decode("latin-1"))


DAMAGES: tuple[Damage, ...] = (
    rewire,
    rewire,
    arity,
    operator,
    attribute,
    attribute,
    stored_shape,
    stored_shape,
    interface,
    interface,
    declared,
    versions,
    order,
    names,
    function,
    subgraph,
    sparse,
    external,
    external,
    twice,
    long,
    beside_the_graph,
)


def _rename(model: onnx.ModelProto, old: str, new: str) -> None:
    for node in model.graph.node:
        for list_of in (node.input, node.output):
            list_of[:] = [new if name == old else name for name in list_of]
    named: list[Any] = [*model.graph.input, *model.graph.output, *model.graph.initializer]
    for entry in named:
        if entry.name == old:
            entry.name = new
