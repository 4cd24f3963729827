"""Yes-or-no facts that an operator states about itself; the default of each is the unsafe answer.

Engines ask for traits and never for an operator's name, so an operator that nobody described loses a saving, never
correctness. Each trait is a law that is tried against onnxruntime.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace
from typing import Any


class _Everything:
    """Contains whatever it is asked about."""

    def __contains__(self, item: object) -> bool:
        return True

    def __repr__(self) -> str:
        return "EVERY"


EVERY: Container[Any] = _Everything()
NONE: Container[Any] = ()
SPATIAL = range(2, 1 << 16)  # axes behind batch and channel
SINGLE_OR_DOUBLE = ("float32", "float64")


@dataclass(frozen=True, slots=True)
class Traits:
    """What holds for every call of an operator; `Operator.traits` may say more of one call."""

    #: A last digit of a finite operand can become a step of the first result: comparing, rounding, dividing by zero.
    jumps: bool = True
    #: Two runs on the same inputs may differ.
    draws: bool = True
    #: Element types in which exact operands give the very result of the formula, rounded to the type once.
    exact_in: Container[str] = NONE
    #: Inputs whose values, not only their shapes, decide how long outputs are.
    lengths_from: Container[int] = EVERY
    #: Axes, of the first input and the output alike, on which the output's length is a rounded quotient or has a limit,
    #: so that two lengths may give the same one and a position may be seen by no window; below zero from the last axis
    #: on. None: any axis of any output.
    windows: Container[int] | None = None
    #: Inputs whose every NaN shows in the first output (where windows see every position).
    carries_nan: Container[int] = NONE
    #: Inputs whose every infinity shows there as an infinity or a NaN.
    carries_infinity: Container[int] = NONE
    #: The largest entry of each channel is that of the first input (where windows see every position).
    keeps_maximum: bool = False
    #: The first output holds every element of the first input, or the outputs together do.
    keeps_elements: bool = False
    #: Puts its inputs one after another.
    joins: bool = False
    #: Reads how large its input is, never what it holds.
    measures: bool = False
    #: The output lists the lengths of the input's axes.
    lists_lengths: bool = False
    #: The input that spells out the output's lengths, where the output may be cut by spelling them anew.
    target: int | None = None
    #: Which axes become which follows from lengths, so other lengths may join other axes.
    regroups: bool = True
    #: Inputs that say where or how much, not what: whole numbers stored there are no parameters.
    geometry: Container[int] = NONE
    #: Inputs in which each byte packs `8 / bits` numbers.
    packed: Container[int] = NONE
    #: Of these one whose last bytes may be filled up, and the attributes whose product is how many numbers it holds.
    filled_up: tuple[int, tuple[str, ...]] | None = None
    #: A length, an index or a mask that goes in may be one that comes out: moves, joins, arithmetic.
    passes_geometry: bool = False
    #: Results come in steps of a scale, so that another last digit may become a step.
    quantises: bool = False
    #: The scale of these steps is found in the first input as a whole: samples influence each other, by a step at most.
    shares_scale: bool = False
    #: Products are summed: multiply-adds, whose number is not known unless letters or a description tell.
    sums_products: bool = True

    def limits(self, axis: int, rank: int) -> bool:
        """Whether on an axis of the first input, which has so many, two lengths may give the same one."""
        return self.windows is None or axis in self.windows or axis - rank in self.windows

    @property
    def slides(self) -> bool:
        """Whether windows may miss positions."""
        return self.windows != NONE


#: One result for the same inputs, lengths from shapes alone, position by position; may still jump.
STEADY = Traits(draws=False, lengths_from=NONE, windows=NONE, regroups=False, sums_products=False)
#: And a last digit stays one.
CONTINUOUS = replace(STEADY, jumps=False)
#: The same of what sums products.
SUMMING = replace(CONTINUOUS, sums_products=True)
