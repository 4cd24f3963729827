"""What a walk hands to a rewrite: what stays, what is constant, which nodes remain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce

import numpy as np

from analyzer.algebra.constants import Constants
from analyzer.algebra.keeps import Keeps
from analyzer.algebra.pattern import Array, Mask, Shape


@dataclass(frozen=True, slots=True)
class Reordered:
    """What lies in another order than in the original: `places` say, per stored tensor and in its shape, which element
    of the original each one is; the nodes called `nodes` were added to put values back into order. What is cut gives
    `values`, and what is stored for them, in another order still.
    """

    places: Mapping[str, Array] = field(default_factory=dict)
    nodes: frozenset[str] = frozenset()
    values: frozenset[str] = frozenset()

    def original(self, name: str, mask: Mask) -> Mask:
        """A mask of a stored tensor in the original's order."""
        if name not in self.places:
            return mask
        original = np.empty_like(mask)
        original.reshape(-1)[self.places[name]] = mask
        return original

    def joined(self, after: Reordered) -> Reordered:
        """What lies in another order once more was put into order; no tensor is moved twice."""
        return Reordered({**self.places, **after.places}, self.nodes | after.nodes)


AS_STORED = Reordered()


@dataclass(frozen=True, slots=True)
class CutPlan:
    """`live` are indices of nodes that stay; `materialized` values that a stored constant replaces."""

    keeps: Keeps
    facts: Mapping[str, Constants]
    live: frozenset[int]
    materialized: frozenset[str]
    reordered: Reordered = AS_STORED


def elements_kept(keeps: Keeps, name: str, shape: Shape) -> Mask:
    """Which elements of a value stay, in its shape: those whose index stays on every axis."""
    mask: Mask = reduce(np.multiply.outer, keeps.vectors(name))
    return mask if keeps.alive(name) else np.zeros(shape, np.bool_)
