"""What operators say of what they compute, held against onnxruntime: sums, factors, and where elements come from."""

from __future__ import annotations

from random import Random

import numpy as np

from analyzer.algebra import pattern
from tests.laws.benches import Bench, Case
from tests.models import Array, run


def weighted_sums_are_their_rows(case: Case, random: Random) -> None:
    """A unit hears of the inputs that its row weighs, and of no other; a constant input adds its weights."""
    bench = Bench(case)
    total = bench.call.rule.weighted_sum(bench.op)
    if total is None or total.rows is None or total.axis is None or total.unit_axis is None:
        return
    feed, name = bench.case.feeds, bench.op.inputs[total.data]
    x = feed[name]
    channel = random.randrange(x.shape[total.axis])
    here = (slice(None),) * total.axis + (channel,)
    other = x.copy()
    other[here] = case.sampler(name)(np.random.default_rng(random.getrandbits(32)), x[here].shape)
    weights = _weights_on(total.rows, channel, total.groups)
    moved = _per_unit(bench, {**feed, name: other}, total.unit_axis) != _per_unit(bench, feed, total.unit_axis)
    deaf = ~(weights != 0).any(axis=1)
    assert not moved[deaf].any(), f"units {np.flatnonzero(deaf)} weigh input {channel} with 0 and hear of it: {case}"
    if not total.plain or total.activated:
        return
    shifted = x.copy()
    shifted[here] += 1
    if total.absorbs:
        change = _per_unit(bench, {**feed, name: shifted}, total.unit_axis) - _per_unit(bench, feed, total.unit_axis)
        _close(change, weights.sum(axis=1, dtype=np.float64)[:, np.newaxis], case)
    resting = _per_unit(bench, {**feed, name: np.zeros_like(x)}, total.unit_axis)
    known = ~np.isnan(total.offsets)
    _close(resting[known], total.offsets[known, np.newaxis], case)


def averages_lie_among_their_sums(case: Case, random: Random) -> None:
    """A unit that is said to be an average of weighted sums is never beyond all of its sample's sums."""
    bench = Bench(case)
    total = None if bench.call.barrier is not None else bench.call.rule.averaged_sum(bench.op)
    if total is None:
        return
    assert total.rows is not None
    x = bench.case.feeds[bench.op.inputs[total.data]].astype(np.float64)
    sums = x @ total.rows[..., 0].T.astype(np.float64) + total.offsets  # [samples, positions, units]
    y = bench.first[bench.op.outputs[0]]
    low, high = (f(axis=1, keepdims=True) for f in (sums.min, sums.max))
    room = 1e-4 * (1 + np.abs(sums).max())
    assert ((y >= low - room) & (y <= high + room)).all(), f"{case}"


def affine_maps_are_their_factors(case: Case, random: Random) -> None:
    """The output is the sum of inputs times their factors, plus the shift; rounded, where it says so."""
    bench = Bench(case)
    affine = bench.call.rule.affine(bench.op)
    halves = bench.op.y_dtype in ("float16", "bfloat16")
    if affine is None or affine.rounds or halves or (affine.integers and not bench.op.y_dtype.startswith("float")):
        return
    expected = np.asarray(affine.shift)
    for position, factor in affine.factors.items():
        expected = expected + factor * case.arrays[bench.op.inputs[position]].astype(np.float64)
    actual = bench.first[bench.op.outputs[0]]
    with np.errstate(invalid="ignore"):
        _close(actual[np.isfinite(actual)], np.broadcast_to(expected, actual.shape)[np.isfinite(actual)], case)


def entries_add_up_to_one(case: Case, random: Random) -> None:
    """Along an axis of which that is said; none is negative."""
    bench = Bench(case)
    axis, y = bench.call.rule.sums_to_one(bench.op), bench.first.get(bench.op.outputs[0])
    if axis is not None and y is not None:
        assert (y >= 0).all(), f"entries below zero: {case}"
        np.testing.assert_allclose(y.sum(axis=axis, dtype=np.float64), 1, rtol=1e-5, err_msg=str(case))


