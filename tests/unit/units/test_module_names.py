"""Layers get the names that they have in the training code, or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import pytest
from onnx import helper

import analyzer
from tests.models import build

SQUARE = np.eye(3, dtype=np.float32)


def node(op: str, reads: str, writes: str, scopes: Sequence[str] | None = None, name: str = "") -> onnx.NodeProto:
    """`op(reads) -> writes`, with the metadata of PyTorch's dynamo exporter where scopes are given."""
    made = helper.make_node(op, reads.split(), [writes], name or f"node_{writes}")
    if scopes is not None:
        entry = made.metadata_props.add()
        entry.key, entry.value = "pkg.torch.onnx.name_scopes", repr(["", *scopes, writes])
    return made


def modules(nodes: Sequence[onnx.NodeProto], stored: Sequence[str] = (), producer: str = "pytorch") -> dict[str, str]:
    """By value the modules of the layers of a model that reads `x`."""
    read = {name for made in nodes for name in made.input}
    outputs = [made.output[0] for made in nodes if made.output[0] not in read]
    model = build(nodes, {"x": np.ones((1, 3), np.float32)}, dict.fromkeys(stored, SQUARE), outputs, opset=20)
    model.producer_name = producer
    return {layer.value: layer.audited.module for layer in analyzer.audit(model, causes=False).layers}


def torchscript(op: str, reads: str, path: str) -> onnx.NodeProto:
    return node(op, reads, f"{path}_output_0", name=path)


@pytest.mark.parametrize("exporter", ["metadata", "names"])
def test_modules_are_what_pytorch_calls_them(exporter: str) -> None:
    if exporter == "metadata":
        nodes = [
            node("MatMul", "x w", "a", ["mlp", "mlp.0"]), node("Relu", "a", "b", ["mlp", "mlp.1"]),
            node("MatMul", "b v", "c", ["layers.0", "layers.0.fc"]), node("Tanh", "c", "d", ["layers.0"]),
            node("MatMul", "d u", "e", ["head"]),
        ]  # fmt: skip
        values = ["b", "d", "e"]
    else:
        nodes = [
            torchscript("MatMul", "x w", "/mlp/mlp.0/MatMul"),
            torchscript("Relu", "/mlp/mlp.0/MatMul_output_0", "/mlp/mlp.1/Relu"),
            torchscript("MatMul", "/mlp/mlp.1/Relu_output_0 v", "/layers.0/fc/MatMul"),
            torchscript("Tanh", "/layers.0/fc/MatMul_output_0", "/layers.0/Tanh"),
            node("MatMul", "/layers.0/Tanh_output_0 u", "e", name="/head/MatMul"),
        ]
        values = ["/mlp/mlp.1/Relu_output_0", "/layers.0/Tanh_output_0", "e"]
    assert modules(nodes, "wvu") == dict(zip(values, ["mlp.1", "layers.0.fc", "head"], strict=True))


def test_a_module_that_is_called_twice_is_numbered() -> None:
    calls = [node("Relu", "x", "a", ["act"]), node("MatMul", "a w", "b", ["fc"]), node("Relu", "b", "c", ["act"])]
    assert modules(calls, "w") == {"a": "act", "c": "act@1"}


def test_a_number_is_no_other_modules_name() -> None:
    nodes = [
        node("Relu", "x", "a", ["act"]), node("Relu", "a", "b", ["act"]), node("Relu", "b", "c", ["act_1"]),
    ]  # fmt: skip
    assert modules(nodes) == {"a": "act", "b": "act@1", "c": "act_1"}


def test_a_name_that_another_value_has_is_none() -> None:
    nodes = [node("Relu", "x", "b", ["a"]), node("Relu", "b", "a", ["c"]), node("Relu", "a", "d", ["x"])]
    assert modules(nodes) == {"b": "", "a": "c", "d": ""}


def test_operators_of_one_module_are_told_apart() -> None:
    nodes = [node("Sigmoid", "x", "a", ["cell"]), node("Tanh", "a", "b", ["cell"]), node("Tanh", "b", "c", ["cell"])]
    assert modules(nodes) == {"a": "cell@Sigmoid", "b": "cell@Tanh", "c": "cell@Tanh@1"}


def test_what_joins_branches_is_the_containers_own() -> None:
    nodes = [
        node("MatMul", "x w", "a", ["block", "block.fc1"]), node("MatMul", "x v", "b", ["block", "block.fc2"]),
        node("Add", "a b", "c", ["block"]), node("Relu", "c", "d", ["block"]),
    ]  # fmt: skip
    assert modules(nodes, "wv")["d"] == "block"


def test_a_units_place_is_what_a_name_is_for() -> None:
    nodes = [
        node("MatMul", "x w", "a", ["fc"]), node("Transpose", "a", "b", []), node("Relu", "b", "c", []),
    ]  # fmt: skip
    assert modules(nodes, "w")["c"] == ""


def test_parameters_tell_where_nothing_else_does() -> None:
    nodes = [node("MatMul", "x encoder.fc1.weight", "a"), node("Relu", "a", "b"), node("MatMul", "b w", "c")]
    assert modules(nodes, ["encoder.fc1.weight", "w"]) == {"b": "encoder.fc1", "c": ""}


