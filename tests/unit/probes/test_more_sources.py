"""Probes as people have them: lines of JSON, one image, a pattern, samples with labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analyzer.errors import ProbeError
from analyzer.graph.view import TensorType
from analyzer.probes.probe import open_probe

FLOAT = np.dtype(np.float32)
ONE = {"x": TensorType(FLOAT, ("batch", 3))}
TWO = {"x": TensorType(FLOAT, ("batch", 3)), "ids": TensorType(np.dtype(np.int64), ("batch", 2))}
IMAGE = {"image": TensorType(FLOAT, ("batch", 1, 4, 4))}
ROWS = np.arange(12, dtype=np.float32).reshape(4, 3)


def fed(data: Any, inputs: dict[str, TensorType]) -> dict[str, list[Any]]:
    feeds: dict[str, list[Any]] = {name: [] for name in inputs}
    for batch in open_probe(data, inputs).batches(8):
        for name, array in batch.feeds.items():
            feeds[name] += array.tolist()
    return feeds


def lines(path: Path, *samples: object) -> Path:
    path.write_text("".join(f"{json.dumps(sample)}\n" for sample in samples))
    return path


def test_lines_of_objects_are_samples_by_name(tmp_path: Path) -> None:
    samples = [{"x": row.tolist(), "ids": [i, i + 1]} for i, row in enumerate(ROWS)]
    assert fed(lines(tmp_path / "d.jsonl", *samples), TWO) == {
        "x": ROWS.tolist(),
        "ids": [[i, i + 1] for i in range(4)],
    }


def test_lines_of_lists_are_samples_of_the_only_input(tmp_path: Path) -> None:
    assert fed(lines(tmp_path / "d.ndjson", *ROWS.tolist()), ONE) == {"x": ROWS.tolist()}


def test_labels_beside_the_input_are_left_out(tmp_path: Path) -> None:
    samples = [{"x": row.tolist(), "label": i % 2} for i, row in enumerate(ROWS)]
    probe = open_probe(lines(tmp_path / "d.jsonl", *samples), ONE)
    assert probe.samples == 4
    condition = probe.condition({}, ())
    assert condition is not None
    assert [label.name for label in condition.labels] == ["label"]


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (([1.0, 2, 3], [1.0, 2]), "unequal shapes"),
        (({"x": [1]}, {"y": [1]}), "sample 2 has other names"),
        (({"x": [1]}, [1]), "sample 2 has other names"),
        (({"x": None},), "something else than numbers"),
        ((), "holds no lines"),
    ],
)
def test_lines_that_are_no_samples_are_refused(samples: tuple[object, ...], words: str, tmp_path: Path) -> None:
    with pytest.raises(ProbeError, match=words):
        open_probe(lines(tmp_path / "d.jsonl", *samples), ONE)


@pytest.mark.parametrize("labels", [np.arange(4), np.arange(4)[:, None]])
def test_samples_and_labels_as_a_pair(labels: Any) -> None:
    probe = open_probe((ROWS, labels), ONE)
    assert probe.samples == 4
    assert fed((ROWS, labels), ONE) == {"x": ROWS.tolist()}


def test_two_samples_are_no_pair() -> None:
    assert fed((ROWS[0], ROWS[1]), ONE) == {"x": ROWS[:2].tolist()}


def test_one_image_and_a_pattern(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = pytest.importorskip("PIL.Image")
    for number in range(3):
        image.fromarray(np.full((4, 4), 100 * number, np.uint8)).save(tmp_path / f"{number}.png")
    np.savez(tmp_path / "a.npz", x=ROWS[:2])
    np.savez(tmp_path / "b.npz", x=ROWS[2:])
    assert open_probe(tmp_path / "1.png", IMAGE).samples == 1
    assert len(fed(str(tmp_path / "[01].png"), IMAGE)["image"]) == 2
    monkeypatch.chdir(tmp_path)
    assert len(fed("*.png", IMAGE)["image"]) == 3
    assert fed("?.npz", ONE) == {"x": ROWS.tolist()}
    with pytest.raises(ProbeError, match="several kinds"):
        open_probe("*", IMAGE)
    with pytest.raises(ProbeError, match="No probe data at"):
        open_probe("*.jpg", IMAGE)


def test_a_pattern_that_is_none_and_a_folder_with_brackets(tmp_path: Path) -> None:
    folder = tmp_path / "we[i]rd"
    folder.mkdir()
    np.savez(folder / "a.npz", x=ROWS)
    assert fed(str(folder / "*.npz"), ONE) == {"x": ROWS.tolist()}
    with pytest.raises(ProbeError, match=r"is no pattern of files|No probe data at"):  # Python 3.13 takes it for `*`
        open_probe(str(tmp_path / "a**b*"), ONE)


def test_two_batches_of_one_column_are_no_pair() -> None:
    column = {"x": TensorType(FLOAT, ("batch", 1))}
    assert fed((ROWS[:, :1], ROWS[:, :1]), column) == {"x": ROWS[:, :1].tolist() * 2}
