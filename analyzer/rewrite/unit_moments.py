"""Mean and variance of single units over a data set: what a lossy cut puts in their place, what centres fresh ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.graph import LoadedModel
from analyzer.graph.reveal import showing
from analyzer.runtime.session import Session


def unit_moments(
    loaded: LoadedModel, axes: Mapping[str, int], batches: Iterable[Mapping[str, Array]], threads: int | None = None
) -> dict[str, tuple[Array, Array]]:
    """Mean and variance of every unit of these values, over all samples and positions.

    `axes` gives each value's unit axis.
    """
    sums = dict.fromkeys(axes, (np.zeros(()), np.zeros(())))
    counts = dict.fromkeys(axes, 0)
    with Session(showing(loaded, axes), threads=threads) as session:
        for feeds in batches:
            for value, array in session.run(feeds, list(axes)).items():
                others = tuple(a for a in range(array.ndim) if a != axes[value] % array.ndim)
                numbers, (total, squares) = array.astype(np.float64), sums[value]
                sums[value] = total + numbers.sum(axis=others), squares + np.square(numbers).sum(axis=others)
                counts[value] += array.size // array.shape[axes[value]]
    moments = {}
    for value, (total, squares) in sums.items():
        mean = total / max(counts[value], 1)
        moments[value] = mean, np.maximum(squares / max(counts[value], 1) - np.square(mean), 0.0)
    return moments
