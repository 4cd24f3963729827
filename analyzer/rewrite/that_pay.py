"""Of changes that could be made together, those that save something."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

MOST_SINGLE_TRIALS = 24  # changes tried one by one; of more, several at once


def that_pay(candidates: Sequence[T], saved: Callable[[Sequence[T]], int], *, again: bool = False) -> Sequence[T]:
    """The candidates without those that save nothing; `again`: those that were left out before are among them."""
    if not candidates:
        return ()
    total, step = saved(candidates), -(-len(candidates) // MOST_SINGLE_TRIALS)
    if again and total <= 0:  # what was left out before does not pay one by one either
        return ()
    for some in [candidates[start : start + step] for start in range(0, len(candidates), step)]:
        fewer = [candidate for candidate in candidates if candidate not in some]
        without = saved(fewer) if fewer else 0
        if without >= total:
            candidates, total = fewer, without
    return candidates if total > 0 else ()
