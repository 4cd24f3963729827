"""What a pass over some of the data leaves behind: enough for verdicts, and to be added to that of other samples."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import reduce

import numpy as np
import xxhash

from analyzer.facts.choice import Choice
from analyzer.facts.probe_condition import LabelsInData, TrainingScale
from analyzer.facts.sample_ranges import Ranges, joined
from analyzer.facts.statistics import UnitStatistics
from analyzer.observe.block_observer import Counted
from analyzer.observe.observation import Subject
from analyzer.probes.sample_record import SampleRecord
from analyzer.probes.stored_feeds import StoredFeed

INSTRUMENT = 1  # raised when statistics of the same samples become others


@dataclass(frozen=True)
class Job:
    """What parts have in common that may be added up.

    `model` is the sha256 of its file and weights, `instrument` a hash of what is computed, of which units, on feeds of
    which sizes, and of the first samples of the data. `varying` are conditions that not all samples make alike,
    `provider` computes the model (empty: the CPU).
    """

    model: str
    instrument: str
    batch_size: int
    flat_gradient: float
    independent: bool
    varying: tuple[str, ...]
    random: bool
    provider: str


@dataclass(frozen=True)
class Beginning:
    """The first feeds of the data, by which shapes are measured: what describes them, and their bytes."""

    feeds: tuple[StoredFeed, ...]
    contents: tuple[bytes, ...]


@dataclass(frozen=True)
class DataFacts:
    """What is known of the data as a whole; `total`: how many samples it has, None while nobody read to its end."""

    source: str
    total: int | None
    preprocessing: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[LabelsInData, ...] = ()
    scales: tuple[TrainingScale, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SecondPass:
    """What spreads are of: a hash of what was asked for, and the samples that were run."""

    asked: str
    ranges: Ranges

    def merge(self, other: SecondPass) -> SecondPass:
        """Both together, of different samples."""
        return SecondPass(self.asked, joined((*self.ranges, *other.ranges)))


@dataclass(frozen=True)
class ComparedCut:
    """A cut by these statistics: a hash of it, the choice that it was made by, and the samples it was compared on."""

    cut: str
    choice: Choice
    ranges: Ranges = ()

    def merge(self, other: ComparedCut) -> ComparedCut:
        """Both together, of different samples."""
        return replace(self, ranges=joined((*self.ranges, *other.ranges)))


@dataclass(frozen=True)
class Shapes:
    """How many units each value has, how many halves there are (None: none shown), and one sample of each input."""

    units: tuple[tuple[str, int], ...]
    halves: int | None
    inputs: tuple[tuple[str, tuple[int, ...]], ...]

    def fits(self, other: Shapes) -> bool:
        """Whether arrays of both can be merged."""
        alike = (self.units, self.inputs) == (other.units, other.inputs)
        return alike and (None in (self.halves, other.halves) or self.halves == other.halves)


@dataclass(frozen=True, eq=False)
class Tallies:
    """Statistics of all units over the samples of `record`, written by `tools`, in `microseconds` altogether."""

    job: Job
    beginning: Beginning
    data: DataFacts
    record: SampleRecord
    counted: Counted
    microseconds: int
    tools: tuple[str, ...]
    second: SecondPass | None = None  # that `counted.spread` is of
    cut: ComparedCut | None = None  # that `counted.compared` is of

    @property
    def covered(self) -> Ranges:
        """The samples that were run, in whatever pass; a part is of one."""
        return (self.cut or self.second or self.record).ranges

    @property
    def asked(self) -> str | None:
        """What a later pass asked for; None: they are of the first alone."""
        if self.cut is not None:
            return self.cut.cut
        return None if self.second is None else self.second.asked

    @property
    def no_first_pass(self) -> bool:
        """Whether they are a part of a later pass alone."""
        return not self.record.ranges and self.asked is not None

    @property
    def shapes(self) -> Shapes:
        """How large their arrays are."""
        units = tuple((value, seen.units) for value, seen in self.counted.statistics.items())
        inputs = tuple(sorted((name, watched.shape) for name, watched in self.record.watch.inputs.items()))
        peaks = self.counted.peaks
        return Shapes(units, None if peaks is None else len(peaks), inputs)

    @property
    def nothing(self) -> Counted:
        """What no samples of the job show."""
        kinds = {v: "int64" if s.minimum.dtype == np.int64 else "float32" for v, s in self.counted.statistics.items()}
        return Counted({v: UnitStatistics.empty(self.counted.statistics[v].units, k) for v, k in kinds.items()}, 0)

    def merge(self, other: Tallies) -> Tallies:
        """Both together, the same in either order; both must be of one job, and of different samples."""
        record = SampleRecord()
        record.merge(self.record)
        record.merge(other.record)
        seconds = [t.second for t in (self, other) if t.second is not None]
        cuts = [t.cut for t in (self, other) if t.cut is not None]
        return Tallies(
            job=self.job,
            beginning=self.beginning,
            data=_joined(self.data, other.data),
            record=record,
            counted=self.counted.merge(other.counted),
            microseconds=self.microseconds + other.microseconds,
            tools=tuple(sorted({*self.tools, *other.tools})),
            second=reduce(SecondPass.merge, seconds) if seconds else None,
            cut=reduce(ComparedCut.merge, cuts) if cuts else None,
        )


def instrument_hash(subject: Subject, job: Job, beginning: Beginning) -> str:
    """The `instrument` of a job: statistics of other hashes do not add up."""
    plan = subject.plan
    described = {
        "instrument": INSTRUMENT,
        "audited": [{**asdict(t.audited), "dtype": t.dtype} for t in subject.targets],
        "unseen": subject.unseen,
        "halves": subject.halves,
        "plan": [plan.size, plan.free_inputs, plan.inseparable],
        "job": asdict(replace(job, instrument="")),
        "feeds": [asdict(feed) for feed in beginning.feeds],
        "contents": [xxhash.xxh3_128_hexdigest(content) for content in beginning.contents],
    }
    return f"xxh3:{xxhash.xxh3_128_hexdigest(json.dumps(described, sort_keys=True).encode())}"


def _joined(one: DataFacts, other: DataFacts) -> DataFacts:
    """What both know; names may differ from machine to machine, and the last digits of what was measured."""
    total = one.total if other.total is None else other.total
    return min(replace(one, total=total), replace(other, total=total), key=repr)
