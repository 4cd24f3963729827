"""What an operator says of itself where it sends each token through a few of several experts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from analyzer.algebra.pattern import Array
from analyzer.graph import Node


@dataclass(frozen=True, slots=True, eq=False)
class Stacked:
    """Experts whose weights are stacked, along the first axis of the inputs `weights`, as far as they are given.

    Of each row of the input `scores` [tokens, experts] the `chosen` largest take part, of equal ones the last; they
    weigh what a softmax over the whole row makes of the scores, or (`renormalised`) over those that take part.
    `settled` are experts that give one constant whatever they read, by their number.
    """

    scores: int
    weights: tuple[int, ...]
    chosen: int
    renormalised: bool
    settled: Mapping[int, Array] = field(default_factory=dict)

    def stored(self, node: Node) -> dict[int, str]:
        """The weights that are given, by position."""
        return {p: node.inputs[p] for p in self.weights if p < len(node.inputs) and node.inputs[p]}
