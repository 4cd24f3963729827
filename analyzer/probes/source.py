"""What every kind of probe data comes down to: a name and a way to read its parts from the start."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from analyzer.facts.probe_condition import LabelsInData
from analyzer.probes.fitting import Part
from analyzer.probes.skipped import Skipped


@dataclass(frozen=True, slots=True)
class Piece:
    """So many samples that can be read without those before them."""

    samples: int
    read: Callable[[], Iterable[Part]]


@dataclass(frozen=True)
class Source:
    """Probe data that was recognised.

    `parts` starts a pass over the checked parts, `pieces` one over pieces of it, of which only those are read that are
    wanted, where the kind of data allows that. `one_shot` says that only one pass is possible; `samples`
    is their number where it is known beforehand. `labels` is what else was there and was left out, or looks like labels
    (of feeds: once one was read), `preprocessing` how files became numbers, `skipped` what is left out as a pass meets
    it.
    """

    name: str
    parts: Callable[[], Iterator[Part]]
    samples: int | None = None
    one_shot: bool = False
    random: bool = False
    labels: Sequence[LabelsInData] = ()
    preprocessing: Mapping[str, str] = field(default_factory=dict)
    skipped: Skipped = field(default_factory=Skipped)
    pieces: Callable[[], Iterable[Piece]] | None = None

    @classmethod
    def of_pieces(
        cls,
        name: str,
        pieces: Callable[[], Iterable[Piece]],
        samples: int,
        *,
        labels: Sequence[LabelsInData] = (),
        preprocessing: Mapping[str, str] | None = None,
    ) -> Source:
        """Data of which each piece can be read by itself."""
        parts = lambda: chain.from_iterable(piece.read() for piece in pieces())  # noqa: E731
        return cls(name, parts, samples, labels=labels, preprocessing=preprocessing or {}, pieces=pieces)

    def chosen(self, wanted: Callable[[int, int], bool]) -> Iterator[Part | int]:
        """All parts; for a piece that holds no wanted sample (from one number to another) how many it holds."""
        if self.pieces is None:
            yield from self.parts()
            return
        start = 0
        for piece in self.pieces():
            if wanted(start, start + piece.samples):
                yield from piece.read()
            else:
                yield piece.samples
            start += piece.samples
