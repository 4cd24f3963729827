"""Which values may have other lengths for other inputs of the same lengths: what is added up there is not counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from analyzer.algebra.pattern import Shape
from analyzer.graph import Node
from analyzer.ops.operator import traits_of


def with_free_lengths(nodes: Iterable[Node], varying: Iterable[str], shapes: Mapping[str, Shape]) -> frozenset[str]:
    """The values whose lengths follow from the numbers in `varying`, and all that are computed of such values.

    `nodes` in topological order. `shapes` are what one sample showed: how many numbers are not 0 is another for others.
    """
    moving, free = {*varying}, set[str]()
    for node in nodes:
        traits, outputs = traits_of(node), {name for name in node.outputs if name}
        read = {name for name in (*node.inputs, *node.captured) if name}
        if traits.measures:
            moving |= outputs if read & free else set()
            continue
        decide = {name for place, name in enumerate(node.inputs) if place in traits.lengths_from} | {*node.captured}
        if read & free or (decide & moving and not _alike(node, shapes)):
            free |= outputs
        if read & moving or traits.draws:
            moving |= outputs
    return frozenset(free)


def _alike(node: Node, shapes: Mapping[str, Shape]) -> bool:
    """Whether this is a choice between branches that give out values of the same shapes."""
    if not node.key:
        return False
    given = [
        [shapes.get(name) for name in node.inputs[1 + place :: len(node.outputs)]] for place in range(len(node.outputs))
    ]
    return all(None not in branches and len({*branches}) == 1 for branches in given)
