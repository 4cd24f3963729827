"""Lists of tensors that the file decides are spelled out, and compute what they computed; no others are touched."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import analyzer
from analyzer.errors import InputError
from analyzer.graph.serialize import serialize
from analyzer.runtime.loading import load_model
from tests.models import Array, run

SHAPE = (4, 7, 5)
X = np.random.default_rng(3).normal(size=SHAPE).astype(np.float32)


def model(nodes: list[onnx.NodeProto], outputs: list[str], stored: dict[str, Array], opset: int) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE), helper.make_tensor_value_info("k", 7, [])],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in stored.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def random_lists(seed: int) -> onnx.ModelProto:
    """Tensors taken apart, by every way in which sizes are given, and put together again."""
    rng = np.random.default_rng(seed)
    axis, kind, keep = int(rng.integers(-3, 3)), rng.choice(["ones", "equal", "sizes"]), int(rng.integers(2))
    length, whole = SHAPE[axis], np.int32 if rng.integers(2) else np.int64
    size = int(rng.integers(1, length + 2 if keep else 2))  # an axis that is longer cannot go
    cuts = np.sort(rng.integers(0, length + 1, int(rng.integers(0, 4))))
    sizes = np.diff([0, *cuts, length])
    count = {"ones": length, "equal": -(-length // size), "sizes": len(sizes)}[str(kind)]
    stored = {"size": np.array(size, whole), "sizes": np.array(sizes, whole)}
    given = {"ones": [], "equal": ["size"], "sizes": ["sizes"]}[str(kind)]
    lowest = 0 if kind == "equal" else -count  # how many equal parts there are depends on the length
    nodes, outputs = [helper.make_node("SplitToSequence", ["x", *given], ["s"], axis=axis, keepdims=keep)], list[str]()
    for number in range(3):
        stored[f"p{number}"] = np.array(rng.integers(lowest, count), whole)
        nodes.append(helper.make_node("SequenceAt", ["s", f"p{number}"], [f"y{number}"]))
        outputs.append(f"y{number}")
    stored["place"] = np.array(rng.integers(-2, 3), whole)
    new = int(rng.integers(2))
    nodes += [
        helper.make_node("SequenceConstruct", ["x", "x"], ["c"]),
        helper.make_node("Neg", ["x"], ["n"]),
        helper.make_node("SequenceInsert", ["c", "n", "place"], ["d"]),
        helper.make_node("Abs", ["x"], ["a"]),
        helper.make_node("SequenceInsert", ["d", "a"], ["e"]),
        helper.make_node("ConcatFromSequence", ["e"], ["z"], axis=int(rng.integers(-3 - new, 3 + new)), new_axis=new),
        helper.make_node("SequenceLength", ["e"], ["l"]),
        helper.make_node("SequenceAt", ["e", "place"], ["f"]),
    ]
    if kind == "sizes":
        nodes.append(helper.make_node("ConcatFromSequence", ["s"], ["w"], axis=axis))
        outputs.append("w")
    return model(nodes, [*outputs, "z", "l", "f"], stored, int(rng.choice([11, 13, 17])))


@pytest.mark.parametrize("seed", range(60))
def test_what_is_spelled_out_computes_the_same(seed: int) -> None:
    proto = random_lists(seed)
    loaded = load_model(proto)
    assert not [node.op_type for node in loaded.graph.nodes if "Sequence" in node.op_type]
    feeds = {"x": X, "k": np.array(0)}
    expected, spelled = run(proto, feeds), run(onnx.load_from_string(serialize(loaded)), feeds)
    for name, array in expected.items():
        np.testing.assert_array_equal(spelled[name], array)
        assert spelled[name].dtype == array.dtype
    again = run(onnx.load_from_string(serialize(loaded.unfixed())), feeds)
    assert all(np.array_equal(again[name], array) for name, array in expected.items())
    assert [node.op_type for node in loaded.unfixed().graph.nodes] == [node.op_type for node in proto.graph.node]


POSITIONS = {"zero": np.array(0), "last": np.array(-1), "two": np.array(2)}
UNDECIDED = {
    "a position that is computed": ([("SplitToSequence", "x", "s"), ("SequenceAt", "s k", "y")], "y"),
    "the last of equal parts, of which nobody knows how many there are": (
        [("SplitToSequence", "x two", "s"), ("SequenceAt", "s last", "y")],
        "y",
    ),
    "sizes that are computed": (
        [("Shape", "x", "o"), ("Add", "k k", "n"), ("SplitToSequence", "x n", "s"), ("SequenceAt", "s zero", "y")],
        "y",
    ),
    "a list that leaves the model": ([("SplitToSequence", "x two", "s")], "s"),
}


@pytest.mark.parametrize("kind", UNDECIDED)
def test_what_the_file_does_not_decide_stays(kind: str) -> None:
    written, output = UNDECIDED[kind]
    proto = model([helper.make_node(op, i.split(), [o]) for op, i, o in written], [output], POSITIONS, 17)
    loaded = load_model(proto)
    assert [node.op_type for node in loaded.graph.nodes] == [node.op_type for node in proto.graph.node]
    assert loaded.unfixed() is loaded


def test_a_position_that_a_caller_may_override_decides_nothing() -> None:
    nodes = [helper.make_node("SplitToSequence", ["x"], ["s"]), helper.make_node("SequenceAt", ["s", "zero"], ["y"])]
    proto = model(nodes, ["y"], POSITIONS, 17)
    proto.graph.input.append(helper.make_tensor_value_info("zero", TensorProto.INT64, []))
    assert "SequenceAt" in [node.op_type for node in load_model(proto).graph.nodes]


def test_a_list_as_input_cannot_be_fed_and_that_is_said() -> None:
    nodes = [
        helper.make_node("SequenceInsert", ["q", "x"], ["s"]),
        helper.make_node("ConcatFromSequence", ["s"], ["y"], axis=1),
    ]
    proto = model(nodes, ["y"], {}, 17)
    del proto.graph.input[1]
    proto.graph.input.append(helper.make_tensor_sequence_value_info("q", TensorProto.FLOAT, None))
    with pytest.raises(InputError, match="has no data for 'q'"):
        analyzer.audit(proto, {"x": X})
    assert not analyzer.audit(proto, None).layers
