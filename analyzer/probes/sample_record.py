"""What is known of the samples that were read: which they are, their fingerprint, what they show of themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from analyzer.algebra.pattern import Array
from analyzer.facts.probe_condition import FeatureAxis, LabelsInData, ProbeCondition, TrainingScale
from analyzer.facts.sample_ranges import Ranges, joined, number_in
from analyzer.probes.data_watch import DataWatch, InputWatch
from analyzer.probes.fingerprint import Digest, sample_hashes


class SampleRecord:
    """Samples of one data set, noted in any order and on any machine: records of its parts merge into that of all."""

    def __init__(self, ranges: Iterable[tuple[int, int]] = (), total: int = 0) -> None:
        """`total` is that of the digest of these samples."""
        self._ranges = list(ranges)
        self.digest = Digest(total)
        self.watch = DataWatch()

    @property
    def ranges(self) -> Ranges:
        """Which samples, by their numbers."""
        self._ranges = [*joined(self._ranges)]
        return tuple(self._ranges)

    @property
    def end(self) -> int:
        """The number behind that of the sample that was noted last."""
        return self._ranges[-1][1] if self._ranges else 0

    @property
    def samples(self) -> int:
        """How many there are."""
        return number_in(self._ranges)

    @property
    def fingerprint(self) -> str:
        """`xxh3:...` over names, element types, shapes and bytes of all samples, and their order."""
        return self.digest.hexdigest(self.samples)

    def note(
        self, per_sample: Mapping[str, Array], fixed: Mapping[str, Array], samples: int, start: int, *, watched: bool
    ) -> None:
        """Add a feed whose first sample is number `start` of the data.

        `per_sample` arrays hold samples along axis 0, `fixed` ones belong to all of them. Not `watched` are samples
        that were drawn, not given.
        """
        hashes = sample_hashes(per_sample, fixed, samples)
        self.digest.update(hashes, start)
        if watched:
            self.watch.update(per_sample, fixed, hashes, start)
        if self._ranges and self._ranges[-1][1] == start:
            self._ranges[-1] = (self._ranges[-1][0], start + samples)
        else:
            self._ranges.append((start, start + samples))

    def nothing(self) -> SampleRecord:
        """That of no samples of the same data."""
        record = SampleRecord()
        for name, watched in self.watch.inputs.items():
            record.watch.inputs[name] = InputWatch(watched.floats, watched.shape)
        return record

    def merge(self, other: SampleRecord) -> None:
        """Add other samples of the same data."""
        self._ranges += other.ranges
        self.digest.merge(other.digest)
        self.watch.merge(other.watch)

    def condition(
        self, axes: Mapping[str, FeatureAxis], labels: Sequence[LabelsInData], scales: Sequence[TrainingScale]
    ) -> ProbeCondition:
        """What they show of themselves; see `Probe.condition`."""
        watch = self.watch
        return ProbeCondition(
            samples=watch.samples,
            nonfinite=watch.nonfinite,
            distinct=watch.distinct,
            compared=watch.compared,
            inputs=watch.conditions(axes),
            labels=tuple(labels),
            scales=tuple(scales),
        )
