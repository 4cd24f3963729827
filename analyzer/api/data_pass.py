"""One pass over data, or over a part of it: which part, from where it goes on, and what it leaves behind."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from analyzer.api.kept_statistics import statistics_of
from analyzer.api.options import Data, Progress, Run, provider_of
from analyzer.api.stages import Measured, opened_data
from analyzer.errors import InputError
from analyzer.facts.engine import Engine
from analyzer.facts.given import is_number
from analyzer.facts.sample_ranges import number_in
from analyzer.facts.thresholds import Thresholds
from analyzer.graph import LoadedModel
from analyzer.observe.block_observer import Setup
from analyzer.observe.engines import Observer, opened
from analyzer.observe.sent import AnySetup
from analyzer.observe.statistics_file import to_bytes
from analyzer.observe.tallies import Beginning, DataFacts, Job, Tallies, instrument_hash
from analyzer.observe.training_scale import training_scales
from analyzer.probes.stored_feeds import stored, stored_probe
from analyzer.report.file_set import written_together
from analyzer.report.output_files import check_output
from analyzer.report.outputs_elsewhere import as_named, is_there
from analyzer.shapes.confirmed_lengths import with_confirmed_lengths
from analyzer.shapes.trial_feeds import CANDIDATES
from analyzer.version import __version__

NO_DATA = "Statistics are taken of data, and there is none: give a probe (--probe DATA)."


@dataclass(frozen=True)
class Shard:
    """One of `count` parts of the data that are about equal: of all blocks of samples each `count`-th one."""

    number: int
    count: int

    def __post_init__(self) -> None:
        """Refuse what is no part.

        Raises:
            InputError: it is none.
        """
        if not 1 <= self.number <= self.count:
            raise InputError(f"shard is {self.number}/{self.count}: write 1/8 to 8/8 for the parts of eight.")

    @classmethod
    def of(cls, text: str) -> Shard:
        """`2/8`.

        Raises:
            InputError: it is not of that form.
        """
        numbers = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
        if numbers is None:
            raise InputError(f"shard is {text!r}: write 1/8 to 8/8 for the parts of eight.")
        return cls(int(numbers[1]), int(numbers[2]))

    def holds(self, block: int) -> bool:
        """Whether a block of samples belongs to it."""
        return block % self.count == self.number - 1


class Checkpoint:
    """A file with the statistics so far, from which the same pass goes on."""

    def __init__(self, path: str | Path, every: float, shard: Shard) -> None:
        """Read it, where it is there.

        Raises:
            InputError: it is no file of statistics, or `every` is no number of seconds.
            OutputError: it cannot be written.
        """
        if not is_number(every, 0):
            raise InputError(f"checkpoint is {every!r}: give a number of seconds.")
        self._path, self._every, self._shard = check_output(path), every, shard
        self._last = time.monotonic()
        self.earlier = statistics_of(path)._tallies if is_there(self._path) else None

    def check(self, job: Job, asked: str | None, size: int) -> None:
        """Refuse to go on with something else; `asked`: what a later pass asks for.

        Raises:
            InputError: it is of another model, other data, other options, or another shard.
        """
        if self.earlier is None:
            return
        blocks = (start // size for start, _ in self._blocks(size))
        same = self.earlier.job == job and self.earlier.asked == asked
        if not (same and all(map(self._shard.holds, blocks))):
            raise InputError(
                f"{as_named(self._path)} was begun with another model, other data, options or shard: remove it, or "
                "name another file."
            )

    def lacks(self, size: int) -> Callable[[int], bool]:
        """Which blocks of so many samples are yet to be run."""
        done = set() if self.earlier is None else {start // size for start, _ in self._blocks(size)}
        return lambda block: self._shard.holds(block) and block not in done

    def save(self, tallies: Callable[[], Tallies]) -> None:
        """Write the file, if it is time again.

        Raises:
            OutputError: it cannot be written.
        """
        if time.monotonic() - self._last >= self._every:
            with written_together() as files:
                files.write(self._path, to_bytes(tallies()))
            self._last = time.monotonic()

    def _blocks(self, size: int) -> Iterator[tuple[int, int]]:
        for start, stop in () if self.earlier is None else self.earlier.covered:
            for begin in range(start, stop, size):
                yield begin, min(begin + size, stop)


class DataPass:
    """A pass over the data, or a part of it, of which the first samples were looked at."""

    _asked: str | None = None

    def __init__(
        self, loaded: LoadedModel, data: Data, run: Run, thresholds: Thresholds, varying: frozenset[str]
    ) -> None:
        self._begin = time.perf_counter()
        probe, _ = opened_data(data, loaded)
        if probe is None:
            raise InputError(NO_DATA)
        self._probe, self._run = probe, run
        parts = probe.first_parts(CANDIDATES)
        feeds, contents = stored(parts)
        self._beginning = Beginning(feeds, tuple(contents))
        first = stored_probe(parts, probe.source, random=probe.random)
        loaded = with_confirmed_lengths(loaded, first, run.threads)
        measured = Measured.of(loaded, first, independent=run.independent, varying=varying)
        provider = provider_of(run)
        subject = measured.subject(first, run.batch_size, cpu=provider.is_cpu)
        self._setup: AnySetup = Setup(subject, thresholds.flat_gradient, run.threads, provider)
        self._feed = subject.plan.size
        scales = () if probe.random else training_scales(measured.shown, probe, measured.shapes, run.threads)
        self._data = DataFacts(probe.source, None, probe.preprocessing, (), scales)
        job = Job(
            model=loaded.sha256,
            instrument="",
            batch_size=run.batch_size,
            flat_gradient=thresholds.flat_gradient,
            independent=run.independent,
            varying=tuple(sorted(varying)),
            random=probe.random,
            provider="" if provider.is_cpu else provider.name,
        )
        instrument = instrument_hash(subject, job, self._beginning)
        self._job = replace(job, instrument=instrument)

    def over(self, shard: Shard, kept: Checkpoint | None, progress: Progress | None) -> Tallies:
        """What the samples of a shard show; with those of an earlier pass, which are not run again."""
        probe, size = self._probe, self._probe.block_size(self._run.batch_size)
        if kept is not None:
            kept.check(self._job, self._asked, size)
        earlier, wanted = (None, shard.holds) if kept is None else (kept.earlier, kept.lacks(size))
        done = 0 if earlier is None else number_in(earlier.covered)
        with opened(Engine.of(self._run.engine), self._setup) as observer:
            for block in probe.blocks(size, self._feed, wanted):
                observer.take(block)
                if kept is not None:
                    kept.save(lambda: self._tallies(observer, earlier))
                if progress is not None:
                    of_shard = probe.samples and -(-probe.samples // shard.count)
                    progress("probe", done + probe.record.samples, of_shard)
            return self._tallies(observer, earlier)

    def _tallies(self, observer: Observer, earlier: Tallies | None) -> Tallies:
        tallies = Tallies(
            job=self._job,
            beginning=self._beginning,
            data=self._facts(),
            counted=observer.counted(),  # after which the record is of no samples that were not run
            record=self._probe.record,
            microseconds=round(1e6 * (time.perf_counter() - self._begin)),
            tools=(f"deadunits {__version__}",),
        )
        return tallies if earlier is None else tallies.merge(earlier)

    def _facts(self) -> DataFacts:
        """What is known of the data by now."""
        probe = self._probe
        return replace(self._data, total=probe.samples, labels=tuple(probe.labels), skipped=dict(probe.skipped))
