"""Integers are counted as integers: those above 2^53, which doubles do not tell apart, too."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import parser

import analyzer
from analyzer.facts.units import AuditedValue, Kind
from analyzer.observe.observation import observe
from analyzer.probes.probe import open_probe
from analyzer.runtime.loading import load_model
from analyzer.shapes.shape_run import measure_shapes
from tests.models import Array

LARGE = 2**60
BODIES = {
    "flat": ("int64[N, 3]", 2, 1),
    "positions": ("int64[N, 3, 5]", 3, 1),
    "units last": ("int64[N, 5, 3]", 3, 2),
}


def numbers(shape: tuple[int, ...], axis: int) -> Array:
    """Three units: constant, one apart at a single position, and everything there is."""
    random = np.random.default_rng(5)
    data = np.moveaxis(np.full(shape, LARGE + 1, np.int64), axis, 0)
    data[1, -1] += 1
    data[2] = random.integers(-(2**62), 2**62, data[2].shape)
    return np.ascontiguousarray(np.moveaxis(data, 0, axis))


@pytest.mark.parametrize("opset", [13, 18])
@pytest.mark.parametrize("statistics", ["firing", "full"])
@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize("body", BODIES)
def test_extremes_of_integers_are_exact(body: str, batch_size: int, statistics: str, opset: int) -> None:
    declared, rank, axis = BODIES[body]
    text = f'<ir_version: 8, opset_import: ["" : {opset}]> g ({declared} x) => ({declared} y) {{ y = Abs(x) }}'
    loaded = load_model(parser.parse_model(text))
    data = numbers((23, *[3 if a == axis else 5 for a in range(1, rank)]), axis)
    probe = open_probe({"x": data}, loaded.graph.inputs)
    audited = AuditedValue("y", "", "Abs", Kind.SMOOTH, axis, 3, rank)
    shapes = measure_shapes(loaded, probe)
    seen = observe(loaded, probe, [audited], shapes, batch_size=batch_size, statistics=statistics)
    found, others = seen.statistics["y"], tuple(a for a in range(rank) if a != axis)
    truth = np.abs(data)
    assert found.minimum.dtype == found.maximum.dtype == np.int64
    assert found.maximum[:2].tolist() == truth.max(axis=others)[:2].tolist()
    assert found.minimum[:2].tolist() == truth.min(axis=others)[:2].tolist()
    assert found.minimum_exact[:2].all()
    assert found.minimum[2] < found.maximum[2]


def test_integers_beside_a_value_that_is_not_finite_stay_exact() -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]>
        g (int64[N, 3, 2] x, float[N, 3, 2] f) => (int64[N, 3, 2] y, float[N, 3, 2] r) { y = Abs(x) r = Relu(f) }"""
    loaded = load_model(parser.parse_model(text))
    data, floats = np.full((20, 3, 2), LARGE + 1, np.int64), np.ones((20, 3, 2), np.float32)
    floats[3, 1] = np.nan
    data[7, 2, 1] -= 1
    probe = open_probe({"x": data, "f": floats}, loaded.graph.inputs)
    audited = [
        AuditedValue("y", "", "Abs", Kind.SMOOTH, 1, 3, 3),
        AuditedValue("r", "", "Relu", Kind.RECTIFIER, 1, 3, 3, low=0.0),
    ]
    found = observe(loaded, probe, audited, measure_shapes(loaded, probe)).statistics
    assert found["y"].minimum.tolist() == [LARGE + 1, LARGE + 1, LARGE]
    assert found["y"].maximum.tolist() == [LARGE + 1] * 3
    assert found["r"].nonfinite.tolist() == [0, 1, 0]


CLIPPED = """<ir_version: 8, opset_import: ["" : 14]>
g ({kind}[N, 4] x) => ({kind}[N, 4] y) <{kind} low = {{0}}, int64[4] every = {{0, 1, 2, 3}}>
{{ c = Clip(x, low) y = Gather<axis = 1>(c, every) }}"""


def test_a_unit_with_different_large_integers_is_not_constant() -> None:
    data = np.full((21, 4), LARGE, np.int64)
    data[::3, 0] += 1
    data[::4, 0] += 2
    found = analyzer.audit(parser.parse_model(CLIPPED.format(kind="int64")).SerializeToString(), {"x": data})
    (layer,) = found.layers
    assert layer.dead == (1, 2, 3)
    assert layer.stays_at[1:].tolist() == [LARGE] * 3


def test_the_bound_of_a_clip_is_held_against_integers_as_an_integer() -> None:
    """As doubles, the bound 2^53 + 1 and the value 2^53 + 2, which never touches it, may round alike."""
    text = CLIPPED.replace("{{0}}", f"{{{{{2**53 + 1}}}}}").format(kind="int64")
    data = np.full((21, 4), 2**53 + 2, np.int64)
    data[:, 1] = 0
    data[5, 2] = 0
    found = analyzer.audit(parser.parse_model(text).SerializeToString(), {"x": data})
    (layer,) = found.layers
    assert layer.dead == (0, 1, 3)
    assert layer.near_dead == ()
    assert layer.statistics is not None
    assert layer.statistics.minimum.tolist() == [2**53 + 2, 2**53 + 1, 2**53 + 1, 2**53 + 2]


def test_of_unsigned_integers_of_64_bits_nothing_is_said() -> None:
    data = np.full((21, 4), 2**63 + 1, np.uint64)
    data[3, 0] = 2**63 + 2
    found = analyzer.audit(parser.parse_model(CLIPPED.format(kind="uint64")).SerializeToString(), {"x": data})
    assert all(not layer.dead for layer in found.layers)


SHIFTED = f"""<ir_version: 8, opset_import: ["" : 14]>
g (float[N, 4] x) => (float[N, 4] y)
<float[4, 4] v = {{{{0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1}}}}, int64 low = {{{{0}}}},
 int64[4] large = {{{{{{large}}}}}}, int64[4] less = {{{{{{less}}}}}}, float[4, 4] w = {{{{{", ".join(["1"] * 16)}}}}}>
{{{{ h = MatMul(x, v) i = Cast<to = 7>(h) a = Add(i, large) c = Clip(a, low) d = Sub(c, less) f = Cast<to = 1>(d)
   r = Relu(f) y = MatMul(r, w) }}}}"""


def test_from_large_integers_nothing_is_calculated_in_double_precision() -> None:
    """2^53 + 1 less 2^53 is 1 in the run; rounded to a double first it is 0."""
    text = SHIFTED.format(large=", ".join([str(2**53 + 1)] * 4), less=", ".join([str(2**53)] * 4))
    data = np.arange(84, dtype=np.float32).reshape(21, 4)
    pruned = analyzer.prune(parser.parse_model(text).SerializeToString(), {"x": data}, latency=False)
    assert pruned.comparison is not None
    assert pruned.comparison.max_abs_difference == 0
