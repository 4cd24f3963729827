"""A second pass in parts, merged in any order, is that in one, to the bit; an audit with it is that of the data."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import analyzer
from analyzer import Data, InputError, Run
from analyzer.cli.main import run as deadunits
from analyzer.observe.exact_spread import ExactSpread
from analyzer.observe.statistics_file import read_statistics, to_bytes
from analyzer.observe.suspects import Shown
from tests.laws.shards import merged_with_plan, second_pass_in_parts, without_time
from tests.models import parse
from tests.random_graphs.generator import make
from tests.random_graphs.recurrent import make_recurrent

SAMPLES = Path(__file__).parents[2] / "sample_models"
MODELS = ("digits_mlp_killed", "digits_cnn_dynamo", "digits_gru_streaming", "saturated_tanh")
KILLED = SAMPLES / "digits_mlp_killed"
MODEL, PROBE = str(KILLED / "model.onnx"), str(KILLED / "probe.npz")


def of_sample(name: str, limit: int) -> tuple[Path, Data]:
    return SAMPLES / name / "model.onnx", Data(SAMPLES / name / "probe.npz", limit=limit)


def close(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """Where two reports differ by more than the last digits of a number."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in one.keys() | other.keys():
            if (path, key) != ("/probe", "source"):
                yield from close(one.get(key), other.get(key), f"{path}/{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, (a, b) in enumerate(zip(one, other, strict=True)):
            yield from close(a, b, f"{path}/{index}")
    elif isinstance(one, float) and isinstance(other, float):
        if one != pytest.approx(other, rel=1e-6, abs=1e-9):
            yield f"{path}: {one} and {other}"
    elif one != other:
        yield f"{path}: {one} and {other}"


def holds(model: Any, data: Data, run: Run, folder: Path) -> None:
    """Parts in any order, by whatever engine, are the whole; and an audit of all is the audit of the data."""
    plan = analyzer.take_statistics(model, data, run=run)
    full = merged_with_plan(model, data, plan, run, folder)
    direct = analyzer.audit(model, data, run=run).to_dict()
    assert not [*close(direct, analyzer.audit(model, Data(statistics=full), run=run).to_dict())]


@pytest.mark.parametrize("name", MODELS)
def test_sample_models(name: str, tmp_path: Path) -> None:
    holds(*of_sample(name, 90), Run(batch_size=4), tmp_path)


@pytest.mark.parametrize("maker", [make, make_recurrent])
@pytest.mark.parametrize("seed", range(2))
def test_random_graphs(maker: Any, seed: int, tmp_path: Path) -> None:
    made = maker(seed)
    holds(made.model.SerializeToString(), Data(dict(made.probe)), Run(batch_size=2), tmp_path)


@pytest.mark.parametrize("count", [1, 2, 7, 64])
def test_1_2_7_and_64_parts(count: int) -> None:
    model, data = of_sample("digits_mlp_killed", 130)
    run = Run(batch_size=2)
    plan = analyzer.take_statistics(model, data, run=run)
    whole = analyzer.take_statistics(model, data, plan=plan, run=run)
    parts = second_pass_in_parts(model, data, plan, count, run)
    random.Random(count).shuffle(parts)
    assert without_time(analyzer.merge_statistics(parts)) == without_time(whole)


def test_processes_measure_the_same() -> None:
    model, data = of_sample("digits_gru_streaming", 40)
    plan = analyzer.take_statistics(model, data, run=Run(batch_size=2))
    one, several = (
        analyzer.take_statistics(model, data, plan=plan, run=Run(batch_size=2, engine=engine))
        for engine in ("local", "processes:2")
    )
    assert without_time(one) == without_time(several)


def test_samples_that_are_not_finite_are_not_hidden(tmp_path: Path) -> None:
    pixels = np.load(PROBE)["pixels"][:60].copy()
    pixels[[7, 40], 5] = np.nan
    holds(MODEL, Data({"pixels": pixels}), Run(batch_size=4), tmp_path)


def test_distances_choose_what_goes(tmp_path: Path) -> None:
    """`--min-distance` goes by the second pass that was kept, of all data, and not by the few samples of a probe."""
    data = Data(PROBE)
    plan = analyzer.take_statistics(MODEL, data)
    full = analyzer.merge_statistics([plan, analyzer.take_statistics(MODEL, data, plan=plan)])
    choice = analyzer.Choice(min_distance=3.0)
    few = Data(PROBE, limit=8, statistics=full)
    direct, recalled = (analyzer.prune(MODEL, d, choice=choice, latency=False) for d in (data, few))
    assert direct.facts.removed_units == recalled.facts.removed_units
    everything = analyzer.prune(MODEL, data, latency=False).facts.removed_units
    assert direct.facts.removed_units != everything


@pytest.mark.parametrize("seed", range(20))
def test_spreads_are_a_monoid_and_what_numpy_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.integers(-30, 30)
    feeds = [scale * (rng.standard_normal((rng.integers(1, 9), 3)) + 1e4 * (seed % 2)) for _ in range(6)]

    def shown(rows: Any) -> Shown:
        mean = rows.astype(np.float32).mean(axis=0).astype(np.float64)
        apart = rows - mean
        count = np.full(3, len(rows))
        return Shown(count, rows.max(0), rows.min(0), mean, apart.mean(0), (apart**2).sum(0))

    parts = [ExactSpread.of(shown(rows)) for rows in feeds]
    whole, order = ExactSpread.empty(3), rng.permutation(6)
    for place in order:
        whole = parts[place].merge(whole)
    left, right = parts[0].merge(parts[1]).merge(parts[2]), parts[3].merge(parts[4].merge(parts[5]))
    again = right.merge(left)
    assert (again.sums, again.squares) == (whole.sums, whole.squares)
    assert np.array_equal(again.numbers, whole.numbers)
    every = np.concatenate(feeds)
    expected = [every.max(0), every.min(0), every.mean(0), every.std(0)]
    np.testing.assert_allclose(whole.numbers, expected, rtol=1e-7)


def test_what_is_not_finite_stays_so() -> None:
    zero, one = np.zeros(2), np.ones(2)
    broken = ExactSpread.of(Shown(np.ones(2, np.int64), one, one, np.array([np.nan, 1.0]), zero, zero))
    sound = ExactSpread.of(Shown(np.ones(2, np.int64), one, one, one, zero, zero))
    for both in (broken.merge(sound), sound.merge(broken)):
        assert np.isnan(both.numbers[2:, 0]).all()
        assert both.numbers[2:, 1].tolist() == [1.0, 0.0]


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    capsys.readouterr()
    assert deadunits([*arguments]) == code
    streams = capsys.readouterr()
    return streams.out + streams.err


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With `all.stats`, of the first 60 samples."""
    monkeypatch.chdir(tmp_path)
    assert deadunits(["observe", MODEL, "--probe", PROBE, "--limit", "60", "-q", "-o", "all.stats"]) == 0
    return tmp_path


def test_commands(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    second = ["observe", MODEL, "--probe", PROBE, "--limit", "60", "--plan", "all.stats"]
    text = said(capsys, *second, "--shard", "1/2", "-o", "one.stats", code=0)
    assert "one.stats: second pass over 32 of 60 samples of probe.npz, shard 1/2" in text
    text = said(capsys, "merge", "all.stats", "one.stats", "-o", "some.stats", code=0)
    assert "60 of 60 samples, second pass over 32 of 60 samples of probe.npz" in text
    assert "Missing in the second pass: samples 8 to 15, 24 to 31, 40 to 47, 56 to 59, 28 in all." in text
    shown = json.loads(said(capsys, "audit", MODEL, "--statistics", "some.stats", "--json", "-", code=0))
    assert shown["probe"]["source"].endswith("(some.stats), second pass over 32 of these samples")
    assert "DU028" in said(capsys, "audit", MODEL, "--statistics", "all.stats", code=0)
    said(capsys, *second, "--shard", "2/2", "-o", "two.stats", code=0)
    text = said(capsys, "merge", "two.stats", "all.stats", "one.stats", "-o", "full.stats", code=0)
    assert "Missing" not in text
    assert "DU028" not in said(capsys, "audit", MODEL, "--statistics", "full.stats", code=0)


def test_what_does_not_fit_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    second = ["observe", MODEL, "--plan", "all.stats", "-o", "one.stats", "--probe"]
    assert "is of other data" in said(capsys, *second, str(KILLED / "holdout.npz"))
    assert "of another model" in said(capsys, "observe", str(SAMPLES / "digits_mlp" / "model.onnx"), *second[2:], PROBE)
    said(capsys, *second, PROBE, "--limit", "60", "--shard", "1/2", code=0)
    assert "would count twice" in said(capsys, "merge", "one.stats", "one.stats", "-o", "x.stats")
    assert "holds a later pass alone: merge it" in said(capsys, "audit", MODEL, "--statistics", "one.stats")
    before = Path("all.stats").read_bytes()
    assert said(capsys, "observe", MODEL, "--probe", PROBE, "--plan", "all.stats", "-o", "all.stats")
    assert Path("all.stats").read_bytes() == before
    longer = analyzer.take_statistics(MODEL, Data(PROBE, limit=90), plan="all.stats", shard="2/2")
    with pytest.raises(InputError, match="do not add up"):
        analyzer.merge_statistics(["all.stats", longer])


def sound() -> tuple[bytes, Data]:
    """A net whose units all fire now and then."""
    net = "g (float[N, 3] x) => (float[N, 3] y) { c = MatMul(x, W)\nr = Relu(c)\ny = MatMul(r, W) }"
    rows = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)
    return parse(net, {"W": np.eye(3, dtype=np.float32)}).SerializeToString(), Data(rows)


def test_other_thresholds_ask_about_other_units() -> None:
    model, data = sound()
    plan = analyzer.take_statistics(model, data)
    full = analyzer.merge_statistics([plan, analyzer.take_statistics(model, data, plan=plan)])
    wider = analyzer.Thresholds.of("default").with_near_dead(0.9)
    for thresholds, failed in ((analyzer.Thresholds.of("default"), False), (wider, True)):
        audit = analyzer.audit(model, Data(statistics=full), thresholds=thresholds)
        assert ("asked about other units" in audit.facts.conditions.causes_failed) == failed


def test_a_second_pass_goes_on_where_it_was_ended(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    second = ["observe", MODEL, "--probe", PROBE, "--limit", "60", "--plan", "all.stats"]
    said(capsys, *second, "-o", "whole.stats", code=0)
    said(capsys, *second, "-o", "begun.stats", "--shard", "1/2", code=0)
    begun = Path("begun.stats").read_bytes()
    Path("one.stats.partial").write_bytes(begun)
    said(capsys, *second, "-o", "one.stats", "--resume", code=0)
    one, whole = (replace(read_statistics(Path(f"{n}.stats")), microseconds=0) for n in ("one", "whole"))
    assert to_bytes(one) == to_bytes(whole)
    Path("one.stats.partial").write_bytes(begun)
    first = ["observe", MODEL, "--probe", PROBE, "--limit", "60", "-o", "one.stats", "--resume"]
    assert "was begun with another model, other data, options or shard" in said(capsys, *first)


def test_where_nothing_is_dead_nothing_is_asked() -> None:
    model, data = sound()
    plan = analyzer.take_statistics(model, data)
    second = analyzer.take_statistics(model, data, plan=plan)
    assert not len(second._tallies.counted.spread.count)  # type: ignore[union-attr]
    recalled = analyzer.audit(model, Data(statistics=analyzer.merge_statistics([plan, second])))
    assert not [*close(analyzer.audit(model, data).to_dict(), recalled.to_dict())]
