"""Samples share a feed only where that shows what each shows alone: models built to deceive a look at two of them."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import onnx
import pytest

from analyzer.facts.spread import Watched
from analyzer.facts.units import AuditedValue, Kind
from analyzer.observe.observation import Observation, observe
from analyzer.observe.suspects import measure_spread
from analyzer.probes.probe import open_probe
from analyzer.runtime.loading import load_model
from analyzer.shapes.shape_run import measure_shapes
from tests.models import Array, parse

RANDOM = np.random.default_rng(11)
STORED: dict[str, Array] = {
    "W": RANDOM.standard_normal((6, 8)).astype(np.float32),
    "B": RANDOM.standard_normal(8).astype(np.float32),
    "V": RANDOM.standard_normal((8, 4)).astype(np.float32),
    **{f"i{i}": np.array([i], np.int64) for i in range(9)},
    **{f"s{i}": np.array(i, np.int64) for i in range(2)},
    "last": np.array([-1], np.int64),
    "before": np.array([-(2**62)], np.int64),
    "behind": np.array([2**62], np.int64),
    "rest": np.array([-1], np.int64),
    "eights": np.array([-1, 8], np.int64),
    "fours": np.array([-1, 4, 8], np.int64),
    "half": np.array(2.5, np.float32),
    "ones": np.ones(8, np.float32),
    "none": np.zeros(8, np.float32),
}
#: The number of samples, as an integer, as a float, and as a length.
COUNT = "l = Shape(x) n = Gather(l, s0) f = Cast<to=1>(n) u = Unsqueeze(n, i0) "
#: The units of all samples, mixed in whatever shape t has, and back.
MIX = "m = Softmax<axis=1>(t) v = Reshape(m, eights) d = Sub(h, v)"
#: Everything that brings samples of one feed together: plainly, for few of them only, or from a third one on.
MIXING = {
    "reversed": "m = Slice(h, last, before, i0, last) d = Add(h, m)",
    "reversed as sequences": COUNT + "t = Unsqueeze(h, i1) m = ReverseSequence<batch_axis=1, time_axis=0>(t, u) "
    "v = Squeeze(m, i1) d = Add(h, v)",
    "added up": "m = CumSum(h, s0) d = Add(m, h)",
    "less the largest": "m = ReduceMax<keepdims=1>(h, i0) d = Sub(h, m)",
    "less the mean": "m = ReduceMean<keepdims=1>(h, i0) d = Sub(h, m)",
    "less the sum": "m = ReduceSum<keepdims=1>(h, i0) d = Sub(h, m)",
    "less the mean of everything": "m = ReduceMean<keepdims=0>(h) d = Sub(h, m)",
    "softmax along the batch": "m = Softmax<axis=0>(h) d = Sub(h, m)",
    "log-softmax along the batch": "m = LogSoftmax<axis=0>(h) d = Add(h, m)",
    "hardmax along the batch": "m = Hardmax<axis=0>(h) d = Sub(h, m)",
    "which one is the largest": "a = ArgMax<axis=0, keepdims=1>(h) m = Cast<to=1>(a) d = Sub(h, m)",
    "the first of the sorted": "m, w = TopK<axis=0>(h, i1) d = Sub(h, m)",
    "normalised along the batch": "t = Transpose<perm=[1, 0]>(h) v = Unsqueeze(t, i0) "
    "m = InstanceNormalization(v, ones, none) q = Squeeze(m, i0) d = Transpose<perm=[1, 0]>(q)",
    "normalised in training": "d, mean, var = BatchNormalization<training_mode=1>(h, ones, none, none, ones)",
    "the first for all": "m = Gather<axis=0>(h, i0) d = Sub(h, m)",
    "the last for all": "m = Slice(h, last, behind, i0) d = Sub(h, m)",
    "rolled": "a = Slice(h, last, behind, i0) b = Slice(h, i0, last, i0) c = Concat<axis=0>(a, b) d = Add(c, h)",
    "times their number": COUNT + "d = Mul(h, f)",
    "less their number": COUNT + "d = Sub(h, f)",
    "off from three on": COUNT + "c = Less(f, half) m = Cast<to=1>(c) g = Relu(h) d = Mul(g, m)",
    "on from three on": COUNT + "c = Greater(f, half) m = Cast<to=1>(c) g = Relu(h) d = Mul(g, m)",
    "less the largest from three on": COUNT + "c = Less(f, half) m = ReduceMax<keepdims=1>(h, i0) g = Sub(h, m) "
    "d = Where(c, h, g)",
    "multiplied with each other": "t = Transpose<perm=[1, 0]>(h) g = MatMul(h, t) m = MatMul(g, h) d = Sub(h, m)",
    "multiplied by Einsum": 'm = Einsum<equation="ab,cb->a">(h, h) q = Unsqueeze(m, i1) d = Sub(h, q)',
    "made positions": "a = Reshape(h, rest) t = Unsqueeze(a, i0) " + MIX,
    "made units": "t = Transpose<perm=[1, 0]>(h) q = Reshape(t, eights) d = Add(h, q)",
    "looked up": COUNT + "k = Sub(n, s1) m = Gather<axis=0>(h, k) q = Unsqueeze(m, i0) d = Sub(h, q)",
    "scattered": COUNT + "a = Neg(h) e = Range(s0, n, s1) k = Unsqueeze(e, i1) m = ScatterND(h, k, a) "
    "v = Slice(m, last, before, i0, last) d = Sub(h, v)",
    "under one window": "t = Transpose<perm=[1, 0]>(h) w = Unsqueeze(t, i0) "
    "m = MaxPool<kernel_shape=[3], pads=[1, 1]>(w) q = Squeeze(m, i0) v = Transpose<perm=[1, 0]>(q) d = Sub(h, v)",
    "in a triangle": "m = Trilu<upper=0>(h) d = Add(m, h)",
    "twice, every second": "t = Concat<axis=0>(h, h) m = Slice(t, i0, behind, i0, i2) d = Sub(h, m)",
    "laid out otherwise from three on": COUNT + "c = Less(f, half) a = Concat<axis=0>(u, i8) b = Concat<axis=0>(i8, u) "
    "q = Where(c, a, b) t = Reshape(h, q) " + MIX,
    "laid out by the square of their number": COUNT + "a = Mul(u, u) b = Mul(u, i2) c = Sub(a, b) e = Add(c, i2) "
    "q = Concat<axis=0>(e, rest) t = Reshape(h, q) " + MIX,
    "laid out by halves of their number": COUNT + "a = Mul(u, i3) b = Sub(a, i1) c = Div(b, i2) "
    "q = Concat<axis=0>(c, rest) t = Reshape(h, q) " + MIX,
    "laid out by the largest of two": COUNT + "a = Mul(u, i3) b = Sub(a, i4) c = Max(b, u) "
    "q = Concat<axis=0>(c, rest) t = Reshape(h, q) " + MIX,
}
APART = {
    "as they are": "d = Identity(h)",
    "softmax over units": "m = Softmax<axis=1>(h) d = Sub(h, m)",
    "normalised over units": "d = LayerNormalization<axis=1>(h, ones, none)",
    "laid out by their number": COUNT + "q = Concat<axis=0>(u, i2, rest) t = Reshape(h, q) m = Softmax<axis=2>(t) "
    "e = Concat<axis=0>(u, i8) v = Reshape(m, e) d = Sub(h, v)",
    "laid out by twice their number": COUNT + "a = Mul(u, i2) q = Concat<axis=0>(a, rest) t = Reshape(h, q) " + MIX,
}
BODIES = {**MIXING, **APART}


def model(body: str) -> bytes:
    text = (
        f"g (float[n, 6] x) => (float[n, 4] y) {{ p = MatMul(x, W) h = Add(p, B) {body} r = Relu(d) y = MatMul(r, V) }}"
    )
    named = set(re.findall(r"\w+", text))
    return parse(text, {name: array for name, array in STORED.items() if name in named}, 18).SerializeToString()


def samples(kind: str) -> Array:
    """Sixteen samples; those that a look at the first few would compare may all be equal."""
    data = np.random.default_rng(3).standard_normal((16, 6)).astype(np.float32)
    equal = 6 if kind == "first ones equal" else 0
    data[:equal] = data[0]
    return data


def look(raw: bytes, data: Array, *, independent: bool = False, **options: Any) -> Observation:
    loaded = load_model(raw)
    probe = open_probe({"x": data}, loaded.graph.inputs)
    audited = [AuditedValue("r", "", "Relu", Kind.RECTIFIER, 1, 8, 2, low=0.0)]
    shapes = measure_shapes(loaded, probe, independent=independent)
    return observe(loaded, probe, audited, shapes, **options)


@pytest.mark.parametrize("kind", ["varied", "first ones equal"])
@pytest.mark.parametrize("name", BODIES)
def test_a_batch_shows_what_each_sample_shows_alone(name: str, kind: str) -> None:
    raw, data = model(BODIES[name]), samples(kind)
    alone = look(raw, data, batch_size=1).statistics["r"]
    for size in (3, 8):
        seen = look(raw, data, batch_size=size)
        assert np.array_equal(seen.statistics["r"].fired, alone.fired)
        np.testing.assert_allclose(seen.statistics["r"].maximum, alone.maximum, rtol=1e-5, atol=1e-6)
        assert seen.batched == (name in APART)


def test_the_users_word_is_taken_where_nothing_contradicts_it() -> None:
    raw, data = model(MIXING["off from three on"]), samples("varied")
    assert look(raw, data, independent=True).batched
    assert not look(model(MIXING["softmax along the batch"]), data, independent=True).batched


def declared(body: str, batch: int) -> bytes:
    """The model with a batch of that size in its file."""
    proto = onnx.ModelProto.FromString(model(body))
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = batch
    proto.graph.output[0].type.tensor_type.shape.dim[0].Clear()
    return proto.SerializeToString()


#: The lengths that these compute do not fit four samples.
UNFIT_FOR_FOUR = ("laid out by the square of their number", "laid out by halves of their number")
#: Four samples in one feed influence each other, but no sample of another feed does.
GROUPS = "t = Reshape(h, fours) m = ReduceMean<keepdims=1>(t, i1) e = Sub(t, m) d = Reshape(e, eights)"


@pytest.mark.parametrize("name", [name for name in (*BODIES, "fours") if name not in UNFIT_FOR_FOUR])
def test_samples_of_a_declared_batch_that_may_influence_each_other_are_one_feed(name: str) -> None:
    """Four share every run: what one of them shows is no evidence of its own."""
    feeds = 16 if name in APART else 4
    seen = look(declared({**BODIES, "fours": GROUPS}[name], 4), samples("varied"))
    assert seen.samples == seen.statistics["r"].samples == feeds
    assert seen.statistics["r"].fired.max() <= feeds
    assert seen.batched == (feeds == 16)


def test_the_users_word_tells_samples_of_a_declared_batch_apart() -> None:
    raw = declared(BODIES["under one window"], 4)
    assert look(raw, samples("varied")).samples == 4
    assert look(raw, samples("varied"), independent=True).samples == 16


def test_what_enters_activations_is_measured_where_a_feed_counts_as_one_sample() -> None:
    data = samples("varied")
    loaded = load_model(declared(BODIES["less the largest"], 4))
    probe = open_probe({"x": data}, loaded.graph.inputs)
    spread = measure_spread(loaded, probe, [Watched("d", 1, 8, 2)], measure_shapes(loaded, probe))["d"]
    sums = (data @ STORED["W"]).reshape(4, 4, 8)
    below = (sums - sums.max(axis=1, keepdims=True)).reshape(16, 8)
    np.testing.assert_allclose(spread.mean, below.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(spread.deviation, below.std(axis=0), rtol=1e-5)
    np.testing.assert_allclose(spread.minimum, below.min(axis=0), rtol=1e-5)
