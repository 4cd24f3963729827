"""Which rows of embeddings the data gathers: the tables from the walk, the counts from a pass over the data."""

from __future__ import annotations

from functools import partial

from analyzer.algebra.pattern import Array
from analyzer.api.options import Run
from analyzer.errors import InputError
from analyzer.facts.audit import AuditFacts
from analyzer.facts.choice import Choice
from analyzer.facts.vocabulary import GatheredRows
from analyzer.graph import LoadedModel
from analyzer.observe.gathered_rows import gathered_rows
from analyzer.ops.context import Context
from analyzer.probes.probe import Probe
from analyzer.walk.lookups import tables


def check_countable(probe: Probe | None, holdout: Probe | None, counted: str) -> None:
    """Refuse data over which that cannot be counted, before the long work.

    Raises:
        InputError: there is none that could show it, or it can be read only once.
    """
    if probe is None or probe.random:
        raise InputError(f"Which {counted} only real data shows: give a probe.")
    for data in (probe, holdout):
        if data is not None and data.one_shot:
            raise InputError(
                f"{data.source} can be read only once, and which {counted} is counted in a further pass: give a list, "
                "or a function that returns a new generator at every call."
            )


def gathered_tables(
    loaded: LoadedModel, context: Context, probe: Probe, holdout: Probe | None, run: Run
) -> tuple[GatheredRows, ...]:
    """The tables that are looked up by ids of the data, and how often each row is."""
    found = tables(context)
    if not found:
        return ()
    ids = {table.name: (table.rows, tuple(dict.fromkeys(i for _, i, _ in table.lookups))) for table in found}
    count = partial(_counts, loaded, ids, run)
    seen, held = count(probe), None if holdout is None else count(holdout)
    return tuple(
        GatheredRows(
            table=table.name,
            outputs=tuple(output for output, _, _ in table.lookups),
            counts=seen[table.name],
            numbers=table.numbers,
            needed=table.needed,
            holdout=None if held is None else held[table.name],
            itemsize=table.itemsize,
            inputs=tuple(dict.fromkeys(name for _, _, name in table.lookups)),
        )
        for table in found
    )


def rows_that_may_go(audit: AuditFacts, choice: Choice) -> tuple[list[GatheredRows], list[str]]:
    """The embeddings that lose rows, and what is said of those that stay whole, as they have no row for the unseen id.

    Raises:
        InputError: the rows were not counted; no embedding has such an id; or the holdout needs other rows.
    """
    if not choice.vocabulary:
        return [], []
    if audit.vocabulary is None:
        raise InputError("The audit did not count which rows of embeddings are gathered: audit with vocabulary=True.")
    found = [t for t in audit.vocabulary if choice.takes_rows(t, audit.probe.samples if audit.probe else 0)]
    if choice.unseen_id is not None:
        return _with_row_for(choice.unseen_id, found)
    for table in found:
        if table.new_on_holdout:
            raise InputError(
                f"The holdout looks up rows of {table.table} that the probe never does ({table.new_on_holdout} times): "
                "give a probe that holds them, or an id that further ones are read as (--unseen-id ID). "
                "Nothing was written."
            )
    return found, []


def _with_row_for(unseen_id: int, tables: list[GatheredRows]) -> tuple[list[GatheredRows], list[str]]:
    """The tables that have this id, and what is said of the others, which stay whole."""
    without = [f"{table.table} has ids 0 to {table.rows - 1}" for table in tables if table.rows <= unseen_id]
    if without and len(without) == len(tables):
        raise InputError(f"unseen_id is {unseen_id}: {', '.join(without)}.")
    notes = [f"{which}, so it has no row for --unseen-id {unseen_id} and stays whole." for which in without]
    return [table for table in tables if table.rows > unseen_id and table.lost(unseen_id)], notes


def _counts(
    loaded: LoadedModel, ids: dict[str, tuple[int, tuple[str, ...]]], run: Run, probe: Probe
) -> dict[str, Array]:
    """Sample by sample, as any model takes them; only what leads from the inputs to the ids is run."""
    return gathered_rows(loaded, ids, (batch.feeds for batch in probe.batches(probe.step)), run.threads)
