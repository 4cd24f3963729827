"""A NaN or an infinity is always noticed, counted where it is, and never taken for a dead unit."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper, parser

from analyzer.facts.statistics import UnitStatistics
from analyzer.facts.units import AuditedValue, Kind, ShapeTable
from analyzer.graph import LoadedModel
from analyzer.observe.nan_guards import carriers, guards
from analyzer.observe.observation import observe
from analyzer.observe.targets import targets_of
from analyzer.ops.operator import all_traits, traits_of
from analyzer.probes.probe import open_probe
from analyzer.runtime.loading import load_model
from analyzer.runtime.session import Session
from analyzer.shapes.shape_run import measure_shapes
from tests.models import Array

RANDOM = np.random.default_rng(11)


def load(text: str, **weights: Array) -> LoadedModel:
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {text}')
    del model.graph.initializer[:]
    model.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in weights.items())
    return load_model(model)


def rectified(value: str, units: int, rank: int) -> AuditedValue:
    return AuditedValue(value, "", "Relu", Kind.RECTIFIER, 1, units, rank, low=0.0)


def look(loaded: LoadedModel, audited: list[AuditedValue], data: Array, **options: Any) -> dict[str, UnitStatistics]:
    probe = open_probe({"x": data}, loaded.graph.inputs)
    return observe(loaded, probe, audited, measure_shapes(loaded, probe), **options).statistics


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("mode", ["firing", "full"])
@pytest.mark.parametrize("sample", [0, 5, 39])
@pytest.mark.parametrize("last", ["Neg", "GlobalMaxPool", "MaxPool<kernel_shape=[4, 4]>", "Sign"])
def test_a_single_position_is_counted_where_it_is(bad: float, mode: str, sample: int, last: str) -> None:
    loaded = load(f"g (float[N, 3, 4, 4] x) => (float[N, 3, P, Q] y) {{ r = Relu(x)  y = {last}(r) }}")
    data = -np.ones((40, 3, 4, 4), np.float32)
    data[:, 2] = 1
    data[sample, :2, 1, 2] = bad
    found = look(loaded, [rectified("r", 3, 4)], data, statistics=mode)["r"]
    assert found.nonfinite.tolist() == [1, 1, 0]
    assert found.fired.tolist() == [0, 0, 40]
    assert found.maximum.tolist() == [0, 0, 1]
    assert found.samples == 40


def test_minus_infinity_in_a_smooth_value_is_noticed() -> None:
    loaded = load("g (float[N, 3, 4] x) => (float[N, 3, 4] y) { r = LeakyRelu(x)  y = Sigmoid(r) }")
    data = RANDOM.standard_normal((40, 3, 4)).astype(np.float32)
    data[35, 1, 2] = -np.inf
    audited = AuditedValue("r", "", "LeakyRelu", Kind.SMOOTH, 1, 3, 3)
    found = look(loaded, [audited], data)["r"]
    assert found.nonfinite.tolist() == [0, 1, 0]
    assert np.isfinite(found.minimum).all()


def test_a_flat_value_shows_its_own() -> None:
    loaded = load("g (float[N, 3] x) => (float[N, 3] y) { r = Relu(x)  y = Neg(r) }")
    data = -np.ones((20, 3), np.float32)
    data[11, 1] = np.nan
    found = look(loaded, [rectified("r", 3, 2)], data)["r"]
    assert found.nonfinite.tolist() == [0, 1, 0]
    assert found.maximum.tolist() == [0, 0, 0]


def test_a_mean_that_overflows_is_no_defect() -> None:
    loaded = load("g (float[N, 2, 4, 4] x) => (float[N, 2, 4, 4] y) { r = Relu(x)  y = Sign(r) }")
    data = np.full((4, 2, 4, 4), 3e38, np.float32)
    data[:, 1] = -1
    found = look(loaded, [rectified("r", 2, 4)], data)["r"]
    assert found.nonfinite.tolist() == [0, 0]
    assert found.maximum[0] == np.float32(3e38)


NETWORK = """g (float[N, 3, 8, 8] x) => (float[N, 2] y) {
    c = Conv<pads=[1, 1, 1, 1]>(x, W)  r = Relu(c)
    p = MaxPool<kernel_shape=[2, 2], strides=[2, 2]>(r)
    d = Conv<pads=[1, 1, 1, 1]>(p, V)  s = Relu(d)
    e = Conv(s, V)  t = Relu(e)
    a = GlobalAveragePool(t)  f = Flatten(a)  y = Gemm(f, U) }"""


def network(scale: float = 1.0) -> tuple[LoadedModel, ShapeTable]:
    weights = {"W": (4, 3, 3, 3), "V": (4, 4, 3, 3), "U": (4, 2)}
    loaded = load(NETWORK, **{n: scale * RANDOM.standard_normal(s).astype(np.float32) for n, s in weights.items()})
    probe = open_probe({"x": RANDOM.standard_normal((4, 3, 8, 8)).astype(np.float32)}, loaded.graph.inputs)
    return loaded, measure_shapes(loaded, probe)


def checked(loaded: LoadedModel, shapes: ShapeTable, audited: list[AuditedValue]) -> tuple[list[str], bool]:
    targets, _ = targets_of(audited, loaded.graph, shapes, batched=True)
    found = guards(loaded.graph, targets, shapes)
    return [t.audited.value for t in found.targets], found.beyond is not None


AUDITED = [rectified("r", 4, 4), rectified("s", 4, 4), rectified("t", 4, 4)]


def test_only_values_whose_nan_would_get_lost_are_checked() -> None:
    loaded, shapes = network(scale=1e13)  # two layers of which may overflow
    # r stands before a MaxPool; a NaN in s reaches t; t is the last one that is looked at.
    assert checked(loaded, shapes, AUDITED[1:]) == (["t"], False)
    loaded, shapes = network(scale=1e36)
    assert checked(loaded, shapes, AUDITED) == (["t", "r"], False)
    last = AuditedValue("y", "", "Gemm", Kind.LINEAR, 1, 2, 2)
    assert checked(loaded, shapes, [*AUDITED, last]) == (["r"], False)


def test_what_cannot_overflow_is_not_checked_but_each_feed_is() -> None:
    loaded, shapes = network()
    assert checked(loaded, shapes, AUDITED) == ([], True)
    # t alone is read more quickly than the input
    assert checked(loaded, shapes, AUDITED[2:]) == (["t"], False)


@pytest.mark.parametrize("sample", [0, 3, 39])
@pytest.mark.parametrize("bad", [np.nan, -np.inf, 1e7])
def test_a_feed_beyond_the_bounds_is_checked_like_any_other(bad: float, sample: int) -> None:
    loaded, _ = network()
    data = RANDOM.standard_normal((40, 3, 8, 8)).astype(np.float32)
    data[sample, 1, 2, 3] = bad
    found = look(loaded, AUDITED, data)["r"]
    plain = look(loaded, AUDITED, data, statistics="full")["r"]
    assert found.nonfinite.tolist() == plain.nonfinite.tolist()
    assert found.nonfinite.any() != np.isfinite(bad)
    assert found.fired.tolist() == plain.fired.tolist()
    assert found.maximum.tolist() == plain.maximum.tolist()


SQUARE = RANDOM.standard_normal((5, 5)).astype(np.float32)


def gathered(indices: tuple[int, ...]) -> str:
    picks = [f"i{j} = Constant<value_ints=[{i}]>()  p{j} = Gather<axis=1>(a, i{j})" for j, i in enumerate(indices)]
    return f"{' '.join(picks)}  y = Sum({', '.join(f'p{j}' for j in range(len(indices)))})"


@pytest.mark.parametrize(
    ("parts", "seen"),
    [
        ("p, q = Split<axis=1>(a)  y = Add(p, q)", ["y"]),
        ("p, q = Split<axis=1>(a)  y = Identity(q)", ["y", "a"]),
        (gathered((0, 1, 2, -1)), ["y"]),
        (gathered((0, 1, -4, 2)), ["y", "a"]),
    ],
)
def test_parts_show_what_is_in_the_whole_when_none_is_missing(parts: str, seen: list[str]) -> None:
    loaded = load(f"g (float[N, 4, 5] x) => (float y) {{ e = Exp(x)  a = MatMul(e, W)  {parts} }}", W=SQUARE)
    probe = open_probe({"x": RANDOM.standard_normal((4, 4, 5)).astype(np.float32)}, loaded.graph.inputs)
    shapes = measure_shapes(loaded, probe)
    audited = [AuditedValue(v, "", "MatMul", Kind.LINEAR, 2, 5, 3) for v in ("a", "y")]
    assert checked(loaded, shapes, audited) == (seen, False)


def test_a_window_that_steps_over_positions_carries_nothing() -> None:
    loaded = load(
        "g (float[N, 3, 8, 8] x) => (float[N, 3, 4, 4] y) { y = Conv<strides=[2, 2]>(x, W) }",
        W=np.ones((3, 3, 1, 1), np.float32),
    )
    probe = open_probe({"x": np.ones((3, 3, 8, 8), np.float32)}, loaded.graph.inputs)
    assert carriers(loaded.graph.nodes[0], (0,), measure_shapes(loaded, probe), True) == []


PICKED = """e = Compress<axis=1>(x, k)  g = Exp(e)  c = MatMul(g, W)  a = Relu(c)
            p0 = Gather<axis=1>(a, i0)  p1 = Gather<axis=1>(a, i1)  q = Add(p0, p1)  z = Relu(q)
            y = ReduceMax<axes=[1], keepdims=0>(a)"""
ENDS = {"i0": np.array(0), "i1": np.array(1), "W": -np.abs(SQUARE)}


def test_parts_of_one_length_do_not_show_another() -> None:
    """Two rows in the first samples, and three in the one whose third row has a NaN."""
    loaded = load(f"g (float[1, 4, 5] x, bool[4] k) => (float y) {{ {PICKED} }}", **ENDS)
    x, k = RANDOM.standard_normal((30, 1, 4, 5)).astype(np.float32), np.zeros((30, 4), np.bool_)
    k[:, :2] = True
    k[20, 2], x[20, 0, 2, 3] = True, np.nan
    probe = open_probe({"x": x, "k": k}, loaded.graph.inputs)
    audited = [
        AuditedValue(v, "", "Relu", Kind.RECTIFIER, axis, 5, axis + 1, low=0.0) for v, axis in (("a", 2), ("z", 1))
    ]
    found = observe(loaded, probe, audited, measure_shapes(loaded, probe)).statistics["a"]
    assert found.nonfinite.tolist() == [1] * 5


def test_a_first_sample_does_not_show_the_others() -> None:
    body = """c = Conv(x, W)  a = Relu(c)  g = Gather<axis=0>(a, i)  n = ReduceMean<axes=[2, 3], keepdims=0>(g)
              z = Relu(n)  y = GlobalMaxPool(a)"""
    weight = -np.abs(RANDOM.standard_normal((4, 3, 1, 1))).astype(np.float32)
    loaded = load(f"g (float[N, 3, 8, 8] x) => (float y) {{ {body} }}", W=weight, i=np.array([0]))
    data = RANDOM.standard_normal((40, 3, 8, 8)).astype(np.float32)
    data[5, 1, 2, 3] = np.nan
    audited = [rectified("a", 4, 4), AuditedValue("z", "", "Relu", Kind.RECTIFIER, 1, 4, 2, low=0.0)]
    assert look(loaded, audited, data)["a"].nonfinite.tolist() == [1] * 4


def test_windows_of_one_length_do_not_show_another() -> None:
    body = "a = Relu(x)  c = Conv<strides=[2]>(a, W)  z = Relu(c)  y = GlobalMaxPool(z)"
    weight = -np.abs(RANDOM.standard_normal((6, 3, 2))).astype(np.float32)
    model = onnx.load_model_from_string(load(f"g (float[N, 3, L] x) => (float y) {{ {body} }}", W=weight).raw)
    model.graph.input[0].type.tensor_type.ClearField("shape")
    loaded = load_model(model)
    feeds = [{"x": -np.ones((1, 3, 4 + (i == 20)), np.float32)} for i in range(30)]
    feeds[20]["x"][0, 1, 4] = np.nan
    probe = open_probe(feeds, loaded.graph.inputs)
    audited = [rectified("a", 3, 3), rectified("z", 6, 3)]
    found = observe(loaded, probe, audited, measure_shapes(loaded, probe)).statistics["a"]
    assert found.nonfinite.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("body", "weights"),
    [
        # rows of all samples behind one another: 8 in a sample, more in a feed
        ("v = Reshape(t, T)  g = Gather<axis=0>(v, i)  n = ReduceMean<axes=[1], keepdims=0>(g)  z = Mul(n, Z)",
         {"T": np.array([-1, 16]), "i": np.arange(8), "Z": np.zeros(8, np.float32)}),
        ("v = Reshape(t, T)  g = Conv<strides=[5, 1]>(v, V)  n = ReduceMean<axes=[2, 3], keepdims=0>(g)  z = Mul(n, Z)",
         {"T": np.array([1, 8, -1, 4]), "V": np.ones((8, 8, 4, 4), np.float32), "Z": np.zeros(8, np.float32)}),
    ],
)  # fmt: skip
def test_what_mixes_samples_does_not_show_them(body: str, weights: dict[str, Array]) -> None:
    head = "e = Exp(x)  c = Conv<group=8>(e, W)  r = Relu(c)  t = Transpose<perm=[1, 0, 2, 3]>(r)  y = GlobalMaxPool(r)"
    slopes = np.linspace(-1, 1, 8, dtype=np.float32).reshape(8, 1, 1, 1)
    loaded = load(f"g (float[N, 8, 4, 4] x) => (float y) {{ {head}  {body} }}", W=slopes, **weights)
    data = RANDOM.standard_normal((40, 8, 4, 4)).astype(np.float32)
    data[18, 1, 0, 2] = np.nan
    rank = 1 if "i" in weights else 2
    side = AuditedValue("z", "", "Mul", Kind.LINEAR, rank - 1, 8, rank)
    found = look(loaded, [rectified("r", 8, 4), side], data)["r"]
    assert found.nonfinite.tolist() == [0, 1, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("last", ["z = PRelu(k, r)", "z = Gemm<beta=0.0>(k, V, r)"])
def test_an_input_that_need_not_be_read_carries_nothing(last: str) -> None:
    loaded = load(
        f"g (float[N, 4] x, float[N, 4] k) => (float y) {{ r = Relu(x)  {last}  y = Identity(z) }}",
        V=np.eye(4, dtype=np.float32),
    )
    data = {"x": RANDOM.standard_normal((8, 4)).astype(np.float32), "k": np.ones((8, 4), np.float32)}
    node = next(n for n in loaded.graph.nodes if "z" in n.outputs)
    probe = open_probe(data, loaded.graph.inputs)
    assert "r" not in carriers(node, traits_of(node).carries_nan, measure_shapes(loaded, probe), True)


@pytest.mark.parametrize("beside", [-np.inf, -3e38])
def test_an_infinity_beside_a_unit_hides_none_of_its_outputs(beside: float) -> None:
    text = "g (float[N, 8, 8, 8] x) => (float y) { r = Mul(x, I)  p = Relu(r)  y = Neg(p) }"
    loaded = load(text, I=np.ones((8, 1, 1), np.float32))
    data = RANDOM.standard_normal((40, 8, 8, 8)).astype(np.float32)
    data[:, 0] = 1
    data[20, 0, 3, 3], data[20, 1, 3, 3] = -5, beside
    audited = [AuditedValue("r", "", "Mul", Kind.LINEAR, 1, 8, 4), rectified("p", 8, 4)]
    found = look(loaded, audited, data)["r"]
    assert (found.minimum[0], found.maximum[0]) == (-5, 1)


def test_a_nan_in_a_large_weight_is_no_dead_unit() -> None:
    weight = np.full((512, 256, 3, 3), -1, np.float32)
    weight[500, 3, 2, 2] = np.nan
    body = "c = Conv<pads=[1, 1, 1, 1]>(x, W)  a = Relu(c)  y = GlobalMaxPool(a)"
    loaded = load(f"g (float[N, 256, 5, 5] x) => (float y) {{ {body} }}", W=weight)
    found = look(loaded, [rectified("a", 512, 4)], np.ones((24, 256, 5, 5), np.float32))["a"]
    assert found.nonfinite[500] == 24
    assert found.nonfinite.sum() == 24


ALONE = """
    Neg Abs Identity LeakyRelu Floor Sqrt Relu Sigmoid Tanh Elu Selu Celu HardSigmoid Softplus Softsign
    Softmax LogSoftmax Exp Erf HardSwish Mish Gelu Clip GlobalAveragePool
