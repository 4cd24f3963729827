"""The result of a proof: what became of each claim, and the inputs that refute some."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.api.domains import MODERATE
from analyzer.api.reporting import Reporting
from analyzer.api.rewritten import Source
from analyzer.facts.addresses import is_address, within
from analyzer.facts.domain import Domain
from analyzer.facts.fed import WitnessPicture
from analyzer.facts.proof import ProofFacts, UnitProof
from analyzer.facts.units import SampleAxis
from analyzer.probes.first_samples import picture
from analyzer.probes.stated_domain import in_metadata
from analyzer.report.console import ReportConsole
from analyzer.report.file_set import written_together
from analyzer.report.output_files import check_output
from analyzer.rewrite.masks import archive
from analyzer.witness.points import Points, Sampler, count_of
from analyzer.witness.search import together
from analyzer.witness.snapping import pictures

if TYPE_CHECKING:
    from analyzer.api.audit_result import Audit

MOST_PICTURES, PICTURES_SHOWN = 256, 12
NUMBERS_SHOWN = 16  # of an input that is told in a sentence


@dataclass(frozen=True, eq=False, repr=False)
class Proof(Reporting):
    """What holds for every input of a domain: `units` has an entry per claim, `witnesses` are inputs that refute."""

    _command: ClassVar[str] = "prove"
    facts: ProofFacts
    audit: Audit
    _domain: Domain
    _points: Points
    _large: Points  # samples that show how large outputs are
    _source: Source

    @property
    def units(self) -> tuple[UnitProof, ...]:
        """One entry for each claim, in the order of the graph."""
        return self.facts.units

    @property
    def witnesses(self) -> Mapping[str, Array]:
        """The inputs that refute claims, as a probe: arrays by input name; `UnitProof.witness` counts along them."""
        if not count_of(self._points):
            return {}
        axes = self._source.shapes.sample_axes
        return {
            name: entries.reshape(-1, *entries.shape[2:]) if axes.get(name) == SampleAxis(0)
            else entries if name in self._domain.varying or name not in self._fixed
            else entries[0]
            for name, entries in self._points.items()
        }  # fmt: skip

    def feeds(self) -> Iterator[dict[str, Array]]:
        """Inputs of the domain, each a feed: witnesses, corners, and points that are drawn evenly.

        As many of each as run in a moment. Where it has no bounds, moderate numbers stand for all.
        """
        sampler = Sampler(self._domain.clipped(MODERATE), np.random.default_rng(self.facts.seed))
        number = min(together(self.facts.model.multiply_adds), sampler.most)
        for points in (self._points, sampler.corners(number), sampler.uniform(number)):
            for place in range(min(count_of(points), number)):
                yield {name: array[place] for name, array in points.items()}

    def metadata(self) -> dict[str, str]:
        """What a model records that is the same as another for every input of the domain."""
        summary = self.facts.domain
        return {
            "domain": in_metadata(self._domain),
            "domain_digest": summary.digest,
            "domain_source": f"{summary.source} (nobody said that inputs stay in it)" * summary.conditional
            or summary.source,
            "arithmetic": self.facts.arithmetic,
        }

    def save_witnesses(self, folder: str | Path) -> tuple[Path, ...]:
        """Write `witnesses` as `witnesses.npz`, a probe, and those of pictures as `.png`; returns the files.

        The folder is made where there is none. Nothing is written where there are no witnesses.

        Raises:
            OutputError: a file cannot be written, or is one of the inputs.
        """
        found = self.witnesses
        if not found:
            return ()
        if not is_address(folder):
            Path(folder).mkdir(parents=True, exist_ok=True)
        written = [check_output(within(folder, "witnesses.npz"), self._guarded)]
        with written_together() as files:
            files.write(written[0], archive(found))
            for number in range(min(count_of(self._points), MOST_PICTURES)):
                if (drawn := self._picture(number)) is not None:
                    written.append(check_output(within(folder, f"witness_{number}.png"), self._guarded))
                    files.write(written[-1], drawn)
        return tuple(written)

    def _explained(self, value: str, unit: int) -> list[str]:
        """What became of the claim about a unit, in sentences; none where the probe claims nothing of it."""
        from analyzer.report.prove.outcomes_in_words import explained

        asked = next((claim for claim in self.units if (claim.value, claim.unit) == (value, unit)), None)
        return [] if asked is None else explained(self.facts, asked, self._said_of(asked.witness))

    def _said_of(self, witness: int | None) -> str:
        """`the witness at index 3 of 43 (x = 1, 0.5)`: with its numbers where these are few."""
        if witness is None:
            return ""
        point = {name: self._points[name][witness].ravel() for name in self._domain.varying}
        few = sum(map(len, point.values())) <= NUMBERS_SHOWN
        shown = "; ".join(f"{name} = {', '.join(f'{x:.6g}' for x in array.tolist())}" for name, array in point.items())
        return f"the witness at index {witness} of {count_of(self._points)}" + f" ({shown})" * few

    def _pictured(self) -> tuple[WitnessPicture, ...]:
        """The witnesses that refute most, small, where an input is a picture (and Pillow is there)."""
        moves: dict[int, dict[str, list[int]]] = {}
        for unit in self.units:
            if unit.witness is not None:
                moves.setdefault(unit.witness, {}).setdefault(unit.value, []).append(unit.unit)
        telling = sorted(moves, key=lambda number: (-sum(map(len, moves[number].values())), number))[:PICTURES_SHOWN]
        drawn = ((self._picture(number, small=True), moves[number]) for number in telling)
        return tuple(
            WitnessPicture(image, {value: tuple(sorted(units)) for value, units in by_value.items()})
            for image, by_value in drawn
            if image is not None
        )

    def _picture(self, number: int, *, small: bool = False) -> bytes | None:
        """A witness as a PNG; None where it is no picture."""
        for name in sorted(pictures(self._domain)):
            bounds = self._domain.boxes[0][name]
            return picture(self._points[name][number], bounds.low, bounds.high, small=small)
        return None

    def save_certificate(self, path: str | Path) -> None:
        """Write what `verify` checks again: each claim with its outcome, the domain, and the witnesses.

        Raises:
            OutputError: the file cannot be written, or is one of the inputs.
        """
        from analyzer.api.certificates import certificate_bytes

        target = check_output(path, self._guarded)
        with written_together() as files:
            ulps = self.audit.facts.thresholds.ulps
            files.write(target, certificate_bytes(self.facts, self._domain, self._points, self._large, ulps))

    def show(self, *, show_all: bool = False, written: str = "") -> None:
        """Print the report for a person; `show_all` lists every layer and open unit."""
        from analyzer.report.prove.terminal import render

        render(self.facts, ReportConsole(), show_all=show_all, written=written)

    @property
    def _fixed(self) -> frozenset[str]:
        return frozenset() if self._source.probe is None else self._source.probe.fixed

    @property
    def _guarded(self) -> tuple[Path, ...]:
        return self._source.inputs

    def __repr__(self) -> str:
        counts = ", ".join(f"{many} {outcome}" for outcome, many in self.facts.counts().items())
        return f"<Proof over {self.facts.domain.source}: {counts or 'no claims'}>"
