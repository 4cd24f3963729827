"""Lines of JSON as probe data: one sample per line, as an object by name or as a list."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.errors import ProbeError
from analyzer.probes.memory import check_size

SUFFIXES = (".jsonl", ".ndjson")
_NUMBER_BYTES = 8  # what a parsed number takes, against at least two characters in the file


def read_json_lines(path: Path) -> dict[str, Array] | Array:
    """All samples in one array for each name; one array where lines are lists.

    Raises:
        OSError: unreadable.
        ProbeError: a line is no JSON, lines do not agree with each other, or a sample is ragged.
    """
    check_size(_NUMBER_BYTES * path.stat().st_size // 2, path.name)
    samples = list(_samples(path))
    if not samples:
        raise ProbeError(f"{path.name} holds no lines: give the model at least one sample.")
    if all(isinstance(sample, list) for sample in samples):
        return _stacked(samples, path.name)
    names = samples[0].keys() if isinstance(samples[0], dict) else ()
    for number, sample in enumerate(samples, start=1):
        if not isinstance(sample, dict) or sample.keys() != names:
            raise ProbeError(f"{path.name}: sample {number} has other names than the first: give all the same.")
    return {name: _stacked([sample[name] for sample in samples], f"{path.name}: '{name}'") for name in names}


def _samples(path: Path) -> Iterator[Any]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                try:
                    yield json.loads(line)
                except (ValueError, RecursionError) as error:  # no UTF-8 among them
                    raise ProbeError(f"{path.name}: line {number} is no JSON: give one sample per line.") from error


def _stacked(values: list[Any], what: str) -> Array:
    try:
        array = np.array(values)
    except (ValueError, OverflowError) as error:  # NumPy's word for it, or a number of too many digits
        raise ProbeError(f"{what} has samples of unequal shapes: pad them, or give .npz files in a folder.") from error
    if array.dtype == object:
        raise ProbeError(f"{what} holds something else than numbers or text in some sample.")
    return array
