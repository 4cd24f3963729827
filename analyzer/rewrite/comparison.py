"""Run the original and the rewritten model on the same data: how much their outputs differ."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.facts.pruned import Comparison
from analyzer.observe.output_differences import NO_TYPES, Tally, differences
from analyzer.probes.fitting import Feeds
from analyzer.runtime.session import Session


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

    `types` are the coarsest element types on the way to each output, where that is not its own. The rest as for
    `differences`.
    """
    shown = differences(original, rewritten, batches, leave_out=leave_out)
    return shown.comparison(source, types=types, quantised=quantised)


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
            tally = Tally(name)
            for whole, row in _laid_beside(both[name], rows):
                tally.add(whole, row, len(singles))
            if not tally.result(types.get(name, ""), quantised=quantised).within:
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
