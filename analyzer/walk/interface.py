"""What the walk says about the model's own inputs and outputs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from math import prod

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.algebra.pattern import Mask, Shape, index_map
from analyzer.facts.audit import LayerVerdicts
from analyzer.facts.model_io import ConstantOutput, UnusedInput
from analyzer.facts.probe_condition import FeatureAxis
from analyzer.ops.context import Call, Context
from analyzer.ops.operator import traits_of
from analyzer.walk.flow import Needs, constants_forward, needs_backward

PREPROCESSING = 16  # nodes between an input and what sums its features


def unused_inputs(
    context: Context, needs: Needs, by_weights: Mapping[str, Constants] | None = None
) -> tuple[UnusedInput, ...]:
    """Input features that no output needs; `by_weights` are the constants where nothing was observed, if known."""
    found = []
    structural: Needs | None = None
    for name in context.graph.inputs:
        shape = _one_sample(context, name)
        if shape is None or context.graph.constant(name) is not None:
            continue
        idle = ~needs.of(name, len(shape))
        if not idle.any() or not prod(shape):
            continue
        axis, indices = _where(idle, shape)
        unused = int(np.broadcast_to(idle, shape).sum())
        if structural is None:  # what is needed when nothing was observed
            structural = needs_backward(context, constants_forward(context, {}) if by_weights is None else by_weights)
        idle_by_weights = bool((idle <= ~structural.of(name, len(shape))).all())
        found.append(UnusedInput(name, shape, prod(shape), unused, axis, indices, idle_by_weights))
    return tuple(found)


def feature_axes(context: Context) -> dict[str, FeatureAxis]:
    """Where each input's features lie: on the axis over which its first reader sums products."""
    axes = {name: _feature_axis(context, name) for name in context.graph.inputs}
    return {name: FeatureAxis(axis, len(context.shapes[name])) for name, axis in axes.items() if axis is not None}


def _feature_axis(context: Context, name: str) -> int | None:
    """Through what scales, shifts or moves the input; None where no product is summed right behind that."""
    passed: list[tuple[Call, int]] = []
    axis = None
    while axis is None and len(passed) < PREPROCESSING and name in context.shapes:
        calls = [(context.by_node[node.index], at) for node, at in context.graph.consumers.get(name, ()) if at >= 0]
        readers = [(call, at) for call, at in calls if call.barrier is None]
        axis = next((a for call, at in readers for a in call.rule.summed_axes(call.op, at)), None)
        follows = [(call, at) for call, at in readers if call.rule.moves or call.rule.affine(call.op) is not None]
        if axis is None and not follows:
            return None
        if axis is None:
            passed.append(follows[0])
            name = follows[0][0].outputs[0]
    for call, at in reversed(passed):
        axis = None if axis is None else _axis_before(call, at, axis)
    return axis


def _axis_before(call: Call, position: int, axis: int) -> int | None:
    """The axis of an operand whose indices are those of this axis of the result."""
    shape = call.op.x_shape(position)
    if not call.rule.moves:
        return axis if shape == call.op.y_shape() else None
    for candidate, length in enumerate(shape):
        places = index_map(call.rule.places(call.op, position, candidate), axis)
        if places is not None and length > 1 and sorted(places.tolist()) == list(range(length)):
            return candidate
    return None


def constant_outputs(
    context: Context,
    facts: Mapping[str, Constants],
    layers: Sequence[LayerVerdicts],
    contradicted: Collection[str] = (),
) -> tuple[ConstantOutput, ...]:
    """Outputs that are constant as a whole or in some units; those that no input reaches are not reported.

    `contradicted` values were seen to move, whatever they are computed from.
    """
    audited = {layer.value: layer for layer in layers}
    moving = _reached(context, facts, {*contradicted, *(layer.value for layer in layers if _moves_a_little(layer))})
    return tuple(_constant_outputs(context, facts, audited, _reached(context, {}), moving))


def _constant_outputs(
    context: Context,
    facts: Mapping[str, Constants],
    audited: Mapping[str, LayerVerdicts],
    reached: set[str],
    moving: set[str],
) -> Iterator[ConstantOutput]:
    for name in context.graph.outputs:
        shape, known = context.shapes.get(name), facts.get(name)
        if shape is None or name not in reached:
            continue
        layer = audited.get(_last_audited(context, name, audited))
        if layer is not None and layer.dead and layer.audited.rank == len(shape):
            whole = len(layer.dead) == layer.units
            structural = layer.dead == layer.structural
            axis = None if whole else layer.audited.axis
            yield ConstantOutput(name, shape, axis, layer.dead, layer.units, structural)
        elif name not in moving:  # everything that it is computed from is constant
            yield ConstantOutput(name, shape, None, (0,), 1, structural=False)
        elif known is not None and known.any:
            axis, indices = _where(np.asarray(known.known), _pattern_shape(context, name, shape))
            units = shape[axis] if axis is not None else max(len(indices), 1)
            yield ConstantOutput(name, shape, None if known.all else axis, indices, units, structural=False)


def _reached(context: Context, facts: Mapping[str, Constants], moving: Collection[str] = ()) -> set[str]:
    """Values that depend on what stands in an input (not on its shape alone), constants taken for cut off."""
    reached = {*context.graph.inputs, *moving}
    for call in context.calls:
        read = any(name in reached for name in (*call.inputs, *call.op.node.captured))
        traits = traits_of(call.op.node)
        if traits.draws or (read and not traits.measures):
            reached.update(name for name in call.outputs if name and not _settled(context, facts, name))
    return reached


def _moves_a_little(layer: LayerVerdicts) -> bool:
    """Whether units that count as constant vary in their last digits, which what follows may make much of."""
    seen = layer.statistics
    return seen is not None and bool((layer.is_dead & (seen.minimum != seen.maximum)).any())


def _settled(context: Context, facts: Mapping[str, Constants], name: str) -> bool:
    found = facts.get(name)
    return name in context.graph.static_values or (found is not None and found.all)


def _last_audited(context: Context, name: str, audited: Mapping[str, LayerVerdicts]) -> str:
    """The audited value whose units are the output's units: back over nodes with one moving input of one shape."""
    shape = context.shapes.get(name)
    while name not in audited:
        producer = context.graph.producer.get(name)
        sources = [] if producer is None else [n for n in producer.inputs if n and context.graph.constant(n) is None]
        if len(sources) != 1 or context.shapes.get(sources[0]) != shape:
            break
        name = sources[0]
    return name


def _one_sample(context: Context, name: str) -> Shape | None:
    """The shape of an input with one sample in it; None where the run did not show it."""
    shape = context.shapes.get(name)
    return None if shape is None else _pattern_shape(context, name, shape)


def _pattern_shape(context: Context, name: str, shape: Shape) -> Shape:
    sample = context.sample_axis(name).axis
    return tuple(1 if axis == sample else length for axis, length in enumerate(shape))


def _where(mask: Mask, shape: Shape) -> tuple[int | None, tuple[int, ...]]:
    """The axis along which the mask varies, and its indices there; else all positions, row-major."""
    varying = [axis for axis, length in enumerate(mask.shape) if length > 1]
    if len(varying) == 1:
        axis = varying[0]
        hit = pattern.per_index(mask, axis, shape[axis], every=True)
        return axis, tuple(np.flatnonzero(hit).tolist())
    return None, tuple(np.flatnonzero(np.broadcast_to(mask, shape)).tolist())
