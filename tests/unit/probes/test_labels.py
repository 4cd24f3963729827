"""What lies beside the inputs is left out and said; where an input is missing, only labels are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analyzer.errors import ProbeError
from analyzer.facts.probe_condition import LabelsInData
from analyzer.graph.view import TensorType
from analyzer.probes.labels import without_labels
from analyzer.probes.probe import Probe, open_probe

X = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
CLASSES = np.arange(12) % 4
ONE = {"pixels": TensorType(np.dtype("f4"), (None, 3))}
TWO = ONE | {"length": TensorType(np.dtype("i8"), (None,))}


def labels(probe: Probe) -> tuple[LabelsInData, ...]:
    assert sum(batch.samples for batch in probe.batches(5)) == 12
    found = probe.condition({}, ())
    assert found is not None
    return found.labels


def from_npz(folder: Path, inputs: Any = None, **arrays: Any) -> tuple[LabelsInData, ...]:
    np.savez(folder / "p.npz", **arrays)
    return labels(open_probe(folder / "p.npz", inputs or ONE))


@pytest.mark.parametrize(
    "name", ["y", "labels", "Target", "y_true", "class_ids", "ground_truth", "train_y", "whatever"]
)
def test_an_array_that_looks_like_labels_is_left_out(tmp_path: Path, name: str) -> None:
    assert from_npz(tmp_path, **{"pixels": X, name: CLASSES}) == (LabelsInData(name, column=False, fed=False),)
    assert from_npz(tmp_path, **{"x": X, name: CLASSES}) == (LabelsInData(name, column=False, fed=False),)
    arrays = {"pixels": X, name: CLASSES}
    assert [entry.name for entry in labels(open_probe(arrays, ONE))] == [name]


def test_one_hot_rows_are_labels_by_their_name_alone(tmp_path: Path) -> None:
    rows = np.eye(4, dtype=np.float32)[CLASSES]
    assert [(entry.name, entry.alike) for entry in from_npz(tmp_path, pixels=X, label=rows)] == [("label", True)]
    assert [(entry.name, entry.alike) for entry in from_npz(tmp_path, pixels=X, rows=rows)] == [("rows", False)]
    assert [entry.name for entry in from_npz(tmp_path, x=X, label=rows)] == ["label"]
    with pytest.raises(ProbeError, match="holds 'x', 'rows'"):
        from_npz(tmp_path, x=X, rows=rows)


@pytest.mark.parametrize("array", [CLASSES[:5], np.int64(3), X], ids=["another length", "a number", "the data again"])
def test_other_arrays_are_left_out_and_said_where_the_inputs_are_there(tmp_path: Path, array: Any) -> None:
    assert from_npz(tmp_path, pixels=X, extra=array) == (LabelsInData("extra", column=False, fed=False, alike=False),)
    with pytest.raises(ProbeError, match="no data for 'pixels' and holds 'pixel' \\(did you mean 'pixels'"):
        from_npz(tmp_path, pixel=X, extra=array)


def test_an_input_that_is_missing_is_still_said(tmp_path: Path) -> None:
    assert from_npz(tmp_path, TWO, pixels=X, length=CLASSES, y=CLASSES)
    with pytest.raises(ProbeError, match="no data for 'length'"):
        from_npz(tmp_path, TWO, pixels=X, lengths=CLASSES)


def table(folder: Path, names: list[str], width: int | None = 3, inputs: Any = None) -> tuple[LabelsInData, ...]:
    rows = np.column_stack([X, CLASSES])[:, : len(names)]
    lines = [",".join(names), *(",".join(map(str, row)) for row in rows)]
    (folder / "p.csv").write_text("\n".join(lines), encoding="utf-8")
    return labels(open_probe(folder / "p.csv", inputs or {"x": TensorType(np.dtype("f4"), (None, width))}))


def test_a_column_too_many_is_left_out_where_it_is_named_so(tmp_path: Path) -> None:
    assert table(tmp_path, ["a", "b", "c", "label"]) == (LabelsInData("label", column=True, fed=False),)
    assert table(tmp_path, ["y", "b", "c", "d"]) == (LabelsInData("y", column=True, fed=False),)
    with pytest.raises(ProbeError, match="has 4 columns"):
        table(tmp_path, ["a", "b", "c", "d"])
    each = {name: TensorType(np.dtype("f4"), (None, 1)) for name in "abc"}
    assert table(tmp_path, ["a", "b", "c", "label"], inputs=each) == (LabelsInData("label", column=True, fed=False),)


def test_a_column_of_such_a_name_that_is_fed_is_said(tmp_path: Path) -> None:
    assert table(tmp_path, ["a", "b", "target"]) == (LabelsInData("target", column=True, fed=True),)
    assert table(tmp_path, ["a", "b", "c", "label"], width=None) == (LabelsInData("label", column=True, fed=True),)
    assert table(tmp_path, ["x", "z", "y"]) == ()  # coordinates
    assert table(tmp_path, ["a", "label", "b"]) == ()


def test_each_of_many_arrays_is_looked_at_a_few_times() -> None:
    looks = 0

    class Counted:
        def __array__(self, *_: Any, **__: Any) -> Any:
            nonlocal looks
            looks += 1
            return X

    arrays = {f"a{i}": Counted() for i in range(100)}
    assert without_labels(arrays, ONE) == (arrays, ())
    assert looks <= 400


class Tensor:
    """A tensor that NumPy cannot read by itself, as one on another device."""

    def __init__(self, array: Any) -> None:
        self._array = np.asarray(array)

    def detach(self) -> Tensor:
        return self

    def cpu(self) -> Any:
        return self._array

    def __array__(self, *_: object) -> Any:
        raise TypeError("can't convert a device tensor")


@pytest.mark.parametrize(
    "feeds",
    [
        [{"x": row, "label": 1} for row in np.ones((4, 3), np.float32)],
        [{"image": row, "label": np.int64(1)} for row in np.ones((4, 3), np.float32)],
        [{"x": row, "id": "word", "idx": 7} for row in np.ones((4, 3), np.float32)],
        [{"x": np.ones((2, 3), np.float32), "y": np.zeros(2, np.int64)}] * 2,
        [{"x": Tensor(np.ones((2, 3), np.float32)), "labels": Tensor([0.5, 1.0])}] * 2,
        ({"x": row, "label": 1} for row in np.ones((4, 3), np.float32)),
    ],
)
def test_labels_in_the_rows_and_batches_of_a_series_are_left_out_and_said(feeds: Any) -> None:
    probe = open_probe(feeds, {"x": TensorType(np.dtype("f4"), ("batch", 3))})
    assert sum(batch.samples for batch in probe.batches(8)) == 4
    condition = probe.condition({}, ())
    assert condition is not None
    assert condition.labels
    assert not any(label.fed for label in condition.labels)


@pytest.mark.parametrize("extra", [{"scale": 0.5}, {"more": np.ones((3, 3), np.float32)}, {"boxes": {"a": 1}}])
def test_what_else_is_in_a_series_is_left_out_where_the_inputs_are_there(extra: dict[str, Any]) -> None:
    inputs = {name: TensorType(np.dtype("f4"), ("batch", 3)) for name in ("x", "z")}
    row = np.ones(3, np.float32)
    probe = open_probe([{"x": row, "z": row, **extra}], inputs)
    assert [batch.feeds.keys() for batch in probe.batches(8)] == [inputs.keys()]
    assert [(label.name, label.alike) for label in probe.labels] == [(*extra, False)]
    with pytest.raises(ProbeError, match="which the model does not have"):
        open_probe([{"x": row, "zz": row, **extra}], inputs)
