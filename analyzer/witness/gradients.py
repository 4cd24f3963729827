"""Sessions with the gradients of what is open, made anew as less of it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analyzer.errors import RunError
from analyzer.facts.statistics import Bools
from analyzer.graph import LoadedModel
from analyzer.ops.context import Context
from analyzer.witness.ascent import Ascent
from analyzer.witness.claims import Aim, Claims
from analyzer.witness.sight import Feeding

FEWER = 0.7  # of the values of all ascents are still asked about: then ascents of fewer pay


class Gradients:
    """The ascents towards claims.

    Attributes:
        ascents: one for all values that have a gradient, or several where onnxruntime does not run that.
        blocked: by each value without one the reason.
    """

    def __init__(self, loaded: LoadedModel, claims: Claims, feeding: Feeding, *, threads: int | None) -> None:
        self._loaded, self._claims, self._feeding, self._threads = loaded, claims, feeding, threads
        self._context: Context | None = None
        self.ascents: list[Ascent] = []
        self.blocked: dict[str, str] = {}

    def close(self) -> None:
        """Free all sessions."""
        for ascent in self.ascents:
            ascent.close()
        self.ascents = []

    def renew(self, open_: Bools) -> None:
        """Open ascents of what is open, unless most of what those at hand are of still is."""
        aims = [aim for claim in np.flatnonzero(open_).tolist() for aim in self._claims.aims(claim)]
        aims = [replace(aim, limit=0.0) for aim in aims if aim.value not in self.blocked]
        if len({aim.value for aim in aims}) <= FEWER * sum(len(ascent.values) for ascent in self.ascents):
            self.close()
        if not self.ascents:
            self.ascents = self._opened([*dict.fromkeys(aims)])

    def without(self, open_: Bools) -> list[list[int]]:
        """Open claims by value, of values that have no gradient."""
        groups: dict[str, list[int]] = {}
        for claim in np.flatnonzero(open_).tolist():
            aims = self._claims.aims(claim)
            if aims and aims[0].value in self.blocked:
                groups.setdefault(aims[0].value, []).append(claim)
        return [*groups.values()]

    @property
    def notes(self) -> list[str]:
        """What has no gradient, in sentences."""
        by_reason: dict[str, list[str]] = {}
        for value, reason in self.blocked.items():
            by_reason.setdefault(reason, []).append(value)
        return [
            f"No gradient was had of {', '.join(values)} ({reason}): points were changed at random."
            for reason, values in by_reason.items()
        ]

    def _opened(self, aims: Sequence[Aim]) -> list[Ascent]:
        values = [*dict.fromkeys(aim.value for aim in aims)]
        if not values:
            return []
        self._context = self._context or Context(self._loaded.graph, self._feeding.shapes)
        try:
            ascent = Ascent(self._loaded, self._context, aims, self._feeding, threads=self._threads)
        except RunError:
            if len(values) == 1:
                self.blocked[values[0]] = "onnxruntime does not run it"
                return []
            halves = values[: len(values) // 2], values[len(values) // 2 :]
            return [a for half in halves for a in self._opened([aim for aim in aims if aim.value in half])]
        for value, operators in ascent.blocked.items():
            self.blocked[value] = ", ".join(sorted(operators)) or "no input that varies is of floats"
        return [ascent] if ascent.reached else []
