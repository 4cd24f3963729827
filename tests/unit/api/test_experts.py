"""Experts that no token is routed to: counted, judged, removed in every form that exporters and fusions write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, RuntimeException

import analyzer
from analyzer import Choice, Data
from analyzer.errors import ComparisonFailed, InputError
from analyzer.observe.gathered_rows import gathered_rows
from tests.models import Array, parse, run
from tests.routed import (
    ENDED,
    EXPERTS,
    FORMS,
    IDLE,
    INSIDE,
    ROUTED,
    WEIGHTS,
    WIDTH,
    data,
    fused_experts,
    model,
    pruned,
    routers,
    same,
    stored,
    written,
)

FEW = ("gather", "dense", "onehot", "shares")


@pytest.mark.parametrize("unseen", ["refused", "next"])
@pytest.mark.parametrize("form", FORMS)
def test_what_no_token_is_routed_to_goes(form: str, unseen: str) -> None:
    before = model(form)
    result = pruned(before, unseen_expert=unseen)
    (facts,) = result.audit.facts.experts or ()
    idle = tuple(np.flatnonzero(facts.counts == 0))
    assert set(IDLE) <= set(idle)
    assert result.facts.removed_experts == {facts.router: idle}
    weights = {"swiglu": 3, "packed": 1}.get(form, 2) * WIDTH * INSIDE
    lost = result.facts.before.parameters - result.facts.after.parameters
    assert 0.95 * len(idle) * weights <= lost
    assert abs(facts.removable - lost) <= (0 if unseen == "refused" else 24)
    after = written(result)
    for x in (data(), data(3), data(1), data(1)[:, :1], data(5)[:, :2]):
        assert same(before, after, x)
    assert result.facts.observed
    assert {entry.key: entry.value for entry in after.metadata_props}["deadunits.experts_removed"]
    masks = result.masks()
    gone = sum(int((~mask).sum()) for mask in masks.values())
    assert gone >= len(idle) * weights
    if unseen == "refused":  # a token that would go to an expert that went
        x = data(2)
        x[1, 3] *= -1
        with pytest.raises((InvalidArgument, RuntimeException, Fail), match=r"out of data bounds|invalid index"):
            run(after, {"x": x})


@pytest.mark.parametrize("form", ["gather", "dense", "onehot", "fused", "three"])
def test_a_token_that_would_go_to_a_removed_expert_takes_the_next_best(form: str) -> None:
    """As if their scores were lower than all others; what was chosen weighs 1 together."""
    before = model(form)
    (facts,) = routers(before)
    x = np.random.default_rng(2).normal(size=(9, 4, WIDTH)).astype(np.float32)
    lowered = FORMS[form].replace("MatMul(f, router)", "MatMul(f, router) s2 = Add(s, low)")
    lowered = lowered.replace("Softmax(s)", "Softmax(s2)").replace("(x, s, ", "(x, s2, ")
    low = np.where(facts.counts == 0, -1e4, 0).astype(np.float32)
    FORMS["lowered"] = lowered
    try:
        expected = run(model("lowered", **stored(form), low=low), {"x": x})["y"]
    finally:
        del FORMS["lowered"]
    after = written(pruned(before, unseen_expert="next"))
    assert np.allclose(run(after, {"x": x})["y"], expected, rtol=1e-4, atol=1e-4)
    assert not np.allclose(run(before, {"x": x})["y"], expected, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("form", FEW)
def test_an_expert_that_one_token_is_routed_to_stays(form: str) -> None:
    router = stored(form)["router"]
    router[:, 5] = -2
    router[0, 5] = 60  # only for a token of which the first number is large
    x = data()
    x[..., 0] = 0
    before = model(form, router=router)
    assert not routers(before, {"x": x})[0].counts[5]
    x[17, 2, 0] = 5
    result = pruned(before, {"x": x})
    (facts,) = result.audit.facts.experts or ()
    assert facts.counts[5] == 1
    assert facts.unseen_share is not None
    assert facts.unseen_share >= 1 / 120
    assert 5 not in result.facts.removed_experts[facts.router]
    assert same(before, written(result), x)


@pytest.mark.parametrize("form", FEW)
def test_experts_that_are_all_chosen_stay(form: str) -> None:
    x = np.random.default_rng(1).normal(size=(60, 4, WIDTH)).astype(np.float32)
    before = model(form, router=np.random.default_rng(2).normal(size=(WIDTH, EXPERTS)).astype(np.float32))
    (facts,) = routers(before, {"x": x})
    assert facts.counts.all()
    assert facts.stays == "all chosen"
    assert facts.unseen_bound == 0
    assert not pruned(before, {"x": x}).facts.changed


@pytest.mark.parametrize("form", FEW)
def test_what_was_not_counted_right_is_not_written(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An expert that tokens are routed to is taken for idle: the comparison finds it."""
    honest = gathered_rows

    def wrong(*args: Any, **more: Any) -> dict[str, Array]:
        counts = honest(*args, **more)
        for array in counts.values():
            array[int(np.argmax(array))] = 0
        return counts

    monkeypatch.setattr("analyzer.api.expert_counts.gathered_rows", wrong)
    for unseen in ("refused", "next"):
        with pytest.raises(ComparisonFailed):
            pruned(model(form), unseen_expert=unseen)


