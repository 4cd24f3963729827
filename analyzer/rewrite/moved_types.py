"""By which element type's rounding the outputs of a cut model may differ from the original's."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from analyzer.facts.tolerances import REORDERED
from analyzer.graph import Graph, Node
from analyzer.graph.coarsest import coarsest_types


def types_after_cut(original: Graph, rewritten: Graph, dtypes: Mapping[str, str]) -> Mapping[str, str]:
    """For each value the coarsest type on the way from what a cut changed: halves before that round both alike.

    `dtypes` are NumPy names of the original's element types. Weights are held against each other only where it matters.
    """
    anyhow = coarsest_types(original, dtypes)
    if not any(REORDERED.get(coarsest, 0.0) > REORDERED.get(dtypes.get(n, ""), 0.0) for n, coarsest in anyhow.items()):
        return {}
    return coarsest_types(rewritten, dtypes, partial(_changed, original, rewritten))


def _changed(original: Graph, rewritten: Graph, node: Node) -> bool:
    """Whether a node computes something else of the same inputs."""
    before = next((original.producer[name] for name in node.outputs if name in original.producer), None)
    if before is None or (before.qualified_type, before.outputs) != (node.qualified_type, node.outputs):
        return True
    if len(before.inputs) != len(node.inputs) or before.attributes.keys() != node.attributes.keys():
        return True
    if not all(np.array_equal(value, before.attributes[name]) for name, value in node.attributes.items()):
        return True
    return any(not _same(original, rewritten, *names) for names in zip(before.inputs, node.inputs, strict=True))


def _same(original: Graph, rewritten: Graph, before: str, now: str) -> bool:
    one, two = original.constant(before), rewritten.constant(now)
    if one is None or two is None:
        return before == now and one is two
    return one.shape == two.shape and np.array_equal(one, two)
