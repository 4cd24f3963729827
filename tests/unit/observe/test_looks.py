"""The sessions of one observation: which there are, what they compute, and that none gives back memory for nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper, parser

from analyzer.facts.units import AuditedValue, Kind
from analyzer.graph import LoadedModel
from analyzer.observe import looks, observation
from analyzer.observe.instrument import Instrument, Reading
from analyzer.observe.nan_guards import Guards
from analyzer.observe.observation import observe
from analyzer.observe.statistics.finiteness import Mean
from analyzer.observe.statistics.maximum import Maximum
from analyzer.observe.statistics.minimum import Minimum
from analyzer.observe.targets import targets_of
from analyzer.probes.probe import open_probe
from analyzer.runtime.loading import load_model
from analyzer.shapes.shape_run import measure_shapes
from tests.models import Array

TEXT = """g (float[N, 8, 6, 6] x) => (float[N, 8, 6, 6] y) {
    a = Conv(x, W, B)  r = Relu(a)  b = Conv(r, W)  s = Relu(b)  y = Neg(s) }"""


def load(bias: Array) -> LoadedModel:
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {TEXT}')
    weights = {"W": np.eye(8, dtype=np.float32).reshape(8, 8, 1, 1), "B": bias.astype(np.float32)}
    model.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in weights.items())
    return load_model(model)


class Seen:
    """What the sessions were asked for, and the size and flag of each of their runs."""

    def __init__(self) -> None:
        self.opened: list[dict[str, int]] = []
        self.runs: list[list[tuple[int, bool]]] = []
        self.readings: list[Reading] = []


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    kept = Seen()

    class Spy(Instrument):
        def __init__(self, loaded: LoadedModel, wanted: Any, *args: Any, **options: Any) -> None:
            widths = {s.__name__.upper(): sum(t.width for t in targets) for s, targets in wanted.items() if targets}
            kept.opened.append(widths)
            kept.runs.append([])
            super().__init__(loaded, wanted, *args, **options)

        def run(self, feeds: Any, samples: int, *, last: bool = False) -> Reading:
            kept.runs[-1].append((samples, last))
            kept.readings.append(super().run(feeds, samples, last=last))
            return kept.readings[-1]

    monkeypatch.setattr(observation, "Instrument", Spy)
    return kept


def look(loaded: LoadedModel, data: Array, size: int = 4, **options: Any) -> Any:
    audited = [AuditedValue(v, "", "Relu", Kind.RECTIFIER, 1, 8, 4, low=0.0) for v in ("r", "s")]
    probe = open_probe({"x": data}, loaded.graph.inputs)
    return observe(loaded, probe, audited, measure_shapes(loaded, probe), batch_size=size, **options).statistics


def varied(samples: int) -> Array:
    """Every unit is zero somewhere in each sample, and not everywhere."""
    data = np.random.default_rng(3).uniform(0.1, 1, (samples, 8, 6, 6)).astype(np.float32)
    data[:, :, 2, 3] = -1
    return data


def test_the_first_sample_is_looked_at_dearly_and_counted(seen: Seen) -> None:
    found = look(load(np.zeros(8)), varied(50))
    assert seen.opened == [{"MAXIMUM": 16, "MINIMUM": 16, "MEAN": 8}, {"MAXIMUM": 16, "MEAN": 8}]
    assert seen.runs == [[(1, True)], [(4, False)] * 12 + [(1, False)]]
    assert {s.samples for s in found.values()} == {50}
    assert all((s.fired == 50).all() and (s.minimum == 0).all() and s.minimum_exact.all() for s in found.values())


def test_little_data_is_run_by_one_session(seen: Seen) -> None:
    look(load(np.zeros(8)), varied(12))
    assert seen.runs == [[(4, False)] * 3]
    look(load(np.zeros(8)), varied(40), statistics="full")
    assert seen.runs[1:] == [[(4, False)] * 10]


def test_memory_is_given_back_where_another_session_follows_and_only_there(seen: Seen) -> None:
    """Units that are always on stay suspects; those that vary only later are cleared later."""
    bias = np.where(np.arange(8) < 2, 5, 0)
    look(load(bias), varied(100))
    assert [o["MINIMUM"] for o in seen.opened] == [16, 4]
    assert [last for runs in seen.runs for _, last in runs].count(True) == 1
    seen.runs.clear()
    seen.opened.clear()
    data = varied(100)
    data[0] = 1
    look(load(np.zeros(8)), data)
    assert [o.get("MINIMUM") for o in seen.opened] == [16, 16, None]
    assert seen.runs == [[(1, True)], [(4, False), (4, True)], [(4, False)] * 22 + [(3, False)]]


def test_a_session_is_not_worth_opening_for_the_last_feeds(seen: Seen) -> None:
    data = varied(14)
    data[0] = 1
    look(load(np.zeros(8)), data)
    assert seen.runs == [[(1, True)], [(4, False)] * 3 + [(1, False)]]


def test_from_a_feed_beyond_the_bounds_on_what_may_overflow_is_checked(seen: Seen) -> None:
    """Large inputs as such are no reason to compute everything exactly."""
    loaded, data = load(np.zeros(8)), varied(50)
    audited = [AuditedValue(v, "", "Relu", Kind.RECTIFIER, 1, 8, 4, low=0.0) for v in ("r", "s")]
    probe = open_probe({"x": data}, loaded.graph.inputs)
    shapes = measure_shapes(loaded, probe)
    targets, _ = targets_of(audited, loaded.graph, shapes, batched=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(looks, "guards", lambda *_: Guards((), targets[1:]))
        data[30] *= 1e7
        found = observe(loaded, open_probe({"x": data}, loaded.graph.inputs), audited, shapes, batch_size=4).statistics
    assert [sorted(o) for o in seen.opened] == [["MAXIMUM", "MINIMUM"], ["MAXIMUM"], ["MAXIMUM", "MEAN"]]
    assert [len(runs) for runs in seen.runs] == [1, 7, 6]
    assert all((s.fired == 50).all() for s in found.values())


def test_units_lie_beside_each_other_in_what_is_counted(seen: Seen) -> None:
    """NumPy reduces over samples many times as fast then."""
    look(load(np.where(np.arange(8) < 2, 5, 0)), varied(40))
    shown = [block for reading in seen.readings for block in reading.blocks]
    assert {b.statistic for b in shown} == {Maximum, Minimum, Mean}
    assert all(b.array.strides[1] == b.array.itemsize for b in shown)
