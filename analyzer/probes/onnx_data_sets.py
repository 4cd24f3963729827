"""ONNX's own test data: folders `test_data_set_<n>` with a file `input_<i>.pb` per input."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from analyzer.errors import ProbeError
from analyzer.graph.tensors import read_tensor
from analyzer.probes.input_names import quoted
from analyzer.probes.skipped import Skipped


def data_set_folders(folder: Path) -> list[Path]:
    """The folder itself when it is a data set, else the data sets in it in the order of their numbers."""
    if (folder / "input_0.pb").is_file():
        return [folder]
    return sorted((p for p in folder.glob("test_data_set_*") if p.is_dir()), key=_number)


def read_data_sets(folders: list[Path], names: list[str], skipped: Skipped) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each set's name and arrays: by the names in the files where these are the model's, else by position.

    Raises:
        ProbeError: a set without inputs, with too few or too many, or with an unreadable tensor.
    """
    for folder in folders:
        files = sorted(folder.glob("input_*.pb"), key=_number)
        if len(files) != len(names):
            raise ProbeError(
                f"{folder.name} holds {len(files)} input files, but the model has {len(names)} inputs "
                f"({quoted(names)}): give one input_<i>.pb per input."
            )
        tensors = skipped.read(folder.name, partial(_tensors, files))
        if tensors is None:
            continue
        if {name for name, _ in tensors} == set(names):
            yield folder.name, dict(tensors)
        else:
            yield folder.name, {name: array for name, (_, array) in zip(names, tensors, strict=True)}


def _tensors(files: list[Path]) -> list[tuple[str, Any]]:
    return [read_tensor(file) for file in files]


def _number(path: Path) -> tuple[int, str]:
    digits = path.stem.rsplit("_", 1)[-1]
    return (int(digits) if digits.isdecimal() else -1, path.name)
