"""The cut that is made by default, as an audit promises it: made only where it takes anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from analyzer.api.unit_order import Base, reordered
from analyzer.facts.choice import Choice
from analyzer.facts.units import ShapeTable
from analyzer.graph import LoadedModel
from analyzer.walk import Walk
from analyzer.walk.parameters import count_parameters


def planned(
    loaded: LoadedModel, shapes: ShapeTable, walked: Walk, measure: Callable[[LoadedModel], ShapeTable]
) -> Walk:
    """The walk of the cut that is made by default, net of what it adds and with what later cuts take."""
    base, chosen = reordered(Base(loaded, shapes), walked, walked.layers, Choice())
    if not takes_something(chosen):
        return walked
    from analyzer.api.cutting import default_cut

    default = default_cut(base, chosen, loaded, shapes, walked.layers, measure)
    return replace(default.walk, left=count_parameters(default.smaller.graph))


def takes_something(chosen: Walk) -> bool:
    """Whether the cut takes anything of what is stored, or any node that computes."""
    keeps, graph = chosen.closure.keeps, chosen.context.graph
    for name in graph.initializer_names:
        if graph.consumers.get(name) and name in keeps and not all(v.all() for v in keeps.vectors(name)):
            return True
    return len(chosen.closure.nodes) < len(chosen.context.calls)
