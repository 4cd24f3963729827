"""What every kind of probe data comes down to: a name and a way to read its parts from the start."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from analyzer.facts.probe_condition import LabelsInData
from analyzer.probes.fitting import Part
from analyzer.probes.skipped import Skipped


@dataclass(frozen=True)
class Source:
    """Probe data that was recognised.

    `parts` starts a pass over the checked parts; `singly`, where each is one sample and can be left out unread, over
    those whose numbers are wanted, with None for the others. `one_shot` says that only one pass is possible; `samples`
    is their number where it is known beforehand. `labels` is what else was there and looks like labels (of feeds: once
    one was read), `preprocessing` how files became numbers, `skipped` what is left out as a pass meets it.
    """

    name: str
    parts: Callable[[], Iterator[Part]]
    samples: int | None = None
    one_shot: bool = False
    random: bool = False
    labels: Sequence[LabelsInData] = ()
    preprocessing: Mapping[str, str] = field(default_factory=dict)
    skipped: Skipped = field(default_factory=Skipped)
    singly: Callable[[Callable[[int], bool]], Iterator[Part | None]] | None = None