@pytest.mark.parametrize("norm", [0, 1])
def test_of_equal_scores_the_operator_takes_the_last(norm: int) -> None:
    router = stored("fused")["router"]
    router[:, 1] = router[:, 4] = 3.0  # always the two best, and always equal
    FORMS["tied"] = fused_experts(norm, 1)
    try:
        before = model("tied", router=router)
        result = pruned(before)
    finally:
        del FORMS["tied"]
    (facts,) = result.audit.facts.experts or ()
    assert facts.counts.tolist() == [0, 0, 0, 0, 120, 0]
    assert same(before, written(result), data())


def test_off_unless_asked_for() -> None:
    before = model("fused")
    found = analyzer.audit(before, {"x": data()})
    assert found.facts.experts is None
    assert found.to_dict()["experts"] is None
    assert not analyzer.prune(before, {"x": data()}, latency=False).facts.changed
    with pytest.raises(InputError, match="experts=True"):
        found.prune(choice=Choice(experts=True))


def test_a_router_is_known_by_its_module() -> None:
    before = model("dense")
    before.producer_name = "pytorch"
    for node in before.graph.node:
        node.name = f"/layers.1/moe/{node.name or node.output[0]}"
    found = analyzer.audit(before, {"x": data()}, experts=True)
    (facts,) = found.facts.experts or ()
    assert facts.module == "layers.1.moe"
    assert "layers.1.moe: 3 experts of 6 chosen" in " ".join(found.report("terminal").split())
    assert not pruned(before, skip=("layers.1.*",)).facts.removed_experts
    assert pruned(before, only=("layers.1.moe",)).facts.removed_experts


def test_experts_that_are_computed_are_none_of_the_file() -> None:
    body = FORMS["fused"].replace("rows1", "made").replace("m = ", "made = Mul(rows1, x1) m = ", 1) + ENDED
    arrays = {n: a for n, a in stored("fused").items() if f"{n})" in body or f"{n}," in body}
    proto = parse(f"g (float[N, T, {WIDTH}] x, float x1) => (float[M, 3] y) {{ {body} }}", arrays, 18)
    given = Data({"x": data(), "x1": np.ones((), np.float32)}, constants=("x1",))
    assert analyzer.audit(proto, given, experts=True).facts.experts == ()


def test_a_model_without_experts_has_none() -> None:
    plain = parse("g (float[N, 4] x) => (float[N, 4] y) { y = Relu(x) }", {}, 18)
    found = analyzer.audit(plain, {"x": np.ones((3, 4), np.float32)}, experts=True)
    assert found.facts.experts == ()
    assert "no node chooses among stored experts" in found.report("terminal")


def test_a_class_that_the_model_gives_out_is_no_expert() -> None:
    body = "s = MatMul(x, w) i = ArgMax<axis=1, keepdims=0>(s) e = Equal(i, three) y = Cast<to=1>(e)"
    arrays = {"w": stored("fused")["router"], "three": np.array(3)}
    proto = parse(f"g (float[N, {WIDTH}] x) => (float[N] y, int64[N] i) {{ {body} }}", arrays, 18)
    assert routers(proto, {"x": data()[:, 0]}) == ()


@pytest.mark.parametrize("join", ["Concat<axis=1>(i, also)", "Pad(i, pads, five)"])
def test_numbers_that_come_from_elsewhere_are_marked_as_before(join: str) -> None:
    """An idle expert's number that something else brings in: where it does, its mark is not zero."""
    body = f"{ROUTED}b, i = TopK(p, k) j = {join} e = Equal(j, number) c = Cast<to=1>(e) "
    body += "t = ReduceMax(c, last) y = Mul(x, t)"
    arrays = stored("fused") | {"number": np.array(IDLE[1]), "five": np.array(IDLE[1]), "pads": np.array([0, 0, 0, 1])}
    used = {name: a for name, a in arrays.items() if f"{name})" in body or f"{name}," in body}
    inputs = f"float[N, {WIDTH}] x, int64[N, P] also" if "also" in join else f"float[N, {WIDTH}] x"
    proto = parse(f"g ({inputs}) => (float[N, {WIDTH}] y) {{ {body} }}", used, 18)
    given = {"x": data()[:, 0]} | ({"also": np.zeros((30, 1), np.int64)} if "also" in join else {})
    assert routers(proto, given) == ()


