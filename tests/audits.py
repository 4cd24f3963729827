"""The walk over small models, with verdicts taken straight from what onnxruntime shows for every value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
import onnx_ir as ir

from analyzer.facts.audit import LayerVerdicts
from analyzer.facts.evidence import Evidence
from analyzer.facts.units import AuditedValue, SampleAxis, ShapeTable
from analyzer.rewrite.shrink import shrink
from analyzer.runtime.loading import load_model
from analyzer.shapes.sample_rows import grown_axis
from analyzer.units import select_units
from analyzer.walk import Walk, walk
from tests.models import Array, Feeds, all_values, run


def table_of(model: onnx.ModelProto, feeds: Feeds) -> ShapeTable:
    """Shapes for one sample, and the axes that grow with a second one; samples lie along axis 0 of the feeds."""
    one, two = (all_values(model, {n: a[:count] for n, a in feeds.items()}) for count in (1, 2))
    shapes = {n: a.shape for n, a in one.items()}
    axes = {n: grown_axis(s, two[n].shape) or SampleAxis(None) for n, s in shapes.items()}
    return ShapeTable(shapes, axes, 1, {n: one[n].dtype.name for n in shapes})


def judged(audited: AuditedValue, seen: Array) -> LayerVerdicts:
    """The units that are one constant in everything that was seen."""
    rows = np.moveaxis(seen, audited.axis, 0).reshape(audited.units, -1)
    still = rows.min(axis=1) == rows.max(axis=1)
    return LayerVerdicts(audited, still * np.uint8(Evidence.OBSERVED.code), np.where(still, rows[:, 0], np.nan))


def audited(model: onnx.ModelProto, feeds: Feeds) -> Walk:
    """The walk over the model with the units that are dead on these feeds."""
    graph, table = load_model(model).graph, table_of(model, feeds)
    values = all_values(model, feeds)
    return walk(graph, table, [judged(a, values[a.value]) for a in select_units(graph, table)])


@dataclass(frozen=True)
class Pruned:
    """The walk, the smaller model, and by how much it differs on the feeds."""

    walk: Walk
    model: onnx.ModelProto
    difference: float

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a stored tensor of the smaller model; () when it is gone."""
        return next((tuple(t.dims) for t in self.model.graph.initializer if t.name == name), ())

    def reasons(self, value: str) -> dict[str, tuple[int, ...]]:
        """Reason -> units of a value that stay for it."""
        return {locked.reason: locked.units for locked in self.walk.locked if locked.value == value}


def pruned(model: onnx.ModelProto, feeds: Feeds) -> Pruned:
    """Audit, cut, and hold the smaller model against the original."""
    return _compared(model, audited(model, feeds), feeds)


def pruned_unseen(model: onnx.ModelProto, feeds: Feeds, fresh: Feeds) -> Pruned:
    """Cut what the weights alone decide, and hold the smaller model against the original on other data."""
    graph, table = load_model(model).graph, table_of(model, feeds)
    return _compared(model, walk(graph, table, [LayerVerdicts.unseen(a) for a in select_units(graph, table)]), fresh)


def _compared(model: onnx.ModelProto, found: Walk, feeds: Feeds) -> Pruned:
    small = ir.to_proto(shrink(load_model(model), found.context, found.cut)[0].model)
    before, after = run(model, feeds), run(small, feeds)
    difference = max(float(np.abs(before[n].astype(np.float64) - after[n]).max()) for n in before)
    return Pruned(found, small, difference)
