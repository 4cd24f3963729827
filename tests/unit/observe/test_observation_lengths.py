"""Samples of several lengths in one probe: every sample counts once, wherever its positions lie."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from analyzer.errors import RunError
from analyzer.facts.statistics import UnitStatistics
from analyzer.facts.units import AuditedValue, Kind, SampleAxis
from analyzer.observe import reducers
from analyzer.observe.instrument import Instrument
from analyzer.observe.observation import observe
from analyzer.observe.statistics.maximum import Maximum
from analyzer.observe.targets import Target, targets_of
from analyzer.probes.probe import open_probe
from analyzer.shapes.batching import BatchPlan
from analyzer.shapes.shape_run import measure_shapes
from tests.models import Array
from tests.unit.observe.test_observation import by_hand, load, look, relu

FOLDED = "g (float[N, T, 4] x) => (float[M, 4] y) { f = Reshape(x, s)  r = Relu(f)  y = Neg(r) }"
APART = "g (float[N, T, 4] x) => (float[N, T, 4] y) { r = Relu(x)  y = Neg(r) }"
LENGTHS = ((6, 12, 6, 18, 3), (1, 5, 1), (16, 32, 7, 16), (5, 5, 5), (32, 32, 64))


def feeds(lengths: tuple[int, ...], samples: int) -> list[Array]:
    random = np.random.default_rng(3)
    made = [random.standard_normal((samples, t, 4)).astype(np.float32) for t in lengths]
    for array in made:
        array[..., 0] = -1  # dead
        array[..., 1] = -1  # fires at the last position of the first sample only
        array[0, -1, 1] = 1
        array[..., 2] = -1  # constant, but for one position
        array[..., 2] = 2
    made[-1][-1, -1, 2] = 3
    return made


@pytest.mark.parametrize("least", [1, 1 << 14], ids=["in steps", "at once"])
@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("statistics", ["firing", "full"])
@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("text", [FOLDED, APART])
def test_samples_of_several_lengths_count_once_each(
    text: str, lengths: tuple[int, ...], statistics: str, samples: int, least: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reducers, "LONG", least)
    weights = {"s": np.array([-1, 4])} if "Reshape" in text else {}
    loaded = load(text, 17, **weights)
    audited = relu("r", 1, 4, 2) if "Reshape" in text else relu("r", 2, 4, 3)
    arrays = feeds(lengths, samples)

    def again() -> Iterator[dict[str, Array]]:
        yield from ({"x": array} for array in arrays)

    probe = open_probe(again, loaded.graph.inputs)
    found = observe(loaded, probe, [audited], measure_shapes(loaded, probe), statistics=statistics).statistics["r"]
    wanted = UnitStatistics.empty(4)
    for array in arrays:
        wanted = wanted.merge(by_hand(loaded, audited, {"x": array}))
    names = ["samples", "fired", "maximum"] + (["minimum", "zeros", "positions"] if statistics == "full" else [])
    for name in names:
        assert np.array_equal(getattr(found, name), getattr(wanted, name)), name
    assert found.minimum[2] == 2
    assert found.maximum[2] == 3


@pytest.mark.parametrize("kind", [Kind.RECTIFIER, Kind.SATURATING, Kind.LINEAR])
@pytest.mark.parametrize("shape", [(128, 96), (8, 12, 96), (40, 96), (97, 96), (4, 49, 64)])
def test_long_rows_of_positions_are_reduced_in_steps(shape: tuple[int, ...], kind: Kind) -> None:
    dims = ", ".join(map(str, shape))
    loaded = load(f"g (float[N, {dims}] x) => (float[N, {dims}] y) {{ r = Relu(x)  y = Neg(r) }}")
    low, high = (0.0, 1.0) if kind is Kind.SATURATING else (0.0, None)
    rank = len(shape) + 1
    audited = AuditedValue("r", "", "Relu", kind, rank - 1, shape[-1], rank, low=low, high=high)
    random = np.random.default_rng(4)
    data = random.standard_normal((30, *shape)).astype(np.float32) - random.integers(0, 5, shape[-1]).astype(np.float32)
    found = look(loaded, audited, {"x": data}, statistics="full").statistics["r"]
    wanted = by_hand(loaded, audited, {"x": data})
    for name in ("samples", "fired", "maximum", "minimum", "zeros", "positions"):
        assert np.array_equal(getattr(found, name), getattr(wanted, name)), name


@pytest.mark.parametrize(("shape", "stepped"), [((128, 256), True), ((127, 256), False), ((8, 4), False)])
def test_steps_are_taken_where_they_divide_many_positions(shape: tuple[int, int], stepped: bool) -> None:
    loaded = load(f"g (float[N, {shape[0]}, {shape[1]}] x) => (float[N, A, B] y) {{ r = Relu(x)  y = Neg(r) }}")
    probe = open_probe(np.ones((4, *shape), np.float32), loaded.graph.inputs)
    targets, _ = targets_of([relu("r", 2, shape[1], 3)], loaded.graph, measure_shapes(loaded, probe), batched=True)
    instrument = Instrument(loaded, {Maximum: targets}, BatchPlan(4))
    assert instrument.stepped == stepped
    instrument.close()


def test_rows_that_belong_to_no_sample_are_refused() -> None:
    loaded = load("g (float[N, 4] x) => (float[M, 4] y) { f = Concat<axis=0>(x, x)  r = Relu(f)  y = Neg(r) }")
    targets = [Target(relu("r", 1, 4, 2), SampleAxis(0), "float32", 0)]
    instrument = Instrument(loaded, {Maximum: targets}, BatchPlan(4))
    with pytest.raises(RunError, match="A feed of 4 samples shows 8 rows"):
        instrument.run({"x": np.ones((4, 4), np.float32)}, 4)
    instrument.close()


def test_units_that_another_length_brings_are_refused() -> None:
    loaded = load("g (float[N, T] x) => (float[N, T] y) { r = Relu(x)  y = Neg(r) }")
    targets = [Target(relu("r", 1, 4, 2), SampleAxis(0), "float32", 0)]
    instrument = Instrument(loaded, {Maximum: targets}, BatchPlan(4))
    with pytest.raises(RunError, match="shows 6 units where the first samples showed 4"):
        instrument.run({"x": np.ones((4, 6), np.float32)}, 4)
    instrument.close()
