"""The most likely mistakes of a new user, and what each gets: one sentence that says what to do, and exit code 2."""

from __future__ import annotations

import gzip
import json
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

from analyzer.cli.main import run

MODEL = Path("sample_models/digits_mlp").resolve()
CNN = Path("sample_models/digits_cnn_dynamo").resolve()

MISTAKES = [  # what was typed, what the sentence says
    ("model.onnx", "did you mean `deadunits audit model.onnx`?"),
    ("model.onnx probe.npz", "did you mean `deadunits audit model.onnx --probe probe.npz`?"),
    ("audit model.onnx probe.npz", "did you mean `deadunits audit model.onnx --probe probe.npz`?"),
    ("check model.onnx probe.npz --max-dead 5%", "did you mean `deadunits check model.onnx --probe probe.npz"),
    ("audit", "Missing argument 'MODEL'"),
    ("audti model.onnx", "No such command 'audti'"),
    ("audit model.onnx --prob probe.npz", "--probe"),
    ("audit model.onnx --probe probe.npz --batch 4", "--batch-size"),
    ("audit model.onnx --probe probe.npz --html", "--html"),
    ("audit nope.onnx", "No model file at nope.onnx"),
    ("audit .", "is a folder: name the .onnx file inside it, such as model.onnx"),
    ("audit https://example.org/model.onnx", 'pip install "deadunits[urls]", or download it first'),
    ("audit hf://org/repo/model.onnx", 'pip install "deadunits[hub]", or download it first'),
    ("audit hf://org/repo/model.safetensors", "weights without a network"),
    ("audit model.onnx --probe https://example.org/probe.npz", "download it first"),
    ("audit model.onnx --probe s3://bucket/probe/", "needs fsspec: pip install"),
    ("observe model.onnx --probe probe.npz -o s3://bucket/a.stats", "writing it needs fsspec: pip install"),
    ("audit model.onnx --probe probe.npz --json s3://bucket/", "is a folder: name a file inside it"),
    ("init model.onnx --probe probe.npz -o s3://bucket/a.toml", "writing it needs fsspec"),
    ("prune model.onnx --probe probe.npz --to-compare cut.stats", "planned by statistics alone"),
    ("prune model.onnx --statistics a.stats --to-compare cut.stats -o b.onnx", "nothing is written yet"),
    ("audit model.onnx --probe lines.txt", "no image file"),
    ("audit model.onnx --probe lines.txt --max-length 8", "add --tokenizer tokenizer.json"),
    ("audit model.onnx --probe probe.npz --tokenizer other.json", "Text options were given, but probe.npz holds none"),
    ("audit model.onnx --probe probe.npz --window 400", "Sound options were given, but probe.npz holds none"),
    ("audit model.onnx --window 400", "there is none: give a probe"),
    ("audit model.onnx --probe net.h5", "is not an HDF5 file that can be read"),
    ("audit model.onnx --probe net.wav", "is not a readable file of sound or is truncated"),
    ("audit model.onnx --probe net.tar", "is not a readable tar file or is truncated"),
    ("audit model.onnx --probe 'net.{pt,pkl}'", "of one that is no data"),
    ("audit model.onnx --probe named.npz --limit 4", "name the arrays after the model's inputs"),
    ("audit net.pt", "torch.onnx.export"),
    ("audit net.keras", "model.export('model.onnx', format='onnx')"),
    ("audit net.h5", "model.export('model.onnx', format='onnx')"),
    ("audit net.tflite", "tf2onnx.convert --tflite net.tflite"),
    ("audit net.safetensors", "weights without a network"),
    ("audit net.pkl", "skl2onnx"),
    ("audit model.onnx.gz", "unpack the model first"),
    ("audit probe.npz", "give the model first, then the data with --probe"),
    ("audit empty.onnx", "is empty"),
    ("audit model.onnx --probe nope.npz", "No probe data at nope.npz"),
    ("audit model.onnx --probe 'no*.npz'", "No probe data at no*.npz"),
    ("audit model.onnx --probe model.onnx", "is no known kind of probe data"),
    ("audit model.onnx --probe one.npy", "x[None]"),
    ("audit model.onnx --probe wide.npy", "expects batchx64"),
    ("audit model.onnx --probe text.npy", "text"),
    ("audit model.onnx --probe empty.npz", "holds no"),
    ("audit model.onnx --probe named.npz", "pixels"),
    ("audit model.onnx --probe bad.jsonl", "line 2 is no JSON"),
    ("audit model.onnx --probe ragged.csv", "row 3 has 2 cells"),
    ("audit cnn.onnx --probe flat.npy", "expects batchx1x8x8"),
    ("audit model.onnx --probe probe.npz --random 9", "either a probe or a number of random samples"),
    ("audit model.onnx --holdout probe.npz", "give a probe as well"),
    ("audit model.onnx --statistics probe.npz", "is no file that `deadunits observe` or `merge` wrote"),
    ("audit model.onnx --statistics nope.stats", "No such file"),
    ("audit model.onnx --statistics a.stats --random 9", "either statistics or a number of random samples"),
    ("observe model.onnx -o a.stats", "there is none: give a probe (--probe DATA)"),
    ("observe model.onnx --probe probe.npz", "Missing option '--output'"),
    ("observe model.onnx --probe probe.npz --shard 0/4 -o a.stats", "write 1/8 to 8/8"),
    ("observe model.onnx --probe probe.npz --shard 2 -o a.stats", "write 1/8 to 8/8"),
    ("observe model.onnx --probe probe.npz --checkpoint -1 -o a.stats", "give a number of seconds"),
    ("observe model.onnx --probe probe.npz -o probe.npz", "is an input"),
    ("merge probe.npz -o a.stats", "is no file that `deadunits observe` or `merge` wrote"),
    ("audit model.onnx --probe probe.npz --json no/folder/a.json", "create it first"),
    ("audit model.onnx --probe probe.npz --html model.onnx", "is an input"),
    ("audit model.onnx --probe probe.npz --format pdf", "There is no format 'pdf'"),
    ("audit model.onnx --probe probe.npz --preset strct", "strict"),
    ("explain model.onnx --probe probe.npz --unit 3", "is not VALUE:INDEX"),
    ("explain model.onnx --probe probe.npz --unit relu:3", "no value named 'relu'"),
    ("explain model.onnx --probe probe.npz --unit 1:99", "has units 0 to 63"),
    ("audit model.onnx --domain 0:1", "there is no probe: give one (--probe DATA)"),
    ("audit model.onnx --probe probe.npz --domain pixel", "did you mean pixels"),
    ("audit model.onnx --probe probe.npz --domain 0:0.1", "lies outside of the domain"),
    ("audit model.onnx --probe probe.npz --budget 5s", "--budget is the time to search a domain: give --domain"),
    ("check model.onnx --no-config --probe probe.npz --min-proven 5", "is not a share: write 90% or 0.9"),
    ("revive model.onnx --probe probe.npz -o out.onnx --budget 5s", "--budget is the time to search a domain"),
    ("compare model.onnx other.onnx --probe probe.npz --budget 5s", "--budget is the time to search a domain"),
    ("compare model.onnx other.onnx --probe probe.npz --domain pixel", "did you mean pixels"),
    ("explain model.onnx --probe probe.npz --unit 1:0 --witnesses out", "give --domain, or leave it out"),
    ("explain model.onnx --probe probe.npz --unit 1:0 --domain 0:0.1", "lies outside of the domain"),
    ("prove model.onnx", "give a probe (--probe DATA), or a domain"),
    ("prove model.onnx --probe probe.npz --domain pixel", "did you mean pixels"),
    ("prove model.onnx --probe probe.npz --domain 0:0.1", "lies outside of the domain"),
    ("prove model.onnx --probe probe.npz --domain bad.jsonl", "is none of .vnnlib"),
    (
        "prove model.onnx --probe probe.npz --domain=-99:99 --arithmetic fp16",
        "give one of float32, tf32, float16, real",
    ),
    ("verify model.onnx probe.npz", "is no certificate"),
    ("explain DU999", "There is no finding DU999"),
    ("prune model.onnx --probe probe.npz", "Say where the smaller model goes"),
    ("prune model.onnx --probe probe.npz -o model.onnx", "is an input"),
    ("revive model.onnx --probe probe.npz", "Say where the revived weights go"),
    ("compare model.onnx", "give at least two models"),
    ("check model.onnx --probe probe.npz --max-dead many", "is not a limit"),
    ("check model.onnx --probe probe.npz --baseline none.json", "audit MODEL --probe DATA --json none.json` makes one"),
    ("check model.onnx --probe probe.npz --baseline other.json", "audit"),
    ("check model.onnx --probe probe.npz --ignore DU99", "DU99"),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with what the mistakes need."""
    model = (MODEL / "model.onnx").read_bytes()
    for name in ("model.onnx", "probe.npz"):
        (tmp_path / name).write_bytes((MODEL / name).read_bytes())
    (tmp_path / "cnn.onnx").write_bytes((CNN / "model.onnx").read_bytes())
    (tmp_path / "model.onnx.gz").write_bytes(gzip.compress(model))
    (tmp_path / "empty.onnx").touch()
    for suffix in ("pt", "keras", "h5", "tflite", "safetensors", "pkl", "wav", "tar"):
        (tmp_path / f"net.{suffix}").write_bytes(b"\x80\x04K\x01.\xff\xff")
    with np.load(MODEL / "probe.npz") as data:
        pixels = data["pixels"]
    for name, array in {
        "one": pixels[0],
        "wide": np.zeros((9, 65), np.float32),
        "text": np.full((9, 64), "a"),
        "flat": pixels,
    }.items():
        np.save(tmp_path / f"{name}.npy", array)
    np.savez(tmp_path / "empty.npz")
    np.savez(tmp_path / "named.npz", x=pixels, z=pixels)
    (tmp_path / "bad.jsonl").write_text(f"{json.dumps(pixels[0].tolist())}\n[1, 2,\n")
    (tmp_path / "ragged.csv").write_text("a,b,c\n1,2,3\n4,5\n")
    (tmp_path / "lines.txt").write_text("a text\nand another\n")
    (tmp_path / "other.json").write_text('{"a": 1}')
    monkeypatch.setitem(sys.modules, "fsspec", None)  # not installed, whether it is or not
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("typed", "said"), MISTAKES, ids=[typed for typed, _ in MISTAKES])
def test_a_mistake_gets_one_sentence_that_helps(
    typed: str, said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(shlex.split(typed)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("deadunits: ")
    assert err.count("\n") == 1
    assert len(err) <= 320
    assert said in err
    assert "internal error" not in err


@pytest.mark.parametrize("typed", [typed for typed, said in MISTAKES if "did you mean `" in said])
def test_what_was_meant_runs(typed: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(shlex.split(typed))
    meant = capsys.readouterr().err.split("`")[1]
    assert run(shlex.split(meant)[1:]) in (0, 1)
