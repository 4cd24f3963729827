"""The points that came nearest to refuting what is open, which all claims share."""

from __future__ import annotations

import numpy as np

from analyzer.facts.statistics import Bools, Floats, Ints
from analyzer.witness.points import Points, taken


class Pool:
    """At most so many points, and how near each comes to every claim.

    Of too many those go that are the nearest of no open claim, and then those that are it of few.
    """

    def __init__(self, claims: int, most: int) -> None:
        self._most, self._count = most, 0
        self._points: Points = {}
        self._near: Floats = np.full((0, claims), -np.inf)

    def __len__(self) -> int:
        return self._count

    @property
    def near(self) -> Floats:
        """How near points come, [points, claims]."""
        return self._near[: self._count]

    def taken(self, places: Ints) -> Points:
        """Copies of some of the points."""
        return taken(self._points, places)

    def add(self, points: Points, near: Floats, open_: Bools, rank: int) -> None:
        """Keep those of the points that are among so many nearest of something open."""
        wanted, known = near[:, open_], self.near[:, open_]
        least = np.sort(known, axis=0)[-rank] if len(known) >= rank else np.full(wanted.shape[1], -np.inf)
        for row in np.flatnonzero((wanted > least).any(axis=1)).tolist():
            self._put(self._room(open_), points, near, row)

    def _room(self, open_: Bools) -> int:
        """Where the next point goes."""
        if self._count < self._most:
            self._count += 1
            if self._count > len(self._near):
                self._grow()
            return self._count - 1
        owners = np.bincount(np.argmax(self.near[:, open_], axis=0), minlength=self._count) if open_.any() else [0]
        return int(np.argmin(owners))

    def _grow(self) -> None:
        room = min(max(2 * len(self._near), 16), self._most)
        near = np.full((room, self._near.shape[1]), -np.inf)
        near[: len(self._near)] = self._near
        self._near = near
        for name, array in self._points.items():
            self._points[name] = np.empty((room, *array.shape[1:]), array.dtype)
            self._points[name][: len(array)] = array

    def _put(self, place: int, points: Points, near: Floats, row: int) -> None:
        for name, array in points.items():
            if name not in self._points:
                self._points[name] = np.empty((len(self._near), *array.shape[1:]), array.dtype)
            self._points[name][place] = array[row]
        self._near[place] = near[row]
