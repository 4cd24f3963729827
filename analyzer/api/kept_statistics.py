"""Statistics that a pass over data left behind: merged, kept in files, and held against a model again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import reduce
from pathlib import Path
from typing import Any

from analyzer.api.options import Data
from analyzer.api.outputs import guarded_files
from analyzer.api.stages import Measured
from analyzer.errors import InputError
from analyzer.facts.addresses import is_address
from analyzer.facts.audit import HalfOverflow, ProbeSummary, ProviderShare
from analyzer.facts.choice import Choice
from analyzer.facts.sample_ranges import Ranges, first_overlap, gaps, number_in
from analyzer.facts.thresholds import Thresholds
from analyzer.facts.wording import counted, number
from analyzer.graph import LoadedModel
from analyzer.observe.exact_spread import ExactSpread
from analyzer.observe.observation import Observation
from analyzer.observe.output_differences import ComparedBlocks
from analyzer.observe.tallies import ComparedCut, Job, SecondPass, Tallies, instrument_hash
from analyzer.probes.fetched import Fetched
from analyzer.probes.probe import Probe
from analyzer.probes.stored_feeds import restored, stored_probe
from analyzer.report.file_set import written_together
from analyzer.report.output_files import check_output
from analyzer.walk import Walk
from analyzer.walk.interface import feature_axes

SHOWN = 5  # ranges of samples, and broken ones, that are named
AGAIN = "observe the data again"
NO_SECOND_PASS = "only its statistics were given."
OTHER_SECOND_PASS = (
    "the second pass in its statistics asked about other units: make it again, with the same thresholds."
)


@dataclass(frozen=True, eq=False, repr=False)
class Statistics:
    """What a pass over data leaves behind: enough for an audit's verdicts, and to be merged with that of others."""

    _tallies: Tallies
    name: str  # of the file
    _inputs: tuple[Path, ...] = ()  # files that must never be written over

    @property
    def samples(self) -> int:
        """How many samples were run."""
        return self._tallies.record.samples

    @property
    def total(self) -> int | None:
        """How many the data has; None while no pass has come to its end."""
        return self._tallies.data.total

    @property
    def missing(self) -> Ranges:
        """Start and stop of the samples of the data that are not among them, counted from 0, as far as is known."""
        return gaps(self._tallies.record.ranges, self.total)

    @property
    def skipped(self) -> Mapping[str, str]:
        """What of the data was broken and left out, each with its reason."""
        return self._tallies.data.skipped

    @property
    def random(self) -> bool:
        """Whether the data was drawn, not given."""
        return self._tallies.job.random

    @property
    def fingerprint(self) -> str:
        """That of the samples: once none is missing, that of the data in an audit's report."""
        return self._tallies.record.fingerprint

    @property
    def seconds(self) -> float:
        """How long the passes took together."""
        return self._tallies.microseconds / 1e6

    @property
    def choice(self) -> Choice:
        """By which the cut was made that was planned, or compared; that of every cut by default."""
        return Choice() if self._tallies.cut is None else self._tallies.cut.choice

    def save(self, path: str | Path) -> None:
        """Write them to a file, whole or not at all.

        Raises:
            OutputError: it cannot be written, or is one of the inputs.
        """
        from analyzer.observe.statistics_file import to_bytes

        target = check_output(path, self._inputs)
        with written_together() as files:
            files.write(target, to_bytes(self._tallies))

    def sentences(self, written: str, shard: str | None = None) -> list[str]:
        """What they are of, and what is missing, for a person; `written` is their file."""
        tallies, total = self._tallies, self.total
        of_all = "" if total is None else f" of {number(total)}"
        part = "" if shard is None else f", shard {shard}"
        passes = [] if tallies.no_first_pass else [("", tallies.record.ranges)]
        passes += [] if tallies.second is None else [("second pass over ", tallies.second.ranges)]
        passes += [("comparison over ", tallies.cut.ranges)] if tallies.cut is not None and tallies.cut.ranges else []
        run = ", ".join(f"{name}{number(number_in(ranges))}{of_all} samples" for name, ranges in passes)
        lines = [f"{written}: {run} of {tallies.data.source}{part}, run in {self.seconds:.1f} s."]
        for name, ranges in passes if shard is None else ():
            missing = gaps(ranges, total)
            first = ", ".join(f"{start} to {stop - 1}" for start, stop in missing[:SHOWN])
            others = f" and {counted(len(missing) - SHOWN, 'more range')}" if len(missing) > SHOWN else ""
            if missing:
                which = f"Missing in the {name.removesuffix(' over ')}" if name else "Missing"
                lines.append(f"{which}: samples {first}{others}, {number(number_in(missing))} in all.")
        if tallies.cut is not None and not tallies.cut.ranges:
            command = f"`deadunits observe MODEL --probe DATA --plan {written}`"
            lines.append(f"A cut is planned in it that nobody compared yet: {command} does.")
        elif tallies.counted.compared is not None:
            furthest = max((t.relative for t in tallies.counted.compared.outputs), default=0.0)
            lines.append(f"Outputs of both models differ by at most {furthest:.2g} of their scale.")
        lines += [f"Left out, as it is broken: {name}: {reason}." for name, reason in [*self.skipped.items()][:SHOWN]]
        if len(self.skipped) > SHOWN:
            lines.append(f"{number(len(self.skipped) - SHOWN)} more are broken and left out; audits list them.")
        return lines

    def __repr__(self) -> str:
        lacking = number_in(self.missing)
        return f"<Statistics of {self._tallies.data.source}: {self.samples} samples, {lacking} missing>"


