"""Values within loops, as values of the main graph: stacked over the steps, which are positions like any other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from analyzer.facts.spread import Watched
from analyzer.facts.units import AuditedValue, SampleAxis, ShapeTable
from analyzer.graph import LoadedModel
from analyzer.graph.open_branches import with_steps

_Value = TypeVar("_Value", AuditedValue, Watched)


def over_steps(
    loaded: LoadedModel, shapes: ShapeTable, values: Iterable[str]
) -> tuple[LoadedModel, ShapeTable, dict[str, str]]:
    """The model and its shapes with these values carried out, and the new names of those that lie in loops."""
    inner = [name for name in dict.fromkeys(values) if name in loaded.graph.stepped and name in shapes.shapes]
    if not inner:
        return loaded, shapes, {}
    loops = {name: loaded.graph.stepped[name] for name in inner}
    loaded, stacked = with_steps(loaded, inner)
    known, samples, types = dict(shapes.shapes), dict(shapes.sample_axes), dict(shapes.dtypes)
    dynamic = dict(shapes.dynamic)
    for name, stack in stacked.items():
        steps, at = tuple(shapes.steps.get(key, 1) for key in loops[name]), shapes.sample_axes.get(name)
        known[stack] = (*steps, *shapes.shapes[name])
        samples[stack] = SampleAxis(None) if at is None or at.axis is None else replace(at, axis=at.axis + len(steps))
        dynamic[stack] = frozenset((*range(len(steps)), *(a + len(steps) for a in shapes.dynamic.get(name, ()))))
        if name in shapes.dtypes:
            types[stack] = shapes.dtypes[name]
    return loaded, replace(shapes, shapes=known, sample_axes=samples, dtypes=types, dynamic=dynamic), stacked


def moved(value: _Value, stacked: Mapping[str, str], shapes: ShapeTable) -> _Value:
    """An audited or watched value, with its axes behind the steps where it was carried out of loops."""
    if value.value not in stacked:
        return value
    rank = len(shapes.shapes[stacked[value.value]])
    return replace(value, value=stacked[value.value], axis=value.axis + rank - value.rank, rank=rank)
