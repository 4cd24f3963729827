"""Where parts of a model are opened for each run, several feeds are run while one is open: nobody can tell from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import analyzer
from analyzer import Run
from analyzer.errors import InputError, ProbeError, RunError
from analyzer.facts.spread import Watched
from analyzer.facts.statistics import UnitStatistics
from analyzer.facts.units import AuditedValue, Kind
from analyzer.graph import LoadedModel
from analyzer.observe.observation import Observation, observe
from analyzer.observe.suspects import measure_spread
from analyzer.probes.probe import open_probe
from analyzer.runtime import between_parts, in_parts
from analyzer.runtime.in_parts import run_in_parts
from analyzer.runtime.loading import load_model
from analyzer.runtime.session import Session
from analyzer.shapes.shape_run import measure_shapes
from tests.laws.shards import without_time
from tests.models import Array, parse

WIDTH, TOKENS, BLOCKS, ROWS = 32, 3, 4, 100
BODY = "".join(f"u{i} = MatMul(h{i}, w{i})  r{i} = Relu(u{i})  h{i + 1} = Add(h{i}, r{i})\n" for i in range(BLOCKS))
AUDITED = [AuditedValue(f"r{i}", "", "Relu", Kind.RECTIFIER, 2, WIDTH, 3, low=0.0) for i in range(BLOCKS)]


def decoder(dead: range = range(BLOCKS)) -> LoadedModel:
    """Tokens are rows of a table; one that is not there is no error before the model runs. `dead`: blocks with such."""
    rng = np.random.default_rng(0)
    stored = {f"w{i}": rng.normal(size=(WIDTH, WIDTH)).astype(np.float32) / 6 for i in range(BLOCKS)}
    stored["table"] = rng.normal(size=(ROWS, WIDTH)).astype(np.float32)
    if dead.start == 0:
        stored["table"] = np.abs(stored["table"])
    for i in dead:
        stored[f"w{i}"][:, :5] = 0
        stored[f"w{i}"][:, 5:8] = -1  # of numbers that are none below zero
    stored["table"][ROWS - 1] = np.nan
    text = f"g (int64[n, t] x) => (float[n, t, {WIDTH}] h{BLOCKS}) {{ h0 = Gather(table, x)\n{BODY} }}"
    return load_model(parse(text, stored).SerializeToString())


def tokens(samples: int = 30) -> Array:
    return np.random.default_rng(1).integers(0, ROWS - 1, (samples, TOKENS))


@dataclass
class Passes:
    """How many feeds each run of all parts was of."""

    feeds: list[int] = field(default_factory=list)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Passes]:
    monkeypatch.setattr(in_parts, "PART", 2 * WIDTH * WIDTH * 4)
    counted, real = Passes(), Session._run_parts

    def run(session: Session, feeds: Any, names: Any) -> Any:
        counted.feeds.append(len(feeds))
        return real(session, feeds, names)

    monkeypatch.setattr(Session, "_run_parts", run)
    yield counted


def seen(
    data: Any, *, stream: bool, said: list[Any] | None = None, dead: range = range(BLOCKS), **options: Any
) -> Observation:
    loaded = decoder(dead)
    with run_in_parts(stream):
        shapes = measure_shapes(loaded, open_probe({"x": tokens(4)}, loaded.graph.inputs))
        probe = open_probe(data, loaded.graph.inputs)
        progress = None if said is None else lambda *args: said.append(args)
        return observe(loaded, probe, AUDITED, shapes, progress=progress, **options)


def same(one: dict[str, UnitStatistics], other: dict[str, UnitStatistics]) -> None:
    assert one.keys() == other.keys()
    for value, statistics in one.items():
        for f in fields(UnitStatistics):
            np.testing.assert_array_equal(getattr(statistics, f.name), getattr(other[value], f.name), err_msg=f.name)


@pytest.mark.parametrize("kept", [0, 1 << 27])
@pytest.mark.parametrize("mode", ["firing", "full"])
@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("broken", [(), (0,), (9, 23), (29,)])
def test_feeds_of_one_pass_show_what_they_show_one_by_one(
    kept: int, mode: str, size: int, broken: tuple[int, ...], passes: Passes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(between_parts, "KEPT", kept)
    data = tokens()
    data[list(broken), 1] = ROWS - 1
    whole = seen({"x": data}, stream=False, batch_size=size, statistics=mode)
    assert not passes.feeds
    parts = seen({"x": data}, stream=True, batch_size=size, statistics=mode)
    same(parts.statistics, whole.statistics)
    assert parts.samples == whole.samples == 30
    assert max(passes.feeds) >= (10 if size == 1 else 4)


def test_layers_that_are_settled_are_left_out_after_the_same_feeds(passes: Passes) -> None:
    data = {"x": tokens(400)}
    whole, parts = (seen(data, stream=s, batch_size=2, full_samples=16, dead=range(3, 4)) for s in (False, True))
    assert {seen.samples for seen in whole.statistics.values()} > {400}
    same(parts.statistics, whole.statistics)
    assert max(passes.feeds) > 30


@pytest.mark.parametrize("bad", [0, 1, 5, 16, 29])
def test_a_sample_that_fails_is_named_in_its_turn(bad: int, passes: Passes) -> None:
    data = tokens()
    data[bad, 2] = ROWS + 7
    told = []
    for stream in (False, True):
        said: list[Any] = []
        with pytest.raises(RunError) as error:
            seen({"x": data}, stream=stream, said=said, batch_size=1)
        told.append((str(error.value), said))
    assert told[0] == told[1]
    assert len(told[0][1]) == bad
    assert passes.feeds


@pytest.mark.parametrize("bad", [None, 4])
def test_data_that_cannot_be_read_is_named_after_samples_that_fail(bad: int | None, passes: Passes) -> None:
    def feeds() -> Iterator[dict[str, Array]]:
        for number, row in enumerate(tokens(12)):
            if number == bad:
                row[0] = ROWS + 7
            yield {"x": row[np.newaxis] if number < 8 else np.full((1, TOKENS), "text")}

    told = []
    for stream in (False, True):
        said: list[Any] = []
        with pytest.raises(InputError) as error:
            seen(feeds, stream=stream, said=said, batch_size=1)
        told.append((type(error.value), str(error.value), said))
    assert told[0] == told[1]
    assert told[0][0] is (ProbeError if bad is None else RunError)


def test_spreads_are_measured_of_several_feeds_at_a_time(passes: Passes) -> None:
    watched, found = [Watched("u1", 2, WIDTH, 3, tuple(range(4, 12)))], []
    for stream in (False, True):
        loaded = decoder()
        with run_in_parts(stream):
            probe = open_probe({"x": tokens()}, loaded.graph.inputs)
            shapes = measure_shapes(loaded, probe)
            passes.feeds.clear()
            found.append(measure_spread(loaded, probe, watched, shapes, batch_size=2)["u1"])
    assert passes.feeds == [15]
    for f in fields(found[0]):
        np.testing.assert_array_equal(getattr(found[0], f.name), getattr(found[1], f.name))


def statistics(data: Array, *, stream: bool, **options: Any) -> bytes | str:
    """The file but for how long it took, or what is wrong."""
    model = decoder().raw
    try:
        taken = analyzer.take_statistics(model, {"x": data}, run=Run(stream=stream, batch_size=1), **options)
    except RunError as error:
        return str(error)
    return without_time(taken)


@pytest.mark.parametrize("bad", [None, 3, 17])
def test_blocks_wait_for_others(bad: int | None, passes: Passes) -> None:
    data = tokens()
    data[[4, 25], 0] = ROWS - 1  # not finite
    if bad is not None:
        data[bad, 0] = ROWS + 7
    assert statistics(data, stream=True) == statistics(data, stream=False)
    assert max(passes.feeds) == 30


def test_a_checkpoint_is_of_everything_that_was_taken(passes: Passes, tmp_path: Path) -> None:
    data, whole = tokens(), statistics(tokens(), stream=False)
    often = statistics(data, stream=True, checkpoint=tmp_path / "often.partial", every=0)
    assert often == whole
    assert max(passes.feeds[5:]) == 1
    assert analyzer.merge_statistics([tmp_path / "often.partial"]).samples == 30


def test_a_second_pass_waits_for_other_blocks_as_well(passes: Passes) -> None:
    data, model = tokens(), decoder().raw
    found = []
    for stream in (False, True):
        run = Run(stream=stream, batch_size=2)
        plan = analyzer.take_statistics(model, {"x": data}, run=run)
        passes.feeds.clear()
        found.append(without_time(analyzer.take_statistics(model, {"x": data}, plan=plan, run=run)))
    assert found[0] == found[1]
    assert max(passes.feeds) == 15