@pytest.mark.parametrize("form", ["fused", "gather", "dense"])
def test_what_is_asked_of_units_is_asked_of_experts(form: str) -> None:
    before = model(form)
    assert not pruned(before, min_samples=31).facts.removed_experts
    assert not pruned(before, max_firing_bound=0.001).facts.removed_experts
    assert pruned(before, max_firing_bound=0.2).facts.removed_experts
    (facts,) = routers(before)
    assert not pruned(before, skip=(facts.router,)).facts.removed_experts
    assert pruned(before, only=(facts.router,)).facts.removed_experts


@pytest.mark.parametrize("form", ["fused", "gather", "dense"])
def test_a_holdout_that_needs_others_is_told_and_nothing_is_written(form: str) -> None:
    held = Data({"x": data()}, {"x": -data(3)})
    before = model(form)
    assert routers(before, held)[0].new_on_holdout
    report = " ".join(analyzer.audit(before, held, experts=True).report("terminal").split())
    assert "can go only with --unseen-expert next: the holdout is routed to others (" in report
    assert "prune --experts" not in report
    with pytest.raises(InputError, match="--unseen-expert next"):
        pruned(before, held)
    assert pruned(before, held, unseen_expert="next").facts.removed_experts


@pytest.mark.parametrize(
    ("choice", "why"),
    [
        ({"experts": True, "evidence": "structural"}, "only data shows it"),
        ({"unseen_expert": "next"}, "has no effect without --experts"),
        ({"experts": True, "unseen_expert": "first"}, "choose refused or next"),
    ],
)
def test_choices_that_cannot_be_meant_are_refused(choice: dict[str, Any], why: str) -> None:
    with pytest.raises(InputError, match=why):
        Choice(**choice)


def test_a_bias_that_a_cut_adds_loses_its_experts_as_well() -> None:
    FORMS["plain"] = FORMS["fused"].replace(", bias2)", ")")
    arrays = stored("fused")
    arrays["rows1"][:, 3], arrays["bias1"][:, 3] = 0, 0.5  # constant in all experts: it goes into a bias
    try:
        before = model("plain", rows1=arrays["rows1"], bias1=arrays["bias1"])
        result = pruned(before)
    finally:
        del FORMS["plain"]
    left = [tuple(t.dims) for t in written(result).graph.initializer]
    staying = EXPERTS - len(result.facts.removed_experts["m"])
    assert (staying, WIDTH) in left
    assert (staying, WIDTH, INSIDE - 1) in left
    assert same(before, written(result), data())


def test_hidden_units_that_are_dead_in_all_experts_go_with_them() -> None:
    arrays = stored("fused")
    first, second = arrays["rows1"], arrays["rows2"]
    first[:, 4] = 0  # the same constant in every expert, of which the sign of its bias decides whether it is 0
    second[..., 7] = 0  # read by nobody
    first[np.arange(EXPERTS) != 4, 6] = 0  # but one that stays uses it
    before = model("fused", rows1=first, rows2=second)
    result = pruned(before)
    left = {t.name: tuple(t.dims) for t in written(result).graph.initializer}
    assert left["rows2"][2] == INSIDE - 2
    assert left["rows2"][0] == EXPERTS - len(result.facts.removed_experts["m"])
    assert same(before, written(result), data())


@pytest.mark.parametrize("value", [0.0, 0.7])
def test_an_expert_whose_hidden_units_are_all_dead_becomes_its_constant(value: float) -> None:
    arrays = stored("dense")
    dead = np.zeros_like(arrays["first1"])
    FORMS["bias"] = FORMS["dense"].replace("o1 = MatMul(r1, second1)", "a1 = MatMul(r1, second1) o1 = Add(a1, shift)")
    try:
        before = model("bias", first1=dead, shift=np.full(WIDTH, value, np.float32))
        result = pruned(before)
    finally:
        del FORMS["bias"]
    left = {t.name: int(np.prod(t.dims)) for t in written(result).graph.initializer}
    assert left.get("first1", 0) + left.get("second1", 0) <= 2 * WIDTH
    assert left["first0"] == left["second4"] == WEIGHTS // 2
    assert same(before, written(result), data())


def test_reports_say_how_often_each_was_chosen(tmp_path: Path) -> None:
    found = analyzer.audit(model("fused"), {"x": data()}, experts=True)
    (entry,) = found.to_dict()["experts"]
    (facts,) = found.facts.experts or ()
    assert entry["tokens"] == facts.counts.tolist()
    assert entry["idle"] == list(facts.idle)
    assert any("probe with noise" in note for note in pruned(model("fused")).facts.notes)
    text = " ".join(found.report("terminal").split())
    assert f"{len(facts.seen)} experts of 6 chosen in 120 tokens" in text
    assert f"tokens of each: {', '.join(map(str, facts.tokens))}" in text
    assert f"{facts.removable} numbers can go: deadunits prune --experts" in text
    assert f"Tokens of each: {', '.join(map(str, facts.tokens))}" in found.report("html")
    found.prune(choice=Choice(experts=True), latency=False).save_report(tmp_path / "report.json", "json")
    assert json.loads((tmp_path / "report.json").read_text())["removed_experts"] == {"m": list(facts.idle)}
