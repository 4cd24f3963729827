"""Whether the shapes of a call fit together where no run showed them: its rule is tried on them."""

from __future__ import annotations

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.algebra.growth import Growth
from analyzer.algebra.pattern import Shape
from analyzer.ops.node import OpNode
from analyzer.ops.operator import Operator


def fit_together(rule: Operator, node: OpNode) -> bool:
    """Whether the rule can speak for the call: it raises nothing, and what it says has the shapes of the values.

    Rules rely on a run that onnxruntime did not refuse. Shape inference checks less: it lets a Reshape make eight
    elements of six.
    """
    try:
        if rule.unsupported(node) is None:
            _try_facts(rule, node)
            _try_axes(rule, node)
    except (ArithmeticError, LookupError, TypeError, ValueError):
        return False
    return True


def _try_facts(rule: Operator, node: OpNode) -> None:
    ranks = [len(shape or ()) for shape in node.in_shapes]
    asked = [pattern.uniform(len(shape or ()), True) for shape in node.out_shapes]
    for number in (None, 0.0, 1.0):
        xs = [
            Constants.exactly(array)
            if array is not None and array.dtype.kind not in "SUO"
            else Constants(pattern.uniform(rank, number is not None), np.full((1,) * rank, number or 0.0))
            for array, rank in zip(node.statics, ranks, strict=True)
        ]
        ys = rule.constants(node, xs)
        for y, shape in zip(ys, node.out_shapes, strict=False):
            _check(y.known.shape, shape)
            _check(np.shape(y.number), shape)
        for mask, shape in zip(rule.needs(node, asked, xs, ys), node.in_shapes, strict=True):
            _check(mask.shape, shape)
    affine, total = rule.affine(node), rule.weighted_sum(node)
    for array in () if affine is None else (affine.shift, *affine.factors.values()):
        _check(array.shape, node.y_shape())
    if total is not None and total.rows is not None and total.axis is not None and total.unit_axis is not None:
        rows = node.y_shape()[total.unit_axis], node.x_shape(total.data)[total.axis] // total.groups
        if rows != total.rows.shape[:2]:
            raise ValueError("a weight of another size")
    rule.normalisation(node), rule.activation(node), rule.clips(node)


def _try_axes(rule: Operator, node: OpNode) -> None:
    named = (*zip(node.inputs, node.in_shapes, strict=True), *zip(node.outputs, node.out_shapes, strict=True))
    shapes = {name: shape for name, shape in named if name and shape is not None}
    axes, keeps = rule.axes(node), Growth(shapes)
    axes.ties(keeps)
    for name in shapes:
        keeps.pin(name)
    axes.ties(keeps)
    axes.units({name: frozenset(range(len(shape))) for name, shape in shapes.items()})


def _check(given: Shape, shape: Shape | None) -> None:
    """A pattern has the rank of its value, and along each axis its length or 1."""
    if shape is not None and (len(given) != len(shape) or np.broadcast_shapes(given, shape) != shape):
        raise ValueError("a pattern of another shape")
