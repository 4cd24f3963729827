"""What an operator says of how its output moves while its inputs do: where its least and its largest value lie.

An operator whose units are weighted sums, or which scales and shifts, says so elsewhere (`WeightedSum`, `Affine`) and
needs no trend. An engine that bounds values runs the operator itself at the ends that a trend names.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from analyzer.algebra.pattern import Array


class Ends(Enum):
    """Where, between the ends of its computed inputs, every element of an output is least and where it is largest."""

    RISING = "where all inputs are: it never falls while they rise, or while those that it falls with fall"
    EVEN = "where all elements of the first input are nearest to 0, and where they are farthest from it"
    TURNING = "at the ends of the first input, or where it turns, each element by the one at its place"
    CORNERS = "at one of the four corners of two inputs, each element by those at its place"
    ANYWHERE = "nowhere that is named: only what nothing passes is known"
    CHOICE = "wherever one of some inputs is: it is that input, by a choice that is not looked at"


@dataclass(frozen=True, slots=True)
class Curvature:
    """How far a function is from straight: its slope changes by no more than `most` where its number changes by one,
    and beyond `reach` on either side of 0 it lies between a straight line and the same line `tail` higher.
    """

    most: float
    reach: float = np.inf
    tail: float = 0.0

    def away(self, low: Array, high: Array) -> Array:
        """How far it may be, between two numbers, from the line through its values there."""
        with np.errstate(over="ignore", invalid="ignore"):
            inside = np.asarray(self.most * (high - low) ** 2 / 8)
        beyond = (low >= self.reach) | (high <= -self.reach)
        return np.where(beyond, np.fmin(inside, self.tail), np.where(low < high, inside, 0.0))


STRAIGHT = Curvature(0.0, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Trend:
    """How the first output, or each output of an operator that moves elements, depends on the computed inputs.

    `falls`: inputs with which it falls. `turns`: where it turns. `choices`: what is chosen from. `divisor`: an input
    that may not be 0 in between. `within`: what the first input can be where the result is a number. `spelled`: an
    input that spells out the output's lengths, which are known.

    What onnxruntime computes may be off by `relative` times the magnitude of the result, `scaled` times that of the
    first input, and `absolute`; by as many roundings of the result for the inputs' magnitudes as there are `terms` that
    are summed (0: it is exact). `low` and `high` are numbers, or patterns of the output, that nothing computed passes,
    whatever is fed; `formula`: nothing by the formula, but what is computed may. `selects`: all elements that come out
    are those of computed inputs.

    `bends`: between these places each element is a function of the first input's element at its place that is straight,
    or no further from straight than its `curvature`; None where nobody says so. `linear`: each is a sum of elements of
    the first input, times numbers that nothing fed changes and that are not below 0. `steepest`: no element moves
    further than so many times the farthest that an element of the computed inputs does; along axes on which units stay
    separate, an element of its own unit.
    """

    ends: Ends = Ends.RISING
    falls: tuple[int, ...] = ()
    turns: tuple[float, ...] = ()
    choices: tuple[int, ...] = ()
    divisor: int | None = None
    within: tuple[float, float] = (-np.inf, np.inf)
    spelled: int | None = None
    terms: int = 0
    relative: float = 0.0
    scaled: float = 0.0
    absolute: float = 0.0
    low: float | Array = -np.inf
    high: float | Array = np.inf
    formula: bool = False
    selects: bool = False
    bends: tuple[float, ...] | None = None
    curvature: Curvature = STRAIGHT
    linear: bool = False
    steepest: float | None = None

    @property
    def computes_nothing(self) -> bool:
        """Whether what comes out goes in, or is stored, but for its sign or for being rounded to a whole number."""
        return self.ends in (Ends.RISING, Ends.CHOICE, Ends.EVEN) and not any(
            (self.terms, self.relative, self.scaled, self.absolute)
        )

    @property
    def exact(self) -> bool:
        """Whether nothing comes out but what goes in, or a stored number."""
        return self.computes_nothing and self.ends is not Ends.EVEN


EXACT = Trend()
SELECTS = Trend(selects=True)
LARGEST_OF = Trend(selects=True, steepest=1.0)  # or the smallest of
WITHIN_ONE = Trend(Ends.ANYWHERE, low=-1.00001, high=1.00001)  # onnxruntime's tanh passes 1 by a last digit
UNIT = 2.0**-23  # a last digit in single precision
SLACK = 1e-6  # more than onnxruntime's exp, erf, tanh and their like are off by, as they were measured
LEAST_NORM = 1e-18  # squares of smaller numbers are lost in single precision
