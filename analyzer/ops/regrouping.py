"""Whether what is said of one size of the input holds where a Reshape joins axes otherwise at another."""

from __future__ import annotations

from analyzer.algebra import pattern
from analyzer.algebra.pattern import Shape
from analyzer.facts.units import ShapeTable
from analyzer.ops.node import OpNode


def regroups(table: ShapeTable, op: OpNode) -> bool:
    """Whether facts pass between axes that inputs of another size join otherwise.

    No fact varies along an axis whose length changes, and none is cut, so nothing passes between axes of which all
    on one side change; how those are joined does not matter (a single sample does not show it).
    """
    name, made = op.inputs[0], op.outputs[0]
    moving = [table.dynamic.get(n, frozenset()) for n in (name, made)]
    others = [_joined_axes(s.get(name, op.x_shape()), s.get(made, op.y_shape())) for s in table.resized]
    for group in _joined_axes(op.x_shape(), op.y_shape()):
        changed = [free.intersection(axes) for free, axes in zip(moving, group, strict=True)]
        passes = all(len(some) < len(axes) for some, axes in zip(changed, group, strict=True))
        if passes and (any(changed) or any(group not in joined for joined in others)):
            return True
    return False


def _joined_axes(source: Shape, target: Shape) -> list[tuple[list[int], list[int]]]:
    """Which axes become which; axes of length 1 left out."""
    return [(left, right) for left, right in pattern.reshape_groups(source, target) if left and right]
