"""Models as exporters write them load into one form; damaged and hostile files are refused in one sentence."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import analyzer
from analyzer.errors import ModelError
from analyzer.graph import serialize
from analyzer.graph.nested import all_graphs
from analyzer.graph.unnamed_outputs import name_first_outputs
from analyzer.graph.validate import check_names
from analyzer.runtime.loading import load_model
from tests.models import parse, run

RANDOM = np.random.default_rng(0)
W = RANDOM.standard_normal((4, 6)).astype(np.float32)
B = np.zeros(6, np.float32)
B[[1, 4]] = -1e4
V = RANDOM.standard_normal((6, 3)).astype(np.float32)
X = RANDOM.standard_normal((60, 4)).astype(np.float32)
STORED = {"w": W, "b": B, "v": V}
TEXT = "g (float[N, 4] x) => (float[N, 3] y) { h = Gemm(x, w, b)  a = Relu(h)  y = MatMul(a, v) }"


def plain() -> onnx.ModelProto:
    return parse(TEXT, STORED, 17)


def with_constant_nodes() -> onnx.ModelProto:
    model = plain()
    del model.graph.initializer[:]
    constants = [helper.make_node("Constant", [], [n], value=numpy_helper.from_array(a, n)) for n, a in STORED.items()]
    nodes = [*constants, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def behind_moves() -> onnx.ModelProto:
    text = """g (float[N, 4] x) => (float[N, 3] y) {
        u = Identity(w)  t = Transpose<perm=[1, 0]>(s)  d = Cast<to=1>(t)
        h = Gemm(x, u, b)  a = Relu(h)  y = MatMul(a, d) }"""
    return parse(text, {"w": W, "b": B, "s": np.ascontiguousarray(V.T).astype(np.float64)}, 17)


def listed_as_inputs() -> onnx.ModelProto:
    model = plain()
    model.ir_version = 3
    model.graph.input.extend(helper.make_tensor_value_info(n, TensorProto.FLOAT, a.shape) for n, a in STORED.items())
    return model


def out_of_order() -> onnx.ModelProto:
    model = plain()
    nodes = list(reversed(model.graph.node))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def without_names() -> onnx.ModelProto:
    model = plain()
    model.graph.ClearField("name")
    for node in model.graph.node:
        node.ClearField("name")
    return model


def domain_written_out() -> onnx.ModelProto:
    model = plain()
    for node in model.graph.node:
        node.domain = "ai.onnx"
    for opset in model.opset_import:
        opset.domain = opset.domain or "ai.onnx"
    return model


def local_functions() -> onnx.ModelProto:
    text = f"""<ir_version: 10, opset_import: ["" : 17, "local" : 1]>
    {TEXT.replace("h = Gemm(x, w, b)  a = Relu(h)", "a = local.dense(x, w, b)")}
    <domain: "local", opset_import: ["" : 17]> dense (x, w, b) => (a) {{ h = Gemm(x, w, b)  a = Relu(h) }}"""
    model = onnx.parser.parse_model(text)
    model.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in STORED.items())
    return model


FORMS: list[Callable[[], onnx.ModelProto]] = [
    plain,
    with_constant_nodes,
    behind_moves,
    listed_as_inputs,
    out_of_order,
    without_names,
    domain_written_out,
    local_functions,
]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_has_the_same_dead_units_and_is_cut_alike(form: Callable[[], onnx.ModelProto]) -> None:
    found = analyzer.audit(form(), X)
    (layer,) = (one for one in found.layers if one.audited.op == "Relu")
    assert layer.dead == (1, 4)
    assert found.removable.parameters == 2 * (4 + 1 + 3)
    (before,) = run(plain(), {"x": X}).values()
    (after,) = run(onnx.ModelProto.FromString(found.prune(latency=False).data), {"x": X}).values()
    assert np.allclose(before, after, rtol=1e-5, atol=1e-6)


def test_scores_by_class_are_kept_and_compared() -> None:
    text = """g (float[N, 4] x) => (float[N, 3] z) { h = Gemm(x, w, b)  a = Relu(h)  c = MatMul(a, v)
        z = Softmax(c)  s = ai.onnx.ml.ZipMap<classlabels_int64s=[0, 1, 2]>(z) }"""
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17, "ai.onnx.ml" : 1]> {text}')
    model.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in STORED.items())
    scores = helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    model.graph.output.append(helper.make_value_info("s", helper.make_sequence_type_proto(scores)))
    onnx.checker.check_model(model)
    pruned = analyzer.audit(model, X).prune(latency=False)
    small = onnx.ModelProto.FromString(pruned.data)
    assert list(small.graph.output) == list(model.graph.output)
    assert pruned.facts.after.parameters == pruned.facts.before.parameters - 16
    before, after = (run(m, {"x": X[:5]})["s"] for m in (model, small))
    for one, other in zip(before, after, strict=True):
        assert one == pytest.approx(other, abs=1e-6)
    assert pruned.comparison is not None
    assert pruned.comparison.max_abs_difference < 1e-6


def damaged(change: Callable[[onnx.ModelProto], object]) -> bytes:
    model = plain()
    change(model)
    return model.SerializeToString()


def first(model: onnx.ModelProto) -> onnx.TensorProto:
    tensor: onnx.TensorProto = model.graph.initializer[0]
    return tensor


def typed(model: onnx.ModelProto, numbers: int) -> None:
    first(model).ClearField("raw_data")
    first(model).float_data.extend([1.0] * numbers)


DAMAGE: dict[str, tuple[Callable[[onnx.ModelProto], object], str]] = {
    "another length": (lambda m: first(m).dims.__setitem__(0, 5), "stored tensor w does not hold as much data"),
    "no length": (lambda m: first(m).dims.__setitem__(0, 0), "stored tensor w does not hold as much data"),
    "a huge length": (lambda m: first(m).dims.__setitem__(0, 1 << 40), "stored tensor w does not hold as much data"),
    "a negative length": (lambda m: first(m).dims.__setitem__(0, -4), "a negative length"),
    "no element type": (lambda m: setattr(first(m), "data_type", 0), "no known element type"),
    "an unknown element type": (lambda m: setattr(first(m), "data_type", 99), "no known element type"),
    "another element type": (lambda m: setattr(first(m), "data_type", 8), "does not hold as much data"),
    "too few numbers": (lambda m: typed(m, 23), "does not hold as much data"),
    "no graph": (lambda m: m.ClearField("graph"), "holds no ONNX graph"),
    "an attribute without a name": (lambda m: m.graph.node[0].attribute.add(), "has an attribute without a name"),
    "an attribute without a type": (
        lambda m: m.graph.node[0].attribute.add(name="a"),
        "has an attribute a without a value",
    ),
    "an attribute without its tensor": (
        lambda m: m.graph.node[0].attribute.add(name="a", type=onnx.AttributeProto.TENSOR),
        "has an attribute a without a value",
    ),
    "an attribute with a value of another type": (
        lambda m: m.graph.node[0].attribute.add(name="a", type=onnx.AttributeProto.INT, g=onnx.GraphProto(name="g")),
        "has an attribute a that holds something else than its type says",
    ),
    "an attribute with values of another type": (
        lambda m: m.graph.node[0].attribute.add(name="a", type=onnx.AttributeProto.GRAPH, g={}, graphs=[{}]),
        "has an attribute a that holds something else than its type says",
    ),
    "a node without an operator": (lambda m: m.graph.node[0].ClearField("op_type"), "has no operator"),
    "an unknown input": (lambda m: m.graph.node[0].input.__setitem__(0, "q"), "reads 'q', which nothing makes"),
    "an unknown output": (lambda m: setattr(m.graph.output[0], "name", "q"), "nothing makes the output 'q'"),
    "a value made twice": (lambda m: m.graph.node.append(m.graph.node[0]), "is made twice"),
    "a map as input": (
        lambda m: m.graph.input.add(
            name="d", type=helper.make_sequence_type_proto(helper.make_map_type_proto(7, m.graph.input[0].type))
        ),
        "input 'd' is a map, which is not supported",
    ),
    "no outputs": (lambda m: m.graph.ClearField("output"), "has no outputs"),
    "no opset": (lambda m: m.ClearField("opset_import"), "does not say which opset"),
    "no opset of its own": (lambda m: setattr(m.opset_import[0], "domain", "nobody"), "does not say which opset"),
    "an old opset": (lambda m: setattr(m.opset_import[0], "version", 6), "older than 7: convert it"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_told_in_one_sentence(name: str) -> None:
    change, message = DAMAGE[name]
    with pytest.raises(ModelError, match=message) as caught:
        load_model(damaged(change))
    assert "\n" not in str(caught.value)


def branching(outside: str, inside: str) -> onnx.ModelProto:
    """An If whose branches make `made`; what is read after it, and in its second branch."""
    return onnx.parser.parse_model(
        f"""<ir_version: 10, opset_import: ["" : 17]> g (float[N, 4] x, bool c) => (float[N, 4] y) {{
        a = Relu(x)
        b = If(c) <then_branch = t () => (made) {{ made = Neg(a) }}, else_branch = e () => (o) {{ o = Neg({inside}) }}>
        y = Add(b, {outside}) }}"""
    )


def test_what_a_branch_makes_is_known_in_it_alone() -> None:
    load_model(branching("a", "a"))
    for outside, inside in (("made", "a"), ("a", "made")):
        with pytest.raises(ModelError, match="reads 'made', which nothing makes"):
            load_model(branching(outside, inside))


def test_names_are_looked_up_in_linear_time() -> None:
    nodes = [helper.make_node("Softmax", [f"v{i}"], [f"v{i + 1}"], axis=1) for i in range(20_000)]
    inputs, outputs = ([helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 1])] for n in ("v0", "v20000"))
    graph = helper.make_graph(nodes, "g", inputs, outputs)
    start = time.process_time()
    check_names(graph, "The model")
    assert time.process_time() - start < 2


def test_attributes_of_a_function_stand_for_those_of_its_caller() -> None:
    text = """<ir_version: 9, opset_import: ["" : 17, "local" : 1]> g (float[N, 4] x) => (float[N, 4] y)
    { y = local.f <v = float[1] {2}> (x) }
    <domain: "local", opset_import: ["" : 17]> f <v> (x) => (y) {
        c = Constant <value: tensor = @v> ()  y = Mul(x, c) }"""
    loaded = load_model(onnx.parser.parse_model(text))
    assert [node.op_type for node in loaded.graph.nodes] == ["Mul"]


def test_the_innermost_reason_is_told() -> None:
    model = plain()
    model.graph.input[0].type.tensor_type.elem_type = 77
    with pytest.raises(ModelError, match=r"is not a valid ONNX graph: 77 is not a valid DataType\.$"):
        load_model(model)


def test_typed_numbers_are_as_good_as_raw_ones() -> None:
    loaded = load_model(damaged(lambda m: typed(m, 24)))
    stored = loaded.graph.constant("w")
    assert stored is not None
    assert (stored == 1).all()


def test_a_function_that_calls_itself_is_told() -> None:
    text = """<ir_version: 10, opset_import: ["" : 17, "local" : 1]> g (float[N, 4] x) => (y) { y = local.f(x) }
    <domain: "local", opset_import: ["" : 17, "local" : 1]> f (x) => (y) { y = local.f(x) }"""
    with pytest.raises(ModelError, match="calls itself"):
        load_model(onnx.parser.parse_model(text))


@pytest.mark.parametrize(("text", "instead"), [(b"\x0a\x01h", b"\x0a\x01\xb7"), (b"Relu", b"Re\xf5u")])
def test_text_that_is_not_utf8_is_told(text: bytes, instead: bytes) -> None:
    raw = plain().SerializeToString()
    assert text in raw
    with pytest.raises(ModelError, match="text that is not UTF-8"):
        load_model(raw.replace(text, instead))


def test_a_free_length_written_as_minus_one_is_free() -> None:
    model = plain()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -1
    assert load_model(model).graph.inputs["x"].shape == (None, 4)
    for probe in (X, None):
        assert analyzer.audit(model, probe).layers[0].audited.units == 6
    assert analyzer.audit(model, analyzer.Data(random=60)).layers[0].audited.units == 6
    assert analyzer.audit(model).prune(latency=False).data


def test_cut_off_files_are_told(tmp_path: Path) -> None:
    raw = plain().SerializeToString()
    path = tmp_path / "model.onnx"
    for length in (1, 7, len(raw) // 2, len(raw) - 1):
        path.write_bytes(raw[:length])
        with pytest.raises(ModelError, match=r"truncated|holds no ONNX graph|is not a valid ONNX graph"):
            load_model(path)
    path.write_bytes(b"")
    with pytest.raises(ModelError, match="is empty"):
        load_model(path)
    with pytest.raises(ModelError, match="is a folder"):
        load_model(tmp_path)


def outside(model: onnx.ModelProto, location: str, **more: str) -> None:
    tensor = first(model)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **more}.items():
        tensor.external_data.add(key=key, value=value)


@pytest.mark.parametrize(
    ("location", "more", "message"),
    [
        ("../secret", {}, "outside its folder"),
        ("/etc/passwd", {}, "outside its folder"),
        ("inner/../../secret", {}, "outside its folder"),
        ("link", {}, "outside its folder"),
        ("missing.bin", {}, "which is missing"),
        ("short.bin", {"length": "96"}, "is too short"),
        ("short.bin", {"length": "many"}, "damaged offset or length"),
        ("short.bin", {"offset": "-8", "length": "4"}, "is too short"),
        ("", {}, "outside its folder"),
        ("n\0ul", {}, "which is missing"),
        ("x" * 300, {}, "which is missing"),
        ("circle", {}, "which is missing"),
        ("none/../short.bin", {"length": "8"}, "which is missing"),
    ],
)
def test_external_data_is_refused_before_it_is_touched(
    location: str, more: dict[str, str], message: str, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_bytes(bytes(96))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "short.bin").write_bytes(bytes(10))
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "circle").symlink_to(folder / "circle")
    path = folder / "model.onnx"
    path.write_bytes(damaged(lambda m: outside(m, location, **more)))
    with pytest.raises(ModelError, match=message):
        load_model(path)


def test_external_data_of_a_model_that_came_as_bytes_is_refused() -> None:
    with pytest.raises(ModelError, match="give the model's path"):
        load_model(damaged(lambda m: outside(m, "weights.bin")))


def test_what_was_loaded_is_written_alike() -> None:
    loaded = load_model(plain())
    again = load_model(serialize(loaded))
    assert serialize(again) == serialize(loaded)


def test_a_large_weight_that_nothing_reads_is_no_hindrance() -> None:
    model = plain()
    model.graph.initializer.append(numpy_helper.from_array(np.ones((4, 1024), np.float32), "unread"))
    assert analyzer.audit(model, X).layers


def test_the_standard_domain_has_one_name_in_branches_and_functions_too() -> None:
    branches = "then_branch = b () => (p) { p = own.f(x) }, else_branch = d () => (q) { q = Neg(x) }"
    model = onnx.parser.parse_model(
        f"""<ir_version: 10, opset_import: ["" : 17, "own" : 1]>
        g (float[N] x, float t, float u) => (float[N] y) {{ c = Greater(t, u) y = If(c) <{branches}> }}
        <domain: "own", opset_import: ["" : 17]> f (a) => (b) {{ b = Relu(a) }}"""
    )
    for named in (*model.opset_import, *model.functions[0].opset_import):
        named.domain = named.domain or "ai.onnx"
    for graph in all_graphs(model):
        for node in graph.node:
            node.domain = node.domain or "ai.onnx"
    view = load_model(model).graph
    assert {node.domain for node in view.nodes} == {""}
    assert {node.version for node in view.nodes} == {17}
    assert not any(node.sealed for node in view.nodes)


def test_a_list_of_outputs_is_whole() -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 18]> '
        "g (float[N, 4] x) => (float[N, 2] y) { p, q = Split<axis = 1, num_outputs = 2>(x) y = Relu(q) }"
    )
    model.graph.node[0].output[0] = ""
    with pytest.raises(ModelError, match="node Split leaves one of its outputs out"):
        load_model(model)


def test_a_limit_below_zero_ends_the_process_of_onnxruntime() -> None:
    experts = helper.make_node("MoE", ["x", "r", "v", "", "w"], ["y"], domain="com.microsoft", swiglu_limit=-1.0)
    model = parse("g (float[n,2] x) => (float[n,2] y) { y = Relu(x) }", {})
    model.graph.node[0].CopyFrom(experts)
    with pytest.raises(ModelError, match="node MoE has an attribute swiglu_limit below zero"):
        load_model(model)


@pytest.mark.parametrize(
    ("node", "named"), [("p, s = GRU<hidden_size = 2>(x, w, r)", True), ("p, s = TopK(x, k)", False)]
)
def test_a_first_output_gets_a_name_only_where_it_may_be_left_out(node: str, named: bool) -> None:
    model = onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["" : 18]> g (float[T, N, 2] x) => (s) {{ {node} }}'
    )
    model.graph.node[0].output[0] = ""
    assert bool(name_first_outputs(model)) == named
