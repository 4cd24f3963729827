"""The law of sample independence: where samples are said to stay apart, changing one changes no other."""

from __future__ import annotations

from itertools import product
from random import Random

import numpy as np

from analyzer.facts.units import SampleAxis
from tests.laws.benches import Bench, Case
from tests.models import Array


def samples_stay_apart(case: Case, random: Random) -> None:
    """A claim for some axes holds: new numbers in one sample leave the outputs of the others as they are."""
    bench = Bench(case)
    if bench.call.barrier is not None:
        return
    axes = bench.call.axes
    generator = np.random.default_rng(random.getrandbits(32))
    feed = {name: case.sampler(name)(generator, array.shape) for name, array in case.feeds.items()}
    for count, samples, moved in _claims(bench, random):
        if not axes.keeps_samples(samples, moved, count):
            continue
        which = random.randrange(count)
        changed = {
            name: np.where(
                _of_sample(array, samples[name], which), case.sampler(name)(generator, array.shape), array
            ).astype(array.dtype)
            if name in samples
            else array
            for name, array in feed.items()
        }
        with np.errstate(all="ignore"):
            before, after = bench.run(feed), bench.run(changed)
        for name, at in moved.items():
            others = ~_of_sample(before[name], at, which)
            a, b = before[name].astype(np.float64), after[name].astype(np.float64)
            with np.errstate(invalid="ignore"):
                same = (np.abs(a - b) <= 1e-5 * (1 + np.abs(a))) | (np.isnan(a) & np.isnan(b)) | (a == b)
            assert not (others & ~same).any(), f"sample {which} changes others: {case}, {samples} -> {moved}"


def _claims(bench: Bench, random: Random) -> list[tuple[int, dict[str, SampleAxis], dict[str, SampleAxis]]]:
    """Some ways in which samples may lie in the fed inputs and in the outputs, with the same number of them."""
    fed = [n for n in bench.names if n in bench.case.feeds]
    named = [*fed, *bench.case.outputs]
    ways: list[tuple[int, dict[str, SampleAxis], dict[str, SampleAxis]]] = []
    lengths = {n for name in fed for n in bench.context.shapes[name]}
    for count in sorted({d for n in lengths for d in range(2, n + 1) if n % d == 0}):
        for given in product(*(_places(bench.context.shapes[name], count) for name in named)):
            pairs = [*zip(named, given, strict=True)]
            ways += [(count, dict(pairs[: len(fed)]), dict(pairs[len(fed) :]))]
    return random.sample(ways, min(len(ways), 60))


def _places(shape: tuple[int, ...], count: int) -> list[SampleAxis]:
    return [SampleAxis(axis, n // count) for axis, n in enumerate(shape) if n % count == 0]


def _of_sample(array: Array, at: SampleAxis, which: int) -> Array:
    assert at.axis is not None
    rows = np.arange(array.shape[at.axis]) // at.rows == which
    return np.broadcast_to(rows.reshape(-1, *(1,) * (array.ndim - at.axis - 1)), array.shape)
