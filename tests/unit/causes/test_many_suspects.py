"""Causes cost no more where suspects are many: each root is found once, and of very many units the first are asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import analyzer
from analyzer.causes import diagnose, verdict_rules
from analyzer.causes.verdict_rules import Ruling, sources_of
from analyzer.facts.causes import Root
from tests.models import parse

Array = np.ndarray[Any, np.dtype[Any]]
X = np.random.default_rng(7).random((64, 4)).astype(np.float32)


def long_chain(layers: int) -> tuple[str, dict[str, Array]]:
    """Layers of 4 units, of which the first two are dead in each: by the bias at first, starved from then on."""
    weights = {"W": np.kron(np.eye(2), np.ones((2, 2))), "B": [-9, -9, 0, 0], "N": np.zeros(4)}
    steps = [f"H{i} = Gemm(Y{i}, W, {'N' if i else 'B'}) Y{i + 1} = Relu(H{i})" for i in range(layers)]
    text = f"m (float[N,4] X) => (float[N,4] Z) {{Y0 = Identity(X) {' '.join(steps)} Z = Gemm(Y{layers}, W)}}"
    return text, {name: np.asarray(array, np.float32) for name, array in weights.items()}


def test_each_root_is_found_once_however_long_the_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def counting(own: dict[int, Ruling]) -> Iterator[tuple[int, tuple[Root, ...]]]:
        asked.append(len(own))
        return sources_of(own)

    monkeypatch.setattr(diagnose, "sources_of", counting)
    text, stored = long_chain(12)
    found = analyzer.audit(parse(text, stored), {"X": X}).facts.diagnoses
    roots = {diagnosis.value: [cause.root for cause in diagnosis.causes] for diagnosis in found}
    assert roots["Y1"] == [None, None]
    assert all(roots[f"Y{i}"] == [("Y1", 0), ("Y1", 0)] for i in range(2, 13))
    assert sum(asked) == 2 * 13


def test_where_suspects_are_very_many_the_first_of_each_layer_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnose, "MOST_UNITS", 5)
    text, stored = long_chain(3)
    found = analyzer.audit(parse(text, stored), {"X": X})
    assert [len(d.causes) for d in found.facts.diagnoses] == [1, 1, 1, 1]
    assert [layer.dead for layer in found.layers] == [(0, 1)] * 4
    (said,) = (w for w in found.facts.warnings if w.name == "causes-not-measured")
    assert said.message.startswith("Causes were asked for 4 of 8 dead and saturated units, the first of each layer: ")


def test_no_more_weights_are_read_than_their_share_of_the_multiply_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnose, "PER_READ", 1 << 20)
    text, stored = long_chain(3)
    for least, asked in ((4 * 2 * 4, 2), (4 * 2 * 4 - 1, 1), (0, 1)):
        monkeypatch.setattr(diagnose, "LEAST_READ", least)
        found = analyzer.audit(parse(text, stored), {"X": X})
        assert [[cause.unit for cause in d.causes] for d in found.facts.diagnoses] == [[*range(asked)]] * 4
        assert any(w.name == "causes-not-measured" for w in found.facts.warnings) is (asked < 2)


@pytest.mark.parametrize("seed", range(20))
def test_the_heaviest_inputs_are_those_that_sorting_all_would_put_first(seed: int) -> None:
    rng = np.random.default_rng(seed)
    numbers = np.round(rng.normal(size=int(rng.integers(0, 40))), 1)  # with equal ones among them
    expected = np.argsort(-numbers, kind="stable")[:16]
    np.testing.assert_array_equal(verdict_rules._largest_first(numbers, 16), expected)


def test_of_very_many_layers_the_first_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnose, "MOST_LAYERS", 2)
    text, stored = long_chain(3)
    found = analyzer.audit(parse(text, stored), {"X": X})
    assert [d.value for d in found.facts.diagnoses] == ["Y1", "Y2"]
    (said,) = (w for w in found.facts.warnings if w.name == "causes-not-measured")
    assert said.message.startswith(
        "Causes were asked for 4 of 8 dead and saturated units, the first of each layer, none in 2 layers: "
    )


def test_layers_are_left_out_whose_many_entries_would_have_to_be_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rectifier is computed within the convolution before it, unless what enters it is asked for."""
    monkeypatch.setattr(diagnose, "LEAST_SHOWN", 300 * 48 * 48)
    text, stored = pointwise(300, 48)
    twice = text.replace("G = Conv(Y, L, C) Z = Relu(G)", "G = Conv(Y, L, C) V = Relu(G) I = Conv(V, K, B) Z = Relu(I)")
    data = np.random.default_rng(5).normal(size=(2, 2, 48, 48)).astype(np.float32)
    found = analyzer.audit(parse(twice, stored), {"X": data})
    assert all(len(layer.dead) >= (292 if layer.units == 300 else 1) for layer in found.layers)
    assert [d.value for d in found.facts.diagnoses] == ["Y"]


def test_few_suspects_are_all_asked_though_another_layer_has_many() -> None:
    limit = diagnose.MOST_UNITS
    assert diagnose._shared([3, 0, 10 * limit], limit) == limit - 3
    assert diagnose._shared([3, 4], limit) == limit


def pointwise(units: int, side: int, window: int = 1) -> tuple[str, dict[str, Array]]:
    """A convolution of many units on few channels, all but 8 dead, and one of those few."""
    random = np.random.default_rng(3)
    stored = {
        "K": random.normal(size=(units, 2, window, window)),
        "B": np.where(np.arange(units) < units - 8, -100, 0),
        "L": random.normal(size=(2, units, 1, 1)),
        "C": np.array([-1e6, 0]),
    }
    text = (
        f"m (float[N,2,{side},{side}] X) => (float[N,2,s,t] Z) "
        "{H = Conv(X, K, B) Y = Relu(H) G = Conv(Y, L, C) Z = Relu(G)}"
    )
    return text, {name: np.asarray(array, np.float32) for name, array in stored.items()}


@pytest.mark.parametrize(("side", "window", "whole"), [(48, 1, False), (8, 1, True), (48, 9, True)])
def test_no_more_is_measured_than_its_share_of_what_the_observation_computed(
    side: int, window: int, whole: bool
) -> None:
    """Counted in entries and multiply-adds: where maps are large and convolutions cheap, the first units are asked."""
    text, stored = pointwise(300, side, window)
    data = np.random.default_rng(5).normal(size=(3, 2, side, side)).astype(np.float32)
    audited = analyzer.audit(parse(text, stored), {"X": data})
    assert {layer.value: len(layer.dead) for layer in audited.layers} == {"Y": 292, "Z": 1}
    asked = {diagnosis.value: [cause.unit for cause in diagnosis.causes] for diagnosis in audited.facts.diagnoses}
    assert asked["Z"] == [0]
    assert asked["Y"] == [*range(len(asked["Y"]))]
    assert (len(asked["Y"]) == 292) is whole
    distances = {diagnosis.value: diagnosis.distances for diagnosis in audited.facts.diagnoses}["Y"]
    assert whole or [unit for unit, distance in enumerate(distances) if distance is not None] == asked["Y"]
    assert any(w.name == "causes-not-measured" for w in audited.facts.warnings) is not whole
