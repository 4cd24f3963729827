"""What has become of each claim so far, and how it is reported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from analyzer.facts.audit import LayerVerdicts
from analyzer.facts.domain import Box, within_both
from analyzer.facts.proof import REAL, Claim, Method, Outcome, UnitProof
from analyzer.facts.statistics import Bools
from analyzer.witness.claims import Claims
from analyzer.witness.points import Points
from analyzer.witness.proofs import check_samples, proven, unit_bounds
from analyzer.witness.search import Search


class Settlement:
    """The claims of an audit, and what is known of each.

    Attributes:
        bounds: what lies around values, by what is known so far.
        search: the search for witnesses, once there is one.
        changes: by claim how much outputs change at most without a unit that is negligible.
        large: samples that show how large outputs are, where that was asked.
        finished: whether nothing ended before it was through.
    """

    def __init__(
        self, layers: tuple[LayerVerdicts, ...], claims: Claims, bounds: Mapping[str, Box], *, arithmetic: str
    ) -> None:
        self._layers, self.claims, self.bounds, self._arithmetic = layers, claims, bounds, arithmetic
        self.check(bounds)
        self._proofs = dict.fromkeys(np.flatnonzero(proven(claims, bounds)).tolist(), Method.INTERVALS)
        self.search: Search | None = None
        self.changes: dict[int, float] = {}
        self.large: Points = {}
        self.finished = True

    @property
    def proven(self) -> Bools:
        """Per claim whether it is."""
        found = np.zeros(self.claims.count, np.bool_)
        found[[*self._proofs]] = True
        return found

    @property
    def open(self) -> Bools:
        """Per claim whether it is neither proven nor refuted."""
        return ~self.proven if self.search is None else ~self.proven & self.search.open

    def check(self, bounds: Mapping[str, Box]) -> None:
        """Hold what the probe showed against bounds; not against those of formulas, which a runtime may pass.

        Raises:
            ProofContradicted: a sample lies outside, so the bounds are wrong.
        """
        if self._arithmetic != REAL:
            check_samples(self._layers, bounds)

    def narrow(self, bounds: Mapping[str, Box], method: Method) -> None:
        """Take over bounds that hold as well, and what they prove."""
        self.bounds = within_both(self.bounds, bounds)
        shown = np.flatnonzero(proven(self.claims, self.bounds) & self.open).tolist()
        self._proofs.update(dict.fromkeys(shown, method))

    def prove(self, claim: int, method: Method) -> None:
        """Count a claim as proven."""
        self._proofs[claim] = method

    def units(self) -> Iterator[UnitProof]:
        """One entry for each claim, layer by layer, dead units first."""
        found = {
            claim: i for i, w in enumerate([] if self.search is None else self.search.witnesses) for claim in w.claims
        }
        by_layer = {(layer.audited.value, layer.claim): (start, layer)
                    for start, layer in zip(self.claims.starts, self.claims.layers, strict=False)}  # fmt: skip
        for layer in self._layers:
            for unit in layer.structural:
                yield self._unit(layer, unit, Claim.DEAD, Outcome.PROVEN, Method.WEIGHTS)
            for claim in Claim:
                start, asked = by_layer.get((layer.value, claim), (0, None))
                for place, unit in enumerate([] if asked is None else asked.units.tolist(), start):
                    yield self._claim(layer, unit, claim, place, found.get(place))

    def _claim(self, layer: LayerVerdicts, unit: int, claim: Claim, place: int, witness: int | None) -> UnitProof:
        if place in self._proofs:
            return self._unit(layer, unit, claim, Outcome.PROVEN, self._proofs[place])
        if witness is not None and self.search is not None:
            return self._unit(layer, unit, claim, Outcome.REFUTED, self.search.witnesses[witness].method, witness)
        if place in self.changes:
            change = self.changes[place]
            return self._unit(layer, unit, claim, Outcome.NEGLIGIBLE, Method.INTERVALS, change=change)
        return self._unit(layer, unit, claim, Outcome.OPEN, None)

    def _unit(
        self,
        layer: LayerVerdicts,
        unit: int,
        claim: Claim,
        outcome: Outcome,
        method: Method | None,
        witness: int | None = None,
        change: float | None = None,
    ) -> UnitProof:
        ends = (float(side[unit]) for side in unit_bounds(layer.audited, self.bounds))
        low, high = (end if np.isfinite(end) else None for end in ends)
        stays_at = float(layer.stays_at[unit]) if claim is Claim.DEAD else None
        return UnitProof(layer.value, unit, claim, outcome, method, stays_at, low, high, witness, change)