def summands_count_in_the_operand_that_takes_them(case: Case, random: Random) -> None:
    """What is added to an input gives what it gives when the stored operand has it, with the sign that is stated."""
    bench, generator = Bench(case), np.random.default_rng(random.getrandbits(32))
    for position, name in enumerate(bench.op.inputs):
        place = bench.call.rule.summand(bench.op, position) if bench.call.barrier is None else None
        if place is None or name not in case.feeds or case.arrays[name].dtype.kind != "f":
            continue
        x, operand = case.arrays[name], bench.op.inputs[place.position]
        stored = case.arrays[operand]
        fits = place.per_unit or np.broadcast_shapes(x.shape, stored.shape) == x.shape
        added = generator.normal(size=stored.shape if fits else ()).astype(x.dtype)
        spread = pattern.on_axis(added, 1, x.ndim) if place.per_unit else added
        taken = {**case.weights, operand: np.asarray(stored + place.sign * added, stored.dtype)}
        output = case.outputs[0]
        expected = bench.run({**case.feeds, name: np.asarray(x + spread, x.dtype)})[output]
        actual = run(case.model(taken), case.feeds)[output]
        with np.errstate(invalid="ignore"):
            _close(actual[np.isfinite(expected)], expected[np.isfinite(expected)], case)


def factors_count_further_on(case: Case, random: Random) -> None:
    """Where an input lacks a factor, the output lacks the power of it that is stated, or an operand takes it."""
    bench, factor = Bench(case), random.choice([0.25, 0.5, 2.0, 4.0])
    for position, name in enumerate(bench.op.inputs):
        scaling = bench.call.rule.scaling(bench.op, position) if bench.call.barrier is None else None
        if scaling is None or name not in case.feeds or list(bench.op.inputs).count(name) > 1:
            continue
        power, stored = factor**scaling.power, dict(case.weights)
        for place, by in ((scaling.along, 1 / factor), (scaling.takes, power)):
            if place is not None:
                operand = bench.op.inputs[place]
                stored[operand] = np.asarray(stored[operand] * by, stored[operand].dtype)
        x, output = (
            np.asarray(np.abs(case.arrays[name])),
            case.outputs[0],
        )  # what is measured by a factor is seldom negative
        expected = bench.run({**case.feeds, name: x})[output].astype(np.float64)
        lacking = run(case.model(stored), {**case.feeds, name: np.asarray(x / factor, x.dtype)})[output]
        actual = lacking.astype(np.float64) * (1 if scaling.takes is not None else power)
        with np.errstate(invalid="ignore"):
            _close(actual[np.isfinite(expected)], expected[np.isfinite(expected)], case)


def elements_come_from_their_places(case: Case, random: Random) -> None:
    """An element that is said to come from an index of an input is one that stands there."""
    bench = Bench(case)
    if bench.call.barrier is not None or not bench.call.rule.moves:
        return
    for output, name in enumerate(bench.op.outputs):
        for position, source in enumerate(bench.op.inputs):
            if name and source:
                _check_places(bench, case.arrays[source], position, bench.first[name], output)


def _check_places(bench: Bench, x: Array, position: int, y: Array, output: int) -> None:
    for axis in range(x.ndim):
        places = bench.call.rule.places(bench.op, position, axis, output)
        if places is None:
            continue
        wide = np.broadcast_to(places, y.shape)
        for index in np.unique(wide[wide >= 0]):
            known = set(x.take(index, axis).reshape(-1).tolist())
            assert set(y[wide == index].tolist()) <= known, f"not from index {index} on axis {axis}: {bench.case}"


def _weights_on(rows: Array, channel: int, groups: int) -> Array:
    """What each unit weighs one input with, [units, taps]."""
    group, place = divmod(channel, rows.shape[1])
    own = np.arange(len(rows)) // (len(rows) // groups) == group
    return np.where(own[:, np.newaxis], rows[:, place], 0)


def _per_unit(bench: Bench, feed: dict[str, Array], axis: int) -> Array:
    """The first output, [units, everything else]."""
    (y, *_) = bench.run(feed).values()
    moved = np.moveaxis(y, axis, 0)
    return moved.reshape(len(moved), -1).astype(np.float64)


def _close(actual: Array, expected: Array, case: Case) -> None:
    allowed = 50 * case.tolerance * (1 + np.abs(expected))
    assert (np.abs(actual - expected) <= allowed).all(), f"{actual} is not {expected}: {case}"
