"""Whoever reads a result cannot change it, nor what another reader sees."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import analyzer
from analyzer.facts.evidence import Evidence
from analyzer.facts.frozen import FrozenDict
from tests.gated import failing
from tests.made import by_weights, facts, first_dead
from tests.made_pruned import with_everything

SAMPLES = Path(__file__).parents[3] / "sample_models"
CHOICE = analyzer.Choice(only=("Conv*",), units={"a": (1, 2)}, lossy={"a": {3: 0.5}})


def _parts(result: object) -> Iterator[object]:
    """Everything that can be reached from a result by its public fields, and what is computed once."""
    yield result
    if is_dataclass(result):
        names = [field.name for field in fields(result)]
        names += [name for name in dir(type(result)) if isinstance(getattr(type(result), name), cached_property)]
        for name in names:
            if not name.startswith("_"):
                yield from _parts(getattr(result, name))
    elif isinstance(result, dict):
        for item in result.values():
            yield from _parts(item)
    elif isinstance(result, tuple | list):
        for item in result:
            yield from _parts(item)


@pytest.mark.parametrize(
    "result", [facts(), failing(), with_everything(), CHOICE], ids=lambda result: type(result).__name__
)
def test_nothing_in_a_result_can_be_changed(result: object) -> None:
    for part in _parts(result):
        assert not isinstance(part, list | set), part
        if isinstance(part, np.ndarray):
            with pytest.raises(ValueError, match="read-only"):
                part[...] = 0
        elif isinstance(part, dict):
            for change in _CHANGES:
                with pytest.raises(TypeError, match="cannot be changed"):
                    change(part)
        elif is_dataclass(part):
            with pytest.raises((FrozenInstanceError, AttributeError, TypeError)):
                setattr(part, fields(part)[0].name, None)


def test_nothing_in_a_real_result_can_be_changed() -> None:
    folder = SAMPLES / "digits_mlp_killed"
    audit = analyzer.audit(folder / "model.onnx", folder / "probe.npz")
    check = analyzer.check(folder / "model.onnx", folder / "probe.npz", budgets={"severity": {"DU014": "note"}})
    for result in (audit.facts, audit.picture(), audit.prune(latency=False).facts, check.facts):
        test_nothing_in_a_result_can_be_changed(result)


_CHANGES: tuple[Callable[[dict[Any, Any]], Any], ...] = (
    lambda mapping: mapping.__setitem__("key", 1),
    lambda mapping: mapping.__delitem__("key"),
    lambda mapping: mapping.__ior__({}),
    lambda mapping: mapping.pop("key", None),
    lambda mapping: mapping.popitem(),
    lambda mapping: mapping.setdefault("key", 1),
    lambda mapping: mapping.update(key=1),
    lambda mapping: mapping.clear(),
)


def test_a_choice_keeps_what_was_asked_for_when_the_caller_changes_the_dict() -> None:
    units = {"a": [1, 2]}
    choice = analyzer.Choice(units=units)  # type: ignore[arg-type]
    units["a"].append(3)
    assert choice.units == {"a": (1, 2)}


def test_frozen_mappings_are_copied_and_sent_to_other_processes_like_dicts() -> None:
    frozen = FrozenDict({"a": 1})
    again = copy.deepcopy(frozen)  # by the same protocol as sending it to another process
    assert again == frozen == {"a": 1} and type(again) is FrozenDict
    assert frozen | {"b": 2} == {"a": 1, "b": 2}


def test_evidence_has_one_entry_per_unit() -> None:
    layer = by_weights(first_dead(4, 2, "relu"), 1, 3)
    assert [layer.evidence_of(unit) for unit in range(4)] == [
        Evidence.OBSERVED,
        Evidence.STRUCTURAL,
        None,
        "structural",
    ]
    assert layer.dead == (0, 1, 3) and layer.structural == layer.dead_by(Evidence.STRUCTURAL) == (1, 3)
    assert layer.dead_by(*Evidence) == layer.dead
    assert layer.dead_by() == () == layer.dead_by(Evidence.PROVEN)


def test_what_bounds_show_is_never_taken_for_the_weights_word_and_what_an_input_moves_for_nothing() -> None:
    layer = first_dead(3, 3, "relu")
    kinds = (Evidence.OBSERVED, Evidence.REFUTED, Evidence.PROVEN)
    mixed = replace(layer, evidence=np.array([kind.code for kind in kinds], np.uint8))
    assert mixed.structural == ()
    assert analyzer.Choice().allowed(mixed) == [0, 2]
    assert analyzer.Choice(evidence=Evidence.PROVEN).allowed(mixed) == [2]
    assert analyzer.Choice(evidence=Evidence.STRUCTURAL).allowed(mixed) == []
