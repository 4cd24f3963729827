"""A pruned model that our sessions load with a rewriting left out is tried as its users load it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import analyzer
from analyzer import ComparisonFailed
from analyzer.api import agreement
from analyzer.runtime import default_load
from analyzer.runtime.default_load import loads_by_default
from tests.models import parse

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(6, 3, 4)).astype(np.float16)
#: Two of four units never fire.
STORED = {
    "w1": RANDOM.normal(size=(4, 4)).astype(np.float16) * np.array([1, 0, 1, 0], np.float16),
    "w2": RANDOM.normal(size=(4, 5)).astype(np.float16),
}
MOVED = "Transpose<perm=[1, 0, 2]>"
FINE = f"f = MatMul(x, w1) h = Relu(f) m = MatMul(h, w2) y = {MOVED}(m)"
#: What is added is zeros, which go: then a MatMul reads a Transpose of halves.
BECOMES_BAD = f"t = {MOVED}(x) f = MatMul(x, w1) h = Relu(f) v = {MOVED}(h) c = Add(t, v) y = MatMul(c, w2)"
BAD = f"f = MatMul(x, w1) h = Relu(f) t = {MOVED}(h) y = MatMul(t, w2)"


def model(body: str, stored: Mapping[str, Any] = STORED) -> onnx.ModelProto:
    return parse(f"g (float16[A, B, 4] x) => (float16[B, A, 5] y) {{ {body} }}", stored)


def on_disk(given: onnx.ModelProto, path: Path) -> Path:
    onnx.save(given, path, save_as_external_data=True, location=f"{path.name}.weights", size_threshold=0)
    return path


def test_no_written_model_ends_the_process_where_the_original_does_not(tmp_path: Path) -> None:
    given, path = model(BECOMES_BAD, {**STORED, "w1": 0 * STORED["w1"]}), tmp_path / "given.onnx"
    onnx.save(given, path)
    pruned = None
    try:
        pruned = analyzer.prune(given, X, latency=False)
    except ComparisonFailed as error:
        assert "onnxruntime loads the original, but not the pruned model" in str(error)
    if pruned is not None:
        pruned.save(tmp_path / "pruned.onnx")
        assert loads_by_default(tmp_path / "pruned.onnx") >= loads_by_default(path)


@pytest.mark.parametrize("beside", [False, True])
def test_a_model_that_ends_the_process_as_it_was_is_pruned_and_said_to(beside: bool, tmp_path: Path) -> None:
    path = on_disk(model(BAD), tmp_path / "given.onnx") if beside else None
    pruned = analyzer.prune(path or model(BAD), X, latency=False)
    assert pruned.facts.removed_units
    pruned.save(tmp_path / "pruned.onnx")
    said = any("optimization.disable_specified_optimizers" in note for note in pruned.facts.notes)
    assert said is not loads_by_default(tmp_path / "pruned.onnx")


@pytest.mark.parametrize("beside", [False, True])
def test_a_model_that_loads_is_written_without_a_word(beside: bool, tmp_path: Path) -> None:
    pruned = analyzer.prune(on_disk(model(FINE), tmp_path / "given.onnx") if beside else model(FINE), X, latency=False)
    assert pruned.facts.removed_units
    assert not pruned.facts.notes


@pytest.mark.parametrize("beside", [False, True])
def test_what_alone_does_not_load_is_refused(beside: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def loads(path: Path) -> bool:
        onnx.load(path)  # with its weights
        tried.append(path)
        return path.name != "smaller.onnx"

    monkeypatch.setattr(agreement, "loads_by_default", loads)
    path = on_disk(model(FINE), tmp_path / "given.onnx")
    before = path.stat()
    with pytest.raises(ComparisonFailed, match="MatmulTransposeFusion"):
        analyzer.prune(path if beside else model(FINE), X, latency=False)
    assert len(tried) == 2
    assert (path in tried) == beside
    assert path.stat().st_mtime_ns == before.st_mtime_ns, "the original is read, never written"
    assert not any(path.exists() for path in tried if path.parent != tmp_path)


def test_models_that_need_no_such_care_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def loads(path: Path) -> bool:
        raise AssertionError

    monkeypatch.setattr(agreement, "loads_by_default", loads)
    given = parse(
        "g (float[A, B, 4] x) => (float[B, A, 5] y) { " + BAD + " }",
        {n: a.astype(np.float32) for n, a in STORED.items()},
    )
    assert analyzer.prune(given, X.astype(np.float32), latency=False).facts.removed_units


@pytest.mark.parametrize("content", [b"", b"no model"])
def test_what_is_no_model_does_not_load(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    assert not loads_by_default(path)


def test_what_takes_too_long_does_not_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(default_load, "LOAD", "import time; time.sleep(600)")
    monkeypatch.setattr(default_load, "LONGEST", 0.1)
    assert not loads_by_default(tmp_path)


def test_a_module_in_the_working_directory_is_not_onnxruntime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "onnxruntime.py").write_text("raise SystemExit(1)")
    onnx.save(model(FINE), tmp_path / "model.onnx")
    monkeypatch.chdir(tmp_path)
    assert loads_by_default(tmp_path / "model.onnx")