"""
TRIED_ALONE = sorted(ALONE.split())


@pytest.mark.parametrize("op", TRIED_ALONE)
@pytest.mark.parametrize("behind_conv", [False, True])
def test_onnxruntime_keeps_nan_in_every_operator_that_the_table_names(op: str, behind_conv: bool) -> None:
    assert 0 in all_traits()["", op].carries_nan
    weights = numpy_helper.from_array(RANDOM.standard_normal((32, 32, 3, 3)).astype(np.float32), "W")
    bounds = [numpy_helper.from_array(np.array(b, np.float32), n) for n, b in (("lo", 0), ("hi", 6))]
    inputs = ["c", "lo", "hi"] if op == "Clip" else ["c"]
    first = helper.make_node("Conv", ["x", "W"], ["c"], pads=[1] * 4) if behind_conv else None
    nodes = [first or helper.make_node("Identity", ["x"], ["c"]), helper.make_node(op, inputs, ["y"])]
    x = helper.make_tensor_value_info("x", 1, ["N", 32, 9, 9])
    graph = helper.make_graph(nodes, "g", [x], [helper.make_empty_tensor_value_info("y")], [weights, *bounds])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    with Session(model.SerializeToString()) as session:
        for position in [(0, 0, 0), (5, 3, 4), (31, 8, 8), (17, 8, 0), (16, 4, 7)]:
            data = RANDOM.standard_normal((2, 32, 9, 9)).astype(np.float32)
            data[1, *position] = np.nan
            assert np.isnan(session.run({"x": data})["y"][1]).any()
