"""Which samples of the data were read: ranges of their numbers, counted from 0 over all of the data."""

from __future__ import annotations

from collections.abc import Iterable

Ranges = tuple[tuple[int, int], ...]  # start and stop of each, in order, none touching the next


def joined(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """The same samples in as few ranges as there can be."""
    result: list[list[int]] = []
    for start, stop in sorted(ranges):
        if result and start <= result[-1][1]:
            result[-1][1] = max(result[-1][1], stop)
        else:
            result.append([start, stop])
    return tuple((start, stop) for start, stop in result)


def first_overlap(ranges: Iterable[tuple[int, int]]) -> tuple[int, int] | None:
    """The first samples that lie in two of the ranges; None where none do."""
    reached = 0
    for start, stop in sorted(ranges):
        if start < reached:
            return start, min(reached, stop)
        reached = max(reached, stop)
    return None


def gaps(ranges: Ranges, total: int | None) -> Ranges:
    """The samples between the ranges, from the first of the data to the last (`total`, or as far as they reach)."""
    bounds = [0, *(bound for part in ranges for bound in part)]
    bounds.append(max(bounds[-1], total or 0))
    pairs = zip(bounds[::2], bounds[1::2], strict=True)
    return tuple((start, stop) for start, stop in pairs if start < stop)


def number_in(ranges: Iterable[tuple[int, int]]) -> int:
    """How many samples they hold."""
    return sum(stop - start for start, stop in ranges)