def merge_statistics(parts: Sequence[str | Path | Statistics]) -> Statistics:
    """Statistics of parts of one data set put together; their order does not matter, to the bit.

    Raises:
        InputError: one cannot be read; they are of different models, data or instruments; or a sample is in two.
    """
    if not parts:
        raise InputError("There is nothing to merge: give the files that `deadunits observe` wrote.")
    read = [statistics_of(part) for part in parts]
    each = [part._tallies for part in read]
    longest = max(read, key=lambda part: part.total or 0)
    for part in read:
        _check_alike(longest, part)
    for differ, asked in (
        ("The second passes of {} asked about other units", [t.second and t.second.asked for t in each]),
        ("{} compared other cuts of the model", [t.cut and t.cut.cut for t in each]),
    ):
        names = {of: part.name for of, part in zip(asked, read, strict=True) if of is not None}
        if len(names) > 1:
            raise InputError(f"{differ.format(' and '.join([*names.values()][:2]))}: make them by one plan.")
    for passes in zip(*((t.record, t.second, t.cut) for t in each), strict=True):
        _check_apart([(part, of.ranges) for part, of in zip(read, passes, strict=True) if of is not None])
    tallies = reduce(Tallies.merge, each)
    return Statistics(tallies, "merged statistics", tuple(path for part in read for path in part._inputs))


def statistics_of(given: Any) -> Statistics:
    """Statistics as they are, or those of a file.

    Raises:
        InputError: the file cannot be read, is none, or is damaged.
    """
    if isinstance(given, Statistics):
        return given
    if not isinstance(given, str | Path):
        raise InputError(f"statistics is of type {type(given).__name__}: give a file that `deadunits observe` wrote.")
    from analyzer.observe.statistics_file import read_statistics

    if is_address(given):
        fetched = Fetched(str(given))
        return Statistics(read_statistics(fetched.local(fetched.file())), fetched.shown, guarded_files(given))
    return Statistics(read_statistics(Path(given)), Path(given).name, guarded_files(given))


def asked_choice(choice: Choice, data: Data) -> Choice:
    """The choice that is made; where none is, that of the cut that statistics alone hold, if they hold one."""
    if data.statistics is None or data.probe is not None or choice != Choice():
        return choice
    return statistics_of(data.statistics).choice


def check_kept(thresholds: Thresholds) -> None:
    """Refuse thresholds that ask for more than statistics keep.

    Raises:
        InputError: they need positions counted.
    """
    if thresholds.needs_positions:
        raise InputError(
            f"Preset {thresholds.preset} counts positions, which statistics do not keep: audit the data itself, or "
            "choose another preset."
        )


