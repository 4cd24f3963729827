"""Data sets of Ray Data: read by Ray's own readers, handed over in their order, a batch of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.probes.foreign_arrays import as_array

_ROWS = 256  # of a batch, however many samples a feed has


def is_ray_dataset(data: object) -> bool:
    """Whether it is one; Ray is not imported for the question."""
    kind = type(data)
    return kind.__module__.partition(".")[0] == "ray" and hasattr(kind, "iter_batches")


def read_batches(dataset: Any) -> Iterator[dict[str, Array]]:
    """Columns by name, a batch at a time; rows whose arrays differ in shape come singly.

    Ray hands blocks over as they become ready, unless it is told to keep their order: what a sample's number is depends
    on it.
    """
    options = dataset.context.execution_options
    before, options.preserve_order = options.preserve_order, True
    try:
        for batch in dataset.iter_batches(batch_size=_ROWS, batch_format="numpy"):
            yield from _even(batch)
    finally:
        options.preserve_order = before


def _even(batch: dict[str, Array]) -> Iterator[dict[str, Array]]:
    columns = {name: _stacked(column) for name, column in batch.items()}
    if all(column is not None for column in columns.values()):
        yield {name: column for name, column in columns.items() if column is not None}
        return
    for row in range(len(next(iter(batch.values())))):
        yield {name: as_array(column[row], f"Column '{name}'")[np.newaxis] for name, column in batch.items()}


def _stacked(column: Array) -> Array | None:
    """One array of a column whose entries are arrays; None where their shapes differ."""
    if column.dtype != object or not len(column) or not isinstance(column[0], np.ndarray):
        return column
    return np.stack([*column]) if len({entry.shape for entry in column}) == 1 else None
