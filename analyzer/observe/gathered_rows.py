"""How often each row of some tables is looked up, and each expert is chosen, over a data set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.graph import LoadedModel
from analyzer.graph.reveal import computing
from analyzer.runtime.session import Session


def gathered_rows(
    loaded: LoadedModel,
    ids: Mapping[str, tuple[int, tuple[str, ...]]],
    batches: Iterable[Mapping[str, Array]],
    threads: int | None = None,
    largest: Mapping[str, int] | None = None,
) -> dict[str, Array]:
    """Counts [rows] by table; `ids` gives per table how many rows it has, and the values that hold its ids.

    An id below zero counts from the end, as the look-up takes it. Values of a table in `largest` hold scores [*, rows]
    instead, of which so many choose.
    """
    looked_up, named = computing(loaded, dict.fromkeys(name for _, names in ids.values() for name in names))
    counts = {table: np.zeros(rows, np.int64) for table, (rows, _) in ids.items()}
    with Session(looked_up, threads=threads) as session:
        for feeds in batches:
            seen = session.run(feeds, list(named.values()))
            for table, (rows, names) in ids.items():
                chosen = (largest or {}).get(table)
                for name in names:
                    held = seen[named[name]]
                    flat = (held if chosen is None else places_of_largest(held, chosen)).reshape(-1).astype(np.int64)
                    counts[table] += np.bincount(np.where(flat < 0, flat + rows, flat), minlength=rows)
    return counts


def places_of_largest(scores: Array, chosen: int) -> Array:
    """Where the largest of each row stand; of equal ones the last."""
    backwards = np.argsort(-scores[..., ::-1].astype(np.float64), axis=-1, kind="stable")[..., :chosen]
    return np.asarray(scores.shape[-1] - 1 - backwards)
