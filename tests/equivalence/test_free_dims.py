"""Models whose inputs leave lengths free: what was seen at one length is not taken for what holds at every length."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import analyzer
from analyzer.probes.probe import open_probe
from analyzer.runtime.loading import load_model
from analyzer.shapes.shape_run import measure_shapes
from tests.models import Array, parse, run

TOLERANCE = 1e-5
WEIGHTS = analyzer.Choice(evidence=analyzer.Evidence.STRUCTURAL)


def noise(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def silent(rows: int, columns: int, *dead: int) -> Array:
    """A weight whose columns `dead` are zero."""
    weight = noise(rows, columns, seed=1)
    weight[:, list(dead)] = 0
    return weight


KERNEL = noise(4, 3, 1, 1)
KERNEL[1] = 0
SEQUENCES = [noise(2, t, 4, seed=t) for t in (1, 2, 3, 5)]
IMAGES = [noise(2, 3, h, w, seed=h) for h, w in ((1, 1), (2, 2), (3, 8))]
HEAD = "g (float[N, T, 4] x) => (float[A, B] y)"
PARTS = {"w": silent(4, 4, 1), "v": noise(4, 2), "b": np.array([0.5, 1, 0.5, 0.5], np.float32)}
CASES = {
    "a Reshape joins units with a free length": (
        f"{HEAD} {{ q = MatMul(x, w) h = Relu(q) r = Reshape(h, s)"
        " m = ReduceMax<axes = [2], keepdims = 0>(r) y = MatMul(m, v) }",
        PARTS | {"s": np.array([0, 4, -1])},
        SEQUENCES,
    ),
    "a Reshape joins places with a free length": (
        "g (float[N, 3, H, W] x) => (float[A, B] y) { q = Conv(x, k, b) h = Relu(q) r = Reshape(h, s)"
        " m = ReduceMax<axes = [1], keepdims = 0>(r) y = MatMul(m, v) }",
        PARTS | {"k": KERNEL, "s": np.array([0, -1, 4])},
        IMAGES,
    ),
    "the last step is a constant only when there is none but it": (
        "g (float[N, T, 4] x) => (float[A, B, C] y) { f = Slice(x, zero, one, one) z = MatMul(f, o) c = Add(z, b)"
        " k = Concat<axis = 1>(c, x) l = Slice(k, two, end, one) h = Relu(l) y = MatMul(h, v) }",
        PARTS
        | {"zero": np.array([0]), "one": np.array([1]), "two": np.array([-2]), "end": np.array([-1])}
        | {"o": np.zeros((4, 4), np.float32)},
        SEQUENCES,
    ),
    "the last step is taken, whichever that is": (
        f"{HEAD} {{ q = MatMul(x, w) p = Add(q, b) h = Relu(p) l = Gather<axis = 1>(h, last) y = MatMul(l, v) }}",
        PARTS | {"last": np.array(-1)},
        SEQUENCES,
    ),
    "the last rows of samples that were joined": (
        "g (float[N, 4] x) => (float[A, B] y) { q = MatMul(x, w) p = Add(q, b) h = Relu(p) r = Reshape(h, s)"
        " l = Slice(r, two, end) y = MatMul(l, o) }",
        PARTS | {"s": np.array([-1, 2]), "two": np.array([-2]), "end": np.array([1 << 40]), "o": noise(2, 3)},
        [noise(n, 4, seed=n) for n in (1, 2, 3)],
    ),
    "a slice that ends where the file says": (
        "g (float[1, T, 4] x) => (float[1, K] y) { h = MatMul(x, z) g = Add(h, o) r = Relu(g) s = Slice(r, st, en, ax)"
        " t = Transpose<perm = [0, 2, 1]>(s) p = Softmax<axis = -1>(t) c = ReduceMax<axes = [1], keepdims = 0>(p)"
        " q = Slice(x, st, en, ax) d = ReduceMax<axes = [2], keepdims = 0>(q) y = Add(c, d) }",
        {"z": np.zeros((4, 4), np.float32), "o": np.ones(4, np.float32)}
        | {"st": np.array([0]), "en": np.array([4]), "ax": np.array([1])},
        [noise(1, t, 4, seed=t) for t in (2, 8, 3, 9)],
    ),
    "a slice that starts where the file says, from the end": (
        "g (float[1, T, 4] x) => (float[1, K] y) { h = MatMul(x, z) g = Add(h, o) r = Relu(g) s = Slice(r, st, en, ax)"
        " t = Transpose<perm = [0, 2, 1]>(s) p = Softmax<axis = -1>(t) c = ReduceMax<axes = [1], keepdims = 0>(p)"
        " q = Slice(x, st, en, ax) d = ReduceMax<axes = [2], keepdims = 0>(q) y = Add(c, d) }",
        {"z": np.zeros((4, 4), np.float32), "o": np.ones(4, np.float32)}
        | {"st": np.array([-3]), "en": np.array([1 << 40]), "ax": np.array([-2])},
        [noise(1, t, 4, seed=t) for t in (2, 8, 3, 9)],
    ),
    "a length that is the probe's or 1": (
        "g (float[1, T, 4] x) => (float[1, 8] y) { h = MatMul(x, z) g = Add(h, o) r = Relu(g)"
        " t = Transpose<perm = [0, 2, 1]>(r) p = Softmax<axis = -1>(t) c = ReduceMax<axes = [1], keepdims = 0>(p)"
        " a = Add(x, k) d = ReduceMax<axes = [2], keepdims = 0>(a) y = Add(c, d) }",
        {"z": np.zeros((4, 4), np.float32), "o": np.ones(4, np.float32), "k": noise(1, 8, 4)},
        [noise(1, t, 4, seed=t) for t in (1, 8)],
    ),
    "indices that name every step of the probe": (
        "g (float[1, T, 4] x) => (float[1, T, 3] y) { q = MatMul(x, w) h = Relu(q)"
        " s = ScatterElements<axis = 1>(h, i, p) z = MatMul(s, u) k = MatMul(x, o) y = Add(z, k) }",
        PARTS
        | {"i": np.tile(np.arange(2)[:, None], (1, 1, 4)), "p": np.ones((1, 2, 4), np.float32)}
        | {"u": noise(4, 3), "o": noise(4, 3, seed=5)},
        [noise(1, t, 4, seed=t) for t in (3, 2, 5)],
    ),
    "indices that name the single sample": (
        "g (float[N, 4] x) => (float[N, 2] y) { q = MatMul(x, w) h = Relu(q) s = ScatterND(h, i, p) y = MatMul(s, v) }",
        PARTS | {"i": np.array([[0]]), "p": np.zeros((1, 4), np.float32)},
        [noise(n, 4, seed=n) for n in (3, 1, 5)],
    ),
    "a sum over a free length": (
        f"{HEAD.replace('[A, B]', '[A, B, C]')} {{ q = MatMul(x, z) p = Add(q, b) h = Relu(p)"
        " u = Slice(h, zero, one, two) t = Transpose<perm = [0, 2, 1]>(u) g = MatMul(t, h) y = MatMul(g, v) }",
        PARTS | {"z": np.zeros((4, 4), np.float32), "zero": np.array([0]), "one": np.array([1]), "two": np.array([2])},
        SEQUENCES,
    ),
    "a partner that has the full shape at length 1 only": (
        f"{HEAD.replace('[A, B]', '[A, B, C]')} {{ q = MatMul(x, z) p = Add(q, b) h = Relu(p)"
        " m = ReduceMean<axes = [1]>(x) s = Sigmoid(m) a = Add(h, s) y = MatMul(a, v) }",
        PARTS | {"z": np.zeros((4, 4), np.float32)},
        [SEQUENCES[1], SEQUENCES[0], *SEQUENCES[2:]],
    ),
    "a partner without samples": (
        f"{HEAD.replace('[A, B]', '[A, B, C]')} {{ q = MatMul(x, z) p = Add(q, b) h = Relu(p)"
        " n = ReduceMean<axes = [0]>(x) c = ConstantOfShape(s) k = Mul(n, c) a = Add(h, k) y = MatMul(a, v) }",
        PARTS | {"z": np.zeros((4, 4), np.float32), "s": np.array([1, 1, 1])},
        SEQUENCES,
    ),
    "an output whose declared lengths are those of the input by name only": (
        "g (float[N, 3, H, W] x) => (float[N, 2, H, W] y, float[N, 4, H, W] u) { q = Conv<strides = [2, 2]>(x, k, b)"
        " u = Relu(q) o = Conv(u, zeros, c) y = Relu(o) }",
        PARTS | {"k": KERNEL, "zeros": np.zeros((2, 4, 1, 1), np.float32), "c": np.array([1, 2], np.float32)},
        [noise(2, 3, h, w, seed=h) for h, w in ((4, 4), (2, 2), (6, 8))],
    ),
    "constants that differ along a free length": (
        "g (float[1, T, 4] x) => (float[1, L, 2] y) { q = MatMul(x, z) t = Concat<axis = 1>(k, q) h = Relu(t)"
        " y = MatMul(h, v) }",
        PARTS | {"z": np.zeros((4, 4), np.float32), "k": np.ones((1, 1, 4), np.float32)},
        [noise(1, t, 4, seed=t) for t in (3, 1, 6)],
    ),
    "maps that strides shrink to one place": (
        "g (float[N, 3, H, W] x) => (float[A, B, C, D] y) { q = Conv<strides = [2, 2]>(x, k, b) h = Relu(q)"
        " i = MaxPool<kernel_shape = [1, 1], strides = [4, 4]>(h)"
        " j = MaxPool<kernel_shape = [1, 1], strides = [4, 4]>(i)"
        " g = GlobalAveragePool(q) s = Sigmoid(g) o = Conv(j, zeros, b) p = Relu(o) a = Add(p, s) y = Conv(a, l) }",
        PARTS | {"k": KERNEL, "zeros": np.zeros((4, 4, 1, 1), np.float32), "l": noise(2, 4, 1, 1, seed=9)},
        [noise(2, 3, h, w, seed=h) for h, w in ((8, 8), (16, 16), (64, 40))],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_the_weights_decide_holds_for_every_length(name: str) -> None:
    text, stored, inputs = CASES[name]
    model = parse(text, stored, 13)
    for probe in (None, {"x": np.concatenate([inputs[1]] * 8)}):
        audit = analyzer.audit(model, probe)
        pruned = audit.prune(choice=WEIGHTS, latency=False)
        assert not audit.facts.conditions.withdrawn, "what is derived wrongly is not excused by what the run shows"
        assert not any("derived" in note for note in pruned.facts.notes)
        small = onnx.ModelProto.FromString(pruned.data)
        for x in inputs:
            for before, after in zip(run(model, {"x": x}).values(), run(small, {"x": x}).values(), strict=True):
                assert before.shape == after.shape
                assert np.abs(before - after).max() <= TOLERANCE * np.abs(before).max()


def test_units_beside_a_free_length_are_cut_all_the_same() -> None:
    text = f"{HEAD.replace('[A, B]', '[A, B, C]')} {{ q = MatMul(x, w) h = Relu(q) y = MatMul(h, v) }}"
    pruned = analyzer.prune(parse(text, PARTS), latency=False)
    assert pruned.facts.removed_units == {"h": (1,)}
    assert (pruned.facts.before.parameters, pruned.facts.after.parameters) == (24, 18)


@pytest.mark.parametrize("steps", [1, 2])
def test_units_behind_a_view_go_though_one_step_does_not_show_what_it_joins(steps: int) -> None:
    text = (
        "g (float[N, T, 3, 4] x) => (float[A, B, C, D] y) { f = Reshape(x, flat) q = MatMul(f, w) h = Relu(q)"
        " r = Reshape(h, back) y = MatMul(r, v) }"
    )
    model = parse(text, PARTS | {"flat": np.array([0, -1, 4]), "back": np.array([0, -1, 3, 4])})
    pruned = analyzer.prune(model, {"x": noise(8, steps, 3, 4)}, latency=False, choice=WEIGHTS)
    assert pruned.facts.removed_units == {"h": (1,)}
    for x in (noise(2, t, 3, 4, seed=t) for t in (1, 2, 3)):
        before, after = run(model, {"x": x})["y"], run(onnx.ModelProto.FromString(pruned.data), {"x": x})["y"]
        assert np.abs(before - after).max() <= TOLERANCE * np.abs(before).max()


def test_lengths_that_other_inputs_change_are_found_and_others_are_not() -> None:
    text = (
        "g (float[N, 3, H, 8] x) => (float[A, B, C, D] y) { c = Conv(x, k, b) y = Transpose<perm = [0, 2, 3, 1]>(c) }"
    )
    loaded = load_model(parse(text, {"k": KERNEL, "b": PARTS["b"]}))
    table = measure_shapes(loaded, None)
    assert {n: set(table.dynamic[n]) for n in ("x", "c", "y")} == {"x": {2}, "c": {2}, "y": {1}}
    fixed = measure_shapes(load_model(parse(text.replace("H", "6"), {"k": KERNEL, "b": PARTS["b"]})), None)
    assert fixed.dynamic == {}
    assert fixed.resized == ()


def changing(text: str, stored: dict[str, Array], data: dict[str, Array]) -> dict[str, set[int]]:
    """Axes whose lengths may change, by value."""
    loaded = load_model(parse(text, stored))
    table = measure_shapes(loaded, open_probe(data, loaded.graph.inputs))
    return {name: set(axes) for name, axes in table.dynamic.items() if axes}


@pytest.mark.parametrize("length", [2, 3, 32, 96, 416])
def test_a_length_that_fits_no_half_and_no_step_more_is_found(length: int) -> None:
    text = "g (float[1, T, 640] x) => (float[1, T, 640] y) { r = Reshape(x, s) t = Relu(r) y = Reshape(t, b) }"
    multiple = length & -length
    stored = {"s": np.array([1, -1, multiple, 640]), "b": np.array([1, -1, 640])}
    found = changing(text, stored, {"x": noise(1, length, 640)})
    assert found == {"x": {1}, "y": {1}, "r": {1}, "t": {1}}


def test_a_length_that_the_model_takes_at_no_other_size_is_fixed() -> None:
    text = "g (float[1, T, 4] x) => (float[1, 5, 4] y) { r = Reshape(x, s) y = Relu(r) }"
    assert changing(text, {"s": np.array([1, 5, 4])}, {"x": noise(1, 5, 4)}) == {}


@pytest.mark.parametrize("more", [0, 6])
def test_lengths_that_only_change_together_are_found(more: int) -> None:
    """Beside others that are fixed: of too many of those, what is not tried counts as one that may change."""
    fixed = [f"f{i}" for i in range(more + 1)]
    text = (
        f"g (float[1, S, 4] a, float[1, T, 4] b, {', '.join(f'float[1, F{i}, 4] {f}' for i, f in enumerate(fixed))})"
        f" => (float[1, U, 4] y, {', '.join(f'float[1, 5, 4] {f}_r' for f in fixed)})"
        f" {{ {' '.join(f'{f}_r = Reshape({f}, s)' for f in fixed)} j = MatMul(b, c) m = Add(a, j) y = Relu(m) }}"
    )
    data = {f: noise(1, 5, 4) for f in ("a", "b", *fixed)}
    found = changing(text, {"s": np.array([1, 5, 4]), "c": noise(4, 4)}, data)
    assert {"a", "b", "j", "m", "y"} <= set(found)
    assert more or not {"f0", "f0_r"} & set(found)


def test_a_length_that_is_the_ratio_of_two_is_found() -> None:
    text = (
        "g (float[N, T, 4] x, float[N, S] z) => (float[A, B, C, D] y) { s = Shape(z) t = Concat<axis = 0>(s, two)"
        " r = Reshape(x, t) y = Relu(r) }"
    )
    loaded = load_model(parse(text, {"two": np.array([-1, 4])}))
    probe = open_probe({"x": noise(3, 6, 4), "z": noise(3, 2)}, loaded.graph.inputs)
    table = measure_shapes(loaded, probe)
    assert table.shapes["r"] == (1, 2, 3, 4)
    assert table.dynamic["r"] == {1, 2}


def test_steps_of_a_free_length_are_no_units() -> None:
    weight = parse("g (float[N, T] x) => (float[N, T] y) { a = Relu(x) y = Tanh(a) }")
    assert analyzer.audit(weight, np.ones((60, 5), np.float32)).layers == ()
    fixed = parse("g (float[N, 5] x) => (float[N, 5] y) { a = Relu(x) y = Tanh(a) }")
    assert [layer.units for layer in analyzer.audit(fixed, np.ones((60, 5), np.float32)).layers] == [5, 5]


def test_an_input_that_is_fed_unchanged_is_not_doubled() -> None:
    text = (
        "g (float[N, 4] x, float[1, 4] s) => (float[N, 4] y) { h = MatMul(x, w) a = Relu(h) t = Relu(s) y = Mul(a, t) }"
    )
    loaded = load_model(parse(text, {"w": PARTS["w"]}))
    data = {"x": noise(20, 4), "s": noise(1, 4)}
    table = measure_shapes(loaded, open_probe(data, loaded.graph.inputs, constants=["s"]))
    assert table.batchable
    assert (table.sample_axes["t"].axis, table.sample_axes["y"].axis) == (None, 0)


def test_lengths_that_differ_between_samples_of_one_shape_are_found() -> None:
    text = "g (float[1, 4, 8] x, int64[1] n) => (float[1, 4, T] y) { s = Slice(x, zero, n, two) y = Relu(s) }"
    loaded = load_model(parse(text, {"zero": np.array([0]), "two": np.array([2])}))
    feeds = [{"x": noise(1, 4, 8), "n": np.array([n])} for n in (3, 5)]
    table = measure_shapes(loaded, open_probe(feeds, loaded.graph.inputs))
    assert {n: set(axes) for n, axes in table.dynamic.items()} == {"s": {2}, "y": {2}}


@pytest.mark.parametrize(("step", "hidden"), [(1, set()), (64, {1})])
def test_a_length_that_a_step_rounds_to_one_may_change(step: int, hidden: set[int]) -> None:
    text = "g (float[N, T, 4] x) => (float[A, B, C] y) { s = Slice(x, zero, end, one, step) y = Relu(s) }"
    end = np.array([1 if step == 1 else 1 << 40])
    stored = {"zero": np.array([0]), "end": end, "one": np.array([1]), "step": np.array([step])}
    loaded = load_model(parse(text, stored))
    table = measure_shapes(loaded, open_probe({"x": noise(3, 2, 4)}, loaded.graph.inputs))
    assert table.shapes["s"] == (1, 1, 4)
    assert set(table.dynamic.get("s", ())) == hidden


def test_a_single_unit_behind_strides_that_hide_the_length_is_audited() -> None:
    stored = {"k": noise(4, 3, 1, 1), "l": noise(1, 4, 1, 1, seed=1)}
    body = "c = Conv<strides = [64, 64]>(x, k) r = Relu(c) d = Conv(r, l) y = Sigmoid(d)"
    model = parse(f"g (float[N, 3, H, W] x) => (float[A, B, C, D] y) {{ {body} }}", stored)
    found = analyzer.audit(model, noise(60, 3, 2, 2))
    assert [(layer.value, layer.units) for layer in found.layers] == [("r", 4), ("y", 1)]
