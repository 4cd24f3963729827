"""Causes cost no more where suspects are many: each root is found once, and of very many units the first are asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import analyzer
from analyzer.causes import diagnose
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
    assert all(d.distances[1] is not None for d in found.facts.diagnoses[:1])


def test_few_suspects_are_all_asked_though_another_layer_has_many() -> None:
    limit = diagnose.MOST_UNITS
    assert diagnose._most_of_each([3, 0, 10 * limit]) == limit - 3
    assert diagnose._most_of_each([3, 4]) == limit
