"""What must hold for every graph that is pruned, whatever it looks like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx

import analyzer
from analyzer import Audit, Pruned
from tests.models import session
from tests.random_graphs.generator import Made

Array = np.ndarray[Any, np.dtype[Any]]
TOLERANCE = 5e-5
SMALLEST_SCALE = 1e-3


def outputs(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> list[Array]:
    """The outputs for every sample, one at a time, on exactly the nodes of the model."""
    running, samples = session(model), len(next(iter(feeds.values())))
    runs = [running.run(None, {n: a[i : i + 1] for n, a in feeds.items()}) for i in range(samples)]
    return [np.concatenate(arrays) for arrays in zip(*runs, strict=True)]


def agree(one: list[Array], two: list[Array]) -> None:
    """Equal up to the rounding of another order of summation."""
    for a, b in zip(one, two, strict=True):
        assert a.shape == b.shape
        allowed = TOLERANCE * max(float(np.abs(a).max(initial=0)), 1e-6)
        assert float(np.abs(a.astype(np.float64) - b).max(initial=0)) <= allowed


def prune_obeys(made: Made, *, fresh: bool = True) -> Pruned | None:
    """Exact on the probe, by the weights alone exact everywhere, never larger, and done after once.

    None for a graph whose outputs are nothing but rounding: there is no scale to hold a difference against.
    """
    before = made.model.SerializeToString(deterministic=True)
    expected = outputs(made.model, made.probe)
    if any(0 < float(np.abs(a).max(initial=0)) < SMALLEST_SCALE for a in expected):
        return None
    audit = analyzer.audit(made.model, made.probe)
    pruned = audit.prune(latency=False)
    assert made.model.SerializeToString(deterministic=True) == before
    small = onnx.ModelProto.FromString(pruned.data)
    onnx.checker.check_model(small, full_check=True)
    agree(expected, outputs(small, made.probe))
    assert pruned.facts.after.parameters <= pruned.facts.before.parameters
    assert pruned.facts.after.multiply_adds <= pruned.facts.before.multiply_adds
    assert pruned.changed or pruned.data == before
    masks_describe(pruned, made.model, small)
    again = analyzer.audit(pruned.data, made.probe)
    if not newly_dead(audit, pruned, again):
        repeated = again.prune(latency=False)
        assert not repeated.changed, repeated.facts.removed_units
    if fresh:
        structural = analyzer.prune(made.model, latency=False)
        agree(outputs(made.model, made.fresh), outputs(onnx.ModelProto.FromString(structural.data), made.fresh))
    return pruned


def masks_describe(pruned: Pruned, before: onnx.ModelProto, after: onnx.ModelProto) -> None:
    """A weight that one node reads has as many elements left as its mask says, unless it was spread over more axes."""
    readers = Counter(name for node in before.graph.node for name in node.input)
    left = {t.name: t for t in after.graph.initializer}
    masks = pruned.masks() if pruned.changed else {}
    for tensor in before.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or not tensor.dims or readers[tensor.name] != 1:
            continue
        kept = int(masks[tensor.name].sum()) if tensor.name in masks else int(np.prod(tensor.dims))
        if tensor.name not in left:
            assert not kept, tensor.name
        elif len(left[tensor.name].dims) == len(tensor.dims):
            assert int(np.prod(left[tensor.name].dims)) == kept, tensor.name


def newly_dead(audit: Audit, pruned: Pruned, again: Audit) -> bool:
    """Whether units that hardly vary became constant by another rounding: those may go the next time."""
    before = {layer.value: layer for layer in audit.layers}
    for layer in again.layers:
        if layer.value not in before:
            continue
        gone = set(pruned.facts.removed_units.get(layer.value, ()))
        left = [unit for unit in range(before[layer.value].units) if unit not in gone]
        observed = set(layer.dead) - set(layer.structural)
        if len(left) != layer.units or not {left[unit] for unit in observed} <= set(before[layer.value].dead):
            return True
    return False
