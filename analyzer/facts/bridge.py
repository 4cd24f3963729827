"""Where an index can go although a neighbour keeps it: a gather gives the two sides of an edge different widths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Bridge:
    """One edge of the graph: input `position` of node `node` reads `value`.

    `narrow`: the reader takes `value` without the units `dead` (constants that it can do without). `widen`: `value`
    loses the units `dead`, all of them constant, and is filled up before the reader with what they were (`fill`, of
    element type `dtype`).
    """

    kind: Literal["narrow", "widen"]
    value: str
    axis: int
    dead: tuple[int, ...]
    node: int
    position: int
    fill: tuple[float, ...] = ()
    dtype: str = "float32"
