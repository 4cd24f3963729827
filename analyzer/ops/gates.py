"""What feeds the gates of hidden units: sums of what the operator reads, and of what its units were a step before."""

from __future__ import annotations

from dataclasses import dataclass

from analyzer.algebra.pattern import Array, Mask


@dataclass(frozen=True, eq=False)
class Gates:
    """The gates that are such sums, per direction d: `w` [d, g, h, i], `r` [d, g, h, h], `bias` [d, g, h].

    `names` [g] and `functions` [d][g] (in lower case) say what they are and what is made of the sums. `data`, `start`
    are the input positions of what is read and of the first state; the units are the first output, [t, d, b, h].
    `backward` [d]: steps are taken from the last to the first. `empty` [d, h]: nothing ever enters the unit.
    """

    names: tuple[str, ...]
    functions: tuple[tuple[str, ...], ...]
    w: Array
    r: Array
    bias: Array
    data: int
    start: int
    backward: tuple[bool, ...]
    empty: Mask
