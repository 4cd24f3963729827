"""Experts that give one constant whatever they read, as their weights decide: these become their constants."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, RuntimeException

from analyzer.errors import ComparisonFailed
from analyzer.report.prune.worth import holds_for
from analyzer.rewrite import fewer_experts
from tests.models import run
from tests.routed import EXPERTS, FORMS, INSIDE, WIDTH, data, model, pruned, same, stored, written

SETTLED = 1


def with_settled(form: str, constant: float, *, nearly: bool = False, kind: Any = np.float32) -> onnx.ModelProto:
    """A chosen expert of which no hidden unit fires (`nearly`: one does), which so gives its last bias alone."""
    arrays = {name: stored(form)[name] for name in ("rows1", "bias1", "bias2")}
    arrays["rows1"][SETTLED] = 0
    arrays["bias1"][SETTLED] = -1 if form in ("fused", "shares") else 0
    arrays["bias2"][SETTLED] = constant * np.arange(WIDTH)
    if nearly:
        arrays["rows1"][SETTLED, :2, 0] = 0.5
        arrays["bias1"][SETTLED] = 0.5
    return model(form, **arrays)


@pytest.mark.parametrize("constant", [0.0, 0.3])
@pytest.mark.parametrize("unseen", ["refused", "next"])
@pytest.mark.parametrize("form", ["fused", "shares", "swiglu", "three"])
def test_an_expert_that_always_gives_one_constant_becomes_it(form: str, unseen: str, constant: float) -> None:
    before = with_settled(form, constant)
    result = pruned(before, unseen_expert=unseen)
    (facts,) = result.audit.facts.experts or ()
    assert facts.settled == (SETTLED,)
    assert result.facts.removed_experts == {facts.router: tuple(sorted((*facts.idle, SETTLED)))}
    lost = result.facts.before.parameters - result.facts.after.parameters
    weights = {"swiglu": 3}.get(form, 2) * WIDTH * INSIDE
    assert 0.95 * (len(facts.idle) + 1) * weights <= lost
    assert abs(facts.removable - lost) <= (0 if unseen == "refused" else 24)
    after = written(result)
    for x in (data(), data(3), data(1), data(1)[:, :1], data(5)[:, :2]):
        assert same(before, after, x)
    if unseen == "refused":
        x = data(2)
        x[1, 3] *= -1
        with pytest.raises((InvalidArgument, RuntimeException, Fail), match=r"out of data bounds|invalid index"):
            run(after, {"x": x})


@pytest.mark.parametrize("form", ["fused", "shares", "swiglu"])
def test_an_expert_of_which_one_unit_is_alive_stays(form: str) -> None:
    result = pruned(with_settled(form, 0.3, nearly=True))
    (facts,) = result.audit.facts.experts or ()
    assert facts.settled == ()
    assert SETTLED not in result.facts.removed_experts[facts.router]


@pytest.mark.parametrize("form", ["fused", "shares", "swiglu", "three"])
def test_of_equal_scores_the_same_expert_is_taken_beside_one_that_became_its_constant(form: str) -> None:
    """With scores in whole numbers, all experts chosen, and at once for tokens that lie along two axes or one."""
    FORMS["rounded"] = FORMS[form].replace("s = MatMul(f, router)", "e = MatMul(f, router) s = Round(e)")
    arrays = {i.name: onnx.numpy_helper.to_array(i) for i in with_settled(form, 0.3).graph.initializer}
    arrays["router"] = np.random.default_rng(1).normal(size=(WIDTH, EXPERTS)).astype(np.float32)
    try:
        before = model("rounded", **{name: arrays[name] for name in ("router", "rows1", "bias1", "rows2", "bias2")})
    finally:
        del FORMS["rounded"]
    x = np.random.default_rng(2).normal(size=(60, 4, WIDTH)).astype(np.float32)
    result = pruned(before, {"x": x})
    (facts,) = result.audit.facts.experts or ()
    assert facts.gone == (SETTLED,)
    assert not result.facts.observed  # the weights alone decide it
    assert "for every input" in holds_for(result.audit.facts, result.facts)
    assert facts.removable == result.facts.before.parameters - result.facts.after.parameters
    for few in (x, x[:1], x[:1, :1]):
        assert same(before, written(result), few)


@pytest.mark.parametrize("kept", ["none", "settled", "all but two"])
@pytest.mark.parametrize("score", [-np.inf, np.finfo(np.float32).min, -1e33])
@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("form", ["fused", "shares", "three"])
def test_tokens_whose_experts_are_masked_are_weighed_alike(form: str, alone: bool, score: float, kept: str) -> None:
    """`alone`: all experts but one give constants."""
    masked = "e = MatMul(f, router) c = MatMul(f, pick) pad = Greater(c, limit) s = Where(pad, mask, e)"
    FORMS["masked"] = FORMS[form].replace("s = MatMul(f, router)", masked)
    arrays = {i.name: onnx.numpy_helper.to_array(i).copy() for i in with_settled(form, 0.3).graph.initializer}
    arrays["router"] = np.random.default_rng(1).normal(size=(WIDTH, EXPERTS)).astype(np.float32)
    arrays["pick"], arrays["limit"] = np.eye(WIDTH, 1, dtype=np.float32), np.full((), 10, np.float32)
    arrays["mask"] = np.full(EXPERTS, score, np.float32)
    arrays["mask"][{"none": [], "settled": [SETTLED], "all but two": [*range(2, EXPERTS)]}[kept]] = 0
    if alone:
        arrays["rows1"][:-1], arrays["bias1"][:-1] = 0, -1 if form != "three" else 0
    names = ("router", "rows1", "bias1", "rows2", "bias2", "pick", "limit", "mask")
    try:
        before = model("masked", **{name: arrays[name] for name in names})
    finally:
        del FORMS["masked"]
    x = np.random.default_rng(2).normal(size=(60, 4, WIDTH)).astype(np.float32)
    x[3:9, 1, 0] = 20
    after = written(pruned(before, {"x": x}))
    one, two = (run(m, {"x": x})["y"] for m in (before, after))
    finite = np.isfinite(one)  # of nothing but infinities there are no shares
    assert finite.all() or (kept == "none" and np.isinf(score))
    assert np.allclose(one[finite], two[finite], rtol=1e-4, atol=1e-4)


def test_where_all_experts_give_constants_one_stays() -> None:
    arrays = stored("shares")
    arrays["rows1"][:], arrays["bias1"][:] = 0, -1
    before = model("shares", **{name: arrays[name] for name in ("rows1", "bias1")})
    result = pruned(before)
    (facts,) = result.audit.facts.experts or ()
    assert len(facts.left) == 1
    assert same(before, written(result), data(7))


def test_a_settled_expert_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = pruned(with_settled("fused", 0.3))
    result.audit.show()
    assert "expert 1 always gives one constant" in capsys.readouterr().out
    result.audit.save_report(tmp_path / "audit.json", "json")
    assert json.loads((tmp_path / "audit.json").read_text())["experts"][0]["settled"] == [SETTLED]
    assert "1 expert became the constant that it always gives" in " ".join(result.facts.notes)
    assert not result.masks()["rows1"][SETTLED].any()


@pytest.mark.parametrize("fault", ["share", "factor", "ties"])
def test_a_constant_in_the_wrong_measure_is_seen(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = fewer_experts._Writer.add

    def add(self: Any, op_type: str, *inputs: Any, **attributes: Any) -> str:
        stored = [i for i in inputs if not isinstance(i, str)]
        if fault == "share" and op_type == "MatMul" and stored[0].shape[1] > 1:
            inputs = (inputs[0], 1.1 * inputs[1])
        if fault == "factor" and op_type == "MatMul" and stored[0].shape[1] == 1:
            inputs = (inputs[0], 0.9 * inputs[1])
        if fault == "ties" and op_type == "Greater":
            inputs = (inputs[1], inputs[0])
        return honest(self, op_type, *inputs, **attributes)

    monkeypatch.setattr(fewer_experts._Writer, "add", add)
    with pytest.raises(ComparisonFailed):
        pruned(with_settled("shares", 0.3))
