"""Boxes of numbers: what an input may hold, and what a value was shown to lie between."""

from __future__ import annotations

from dataclasses import dataclass

from analyzer.algebra.pattern import Array


@dataclass(frozen=True, slots=True, eq=False)
class Box:
    """All arrays of a shape that lie, element by element, between two of that shape; both ends belong to it.

    The shape is that of one sample: its batch axis has length 1. An infinite end is none.
    """

    low: Array
    high: Array
