"""Both models compared in parts, merged in any order, is the comparison in one; `prune` writes the same by it."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import analyzer
from analyzer import Choice, ComparisonFailed, Data, InputError, Run, Statistics
from analyzer.api import compared_in_parts
from analyzer.cli.main import run as deadunits
from analyzer.observe.output_differences import ComparedBlocks, Differences, Tally
from analyzer.observe.statistics_file import read_statistics, to_bytes
from tests.laws.shards import merged_with_plan, second_pass_in_parts, shards, without_time
from tests.models import parse
from tests.random_graphs.generator import make
from tests.random_graphs.recurrent import make_recurrent

SAMPLES = Path(__file__).parents[2] / "sample_models"
KILLED = SAMPLES / "digits_mlp_killed"
MODEL, PROBE = str(KILLED / "model.onnx"), str(KILLED / "probe.npz")


def plan_of(model: Any, data: Data, run: Run, choice: Choice | None = None) -> Statistics:
    statistics = analyzer.take_statistics(model, data, run=run)
    return analyzer.audit(model, Data(statistics=statistics), run=run).for_comparison(choice=choice)


def content(data: bytes) -> bytes:
    """A model without what it says of itself."""
    model = onnx.load_from_string(data)
    del model.metadata_props[:]
    return model.SerializeToString(deterministic=True)


def holds(model: Any, data: Data, run: Run, folder: Path, choice: Choice | None = None) -> None:
    plan = plan_of(model, data, run, choice)
    full = merged_with_plan(model, data, plan, run, folder)
    by_parts = analyzer.prune(model, Data(statistics=full), run=run, latency=False)
    direct = analyzer.prune(model, data, choice=choice, run=run, latency=False)
    assert content(by_parts.data) == content(direct.data)
    assert by_parts.comparison is not None
    assert direct.comparison is not None
    assert replace(by_parts.comparison, source="") == replace(direct.comparison, source="")


@pytest.mark.parametrize("name", ["digits_mlp_killed", "digits_cnn_dynamo", "digits_gru_streaming"])
@pytest.mark.parametrize("batch", [1, 4])
def test_sample_models(name: str, batch: int, tmp_path: Path) -> None:
    data = Data(SAMPLES / name / "probe.npz", limit=90)
    holds(SAMPLES / name / "model.onnx", data, Run(batch_size=batch), tmp_path)


@pytest.mark.parametrize(("maker", "seed"), [(make, 0), (make, 1), (make, 2), (make_recurrent, 0), (make_recurrent, 1)])
def test_random_graphs(maker: Any, seed: int, tmp_path: Path) -> None:
    made = maker(seed)
    holds(made.model.SerializeToString(), Data(dict(made.probe)), Run(batch_size=2), tmp_path)


@pytest.mark.parametrize("count", [1, 2, 7, 64])
def test_1_2_7_and_64_parts(count: int) -> None:
    data, run = Data(PROBE, limit=130), Run(batch_size=2)
    plan = plan_of(MODEL, data, run)
    whole = analyzer.take_statistics(MODEL, data, plan=plan, run=run)
    parts = second_pass_in_parts(MODEL, data, plan, count, run)
    random.Random(count).shuffle(parts)
    assert without_time(analyzer.merge_statistics(parts)) == without_time(whole)


def test_processes_compare_the_same() -> None:
    data, run = Data(PROBE, limit=60), Run(batch_size=4, threads=1)
    plan = plan_of(MODEL, data, run)
    one, several = (
        analyzer.take_statistics(MODEL, data, plan=plan, run=replace(run, engine=engine))
        for engine in ("local", "processes:2")
    )
    assert without_time(one) == without_time(several)


def test_a_comparison_goes_on_where_it_ended(tmp_path: Path) -> None:
    data, run, kept = Data(PROBE, limit=60), Run(batch_size=4), tmp_path / "c.partial"
    plan = plan_of(MODEL, data, run)
    whole = analyzer.take_statistics(MODEL, data, plan=plan, run=run)

    def end(_: str, done: int, __: int | None) -> None:
        if done >= 24:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        analyzer.take_statistics(MODEL, data, plan=plan, run=run, checkpoint=kept, every=0, progress=end)
    assert read_statistics(kept).covered == ((0, 24),)
    with pytest.raises(InputError, match="was begun with another"):
        analyzer.take_statistics(MODEL, data, run=run, checkpoint=kept)
    again = analyzer.take_statistics(MODEL, data, plan=plan, run=run, checkpoint=kept)
    assert without_time(again) == without_time(whole)


def test_the_choice_stands_in_the_file(tmp_path: Path) -> None:
    """Nobody says it again, and nobody gets another cut than was compared."""
    data, run = Data(PROBE, limit=60), Run()
    choice = Choice(round_to=8, skip=("/5/Relu_output_0",))
    holds(MODEL, data, run, tmp_path, choice)
    plan = plan_of(MODEL, data, run, choice)
    full = Data(statistics=analyzer.merge_statistics([plan, *second_pass_in_parts(MODEL, data, plan, 2, run)]))
    with pytest.raises(InputError, match=r"other options \(skip\)"):
        analyzer.prune(MODEL, full, choice=Choice(round_to=4))
    assert analyzer.prune(MODEL, full, choice=choice, latency=False).changed


def test_what_fires_on_samples_that_nobody_observed_is_not_cut() -> None:
    """Statistics of half of the data call a unit dead that fires on the other half: the comparison says so."""
    text = "g (float[n, 4] x) => (float[n, 2] y) { h = MatMul(x, w)  r = Relu(h)  y = MatMul(r, v) }"
    model = parse(text, {"w": np.eye(4, dtype=np.float32), "v": np.ones((4, 2), np.float32)}).SerializeToString()
    x = np.abs(np.random.default_rng(0).standard_normal((40, 4))).astype(np.float32)
    x[:, 2] = -1.0
    x[37, 2] = 1.0
    data, run = Data({"x": x}), Run(batch_size=4)
    half = shards(model, data, 2, run)
    parts = [part for part in half if not any(a <= 37 < b for a, b in part._tallies.record.ranges)]
    audited = analyzer.audit(model, Data(statistics=parts[0]), run=run)
    plan = audited.for_comparison()
    compared = second_pass_in_parts(model, data, plan, 2, run)
    full = analyzer.merge_statistics([plan, *compared])
    with pytest.raises(InputError, match="lacks 20 samples"):
        analyzer.prune(model, Data(statistics=full), run=run)
    seen = [part for part in compared if not any(a <= 37 < b for a, b in part._tallies.covered)]
    some = analyzer.merge_statistics([plan, *seen])
    pruned = analyzer.prune(model, Data(statistics=some), run=run, latency=False)
    assert pruned.comparison is not None
    assert pruned.comparison.samples == 20
    assert any("compared on 20 of 40 samples" in note for note in pruned.facts.notes)


def test_a_comparison_speaks_for_no_other_constants() -> None:
    """A unit stays at 1 on half of the data and at 6 on the other: the cuts of both halves differ in numbers alone."""
    text = "g (float[n, 2] x) => (float[n, 2] y) { h = MatMul(x, w)  r = Clip(h, low, high)  y = MatMul(r, v) }"
    stored = {"w": np.eye(2), "v": np.ones((2, 2)), "low": np.ones(()), "high": np.full((), 6.0)}
    model = parse(text, {name: array.astype(np.float32) for name, array in stored.items()}).SerializeToString()
    x = np.linspace(1.5, 5.5, 32, dtype=np.float32).repeat(2).reshape(32, 2)
    x[:, 1] = np.where(np.arange(32) // 4 % 2, 10, -10)
    data, run = Data({"x": x}), Run(batch_size=4)
    low, high = shards(model, data, 2, run)
    plan = analyzer.audit(model, Data(statistics=high), run=run).for_comparison()
    compared = analyzer.take_statistics(model, data, plan=plan, shard="2/2", run=run)
    mixed = Data(statistics=analyzer.merge_statistics([low, compared]))
    with pytest.raises(InputError, match="comparison of another cut"):
        analyzer.prune(model, mixed, run=run)
    both = Data(statistics=analyzer.merge_statistics([plan, compared]))
    with pytest.raises(InputError, match="lacks 16 samples"):
        analyzer.prune(model, both, run=run)  # the first samples, which are in the file, are those of the other half


def test_a_cut_that_is_wrong_on_one_sample_is_refused() -> None:
    """A difference on a single sample of one part, whatever the others show, ends the prune."""
    data, run = Data(PROBE, limit=60), Run(batch_size=4)
    plan = plan_of(MODEL, data, run)
    parts = second_pass_in_parts(MODEL, data, plan, 3, run)
    shown = parts[1]._tallies.counted.compared
    assert shown is not None
    (tally,) = shown.together.outputs
    off = replace(shown.together, outputs=(replace(tally, absolute=tally.scale * 1e-2),))
    counted = replace(parts[1]._tallies.counted, compared=replace(shown, together=off))
    parts[1] = replace(parts[1], _tallies=replace(parts[1]._tallies, counted=counted))
    with pytest.raises(ComparisonFailed, match=r"differs from the original"):
        analyzer.prune(MODEL, Data(statistics=analyzer.merge_statistics([plan, *parts])), run=run)


def test_another_version_compares_and_writes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    data, run = Data(PROBE, limit=60), Run()
    plan = plan_of(MODEL, data, run)
    full = analyzer.merge_statistics([plan, *second_pass_in_parts(MODEL, data, plan, 2, run)])
    monkeypatch.setattr(compared_in_parts, "__version__", "0.0")
    with pytest.raises(InputError, match="plans another cut"):
        analyzer.take_statistics(MODEL, data, plan=plan, run=run)
    with pytest.raises(InputError, match="comparison of another cut"):
        analyzer.prune(MODEL, Data(statistics=full), run=run)
    with_data = analyzer.prune(MODEL, Data(PROBE, limit=60, statistics=full), run=run, latency=False)
    assert with_data.changed  # compared on the data, which is there


def test_parts_that_do_not_add_up_are_refused() -> None:
    data, run = Data(PROBE, limit=60), Run()
    plan, other = (plan_of(MODEL, data, run, choice) for choice in (None, Choice(round_to=8)))
    one, two = (second_pass_in_parts(MODEL, data, of, 2, run)[0] for of in (plan, other))
    with pytest.raises(InputError, match="compared other cuts"):
        analyzer.merge_statistics([one, two])
    with pytest.raises(InputError, match="count twice"):
        analyzer.merge_statistics([one, one])
    with pytest.raises(InputError, match="is of other data"):
        analyzer.take_statistics(MODEL, Data({"pixels": np.ones((60, 64), np.float32)}), plan=plan, run=run)


def test_what_cannot_be_planned() -> None:
    data = Data(PROBE, limit=60)
    statistics = analyzer.take_statistics(MODEL, data)
    with pytest.raises(InputError, match="statistics alone"):
        analyzer.audit(MODEL, data).for_comparison()
    audited = analyzer.audit(MODEL, Data(statistics=statistics))
    with pytest.raises(InputError, match="goes by time"):
        audited.for_comparison(choice=Choice(residual="latency"))
    with pytest.raises(InputError, match="Nothing can be removed"):
        audited.for_comparison(choice=Choice(min_samples=10**6))


def test_what_a_batch_refuses_is_compared_one_by_one() -> None:
    """A graph that takes one sample at a time, and the samples that are compared so where several share a run."""
    text = "g (float[n, 3] x) => (float[1, 2] y) { h = MatMul(x, w)  r = Relu(h)  q = Reshape(r, s)  y = MatMul(q, v) }"
    stored = {"w": np.diag([1, 1, 0]).astype(np.float32), "s": np.array([1, 3]), "v": np.ones((3, 2), np.float32)}
    single, rows = parse(text, stored).SerializeToString(), np.random.default_rng(0).standard_normal((30, 3))
    data, run = Data({"x": rows.astype(np.float32)}), Run(batch_size=8)
    statistics = analyzer.take_statistics(single, data, run=run)
    audited = analyzer.audit(single, Data(statistics=statistics), run=run)
    plan = audited.for_comparison()
    shown = analyzer.take_statistics(single, data, plan=plan, run=run)._tallies.counted.compared
    assert shown is not None
    assert (shown.alone.samples, shown.together.samples, shown.together.refused) == (30, 0, 30)
    plan = plan_of(MODEL, Data(PROBE), run)
    shown = analyzer.take_statistics(MODEL, Data(PROBE), plan=plan, run=run)._tallies.counted.compared
    assert shown is not None
    assert (shown.alone.samples, shown.together.samples) == (64, 300)


def test_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    given = [MODEL, "--probe", PROBE, "--limit", "60"]
    assert deadunits(["observe", *given, "-q", "-o", "all.stats"]) == 0
    assert deadunits(["prune", MODEL, "--statistics", "all.stats", "--to-compare", "cut.stats"]) == 0
    assert "observe MODEL --probe DATA --plan cut.stats" in capsys.readouterr().out
    assert deadunits(["prune", MODEL, "--statistics", "cut.stats", "-o", "small.onnx"]) == 2
    assert "planned here" in capsys.readouterr().err
    for part in "12":
        assert (
            deadunits(["observe", *given, "--plan", "cut.stats", "--shard", f"{part}/2", "-o", f"c{part}.stats"]) == 0
        )
    assert "comparison over 28 of 60 samples" in capsys.readouterr().out
    assert deadunits(["merge", "cut.stats", "c1.stats", "c2.stats", "-o", "full.stats"]) == 0
    assert "comparison over 60 of 60 samples" in capsys.readouterr().out
    assert deadunits(["prune", MODEL, "--statistics", "full.stats", "--no-latency", "-o", "small.onnx"]) == 0
    said = {p.key: p.value for p in onnx.load(tmp_path / "small.onnx").metadata_props}
    assert said["deadunits.compared_samples"] == "60"
    for wrong in (["-o", "x.onnx"], ["--json", "x.json"], ["--dry-run"], ["--lossy", "a:1"]):
        assert deadunits(["prune", MODEL, "--statistics", "all.stats", "--to-compare", "x.stats", *wrong]) == 2
    assert not (tmp_path / "x.stats").exists()
    assert deadunits(["prune", MODEL, "--probe", PROBE, "--to-compare", "x.stats"]) == 2
    assert "statistics alone" in capsys.readouterr().err


@pytest.mark.parametrize("seed", range(20))
def test_differences_are_a_commutative_monoid(seed: int) -> None:
    rng = np.random.default_rng(seed)
    parts = []
    for _ in range(5):
        tally = Tally("y")
        a = rng.standard_normal((3, 4)).astype(np.float32)
        b = a + (rng.random() < 0.3) * np.float32(1e-3)
        if rng.random() < 0.2:
            b[0, 0] = np.inf
        tally.add(a, b, 3)
        parts.append(ComparedBlocks(Differences((tally,), 3, int(rng.integers(2))), Differences(())))
    forth, back = ComparedBlocks(), ComparedBlocks()
    for part in parts:
        forth = forth.merge(part)
        back = part.merge(back)
    assert forth == back
    assert forth.alone.samples == 15
    assert parts[0].merge(parts[1].merge(parts[2])) == parts[0].merge(parts[1]).merge(parts[2])


def test_differences_without_a_number_are_kept(tmp_path: Path) -> None:
    data, run = Data(PROBE, limit=20), Run()
    plan = plan_of(MODEL, data, run)
    (part,) = second_pass_in_parts(MODEL, data, plan, 1, run)
    shown = part._tallies.counted.compared
    assert shown is not None
    apart = Differences((Tally("y", np.inf, 1.0, 0, 3, "float32", classes=False),), 3, 1)
    tallies = replace(
        part._tallies,
        counted=replace(part._tallies.counted, compared=replace(shown, alone=apart, together=Differences(()))),
    )
    (tmp_path / "part.stats").write_bytes(to_bytes(tallies))
    again = read_statistics(tmp_path / "part.stats").counted.compared
    assert again is not None
    assert again.alone == apart