@dataclass(frozen=True)
class Recalled:
    """Statistics beside the model that they were taken of; `probe` gives the first samples again."""

    statistics: Statistics
    probe: Probe

    @classmethod
    def of(cls, given: Any, loaded: LoadedModel, thresholds: Thresholds) -> Recalled:
        """Hold them against the model and the thresholds.

        Raises:
            InputError: they are of another model, or do not keep what is asked for.
        """
        statistics = statistics_of(given)
        tallies, name = statistics._tallies, statistics.name
        check_kept(thresholds)
        if tallies.job.model != loaded.sha256:
            raise InputError(
                f"{name} was taken of another model (sha256 {tallies.job.model[:12]}…, not {loaded.sha256[:12]}…): "
                f"{AGAIN} with this one."
            )
        if tallies.job.flat_gradient != thresholds.flat_gradient:
            raise InputError(
                f"{name} was taken for gradients below {tallies.job.flat_gradient:g}, and preset {thresholds.preset} "
                f"asks for {thresholds.flat_gradient:g}: {AGAIN} with --preset {thresholds.preset}."
            )
        if tallies.no_first_pass:
            raise InputError(f"{name} holds a later pass alone: merge it with the statistics that it was planned by.")
        if not statistics.samples:
            raise InputError(f"{name} holds no samples, as the shard is beyond the end of the data: merge all shards.")
        parts = restored(tallies.beginning.feeds, tallies.beginning.contents, loaded.graph.inputs)
        return cls(statistics, stored_probe(parts, tallies.data.source, random=tallies.job.random))

    @property
    def job(self) -> Job:
        """How they were taken."""
        return self.statistics._tallies.job

    @property
    def second(self) -> tuple[SecondPass | None, ExactSpread | None]:
        """A second pass over the data, and what it measured."""
        return self.statistics._tallies.second, self.statistics._tallies.counted.spread

    @property
    def cut(self) -> ComparedCut | None:
        """The cut that was planned by the statistics."""
        return self.statistics._tallies.cut

    @property
    def compared(self) -> ComparedBlocks | None:
        """How that cut compared on the data; None where nothing was compared."""
        shown = self.statistics._tallies.counted.compared
        return shown if self.cut is not None and self.cut.ranges else None

    def compared_choice(self, choice: Choice) -> Choice:
        """The choice by which the cut was made that was compared; it need not be said again.

        Raises:
            InputError: another one is asked for.
        """
        if self.cut is None or choice == self.cut.choice:
            return choice
        if choice == Choice():
            return self.cut.choice
        differ = next(f.name for f in fields(Choice) if getattr(choice, f.name) != getattr(self.cut.choice, f.name))
        raise InputError(
            f"{self.statistics.name} holds the comparison of a cut with other options ({differ}): leave them out, as "
            "they stand in that file."
        )

    def other_branch(self) -> InputError:
        """Of further data that takes a branch of the model which the samples did not all take."""
        return InputError(
            "The probe or the holdout takes another branch of the model than the samples of "
            f"{self.statistics.name}: give the data itself in place of its statistics."
        )

    def summary(self, walked: Walk, further: Probe | None) -> ProbeSummary:
        """The data that they are of, and the probe that second passes are made on."""
        tallies = self.statistics._tallies
        data, record = tallies.data, tallies.record
        axes = feature_axes(walked.context)
        return ProbeSummary(
            source=f"statistics of {data.source} ({self.statistics.name})" + self._passes(further),
            samples=tallies.counted.samples,
            fingerprint=record.fingerprint,
            random=tallies.job.random,
            condition=None if tallies.job.random else record.condition(axes, data.labels, data.scales),
            preprocessing=data.preprocessing,
            provider=ProviderShare(self.job.provider, *(tallies.counted.assigned or ())) if self.job.provider else None,
            skipped=data.skipped,
        )

    def _passes(self, further: Probe | None) -> str:
        """What second passes were made on, if any were."""
        second, samples = self.second[0], self.statistics.samples
        run = 0 if second is None else number_in(second.ranges)
        kept = f", second pass over {number(run)} of these samples" if 0 < run < samples else ""
        if further is None:
            return kept
        return f", second passes over {further.source}" if second is None else f"{kept}, also run on {further.source}"

    def observed(self, measured: Measured, further: Observation | None) -> Observation:
        """What they show of the model, but for what further samples of a probe contradict.

        Raises:
            InputError: other units would be looked at now, or in another way.
        """
        tallies = self.statistics._tallies
        subject = measured.subject(self.probe, self.job.batch_size, cpu=not self.job.provider)
        units = {subject.inner.get(t.audited.value, t.audited.value): t.audited.units for t in subject.targets}
        fits = units == dict(tallies.shapes.units) and tallies.shapes.halves in (None, len(subject.halves))
        if not fits or instrument_hash(subject, tallies.job, tallies.beginning) != tallies.job.instrument:
            raise InputError(
                f"{self.statistics.name} was taken with another version of deadunits or onnxruntime, which looks at "
                f"other units or in another way: {AGAIN} with this one."
            )
        seen = tallies.counted.observation(subject, self.statistics.seconds)
        if further is None:
            return seen
        again = further.statistics
        both = {v: s.contradicted_by(again[v]) if v in again else s for v, s in seen.statistics.items()}
        return replace(seen, statistics=both, overflows=_joined(seen.overflows, further.overflows))


def _check_apart(parts: Sequence[tuple[Statistics, Ranges]]) -> None:
    """Refuse parts that hold the same samples."""
    named = [(start, stop, part) for part, ranges in parts for start, stop in ranges]
    twice = first_overlap((start, stop) for start, stop, _ in named)
    if twice is not None:
        both = [part.name for start, stop, part in named if start < twice[1] and twice[0] < stop]
        raise InputError(
            f"{both[0]} and {both[-1]} both hold samples {twice[0]} to {twice[1] - 1}, which would count twice: "
            "leave one out."
        )


def _check_alike(one: Statistics, other: Statistics) -> None:
    """Refuse parts that do not add up, saying why."""
    jobs, totals = (one._tallies.job, other._tallies.job), {one.total, other.total} - {None}
    shapes, names = (one._tallies.shapes, other._tallies.shapes), f"{one.name} and {other.name}"
    if jobs[0].model != jobs[1].model:
        raise InputError(f"{names} are of different models: merge parts of one run.")
    if jobs[0].varying != jobs[1].varying:
        raise InputError(
            f"{names} cannot be merged, as samples of one of them alone take another branch of the model: observe such "
            "a model in one run, without shards."
        )
    if jobs[0] != jobs[1] or not shapes[0].fits(shapes[1]) or len(totals) > 1:
        raise InputError(
            f"{names} do not add up: they were taken of different data, with other options (--batch-size, "
            "--independent, --preset) or versions."
        )


def _joined(one: Sequence[HalfOverflow], other: Sequence[HalfOverflow]) -> tuple[HalfOverflow, ...]:
    return tuple({overflow.value: overflow for overflow in (*other, *one)}.values())
