"""How far outputs of two models are apart on the same feeds: what parts of the data show adds up, in any order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.errors import RunError, RunFailure
from analyzer.facts.pruned import Comparison, OutputDifference
from analyzer.facts.tolerances import REORDERED, REORDERED_QUANTISED
from analyzer.observe.read_ahead import ReadAhead
from analyzer.probes.fitting import Feeds
from analyzer.probes.sample_blocks import Batch
from analyzer.runtime.session import Session

NO_TYPES: Mapping[str, str] = MappingProxyType({})


@dataclass
class Tally:
    """Differences of one output: the largest, the largest entry, and in how many of `rows` the largest entry agrees.

    `dtype` is empty while nothing was added; `classes`: whether the output is a classifier's, as far as it was seen.
    """

    name: str
    absolute: float = 0.0
    scale: float = 0.0
    same: int = 0
    rows: int = 0
    dtype: str = ""
    classes: bool = True

    def add(self, a: Array, b: Array, samples: int) -> bool:
        """Compare the output of one batch; returns whether that shows anything: the same NaN in both does not."""
        self.dtype = a.dtype.name
        if a.shape != b.shape:
            self.absolute = np.inf
            return True
        if a.dtype.kind not in "fV":
            self.absolute = max(self.absolute, 0.0 if np.array_equal(a, b) else np.inf)
            self.classes = False
            return bool(a.size)
        one, two = a.astype(np.float64), b.astype(np.float64)
        finite = np.isfinite(one)
        alike = np.array_equal(finite, np.isfinite(two))
        if not alike or not np.array_equal(one[~finite], two[~finite], equal_nan=True):
            self.absolute = np.inf
            return True
        if finite.any():
            self.absolute = max(self.absolute, float(np.abs(one[finite] - two[finite]).max()))
            self.scale = max(self.scale, float(np.abs(one[finite]).max()))
        if one.ndim == 2 and one.shape[0] == samples and one.shape[1] > 1 and finite.all():
            self.same += int((one.argmax(1) == two.argmax(1)).sum())
            self.rows += samples
        else:
            self.classes = False
        return bool(finite.any())

    def merge(self, other: Tally) -> Tally:
        """Both together, of other batches."""
        return Tally(
            self.name,
            max(self.absolute, other.absolute),
            max(self.scale, other.scale),
            self.same + other.same,
            self.rows + other.rows,
            max(self.dtype, other.dtype),
            self.classes and other.classes,
        )

    @property
    def relative(self) -> float:
        """The largest difference relative to the output's scale."""
        return self.absolute / (self.scale or 1.0)

    def result(self, coarsest: str = "", *, quantised: bool = False) -> OutputDifference:
        """The difference over all batches; `coarsest` is the coarsest element type on the way to the output."""
        tolerance = REORDERED.get(self.dtype or "float32", 0.0)  # whole numbers have none
        if tolerance:
            tolerance = max(tolerance, REORDERED.get(coarsest, 0.0), REORDERED_QUANTISED if quantised else 0.0)
        top1 = self.same / self.rows if self.classes and self.rows else None
        return OutputDifference(self.name, self.absolute, self.scale, self.relative, tolerance, top1)


@dataclass(frozen=True)
class Differences:
    """What batches showed: of each output, on how many `samples` some output was finite, how many were `refused`."""

    outputs: tuple[Tally, ...]
    samples: int = 0
    refused: int = 0

    def merge(self, other: Differences) -> Differences:
        """Both together, of other batches; of none the outputs need not be known."""
        if not (self.outputs and other.outputs):
            return self if self.outputs else other
        outputs = tuple(one.merge(two) for one, two in zip(self.outputs, other.outputs, strict=True))
        return Differences(outputs, self.samples + other.samples, self.refused + other.refused)

    def comparison(self, source: str, *, types: Mapping[str, str] = NO_TYPES, quantised: bool = False) -> Comparison:
        """The same as a result; see `compare`."""
        outputs = tuple(tally.result(types.get(tally.name, ""), quantised=quantised) for tally in self.outputs)
        return Comparison(source, self.samples, outputs, self.refused)


@dataclass(frozen=True)
class ComparedBlocks:
    """What blocks of samples showed that were run by two models, one sample at a time and several at once."""

    alone: Differences = Differences(())
    together: Differences = Differences(())

    @property
    def outputs(self) -> tuple[Tally, ...]:
        """What either way showed of each output."""
        return self.alone.merge(self.together).outputs

    def merge(self, other: ComparedBlocks) -> ComparedBlocks:
        """Both together, of other blocks."""
        return ComparedBlocks(self.alone.merge(other.alone), self.together.merge(other.together))


def differences(
    original: Session, rewritten: Session, batches: Iterable[tuple[Feeds, int]], *, leave_out: bool = False
) -> Differences:
    """What both models show on the same batches.

    A batch on which both give nothing finite counts as no sample. `leave_out`: batches that the original refuses count
    as `refused`.
    """
    tallies = tuple(Tally(name) for name in original.output_names)
    compared = refused = 0
    for group in _groups(batches, original):
        given = list(zip(group, _answers(original, group, leave_out=leave_out), strict=True))
        taken = [(feeds, samples, one) for (feeds, samples), one in given if one is not None]
        refused += sum(samples for (_, samples), one in given if one is None)
        others = rewritten.run_each([feeds for feeds, _, _ in taken])
        for (_, samples, one), two in zip(taken, others, strict=True):
            pairs = [(tally, one[tally.name], two[tally.name]) for tally in tallies]
            shown = [tally.add(a, b, samples) for tally, a, b in pairs if isinstance(a, np.ndarray)]
            compared += samples if any(shown) else 0
    return Differences(tallies, compared, refused)


def _groups(batches: Iterable[tuple[Feeds, int]], session: Session) -> Iterator[list[tuple[Feeds, int]]]:
    """Batches that are run together: several where a model is run in parts."""
    ahead = ReadAhead(Batch(feeds, samples) for feeds, samples in batches)
    while group := ahead.first(session.fitting):
        yield [(batch.feeds, batch.samples) for batch in group]
        ahead.take(len(group))


def _answers(original: Session, group: Sequence[tuple[Feeds, int]], *, leave_out: bool) -> list[dict[str, Any] | None]:
    """What the original gives; None for batches that it refuses."""
    try:
        return [*original.run_each([feeds for feeds, _ in group])]
    except RunError as error:
        if not leave_out or error.kind is RunFailure.MEMORY:
            raise
    return [None] if len(group) == 1 else [a for one in group for a in _answers(original, [one], leave_out=leave_out)]
