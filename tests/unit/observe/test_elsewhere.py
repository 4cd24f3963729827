"""Statistics of a model that another provider computes are made by the CPU's kernels, so that they mean the same."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from analyzer.errors import RunError
from analyzer.facts.spread import Watched
from analyzer.facts.units import AuditedValue, Kind, SampleAxis
from analyzer.graph import LoadedModel
from analyzer.observe import instrument, suspects
from analyzer.observe.elsewhere import FETCHED, Elsewhere, _assigned, fetchable
from analyzer.observe.observation import Observation, observe
from analyzer.observe.suspects import measure_spread
from analyzer.observe.targets import Target
from analyzer.probes.probe import open_probe
from analyzer.runtime.loading import load_model
from analyzer.runtime.providers import CPU, Provider
from analyzer.shapes.batching import BatchPlan
from analyzer.shapes.shape_run import measure_shapes
from analyzer.units import select_units

SAMPLES = Path("sample_models")
MODELS = sorted(p.parent.name for p in SAMPLES.glob("*/probe.npz"))


def observed(name: str, statistics: str) -> Observation:
    loaded = load_model(SAMPLES / name / "model.onnx")
    probe = open_probe(SAMPLES / name / "probe.npz", loaded.graph.inputs, limit=100)
    shapes = measure_shapes(loaded, probe)
    return observe(loaded, probe, select_units(loaded.graph, shapes), shapes, statistics=statistics)


def part(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[Elsewhere]:
    """From now on its sessions are taken apart; those that were."""
    made: list[Elsewhere] = []

    def parted(before: LoadedModel, after: LoadedModel, provider: Provider, **options: Any) -> Elsewhere:
        made.append(Elsewhere(before, after, provider, **options))
        return made[-1]

    monkeypatch.setattr(module, "opened", parted)
    return made


@pytest.mark.parametrize("statistics", ["firing", "full"])
@pytest.mark.parametrize("name", MODELS)
def test_they_are_those_of_one_session(name: str, statistics: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = observed(name, statistics)
    made = part(instrument, monkeypatch)
    fetched = observed(name, statistics)
    assert made and fetched.statistics.keys() == plain.statistics.keys() != set()
    for value, seen in plain.statistics.items():
        other = fetched.statistics[value]
        for field in ("fired", "nonfinite", "samples", "maximum", "minimum"):
            assert np.array_equal(getattr(seen, field), getattr(other, field), equal_nan=True), (value, field)


def test_so_are_the_spreads(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load_model(SAMPLES / "digits_mlp/model.onnx")
    probe = open_probe(SAMPLES / "digits_mlp/probe.npz", loaded.graph.inputs)
    shapes = measure_shapes(loaded, probe)
    watched = [Watched("/0/Gemm_output_0", 1, 64, 2, (3, 5)), Watched("/2/Gemm_output_0", 1, 64, 2)]
    plain = measure_spread(loaded, probe, watched, shapes)
    made = part(suspects, monkeypatch)
    fetched = measure_spread(loaded, probe, watched, shapes)
    assert made and plain.keys() == fetched.keys() == {w.value for w in watched}
    for value, spread in plain.items():
        assert np.array_equal(spread.maximum, fetched[value].maximum, equal_nan=True)
        assert np.array_equal(spread.mean, fetched[value].mean, equal_nan=True)


def test_few_samples_share_a_feed_where_much_is_fetched() -> None:
    target = Target(AuditedValue("y", "", "Relu", Kind.RECTIFIER, 1, 1 << 20, 2), SampleAxis(0), "float32", 0)
    assert fetchable(BatchPlan(100), [target]).size == FETCHED >> 20
    assert fetchable(BatchPlan(8), [target]).size == 8
    assert fetchable(BatchPlan(100), [target] * 200).size == 2  # of one alone, samples would not be told apart
    assert fetchable(BatchPlan(1), [target] * 200).size == 1


class Lazy:
    """A session of which the provider computes nothing."""

    assigned = (0, 7)


def test_a_provider_that_computes_nothing_is_no_provider() -> None:
    with pytest.raises(RunError, match="CPUExecutionProvider computes no operator of this model"):
        _assigned(Lazy(), CPU)  # type: ignore[arg-type]
