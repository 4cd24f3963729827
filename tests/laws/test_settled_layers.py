"""Layers that are no longer looked at, as no verdict of theirs can change: every verdict is that of counting all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

import analyzer
from analyzer import Data, Run
from analyzer.facts import verdicts
from analyzer.facts.audit import AuditFacts
from analyzer.facts.statistics import UnitStatistics
from analyzer.facts.thresholds import PRESETS
from analyzer.facts.units import AuditedValue, Curve, Kind
from analyzer.observe import looks, nan_guards
from tests.models import Array, parse
from tests.random_graphs.generator import make
from tests.random_graphs.recurrent import make_recurrent

SAMPLES = Path(__file__).parents[2] / "sample_models"
FEW = Run(batch_size=4, full_samples=8)


@pytest.fixture(autouse=True)
def _sessions_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looks, "SESSION_IN_FEEDS", 0)


def facts(model: Any, data: Data, run: Run, **options: Any) -> AuditFacts:
    return analyzer.audit(model, data, run=run, **options).facts


def settled_is_whole(model: Any, data: Data, run: Run = FEW, **options: Any) -> int:
    """Verdicts, what can go and what stays are the same; returns how many layers were settled."""
    whole, settled = facts(model, data, replace(run, full=True), **options), facts(model, data, run, **options)
    for full, early in zip(whole.layers, settled.layers, strict=True):
        for name in ("dead", "near_dead", "saturated", "always_on", "nonfinite", "revived"):
            assert getattr(early, name) == getattr(full, name), (full.value, name)
        assert early.evidence.tolist() == full.evidence.tolist()
        assert early.samples <= full.samples
        assert early.samples == full.samples or not early.dead
    assert settled.removable == whole.removable
    assert settled.locked == whole.locked
    assert [w.code for w in settled.warnings] == [w.code for w in whole.warnings]
    return sum(layer.samples < full.samples for layer, full in zip(settled.layers, whole.layers, strict=True))


def of_sample(name: str, samples: int) -> tuple[Path | bytes, dict[str, Array]]:
    folder = SAMPLES / name
    with np.load(folder / "probe.npz") as archive:
        return folder / "model.onnx", {key: archive[key][:samples].copy() for key in archive.files}


def alive(samples: int = 100, dead: int = 0) -> tuple[bytes, dict[str, Array]]:
    """Layers of several kinds in which nothing is dead, but so many units of the last one."""
    random = np.random.default_rng(12)
    shapes = {"k": (6, 3, 3, 3), "l": (6, 6, 3, 3), "w": (6, 8), "v": (8, 8), "b": (8,)}
    stored = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    stored |= {"w": stored["w"] / np.float32(50), "b": stored["b"] / np.float32(50)}
    stored["v"][:, :dead], stored["b"][:dead] = 0, -1
    text = """g (float[N,3,8,8] x) => (float[N,8] y) {
        c = Conv(x, k)  r = Relu(c)  p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(r)  s = Conv(p, l)
        g = Sigmoid(s)  m = Mul(s, g)  a = GlobalAveragePool(m)  f = Flatten(a)  h = MatMul(f, w)
        t = Tanh(h)  u = Gemm(t, v, b)  y = Relu(u) }"""
    return parse(text, stored).SerializeToString(), {"x": random.normal(size=(samples, 3, 8, 8)).astype(np.float32)}


def test_layers_that_are_alive_are_settled() -> None:
    for dead, settled in ((0, 4), (2, 3)):
        model, arrays = alive(dead=dead)
        assert settled_is_whole(model, Data(arrays)) == settled


@pytest.mark.parametrize(
    "name", ["digits_mlp_killed", "digits_cnn_dynamo", "digits_transformer", "digits_gru_streaming", "saturated_tanh"]
)
def test_sample_models(name: str) -> None:
    model, arrays = of_sample(name, 100)
    settled_is_whole(model, Data(arrays))


@pytest.mark.parametrize("maker", [make, make_recurrent])
@pytest.mark.parametrize("seed", range(12))
def test_random_graphs(maker: Any, seed: int) -> None:
    made = maker(seed)
    arrays = {name: np.concatenate([array] * 3) if array.ndim else array for name, array in dict(made.probe).items()}
    settled_is_whole(made.model.SerializeToString(), Data(arrays), Run(batch_size=2, full_samples=2))


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_definition(preset: str) -> None:
    model, arrays = of_sample("digits_cnn_dynamo", 100)
    settled_is_whole(model, Data(arrays), thresholds=preset)


BROKEN = (np.nan, np.inf, -np.inf, 1e30, 3e38)


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("name", ["", "digits_cnn_dynamo", "digits_transformer", "digits_mlp_killed"])
def test_what_is_not_finite_at_the_end_is_seen(broken: float, name: str) -> None:
    model, arrays = of_sample(name, 80) if name else alive(80)
    for array in arrays.values():
        array[[70, 75], ..., 3] = broken
    settled_is_whole(model, Data(arrays))


def late(wakes: int = 70) -> tuple[bytes, dict[str, Array]]:
    """All units fire on most samples, but one that does on a single one, at the end."""
    random = np.random.default_rng(1)
    w = np.eye(4, dtype=np.float32)
    text = """g (float[N,4] x) => (float[N,4] y) {
        h = MatMul(x, w)  r = Relu(h)  k = MatMul(r, w)  q = Relu(k)  z = Neg(q)  y = MatMul(z, w) }"""
    x = random.normal(size=(80, 4)).astype(np.float32)
    x[:, 3] = -np.abs(x[:, 3])
    x[wakes] = 1
    return parse(text, {"w": w}).SerializeToString(), {"x": x}


@pytest.mark.parametrize("broken", BROKEN)
def test_what_is_not_finite_is_seen_where_nothing_is_looked_at_any_more(broken: float) -> None:
    model, arrays = late()
    arrays["x"][:, 3] = -arrays["x"][:, 2]
    assert settled_is_whole(model, Data(arrays)) == 2
    arrays["x"][74, 1] = broken
    settled_is_whole(model, Data(arrays))


def test_a_unit_that_wakes_late_is_not_dead() -> None:
    model, arrays = late()
    settled_is_whole(model, Data(arrays))
    assert facts(model, Data(arrays), FEW).dead == 0


@pytest.mark.parametrize("kind", [Kind.RECTIFIER, Kind.SATURATING, Kind.SMOOTH, Kind.LINEAR])
@pytest.mark.parametrize("preset", ["default", "strict", "sagemaker"])
@pytest.mark.parametrize("high", [None, 6.0])
def test_a_unit_that_is_settled_gets_no_verdict_from_any_further_samples(
    kind: Kind, preset: str, high: float | None
) -> None:
    random, thresholds = Random(f"{kind}{preset}{high}"), PRESETS[preset]
    low = -1.0 if kind is Kind.SATURATING else 0.0
    high = 1.0 if kind is Kind.SATURATING else high
    audited = AuditedValue("y", "", "", kind, 1, 1, 2, low=low, high=high, curve=Curve.TANH)
    settled = 0
    for _ in range(400):
        samples = random.randint(2, 120)
        first, rest = random.randint(1, samples), 0
        rest = samples - first
        some, more = _statistics(random, audited, first), _statistics(random, audited, rest)
        if verdicts.undecided(audited, some, thresholds, samples)[0]:
            continue
        settled += 1
        for whole in (some, some.merge(more)):
            found = verdicts.verdicts_of(audited, whole, thresholds)
            kinds = (found.dead, found.near_dead, found.saturated, found.always_on)
            assert not any(kinds) or more.nonfinite[0], (some, more)
        known = verdicts.verdicts_of(audited, some, thresholds)
        assert known.nonfinite == tuple(np.flatnonzero(some.nonfinite).tolist())
    assert settled > 20


def _statistics(random: Random, audited: AuditedValue, samples: int) -> UnitStatistics:
    """Of outputs that are often at one of the flat ends, or all the same."""
    low, high = audited.low or 0.0, audited.high if audited.high is not None else 9.0
    share, pool = random.random() ** 3, [low, high, random.uniform(low, high)]
    outputs = np.array([random.choice(pool) if random.random() > share else pool[0] for _ in range(samples)])
    empty = UnitStatistics.empty(1)
    if not samples:
        return empty
    curved = audited.kind is Kind.SATURATING
    counts = {
        "fired": samples if audited.kind is Kind.LINEAR else (outputs > low).sum(),
        "low_samples": curved * (outputs <= low).sum(),
        "high_samples": curved * (outputs >= high).sum(),
        "flat_samples": curved * samples,
        "nonfinite": random.random() < 0.05,
    }
    seen: dict[str, Any] = {name: np.array([number], np.int64) for name, number in counts.items()}
    least, most = outputs[[outputs.argmin()]], outputs[[outputs.argmax()]]
    return replace(empty, samples=samples, minimum=least, maximum=most, **seen)


def _dead_units_are_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = verdicts.undecided
    monkeypatch.setattr("analyzer.observe.tally.undecided", lambda a, s, t, n: honest(a, s, t, n) & (s.fired > 0))


def _guards_as_if_all_were_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = nan_guards.guards
    monkeypatch.setattr(looks, "guards", lambda graph, targets, shapes, looked=None: honest(graph, targets, shapes))


def test_a_layer_that_is_left_too_early_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    _dead_units_are_settled(monkeypatch)
    with pytest.raises(AssertionError):
        test_a_unit_that_wakes_late_is_not_dead()


def test_numbers_that_nobody_guards_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    _guards_as_if_all_were_looked_at(monkeypatch)
    with pytest.raises(AssertionError):
        test_what_is_not_finite_is_seen_where_nothing_is_looked_at_any_more(np.nan)
