"""Lines of JSON as probe data: one sample per line, as an object by name or as a list."""

from __future__ import annotations

import json
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.errors import ProbeError
from analyzer.probes.memory import check_size
from analyzer.probes.skipped import Skipped

SUFFIXES = (".jsonl", ".ndjson")
_NUMBER_BYTES = 8  # what a parsed number takes, against at least two characters in the file


def read_json_lines(path: Path, skipped: Skipped) -> dict[str, Array] | Array:
    """All samples in one array for each name; one array where lines are lists.

    Raises:
        OSError: unreadable.
        ProbeError: a line is no JSON, lines do not agree with each other, or a sample is ragged. Where broken ones may
            be left out, those that differ from most go.
    """
    check_size(_NUMBER_BYTES * path.stat().st_size // 2, path.name)
    samples = [*_samples(path, skipped)]
    if not samples:
        raise ProbeError(f"{path.name} holds no lines: {skipped.all_of_it or 'give the model at least one sample'}.")
    if all(isinstance(sample, list) for sample in samples):
        return _stacked(samples, path.name)
    names = samples[0].keys() if isinstance(samples[0], dict) else ()
    for number, sample in enumerate(samples, start=1):
        if not isinstance(sample, dict) or sample.keys() != names:
            raise ProbeError(f"{path.name}: sample {number} has other names than the first: give all the same.")
    return {name: _stacked([sample[name] for sample in samples], f"{path.name}: '{name}'") for name in names}


def _samples(path: Path, skipped: Skipped) -> list[Any]:
    where = f"{path.name}: line"
    with path.open("rb") as lines:
        full = ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
        parsed = {
            number: skipped.read(f"line {number}", partial(_parsed, line, f"{where} {number}"), f"{where} {number}")
            for number, line in full
        }
    samples = {number: sample for number, sample in parsed.items() if sample is not None}
    if skipped.allowed:
        forms = {number: _form(sample) for number, sample in samples.items()}
        usual = Counter(forms.values()).most_common(1)[0][0] if forms else ""
        odd = {number for number, form in forms.items() if form != usual}
        for number in sorted(odd):
            skipped.leave_out(f"line {number}", "has other names or lengths than most lines")
        samples = {number: sample for number, sample in samples.items() if number not in odd}
    return [*samples.values()]


def _parsed(line: bytes, where: str) -> Any:
    try:
        sample = json.loads(line)
    except (ValueError, RecursionError) as error:  # no UTF-8 among them
        raise ProbeError(f"{where} is no JSON: give one sample per line.") from error
    return [] if sample is None else sample


def _form(sample: Any) -> str:
    """What samples have in common that can be fed together."""
    try:
        shapes = {name: np.shape(value) for name, value in sorted(sample.items())} if isinstance(sample, dict) else ()
        return str(shapes or np.shape(sample))
    except (ValueError, OverflowError):  # ragged
        return ""


def _stacked(values: list[Any], what: str) -> Array:
    try:
        array = np.array(values)
    except (ValueError, OverflowError) as error:  # NumPy's word for it, or a number of too many digits
        raise ProbeError(f"{what} has samples of unequal shapes: pad them, or give .npz files in a folder.") from error
    if array.dtype == object:
        raise ProbeError(f"{what} holds something else than numbers or text in some sample.")
    return array
