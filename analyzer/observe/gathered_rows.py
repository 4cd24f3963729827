"""How often each row of some tables is looked up, over a data set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.graph import Editor, LoadedModel
from analyzer.runtime.session import Session


def gathered_rows(
    loaded: LoadedModel,
    ids: Mapping[str, tuple[int, tuple[str, ...]]],
    batches: Iterable[Mapping[str, Array]],
    threads: int | None = None,
) -> dict[str, Array]:
    """Counts [rows] by table; `ids` gives per table how many rows it has, and the values that hold its ids.

    An id below zero counts from the end, as the look-up takes it.
    """
    editor = Editor(loaded.copy())
    editor.clear_outputs()
    named = {name: editor.add("Identity", [name]) for name in {name for _, names in ids.values() for name in names}}
    editor.output(*named.values())
    editor.finish()
    counts = {table: np.zeros(rows, np.int64) for table, (rows, _) in ids.items()}
    with Session(editor.loaded, threads=threads) as session:
        for feeds in batches:
            seen = session.run(feeds, list(named.values()))
            for table, (rows, names) in ids.items():
                for name in names:
                    flat = seen[named[name]].reshape(-1).astype(np.int64)
                    counts[table] += np.bincount(np.where(flat < 0, flat + rows, flat), minlength=rows)
    return counts
