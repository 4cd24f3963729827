"""`deadunits observe` and `merge`, and the commands that take what they write in place of data."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

import analyzer
from analyzer import Data, InputError, Run
from analyzer.cli.main import run
from analyzer.observe.statistics_file import read_statistics, to_bytes
from tests.models import branching, parse

SAMPLES = Path(__file__).parents[3] / "sample_models"
KILLED = SAMPLES / "digits_mlp_killed"
MODEL, PROBE = str(KILLED / "model.onnx"), str(KILLED / "probe.npz")
OTHER = SAMPLES / "digits_mlp"
FEW = ["--limit", "60", "--quiet"]


def observed(folder: Path, *, name: str = "part", model: str = MODEL, arguments: tuple[str, ...] = ()) -> str:
    path = folder / f"{name}.stats"
    assert run(["observe", model, "--probe", PROBE, *FEW, *arguments, "-o", str(path)]) == 0
    return str(path)


def without_time(path: str | Path) -> bytes:
    return to_bytes(replace(read_statistics(Path(path)), microseconds=0))


@pytest.fixture
def parts(tmp_path: Path) -> list[str]:
    return [observed(tmp_path, name=f"part{i}", arguments=("--shard", f"{i}/3")) for i in (1, 2, 3)]


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    capsys.readouterr()
    assert run([*arguments]) == code
    streams = capsys.readouterr()
    return streams.out + streams.err


def test_parts_are_merged_and_audited(parts: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    merged, report = str(tmp_path / "all.stats"), str(tmp_path / "audit.json")
    text = said(capsys, "merge", *reversed(parts), "-o", merged, code=0)
    assert "60 of 60 samples of probe.npz" in text
    assert "Missing" not in text
    assert without_time(merged) == without_time(observed(tmp_path, name="whole"))
    assert run(["audit", MODEL, "--statistics", merged, "--json", report, "--quiet"]) == 0
    found = json.loads(Path(report).read_text())
    direct = analyzer.audit(MODEL, Data(PROBE, limit=60)).to_dict()
    assert found["probe"]["source"] == "statistics of probe.npz (all.stats)"
    assert found["probe"]["fingerprint"] == direct["probe"]["fingerprint"]
    assert [layer["dead"] for layer in found["layers"]] == [layer["dead"] for layer in direct["layers"]]
    assert found["removable"] == direct["removable"]


def test_gaps_are_named_and_reported(parts: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    merged = str(tmp_path / "some.stats")
    text = said(capsys, "merge", parts[0], parts[2], "-o", merged, code=0)
    assert "Missing: samples 8 to 15, 32 to 39, 56 to 59, 20 in all." in text
    assert "DU038" in said(capsys, "audit", MODEL, "--statistics", merged, code=0)
    checked = said(capsys, "check", MODEL, "--statistics", merged, "--no-config", "--severity", "DU038=error", code=1)
    assert "lack 20 samples" in checked


def test_overlaps_are_refused(parts: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "all.stats"
    text = said(capsys, "merge", *parts, parts[1], "-o", str(output))
    assert "part2.stats and part2.stats both hold samples 8 to 15" in text
    whole = observed(tmp_path, name="whole")
    assert "part3.stats and whole.stats both hold" in said(capsys, "merge", parts[2], whole, "-o", str(output))
    assert not output.exists()


@pytest.mark.parametrize(
    "arguments",
    [("--batch-size", "4"), ("--preset", "sagemaker"), ("--independent",)],
    ids=lambda arguments: arguments[0],
)
def test_other_instruments_do_not_add_up(
    parts: list[str], arguments: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = observed(tmp_path, name="other", arguments=("--shard", "2/3", *arguments))
    assert "do not add up" in said(capsys, "merge", parts[0], other, "-o", str(tmp_path / "all.stats"))


def test_other_models_and_other_data_do_not_add_up(
    parts: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = ["-o", str(tmp_path / "all.stats")]
    model = observed(tmp_path, name="model", model=str(OTHER / "model.onnx"), arguments=("--shard", "2/3"))
    assert "are of different models" in said(capsys, "merge", parts[0], model, *output)
    data = str(tmp_path / "data.stats")
    holdout = ["--probe", str(KILLED / "holdout.npz"), "--shard", "2/3"]
    assert run(["observe", MODEL, *holdout, *FEW, "-o", data]) == 0
    assert "do not add up" in said(capsys, "merge", parts[0], data, *output)
    with_other_units = read_statistics(Path(parts[1]))
    with_other_units.counted.statistics.popitem()
    Path(data).write_bytes(to_bytes(with_other_units))
    assert "do not add up" in said(capsys, "merge", parts[0], data, *output)
    longer = str(tmp_path / "longer.stats")
    assert run(["observe", MODEL, "--probe", PROBE, "--limit", "90", "-q", "--shard", "2/3", "-o", longer]) == 0
    assert "do not add up" in said(capsys, "merge", parts[0], longer, *output)
    assert "of another model" in said(capsys, "audit", str(OTHER / "model.onnx"), "--statistics", parts[0])


def test_what_statistics_do_not_keep_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = observed(tmp_path)
    audit = ["audit", MODEL, "--statistics", whole]
    assert "counts positions" in said(capsys, *audit, "--preset", "dormant")
    assert "--preset sagemaker" in said(capsys, *audit, "--preset", "sagemaker")
    assert "do not say which rows" in said(capsys, *audit, "--vocabulary")
    assert "counts positions" in said(
        capsys, "observe", MODEL, "--probe", PROBE, "--preset", "apoz", "-o", f"{tmp_path}/x.stats"
    )


def test_a_cut_is_compared_on_data_or_not_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, output = observed(tmp_path), tmp_path / "small.onnx"
    for command in ("prune", "revive"):
        text = said(capsys, command, MODEL, "--statistics", whole, "-o", str(output))
        assert "compared on data before anything is written" in text
        assert not output.exists()
    arguments = ["--statistics", whole, "--probe", str(KILLED / "holdout.npz"), "--quiet", "-o", str(output)]
    assert run(["prune", MODEL, *arguments]) == 0
    metadata = {entry.key: entry.value for entry in onnx.load(output).metadata_props}
    assert metadata["deadunits.probe_samples"] == "60"  # the data that shows it, not the data it was compared on


NET = """g (float[N, 3] x) => (float[N, 2] y) {
    c = MatMul(x, W)
    r = Relu(c)
    y = MatMul(r, V)
}"""


def small_net() -> onnx.ModelProto:
    """Unit i fires where feature i is above 0."""
    return parse(NET, {"W": np.eye(3, dtype=np.float32), "V": np.ones((3, 2), np.float32)})


def test_units_that_move_on_the_compared_data_stay(tmp_path: Path) -> None:
    """Unit 0 is silent in the statistics and fires on the probe, unit 1 the other way round, unit 2 never does."""
    model = small_net().SerializeToString()
    seen = np.array([[-1, 1, -1], [-2, 2, -3]], np.float32)
    statistics = analyzer.take_statistics(model, Data({"x": seen}))
    alone = analyzer.audit(model, Data(statistics=statistics))
    assert next(layer.dead for layer in alone.layers if layer.value == "r") == (0, 2)
    both = analyzer.audit(model, Data({"x": -seen * [1, 1, -1]}, statistics=statistics))
    layer = next(layer for layer in both.layers if layer.value == "r")
    assert (layer.dead, layer.samples) == ((2,), 2)  # no sample counts twice
    assert both.prune(latency=False).facts.removed_units == {"r": (2,)}
    with pytest.raises(InputError, match="compared on data"):
        alone.prune()


def test_a_holdout_is_held_against_statistics() -> None:
    model = small_net().SerializeToString()
    statistics = analyzer.take_statistics(model, Data({"x": -np.ones((2, 3), np.float32)}))
    found = analyzer.audit(model, Data(statistics=statistics, holdout={"x": np.eye(3, dtype=np.float32)[:2]}))
    assert next(layer.revived for layer in found.layers if layer.value == "r") == (0, 1)


def test_compare_takes_statistics(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = observed(tmp_path, name="one"), observed(tmp_path, name="other", arguments=("--shard", "1/2"))
    text = said(capsys, "compare", MODEL, "--statistics", one, "--statistics", other, code=0)
    assert "one.stats" in text
    sound = observed(tmp_path, name="sound", model=str(OTHER / "model.onnx"))
    models = [str(OTHER / "model.onnx"), MODEL]
    found = said(capsys, "compare", *models, "--statistics", sound, "--statistics", one, "--json", "-", code=0)
    assert json.loads(found)["runs"][1]["dead"] > 0
    assert "not both" in said(capsys, "compare", MODEL, "--statistics", one, "--probe", PROBE)
    assert "of which several models need one each" in said(
        capsys, "compare", *models, "--statistics", one, "--statistics", one, "--statistics", one
    )


def test_a_branch_that_few_samples_take() -> None:
    """In one run such a choice is left as it is, as in an audit; two shards that differ in it do not add up."""
    model = branching()
    data = np.abs(np.random.default_rng(0).standard_normal((8, 1, 3))).astype(np.float32)
    data[5] = -data[5]
    run = Run(batch_size=1)
    whole = analyzer.take_statistics(model, Data(data), run=run)
    assert whole._tallies.job.varying == ("b",)
    recalled = analyzer.audit(model, Data(statistics=whole), run=run)
    direct = analyzer.audit(model, Data(data), run=run)
    assert [layer.value for layer in recalled.layers] == [layer.value for layer in direct.layers]
    parts = [analyzer.take_statistics(model, Data(data), shard=f"{i}/2", run=run) for i in (1, 2)]
    with pytest.raises(InputError, match="take another branch"):
        analyzer.merge_statistics(parts)
    with pytest.raises(InputError, match="takes another branch"):
        analyzer.audit(model, Data(statistics=parts[0], holdout=data), run=run)


def test_broken_images_are_left_out_of_every_shard_alike(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(12):
        image.fromarray(np.full((8, 8), 20 * number, np.uint8)).save(folder / f"{number:02}.png")
    (folder / "04.png").write_bytes(b"no image")
    model, data, run = SAMPLES / "digits_cnn_dynamo" / "model.onnx", Data(folder, max_bad=1), Run(batch_size=2)
    parts = [analyzer.take_statistics(model, data, shard=f"{i}/3", run=run) for i in (3, 1, 2)]
    found = analyzer.audit(model, Data(statistics=analyzer.merge_statistics(parts)), run=run)
    direct = analyzer.audit(model, data, run=run)
    assert found.probe is not None
    assert direct.probe is not None
    assert found.probe.samples == 11
    assert (found.probe.skipped, found.probe.fingerprint) == (direct.probe.skipped, direct.probe.fingerprint)
    assert [*found.probe.skipped] == ["04.png"]


def test_what_is_broken_is_named_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [json.dumps(row.tolist()) for row in np.load(PROBE)["pixels"][:20]]
    probe, output = tmp_path / "rows.jsonl", tmp_path / "out.stats"
    probe.write_text("\n".join([*rows[:3], "[", *rows[3:8], "nonsense", *rows[8:]]))
    command = ["observe", MODEL, "--probe", str(probe), "--batch-size", "4", "-o", str(output)]
    assert "--max-bad N leaves out and lists" in said(capsys, *command)
    text = said(capsys, *command, "--max-bad", "1")
    assert "line 10: is no JSON" in text
    assert "one more than the 1 broken ones that --max-bad allows, which were line 4." in text
    assert not output.exists()
    text = said(capsys, *command, "--max-bad", "2", code=0)
    assert "20 of 20 samples" in text
    assert "Left out, as it is broken: line 4: is no JSON" in text
    whole = analyzer.take_statistics(MODEL, Data(PROBE, limit=20), run=Run(batch_size=4))
    assert read_statistics(output).record.fingerprint == whole.fingerprint
    assert [*analyzer.merge_statistics([output]).skipped] == ["line 4", "line 10"]


def started(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """A process of its own that observes, slowly enough to be killed on the way."""
    (folder / "slow.py").write_text(
        f"import time, numpy as np\ndef feeds():\n    for row in np.load({PROBE!r})['pixels'][:60]:\n"
        "        time.sleep(0.02)\n        yield row[None]\n"
    )
    command = [sys.executable, "-m", "analyzer", "observe", MODEL, "--probe", f"{folder}/slow.py:feeds", "-q"]
    options = ["--checkpoint", "0", "--batch-size", "2", "-o", f"{folder}/out.stats", *arguments]
    return subprocess.Popen([*command, *options], env={**os.environ, "OMP_NUM_THREADS": "1"})


def test_a_pass_that_is_killed_again_and_again_goes_on_to_the_same_file(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    assert started(whole).wait() == 0
    chance, partial, progress = random.Random(0), killed / "out.stats.partial", [0]
    while len(progress) < 5:
        process = started(killed, "--resume")
        begun = partial.stat().st_mtime_ns if partial.exists() else 0
        while process.poll() is None and not (partial.exists() and partial.stat().st_mtime_ns > begun):
            time.sleep(0.01)
        time.sleep(chance.random() / 5)
        process.send_signal(signal.SIGKILL)
        if process.wait() == 0:
            break
        progress.append(read_statistics(partial).record.samples)
    assert progress == sorted(set(progress))  # each went on from what the one before had written
    assert len(progress) > 2
    if not (killed / "out.stats").exists():
        assert started(killed, "--resume").wait() == 0
    assert not partial.exists()
    assert without_time(killed / "out.stats") == without_time(whole / "out.stats")


def test_a_checkpoint_is_of_one_job(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out.stats"
    partial = tmp_path / "out.stats.partial"
    begun = Path(observed(tmp_path, name="begun", arguments=("--shard", "1/3"))).read_bytes()
    command = ["observe", MODEL, "--probe", PROBE, *FEW, "--resume", "-o", str(output)]
    for arguments in (["--shard", "2/3"], ["--shard", "1/3", "--batch-size", "4"], ["--shard", "1/3", "--limit", "0"]):
        partial.write_bytes(begun)
        assert said(capsys, *command, *arguments)
        assert partial.read_bytes() == begun
    partial.write_bytes(begun[:1000])
    assert "is damaged" in said(capsys, *command)
    partial.write_bytes(begun)
    assert run([*command, "--shard", "1/3"]) == 0
    assert without_time(output) == without_time(tmp_path / "begun.stats")
    partial.write_bytes(begun)
    assert run([*command, "--shard", "1/1"]) == 0  # a part of all
    assert without_time(output) == without_time(observed(tmp_path, name="whole"))
    partial.write_bytes(begun)
    text = said(capsys, *(argument for argument in command if argument != "--resume"))
    assert "go on with --resume, or remove it first" in text
    assert partial.read_bytes() == begun
