"""One context for each view of a graph and each state of what was measured of it."""

from __future__ import annotations

from dataclasses import fields

from analyzer.facts.units import ShapeTable
from analyzer.graph import Graph
from analyzer.ops.context import Context

#: What no call is made of: it is asked of the table itself.
_NOT_READ = {"samples", "batchable", "may_mix", "stated", "free_inputs", "mixed", "scaled_together", "contradicted"}
_READ = tuple(field.name for field in fields(ShapeTable) if field.name not in _NOT_READ)


def context_of(graph: Graph, table: ShapeTable) -> Context:
    """The context of a view, which never changes, and a table; built once for tables that say the same of shapes."""
    known: Context | None = graph.derived.get(Context)
    if known is None or any(getattr(known.table, name) is not getattr(table, name) for name in _READ):
        known = graph.derived[Context] = Context(graph, table)
    if known.table is table:
        return known
    again = Context.__new__(Context)
    again.__dict__.update(known.__dict__, table=table)
    return again
