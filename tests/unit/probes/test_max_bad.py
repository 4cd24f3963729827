"""Files, lines and rows that cannot be read: refused, or listed and left out."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper

import analyzer
from analyzer.api.outputs import guarded_files
from analyzer.cli.main import run
from analyzer.errors import InputError, ProbeError
from analyzer.graph.view import TensorType
from analyzer.probes.probe import Probe, open_probe

FLOAT = np.dtype(np.float32)
ROWS = {"x": TensorType(FLOAT, ("batch", 3))}
IMAGE = {"image": TensorType(FLOAT, ("batch", 1, 4, 4))}
MLP = Path("sample_models/digits_mlp")
ADVICE = "--max-bad N leaves out and lists up to N that are broken."


def images(folder: Path) -> Path:
    """Four images, and three that are none."""
    image: Any = pytest.importorskip("PIL.Image")
    draw = np.random.default_rng(0)
    (folder / "sub").mkdir(parents=True)
    for name in ("a.png", "c.png", "sub/a.png", "sub/d.png"):
        image.fromarray(draw.integers(0, 256, (4, 4), np.uint8)).save(folder / name)
    (folder / "b.png").write_bytes(b"no image")
    (folder / "sub" / "c.png").write_bytes((folder / "a.png").read_bytes()[:50])
    image.fromarray(draw.integers(0, 60_000, (4, 4), np.uint16)).save(folder / "z.png")
    return folder


def packs(folder: Path) -> Path:
    folder.mkdir()
    for name in ("b", "c"):
        np.savez(folder / f"{name}.npz", x=np.ones((2, 3), np.float32), y=np.zeros(2, np.int64))
    (folder / "a.npz").write_bytes((folder / "b.npz").read_bytes()[:90])
    return folder


def tensors(folder: Path) -> Path:
    for number in range(3):
        kept = folder / f"test_data_set_{number}"
        kept.mkdir(parents=True)
        tensor = numpy_helper.from_array(np.full((1, 3), number, np.float32), "x")
        (kept / "input_0.pb").write_bytes(tensor.SerializeToString())
    (folder / "test_data_set_1" / "input_0.pb").write_bytes(b"\xff\xff")
    return folder


def lines(path: Path) -> Path:
    path.write_text("[1, 2, 3]\n\n[4, 5\n[1, 2]\n[[1], [2], 3]\nnull\n{}\n[7, 8, 9]\n")
    return path


def table(path: Path) -> Path:
    path.write_text("a,b,c\n1,2,3\n4,5\n7,8,9\n1,2,3,4\n")
    return path


def opened(data: Any, inputs: dict[str, TensorType], *, max_bad: int = 5, limit: int | None = None) -> Probe:
    return open_probe(data, inputs, max_bad=max_bad, limit=limit)


def counted(probe: Probe) -> int:
    return sum(batch.samples for batch in probe.batches(3))


CASES = {
    "images": (images, IMAGE, 4, ["b.png", "z.png", str(Path("sub/c.png"))]),
    "packs": (packs, ROWS, 4, ["a.npz"]),
    "data sets": (tensors, ROWS, 2, ["test_data_set_1"]),
    "d.jsonl": (lines, ROWS, 2, [f"line {number}" for number in (3, 4, 5, 6, 7)]),
    "d.csv": (table, ROWS, 2, ["row 3", "row 5"]),
}


@pytest.mark.parametrize("kind", CASES)
def test_what_is_broken_is_listed_and_left_out(kind: str, tmp_path: Path) -> None:
    make, inputs, samples, broken = CASES[kind]
    probe = opened(make(tmp_path / kind), inputs)
    assert (counted(probe), probe.samples) == (samples, samples)
    assert sorted(probe.skipped) == sorted(broken)
    assert counted(probe) == samples  # and again
    assert sorted(probe.skipped) == sorted(broken)
    assert all(probe.skipped.values())
    elsewhere, arguments = probe.__reduce__()  # for another process
    assert counted(elsewhere(*arguments)) == samples


@pytest.mark.parametrize("kind", CASES)
def test_without_the_option_it_is_refused_and_the_option_is_named(kind: str, tmp_path: Path) -> None:
    make, inputs, *_ = CASES[kind]
    with pytest.raises(ProbeError) as refused:
        counted(opened(make(tmp_path / kind), inputs, max_bad=0))
    assert str(refused.value).endswith(ADVICE)


@pytest.mark.parametrize("kind", CASES)
def test_one_more_than_is_allowed_ends_it(kind: str, tmp_path: Path) -> None:
    make, inputs, samples, broken = CASES[kind]
    data = make(tmp_path / kind)
    assert counted(opened(data, inputs, max_bad=len(broken))) == samples
    if len(broken) > 1:
        said = f"one more than the {len(broken) - 1} broken ones that --max-bad allows, which were {broken[0]}"
        with pytest.raises(ProbeError, match=re.escape(said)):
            counted(opened(data, inputs, max_bad=len(broken) - 1))


def test_a_reason_does_not_repeat_the_name(tmp_path: Path) -> None:
    probe = opened(images(tmp_path / "images"), IMAGE)
    counted(probe)
    assert probe.skipped["z.png"].startswith("has I;16 pixels")
    assert dict(opened(table(tmp_path / "d.csv"), ROWS).skipped)["row 3"].startswith("has 2 cells, the first has 3")


def test_files_that_a_list_names_and_that_are_missing(tmp_path: Path) -> None:
    images(tmp_path / "images")
    text = tmp_path / "list.txt"
    text.write_text("images/a.png 3\nimages/none.png 4\nimages/b.png\nimages/c.png\n")
    probe = opened(text, IMAGE)
    assert counted(probe) == 2
    assert [*probe.skipped] == ["line 2", "b.png"]
    with pytest.raises(ProbeError, match=r"list\.txt, line 2: no image file images/none\.png 4; .* --max-bad"):
        opened(text, IMAGE, max_bad=0)
    assert tmp_path / "images" / "a.png" in guarded_files(str(text))  # whatever else it names


def test_data_of_which_nothing_is_left_is_refused(tmp_path: Path) -> None:
    folder = images(tmp_path / "images")
    for file in (*folder.glob("[ac].png"), *folder.glob("sub/[ad].png")):
        file.unlink()
    with pytest.raises(ProbeError, match=r"holds no samples: 3 broken and left out, the first, b\.png: is not a "):
        opened(folder, IMAGE)
    (tmp_path / "d.jsonl").write_text("{\n")
    with pytest.raises(ProbeError, match="holds no lines: 1 broken and left out, the first, line 1: is no JSON"):
        opened(tmp_path / "d.jsonl", ROWS)
    (tmp_path / "d.csv").write_text("a,b\n1\n")
    with pytest.raises(ProbeError, match="holds a header but no rows: 1 broken and left out"):
        opened(tmp_path / "d.csv", ROWS)


def test_what_lies_behind_the_limit_is_not_looked_at(tmp_path: Path) -> None:
    probe = opened(images(tmp_path / "images"), IMAGE, limit=1)
    assert (counted(probe), dict(probe.skipped)) == (1, {})


def test_what_a_library_lacks_is_no_broken_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = images(tmp_path / "images")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ProbeError, match=r"^Reading images needs Pillow: pip install 'deadunits\[images\]'\.$"):
        opened(folder, IMAGE)


def test_data_that_does_not_fit_the_model_is_refused_all_the_same(tmp_path: Path) -> None:
    folder = packs(tmp_path / "packs")
    np.savez(folder / "d.npz", x=np.ones((2, 4), np.float32))
    with pytest.raises(ProbeError, match="axis 1 must be 3"):
        counted(opened(folder, ROWS))


@pytest.fixture
def probe_file(tmp_path: Path) -> Path:
    """The digits as lines, of which three are broken."""
    with np.load(MLP / "probe.npz") as data:
        written = [json.dumps(row.tolist()) for row in data["pixels"][:80]]
    path = tmp_path / "digits.jsonl"
    path.write_text("\n".join([*written[:4], "[", *written[4:9], "nonsense", *written[9:], "[1]", "{}", "]"]))
    return path


def test_reports_say_what_was_left_out(probe_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = ["audit", str(MLP / "model.onnx"), "--probe", str(probe_file), "--max-bad", "5", "--no-causes"]
    assert run(call) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "digits.jsonl · 80 samples, 5 broken and skipped" in shown
    assert "skipped line 5: is no JSON" in shown
    assert "2 more (--all)" in shown
    assert "--max-bad" in shown.split("Next")[1]
    assert run([*call, "--all"]) == 0
    assert "skipped line 85: is no JSON" in " ".join(capsys.readouterr().out.split())
    assert run([*call, "--json", "-"]) == 0
    probe = json.loads(capsys.readouterr().out)["probe"]
    assert (probe["samples"], sorted(probe["skipped"])) == (80, [f"line {n}" for n in (11, 5, 83, 84, 85)])
    audit = analyzer.audit(MLP / "model.onnx", analyzer.Data(str(probe_file), max_bad=5), causes=False)
    page = audit.report("html")
    assert "Looked at on 80 samples, 5 broken and skipped" in page
    assert "skipped: line 11: is no JSON" in page


def test_a_gate_and_a_cut_say_it_too(probe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [str(MLP / "model.onnx"), "--probe", str(probe_file), "--max-bad", "5"]
    for written in ("terminal", "markdown"):
        run(["check", *given, "--no-config", "--format", written])
        assert "80 samples, 5 broken and skipped" in capsys.readouterr().out
    assert run(["check", *given, "--no-config", "--min-samples", "85", "--quiet"]) == 1  # skipped ones do not count
    assert run(["prune", *given, "-o", str(tmp_path / "small.onnx"), "--no-latency"]) == 0
    assert "5 broken and skipped" in " ".join(capsys.readouterr().out.split())


def test_what_is_left_out_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="max_bad says how a probe is read"):
        analyzer.Data(max_bad=1)


@pytest.mark.parametrize("given", [-1, 0.5, True, "all"])
def test_how_many_is_a_whole_number(given: Any) -> None:
    with pytest.raises(InputError, match=r"max_bad is .*: give a whole number from 0 on"):
        analyzer.Data("probe.npz", max_bad=given)
