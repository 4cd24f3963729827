"""What an operator says of itself where it scales and shifts place by place, or normalises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from analyzer.algebra.pattern import Array


@dataclass(frozen=True, slots=True, eq=False)
class Affine:
    """Y is the sum of the computed inputs, each times a stored factor, plus a stored shift: place by place.

    `factors` by input position, and `shift`, are patterns of Y; `summed` are the magnitudes of what the shift is a sum
    of, where it is one. `integers`: one side counts in steps of a scale;
    `rounds`: it is the output.
    """

    factors: Mapping[int, Array]
    shift: Array
    integers: bool = False
    rounds: bool = False
    summed: Array | None = None

    @property
    def passes(self) -> bool:
        """Whether one input comes out as it is."""
        return len(self.factors) == 1 and all((f == 1).all() for f in self.factors.values()) and not self.shift.any()


@dataclass(frozen=True, slots=True)
class Summand:
    """A stored operand that can take what is added to a computed input: its position, and the sign it counts with.

    `per_unit`: it holds one number for each index of axis 1 of that input; else it lies over its last axes.
    """

    position: int
    sign: int = 1
    per_unit: bool = False


@dataclass(frozen=True, slots=True)
class Scaling:
    """What becomes of a call where a computed input lacks a factor f.

    The output lacks f ** power, once the stored operand at `along`, if there is one, is divided by f; or lacks nothing,
    once the stored operand at `takes` is multiplied by f ** power.
    """

    power: float
    along: int | None = None
    takes: int | None = None


@dataclass(frozen=True, slots=True)
class Normalisation:
    """The input positions of the learned scale and shift; `alone`: each unit is normalised by itself.

    `variance` is the position of the variance per unit that was seen in training, where that is stored. `epsilon` is
    added to the variance over the last axis alone, in single precision or more, where mean and variance are taken of it
    and nothing else comes out.
    """

    scale: int
    shift: int | None
    alone: bool = False
    variance: int | None = None
    epsilon: float | None = None
