"""No model is written that was not compared, at the sizes that it is run with; what cannot be compared is refused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest

import analyzer
from analyzer import Choice
from analyzer.api import agreement
from analyzer.api.cutting import cut
from analyzer.errors import ComparisonFailed, InputError, RunError, RunFailure
from analyzer.facts.pruned import Comparison, OutputDifference
from analyzer.graph import Editor, load
from analyzer.rewrite.comparison import compare
from analyzer.runtime.session import Session
from tests.models import Array, parse, run

RNG = np.random.default_rng(11)


@pytest.fixture(autouse=True)
def _the_same_numbers_whatever_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "RNG", np.random.default_rng(11))


def weights(*shape: int, dead: int = 0) -> Array:
    array = RNG.normal(size=shape).astype(np.float32)
    array[..., :dead] = 0
    return array


def dense(tail: str, inputs: str = "float[n, 6] x", stored: dict[str, Array] | None = None) -> onnx.ModelProto:
    """Two dense layers with two dead units between them, and what follows `h`."""
    return parse(
        f"g ({inputs}) => (float[] y) {{ a = MatMul(x, w) r = Relu(a) h = MatMul(r, v) {tail} }}",
        {"w": weights(6, 8, dead=2), "v": weights(8, 4), **(stored or {})},
    )


NEEDS_DATA = {
    "a shape that is an input": ("y = Reshape<allowzero = 1>(h, k)", "float[n, 6] x, int64[2] k"),
    "inputs that must fit together": ("y = MatMul(h, b)", "float[n, 6] x, float[m, l] b"),
}


@pytest.mark.parametrize("kind", NEEDS_DATA)
@pytest.mark.parametrize("choice", [Choice(), Choice(residual="params"), Choice(merge_duplicates=True)])
def test_without_a_feed_that_runs_nothing_is_written(kind: str, choice: Choice) -> None:
    model = dense(*NEEDS_DATA[kind])
    with pytest.raises(InputError, match=r"does not run on inputs made up.*--probe"):
        analyzer.audit(model).prune(choice=choice, latency=False)


def test_where_nothing_goes_nothing_needs_to_be_compared() -> None:
    model = parse("g (float[n, 6] x, int64[2] k) => (float[] y) { y = Reshape(x, k) }")
    pruned = analyzer.prune(model, latency=False)
    assert not pruned.changed
    assert pruned.data == model.SerializeToString()


def test_made_up_feeds_that_do_not_run_are_left_out_and_others_count() -> None:
    stored = {"s": np.array([1, 4], np.int64)}  # runs on one sample alone
    pruned = analyzer.prune(dense("y = Reshape(h, s)", stored=stored), latency=False)
    assert pruned.comparison is not None
    assert pruned.comparison.samples > 0


def fires_from_the_third_sample_on() -> onnx.ModelProto:
    """Single samples, and two, show units dead that fire from the third sample of a run on."""
    return parse(
        """g (float[n, 6] x) => (float[n, 4] y) {
            one = Mul(x, zero)
            ones = Add(one, c)
            t = CumSum(ones, axis)
            late = Sub(t, three)
            a = MatMul(x, w)
            far = MatMul(late, u)
            s = Add(a, far)
            r = Relu(s)
            y = MatMul(r, v)
        }""",
        {
            "zero": np.array(0, np.float32),
            "c": np.array(1, np.float32),
            "axis": np.array(0, np.int64),
            "three": np.array(2.5, np.float32),
            "w": weights(6, 8, dead=3),
            "u": np.concatenate([np.ones((6, 3)), np.zeros((6, 5))], axis=1).astype(np.float32),
            "v": weights(8, 4),
        },
    )


def test_a_cut_that_holds_for_single_samples_only_is_refused_unless_they_are_asked_for() -> None:
    model, probe = fires_from_the_third_sample_on(), weights(40, 6)
    alone = analyzer.prune(model, {"x": probe}, run=analyzer.Run(batch_size=1), latency=False)
    small = onnx.ModelProto.FromString(alone.data)
    for sample in probe[:5]:
        one, two = (run(m, {"x": sample[None]})["y"] for m in (model, small))
        np.testing.assert_allclose(one, two, atol=1e-4)
    with pytest.raises(InputError, match="--batch-size 1"):
        analyzer.prune(model, {"x": probe}, latency=False)


def test_a_difference_that_is_not_of_samples_together_is_not_laid_on_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "rows_depend_on_others", lambda *_, **__: False)
    with pytest.raises(ComparisonFailed, match="differs from the original"):
        analyzer.prune(fires_from_the_third_sample_on(), {"x": weights(40, 6)}, latency=False)


@pytest.mark.parametrize(("batch_size", "alone", "size"), [(5, 2, 4), (8, 2, 8), (3, 2, 0), (2, 1, 2), (1, 1, 0)])
def test_as_many_share_a_run_as_the_batch_size_has_whole_feeds_of(batch_size: int, alone: int, size: int) -> None:
    graph = SimpleNamespace(inputs={})
    source: Any = SimpleNamespace(
        shapes=SimpleNamespace(samples=alone),
        loaded=SimpleNamespace(graph=graph),
        run=SimpleNamespace(batch_size=batch_size),
    )
    probe: Any = SimpleNamespace(fixed=(), batchable=True)
    assert agreement.several_samples(source, probe) == size
    assert agreement.several_samples(source, SimpleNamespace(fixed=(), batchable=False)) == 0  # type: ignore[arg-type]


def test_memory_that_runs_out_where_samples_are_held_against_each_other_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def scarce(*_: Any, **__: Any) -> bool:
        raise RunError("no memory", RunFailure.MEMORY)

    monkeypatch.setattr(agreement, "rows_depend_on_others", scarce)
    with pytest.raises(RunError, match="no memory"):
        analyzer.prune(fires_from_the_third_sample_on(), {"x": weights(40, 6)}, latency=False)


def late_units(remainder: int) -> onnx.ModelProto:
    """Three units fire from five samples at once on; numbers of samples that leave that much of seven are refused."""
    return parse(
        """g (float[n, 6] x) => (float[n, 4] y) {
            l = Shape(x)
            n = Gather(l, zero)
            f = Cast<to=1>(n)
            late = Sub(f, half)
            m = Mod(n, seven)
            t = Gather(table, m)
            a = MatMul(x, w)
            far = Mul(late, u)
            s = Add(a, far)
            r = Relu(s)
            p = MatMul(r, v)
            y = Mul(p, t)
        }""",
        {
            "zero": np.array(0, np.int64),
            "seven": np.array(7, np.int64),
            "half": np.array(4.5, np.float32),
            "table": np.ones(remainder, np.float32),
            "w": weights(6, 8, dead=3),
            "u": np.array([30.0] * 3 + [0.0] * 5, np.float32),
            "v": weights(8, 4),
        },
    )


def test_what_a_batch_showed_counts_though_a_later_one_is_refused() -> None:
    """Twelve samples are run as eight, on which the models differ, and four, which the original refuses."""
    with pytest.raises(InputError, match="--batch-size 1"):
        analyzer.prune(late_units(4), {"x": weights(12, 6)}, run=analyzer.Run(batch_size=8), latency=False)


def test_samples_that_are_refused_together_are_all_compared_alone_and_that_is_noted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(agreement, "SINGLE_SAMPLES", 2)
    pruned = analyzer.prune(late_units(2), {"x": weights(12, 6)}, run=analyzer.Run(batch_size=4), latency=False)
    assert pruned.comparison is not None
    assert (pruned.comparison.samples, pruned.comparison.refused) == (12, 12)
    assert "12 samples were compared one at a time only" in " ".join(pruned.facts.notes)


def test_memory_that_runs_out_on_several_samples_is_no_reason_to_compare_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Session.run

    def scarce(self: Session, feeds: Any, *rest: Any, **options: Any) -> Any:
        if type(self) is Session and len(feeds["x"]) > 2 and list(self.output_names) == ["y"]:
            raise RunError("no memory", RunFailure.MEMORY)
        return plain(self, feeds, *rest, **options)

    monkeypatch.setattr(Session, "run", scarce)
    with pytest.raises(RunError, match="no memory"):
        analyzer.prune(dense("y = Relu(h)"), {"x": weights(30, 6)}, latency=False)


@pytest.mark.parametrize("with_probe", [True, False])
def test_where_nothing_is_finite_nothing_was_compared(with_probe: bool) -> None:
    model = dense("y = Mul(h, lost)", stored={"lost": np.array(np.nan, np.float32)})
    data = {"x": weights(10, 6)} if with_probe else None
    with pytest.raises(InputError, match="finite"):
        analyzer.prune(model, data, latency=False)


def test_noise_that_the_original_refuses_is_left_out() -> None:
    """An index that is a float leaves its table with the least noise."""
    tail = "s = Slice(x, zero, one, one) i = Cast<to=7>(s) t = Gather(table, i) q = Squeeze(t, one) y = Add(h, q)"
    stored: dict[str, Array] = {
        "zero": np.array([0], np.int64),
        "one": np.array([1], np.int64),
        "table": np.ones((3, 4), np.float32),
    }
    probe = weights(10, 6)
    probe[:, 0] = np.where(np.arange(10) % 2, 2.999, -3)
    pruned = analyzer.prune(dense(tail, stored=stored), {"x": probe}, latency=False)
    assert pruned.changed
    assert pruned.facts.perturbed is None or pruned.facts.perturbed.samples < 10


def test_both_sizes_are_run(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def spy(original: Any, rewritten: Any, batches: Any, **options: Any) -> Any:
        def counted() -> Any:
            for feeds, samples in batches:
                seen.append(len(feeds["x"]))
                yield feeds, samples

        return compare(original, rewritten, counted(), **options)

    monkeypatch.setattr(agreement, "compare", spy)
    pruned = analyzer.prune(dense("y = Relu(h)"), {"x": weights(30, 6)}, latency=False)
    assert pruned.comparison is not None
    assert pruned.comparison.samples == 30
    assert {1, 8} <= set(seen)


HALF_LAYERS = "c = Cast<to = 10>(x) a = MatMul(c, w) r = Relu(a) b = MatMul(r, v)"
FLOAT_LAYERS = "a = MatMul(x, f) r = Relu(a) b = MatMul(r, g)"
MIXED_TYPES = {  # inputs, nodes, tolerance
    "halves inside, float32 outside": ("float[n, 6] x", f"{HALF_LAYERS} y = Cast<to = 1>(b)", 2e-2),
    "and float32 behind that": ("float[n, 6] x", f"{HALF_LAYERS} d = Cast<to = 1>(b) y = Mul(d, d)", 2e-2),
    "halves behind the cut": ("float[n, 6] x", f"{FLOAT_LAYERS} c = Cast<to = 10>(b) y = Cast<to = 1>(c)", 2e-2),
    "halves before the cut": ("float16[n, 6] h", f"d = Mul(h, h) x = Cast<to = 1>(d) {FLOAT_LAYERS} y = Relu(b)", 5e-5),
    "halves beside the cut": (
        "float16[n, 4] h, float[n, 6] x",
        f"d = Mul(h, h) e = Cast<to = 1>(d) {FLOAT_LAYERS} y = Add(b, e)",
        5e-5,
    ),
    "doubles of a float32 calculation": ("float[n, 6] x", f"{FLOAT_LAYERS} y = Cast<to = 11>(b)", 5e-5),
    "doubles before the cut": ("double[n, 6] d", f"x = Cast<to = 1>(d) {FLOAT_LAYERS} y = Relu(b)", 5e-5),
}


@pytest.mark.parametrize("kind", MIXED_TYPES)
def test_the_tolerance_is_that_of_the_coarsest_type_between_the_cut_and_the_output(kind: str) -> None:
    inputs, nodes, tolerance = MIXED_TYPES[kind]
    half = {"w": weights(6, 8, dead=2).astype(np.float16), "v": weights(8, 4).astype(np.float16)}
    stored = half | {"f": weights(6, 8, dead=2), "g": weights(8, 4)}
    model = parse(f"g ({inputs}) => (float[] y) {{ {nodes} }}", {n: a for n, a in stored.items() if f" {n})" in nodes})
    if "11" in nodes:
        model.graph.output[0].type.tensor_type.elem_type = 11
    h = weights(20, 4 if "4] h" in inputs else 6).astype(np.float16)
    data = {"h": h, "x": weights(20, 6), "d": RNG.normal(size=(20, 6))}
    pruned = analyzer.prune(model, {i.name: data[i.name] for i in model.graph.input}, latency=False)
    assert pruned.changed
    assert pruned.comparison is not None
    assert pruned.comparison.tolerance == tolerance


def test_a_bug_of_ours_stays_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "contradicted", lambda *_: frozenset())

    def wrong(*arguments: Any, **options: Any) -> Any:
        made = cut(*arguments, **options)
        for one in made:
            stored = one.smaller.refreshed().graph.constant("v")
            assert stored is not None
            Editor(one.smaller).set_tensor("v", 2 * stored)
        return made

    monkeypatch.setattr("analyzer.api.chosen_cut.cut", wrong)
    with pytest.raises(ComparisonFailed, match="differs from the original"):
        analyzer.prune(dense("y = Relu(h)"), {"x": weights(30, 6)}, latency=False)


BRANCH = "g (float[N, 4] x) => (float[N, 3] y) { h = MatMul(x, w) a = Relu(h) c = Greater(t, u) CHOICE }"
SHADOWS = {
    "a name from around it": "y = If(c) <then_branch = b () => (float[N, 3] p) { a = Neg(t) p = MatMul(a, v) },"
    " else_branch = d () => (float[N, 3] q) { q = MatMul(a, v) }>",
    "the name of an input": "y = If(c) <then_branch = b () => (float[N, 3] p) { x = Neg(a) p = MatMul(x, v) },"
    " else_branch = d () => (float[N, 3] q) { q = MatMul(a, v) }>",
}


@pytest.mark.parametrize("data", [None, {"x": np.ones((4, 4), np.float32)}])
@pytest.mark.parametrize("what", SHADOWS)
def test_a_file_that_onnxruntime_refuses_is_not_analysed_in_a_form_that_it_takes(what: str, data: Any) -> None:
    stored = {
        "w": weights(4, 6, dead=2),
        "v": weights(6, 3),
        "t": np.array(0, np.float32),
        "u": np.array(1, np.float32),
    }
    model = parse(BRANCH.replace("CHOICE", SHADOWS[what]), stored)
    with pytest.raises(RunError, match=r"onnxruntime cannot load the model: .*single static assignment"):
        analyzer.audit(model, data)


@pytest.mark.parametrize("data", [None, {"x": np.ones((4, 6), np.float32)}])
def test_what_is_cut_is_compared_with_the_file_and_not_with_the_form_that_it_was_read_in(
    monkeypatch: pytest.MonkeyPatch, data: Any
) -> None:
    def wrong(proto: onnx.ModelProto, where: str) -> onnx.ModelProto:
        proto.graph.node[1].op_type = "Abs"
        return proto

    monkeypatch.setattr(load, "inlined", wrong)
    with pytest.raises(ComparisonFailed, match="differs from the original"):
        analyzer.prune(dense("y = Neg(h)"), data, latency=False)


@pytest.mark.parametrize(("off", "exact", "lossy"), [(0.0, True, True), (0.5, False, True), (np.inf, False, False)])
def test_a_lossy_cut_may_differ_but_never_by_shapes_or_by_what_is_not_finite(
    off: float, exact: bool, lossy: bool
) -> None:
    found = Comparison("here", 3, (OutputDifference("y", off, 1.0, off, 5e-5, None),), 0)
    assert (agreement.agree(found, lossy=False), agreement.agree(found, lossy=True)) == (exact, lossy)
    assert not agreement.agree(None, lossy=True)
