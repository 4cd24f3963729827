"""One context for each view of a graph and each state of what was measured of it."""

from __future__ import annotations

from analyzer.facts.units import ShapeTable
from analyzer.graph import Graph
from analyzer.ops.context import Context

#: What calls are made of; whatever else a table says is asked of the table itself.
_READ_OF_TABLE = (
    *("shapes", "sample_axes", "dtypes", "scrambled", "dynamic", "resized", "measured"),
    *("steps", "taken", "varying"),
)


def context_of(graph: Graph, table: ShapeTable) -> Context:
    """The context of a view, which never changes, and a table; built once for tables that say the same of shapes."""
    known: Context | None = graph.derived.get(Context)
    if known is None or any(getattr(known.table, name) is not getattr(table, name) for name in _READ_OF_TABLE):
        known = graph.derived[Context] = Context(graph, table)
    if known.table is table:
        return known
    again = Context.__new__(Context)
    again.__dict__.update(known.__dict__, table=table)
    return again