def test_a_parameter_that_others_read_too_tells_nothing() -> None:
    """Exporters store equal tensors once, under the name of the first."""
    nodes = [node("MatMul", "x fc1.weight", "a"), node("Relu", "a", "b"), node("MatMul", "b fc1.weight", "c")]
    assert modules(nodes, ["fc1.weight"]) == {"b": "", "c": ""}


def test_a_name_from_shared_parameters_is_not_given_to_one_of_the_readers() -> None:
    nodes = [
        node("MatMul", "x fc1.weight", "a"), node("Relu", "a", "b"),
        node("MatMul", "b fc1.weight", "c", ["fc2"]), node("Relu", "c", "d", ["fc2"]),
    ]  # fmt: skip
    assert modules(nodes, ["fc1.weight"]) == {"b": "", "d": "fc2"}


def test_two_layers_with_parameters_of_one_module_have_no_name() -> None:
    nodes = [
        node("MatMul", "x fc.weight", "a"), node("Relu", "a", "b"),
        node("Add", "b fc.bias", "c"), node("Relu", "c", "d"),
    ]  # fmt: skip
    assert set(modules(nodes, ["fc.weight", "fc.bias"]).values()) == {""}


def test_scopes_that_leave_a_part_out_are_not_believed() -> None:
    """TorchScript leaves out the name of a ModuleDict."""
    nodes = [
        node("MatMul", "x 0.ls.a.0.weight", "m", name="/0/a/a.0/MatMul"), node("Relu", "m", "r", name="/0/a/a.1/Relu"),
    ]  # fmt: skip
    assert modules(nodes, ["0.ls.a.0.weight"]) == {"r": "0.ls.a.0"}


@pytest.mark.parametrize("start", ["", "StatefulPartitionedCall/"])
def test_keras_layers_keep_their_names(start: str) -> None:
    nodes = [
        node("MatMul", "x w", "a", name=f"{start}model/dense_1/Tensordot/MatMul"),
        node("Relu", "a", "b", name=f"{start}model/dense_1/Relu"), node("MatMul", "b v", "c", name="MatMul__8"),
        node("Mul", "c u", "d", name=f"{start}model/norm/batchnorm/mul_1"),
    ]  # fmt: skip
    assert modules(nodes, "wvu", "tf2onnx" if not start else "") == {"b": "dense_1", "d": "norm"}


@pytest.mark.parametrize(
    "written",
    [
        "", "[]", "['']", "['a', 'b']", "['', 'a\\\\', 'b']", "['', 'a'", "__import__('os')", "['', ['a'], 'b']",
        repr(["_empty_nn_module_stack_from_metadata_hook", "relu"]), repr(["", "a" * 501, "relu"]),
    ],
)  # fmt: skip
def test_metadata_of_another_form_tells_nothing(written: str) -> None:
    made = node("Relu", "x", "y", [])
    made.metadata_props[0].value = written
    assert modules([made]) == {"y": ""}


def test_names_are_the_same_after_a_cut() -> None:
    """What a prune leaves carries the metadata on."""
    stored = {"w": np.diag([1, 0, 1]).astype(np.float32), "v": SQUARE}
    nodes = [node("MatMul", "x w", "a", ["fc"]), node("Relu", "a", "b", ["act"]), node("MatMul", "b v", "c", ["head"])]
    model = build(nodes, {"x": np.ones((1, 3), np.float32)}, stored, ["c"])
    pruned = analyzer.prune(model, causes=False, latency=False)
    assert pruned.facts.removed_units == {"b": (1,)}
    again = analyzer.audit(pruned.data, causes=False)
    assert [layer.audited.module for layer in again.layers] == ["act", "head"]


def dead_in(layer: str, stored: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    nodes = [node("MatMul", "x w", "a", ["fc"]), node("Relu", "a", "b", [layer]), node("MatMul", "b v", "c", ["head"])]
    return build(nodes, {"x": np.ones((1, 3), np.float32)}, stored, ["c"])


def test_a_module_names_its_layer_wherever_a_value_does() -> None:
    stored = {"w": np.diag([1, 0, 1]).astype(np.float32), "v": SQUARE}
    audit = analyzer.audit(dead_in("act", stored), causes=False)
    assert audit.explain_unit("act", 1) == audit.explain_unit("b", 1)
    assert "node node_b, module act" in audit.explain_unit("act", 1)[0]
    with pytest.raises(analyzer.InputError, match=r"no value named 'acr'.*act"):
        audit.explain_unit("acr", 1)
    for choice, removed in (
        (analyzer.Choice(only=("ac*",)), {"b": (1,)}),
        (analyzer.Choice(skip=("act",)), {}),
        (analyzer.Choice(units={"act": (1,)}), {"b": (1,)}),
    ):
        assert audit.prune(choice=choice, latency=False).facts.removed_units == removed
    data = {"x": np.arange(30, dtype=np.float32).reshape(10, 3)}
    lossy = analyzer.prune(dead_in("act", stored), data, lossy={"act": (0,)}, causes=False, latency=False)
    assert lossy.facts.lossy_units == {"b": (0,)}


def test_names_that_keras_counted_when_it_exported_are_none() -> None:
    nodes = [
        node("MatMul", "x w", "a", name="functional_1/dense_1/MatMul"),
        node("Relu", "a", "b", name="functional_1/dense_1/Relu"),
        node("MatMul", "b v", "c", name="functional_1/logits_1/MatMul"),
    ]
    assert set(modules(nodes, "wv", "tf2onnx").values()) == {""}, "`dense_1` is the name of another layer there"
