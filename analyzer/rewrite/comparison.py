"""Run the original and the rewritten model on the same data: how much their outputs differ."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from types import MappingProxyType
from typing import Any

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.errors import RunError, RunFailure
from analyzer.facts.pruned import Comparison, OutputDifference
from analyzer.facts.tolerances import REORDERED, REORDERED_QUANTISED
from analyzer.probes.fitting import Feeds
from analyzer.runtime.session import Session

NO_TYPES: Mapping[str, str] = MappingProxyType({})


class Tally:
    """Differences of one output, collected batch by batch; `coarsest` is the coarsest type on the way to it."""

    def __init__(self, name: str, coarsest: str = "") -> None:
        self.name = name
        self.coarsest = coarsest
        self.absolute = self.scale = 0.0
        self.same = self.rows = 0
        self.dtype = "float32"
        self.classes = True

    def add(self, a: Array, b: Array, samples: int) -> bool:
        """Compare one output of one batch; returns whether that shows anything: the same NaN in both does not."""
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

    def result(self, quantised: bool) -> OutputDifference:
        """The difference over all batches."""
        scale = self.scale or 1.0
        tolerance = REORDERED.get(self.dtype, 0.0)  # whole numbers have none
        if tolerance:
            tolerance = max(tolerance, REORDERED.get(self.coarsest, 0.0), REORDERED_QUANTISED if quantised else 0.0)
        top1 = self.same / self.rows if self.classes and self.rows else None
        return OutputDifference(self.name, self.absolute, self.scale, self.absolute / scale, tolerance, top1)


def compare(
    original: Session,
    rewritten: Session,
    batches: Iterable[tuple[Feeds, int]],
    *,
    source: str,
    types: Mapping[str, str] = NO_TYPES,
    quantised: bool = False,
    leave_out: bool = False,
) -> Comparison:
    """Both models on the same batches (feeds and their number of samples).

    `types` are the coarsest element types on the way to each output, where that is not its own.
    A batch on which both give nothing finite counts as no sample. `leave_out`: batches that the original refuses count
    as `refused`.
    """
    tallies = {name: Tally(name, types.get(name, "")) for name in original.output_names}
    compared = refused = 0
    for group in _groups(batches, original):
        given = list(zip(group, _answers(original, group, leave_out=leave_out), strict=True))
        taken = [(feeds, samples, one) for (feeds, samples), one in given if one is not None]
        refused += sum(samples for (_, samples), one in given if one is None)
        others = rewritten.run_each([feeds for feeds, _, _ in taken])
        for (_, samples, one), two in zip(taken, others, strict=True):
            shown = [t.add(one[n], two[n], samples) for n, t in tallies.items() if isinstance(one[n], np.ndarray)]
            compared += samples if any(shown) else 0
    return Comparison(source, compared, tuple(t.result(quantised) for t in tallies.values()), refused)


def _groups(batches: Iterable[tuple[Feeds, int]], session: Session) -> Iterator[list[tuple[Feeds, int]]]:
    """Batches that are run together: several where a model is run in parts, as many as their outputs leave room for."""
    left = iter(batches)
    while group := list(islice(left, session.fitting)):
        yield group


def _answers(original: Session, group: Sequence[tuple[Feeds, int]], *, leave_out: bool) -> list[dict[str, Any] | None]:
    """What the original gives; None for batches that it refuses."""
    try:
        return [*original.run_each([feeds for feeds, _ in group])]
    except RunError as error:
        if not leave_out or error.kind is RunFailure.MEMORY:
            raise
    return [None] if len(group) == 1 else [a for one in group for a in _answers(original, [one], leave_out=leave_out)]


def rows_depend_on_others(
    session: Session,
    together: Feeds,
    singles: Sequence[Feeds],
    *,
    types: Mapping[str, str] = NO_TYPES,
    quantised: bool = False,
) -> bool:
    """Whether some output of samples that share a feed is not what they give one at a time."""
    both, alone = session.run(dict(together)), [session.run(dict(feeds)) for feeds in singles]
    for name in session.output_names:
        rows = [single[name] for single in alone]
        if all(isinstance(value, np.ndarray) for value in (both[name], *rows)):
            tally = Tally(name, types.get(name, ""))
            for whole, row in _laid_beside(both[name], rows):
                tally.add(whole, row, len(singles))
            if not tally.result(quantised).within:
                return True
    return False


def _laid_beside(both: Array, rows: Sequence[Array]) -> list[tuple[Array, Array]]:
    """The value of several samples with those of each: joined along the axis that grew, else each with the whole."""
    grown = [i for i, (many, few) in enumerate(zip(both.shape, rows[0].shape, strict=False)) if many != few]
    if len(grown) == 1 and all(row.ndim == both.ndim for row in rows):
        with suppress(ValueError):  # other axes differ from sample to sample
            return [(both, np.concatenate(rows, axis=grown[0]))]
    return [(both, row) for row in rows]


def perturbed(
    batches: Iterable[tuple[Feeds, int]], ids: Collection[str] = (), share: float = 0.05
) -> Iterable[tuple[Feeds, int]]:
    """The batches with Gaussian noise of `share` of each floating input's standard deviation.

    Inputs that hold `ids` stay as they are: another id is no noise.
    """
    rng = np.random.default_rng(0)
    for feeds, samples in batches:
        noisy = {}
        for name, array in feeds.items():
            if array.dtype.kind == "f" and array.size > 1 and name not in ids:
                noise = rng.standard_normal(array.shape) * (share * float(array.astype(np.float64).std()))
                array = (array + noise).astype(array.dtype)
            noisy[name] = array
        yield noisy, samples
