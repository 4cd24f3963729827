"""Witnesses as pictures that a file can hold: on the grid of whole pixel values, where they still refute there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.facts.domain import Box, Domain
from analyzer.witness.points import Points, kept_within

LEVELS = 255  # steps between the ends of what a pixel can be


@dataclass(frozen=True)
class Grid:
    """Which inputs are pictures: from one end of their bounds to the other in 255 steps."""

    inputs: frozenset[str] = field(default_factory=frozenset)

    def snapped(self, point: Points, domain: Domain) -> Points | None:
        """The nearest point on the grid, within the domain; None where nothing is a picture, or it is there."""
        if not self.inputs:
            return None
        box: Mapping[str, Box] = domain.boxes[0]
        moved = {n: _nearest(array, box[n]) if n in self.inputs else array for n, array in point.items()}
        same = all((moved[name] == array).all() for name, array in point.items())
        return None if same or domain.outside({n: a[0] for n, a in moved.items()}) else moved


def pictures(domain: Domain) -> frozenset[str]:
    """The inputs that are pictures: planes of one or three channels, each channel with the same bounds everywhere."""
    found = set()
    for name, bounds in domain.boxes[0].items():
        shape = bounds.low.shape
        channels = next((a for a in (1, 3) if len(shape) == 4 and shape[a] in (1, 3)), None)
        alike = channels is not None and all(_alike(side, channels) for side in (bounds.low, bounds.high))
        if alike and len(domain.boxes) == 1 and bounds.low.dtype.kind in "fu" and (bounds.low < bounds.high).all():
            found.add(name)
    return frozenset(found)


def _alike(side: Array, channels: int) -> bool:
    each = np.moveaxis(side, channels, 0).reshape(side.shape[channels], -1)
    return bool((each == each[:, :1]).all())


def _nearest(array: Array, bounds: Box) -> Array:
    low, width = bounds.low.astype(np.float64), bounds.high.astype(np.float64) - bounds.low
    step = np.where(width > 0, width, 1) / LEVELS
    return kept_within(low + np.round((array - low) / step) * step, bounds)
