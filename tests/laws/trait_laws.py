"""What each trait claims, tried with onnxruntime; a law raises AssertionError with the case that breaks it."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import replace
from random import Random

import numpy as np
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.facts.units import SampleAxis, ShapeTable
from analyzer.observe.windows import sees_every_position
from analyzer.ops.move import MoveRule, Reshape
from analyzer.ops.operator import traits_of
from analyzer.ops.traits import Traits
from analyzer.walk.rounding import DOUBTFUL_ULPS, rounded
from tests.laws.benches import Bench, Case
from tests.models import Array, run

#: How onnxruntime says that it does not take a model or an input.
NOT_TAKEN = (
    RuntimeError,
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)
TraitLaw = Callable[[Bench, Random], None]
STEPS = (0.5, 1 / 3)  # numbers on these grids meet jumps, also after a multiplication by stored numbers
DOUBTFUL = DOUBTFUL_ULPS * 2.0**-23
NOISE = 2e-3  # less than any jump, more than rounding and half precision make


def traits(bench: Bench) -> Traits:
    return traits_of(bench.op.node, bench.op.static)


def _position(bench: Bench, name: str) -> int:
    return int(list(bench.op.node.inputs).index(name))


def _floats(bench: Bench) -> list[str]:
    return [n for n, a in bench.case.feeds.items() if a.dtype.kind == "f" and a.size]


def _drawn(bench: Bench, random: Random) -> dict[str, Array]:
    generator = np.random.default_rng(random.getrandbits(32))
    return {n: np.asarray(bench.case.sampler(n)(generator, a.shape), a.dtype) for n, a in bench.case.feeds.items()}


def _seen(bench: Bench, feeds: dict[str, Array]) -> dict[str, Array]:
    with np.errstate(all="ignore"):
        return bench.run(feeds)


def last_digits_stay_last_digits(bench: Bench, random: Random) -> None:
    """Unless it jumps: the less the operands move, the less the results do; whole numbers do not move at all."""
    if traits(bench).jumps or not _floats(bench):
        return
    numbers = [abs(float(a.reshape(-1)[0])) for a in bench.case.weights.values() if a.size == 1 and a.dtype.kind == "f"]
    numbers += [n / 2 for n in numbers] + [v for v in bench.op.node.attributes.values() if isinstance(v, float)]
    feeds = _drawn(bench, random)
    for name in _floats(bench):
        grid = random.choice([*STEPS, *(n for n in numbers if 0 < n < 1e3)])
        feeds[name] = np.asarray(np.rint(np.clip(feeds[name] / grid, -1e4, 1e4)) * grid, feeds[name].dtype)
    before = _seen(bench, feeds)
    for sign in (1, -1):  # all one way; each its own way
        ways = {n: np.random.default_rng(random.getrandbits(32)).choice([1, sign], feeds[n].shape) for n in feeds}
        near, far = (_seen(bench, _moved(bench, feeds, ways, step)) for step in (DOUBTFUL, 100 * DOUBTFUL))
        name = bench.case.outputs[0]
        by_little, by_much = _distance(before[name], near[name]), _distance(before[name], far[name])
        still = by_little == 0 if before[name].dtype.kind != "f" else by_little <= by_much / 5 + NOISE
        assert still, f"moves by {by_little} of {by_much}: {bench.case} at {feeds}"


def _moved(bench: Bench, feeds: dict[str, Array], ways: dict[str, Array], step: float) -> dict[str, Array]:
    """Every element of the operands moved by so much, up or down."""
    moved = dict(feeds)
    for name in _floats(bench):
        moved[name] = np.asarray(
            feeds[name] + step * ways[name] * np.maximum(np.abs(feeds[name]), 1), feeds[name].dtype
        )
    return moved


def _distance(a: Array, b: Array) -> float:
    """How far two results are apart, relative to their size."""
    with np.errstate(all="ignore"):
        gap = np.abs(a.astype(np.float64) - b.astype(np.float64)) / (1 + np.abs(a.astype(np.float64)))
    return float(np.max(np.where(np.isfinite(gap), gap, 0), initial=0))


def runs_repeat(bench: Bench, random: Random) -> None:
    """Unless it draws: the same inputs give the same outputs."""
    if traits(bench).draws:
        return
    again = _seen(bench, bench.case.feeds)
    for name, first in bench.first.items():
        assert np.array_equal(first, again[name], equal_nan=first.dtype.kind == "f"), f"{name} is drawn: {bench.case}"


def exact_operands_give_the_formula_itself(bench: Bench, random: Random) -> None:
    """What the rule derives from exact operands is, rounded once, what the run gives to the last digit."""
    name = bench.case.outputs[0]
    if bench.call.barrier is not None or bench.first[name].dtype.name not in traits(bench).exact_in:
        return
    feeds = _drawn(bench, random)
    known = {n: Constants.exactly(a.astype(np.float64) if a.dtype.kind == "f" else a) for n, a in feeds.items()}
    claim = bench.constants(bench.facts(known))[0]
    seen = _seen(bench, feeds)[name]
    number = np.broadcast_to(claim.number, seen.shape)
    number = rounded(number, seen.dtype.name) if seen.dtype.kind == "f" else number
    wrong = np.broadcast_to(claim.known, seen.shape) & np.isfinite(number) & (number != seen)
    assert not wrong.any(), f"{number[wrong][:3]} instead of {seen[wrong][:3]}: {bench.case} on {feeds}"


def lengths_follow_only_what_is_named(bench: Bench, random: Random) -> None:
    """Inputs that `lengths_from` does not name may hold anything: outputs are as long."""
    generator = np.random.default_rng(random.getrandbits(32))
    for name in bench.names:
        array = bench.case.arrays[name]
        if _position(bench, name) in traits(bench).lengths_from or not array.size:
            continue
        if name in bench.case.feeds:
            other = bench.case.sampler(name)(generator, array.shape)
        else:
            other = generator.choice(array.reshape(-1), array.shape)
        shapes = _shapes(bench.case, {name: np.asarray(other, array.dtype)})
        expected = {n: a.shape for n, a in bench.first.items()}
        assert shapes in (None, expected), f"{name} decides {shapes}: {bench.case}"


def _shapes(case: Case, other: dict[str, Array]) -> dict[str, tuple[int, ...]] | None:
    """Shapes of the outputs for other inputs; None where the model does not take them."""
    changed = replace(case, arrays={**case.arrays, **other})
    try:
        return {n: a.shape for n, a in run(changed.model(), changed.feeds).items()}
    except NOT_TAKEN:
        return None


def no_other_lengths_are_rounded(bench: Bench, random: Random) -> None:
    """On axes that `windows` does not name, a length that grows is not the same as for an input one longer.

    And one that is the same for a longer input is not less for a shorter one.
    """
    stated = traits(bench)
    name = bench.op.node.inputs[0] if bench.op.node.inputs else ""
    if name not in bench.case.feeds:
        return
    array = bench.case.feeds[name]
    for axis in (a for a in range(array.ndim) if not stated.limits(a, array.ndim) and array.shape[a]):
        longer = [np.concatenate([array] * 9, axis).take(range(array.shape[axis] + more), axis) for more in (0, 1, 7)]
        shapes = [_shapes(bench.case, {name: other}) for other in longer]
        for output in bench.case.outputs if None not in shapes else ():
            first, second, last = (s[output] for s in shapes if s is not None)
            hidden = len(first) == len(last) and any(a == b < c for a, b, c in zip(first, second, last, strict=True))
            assert not hidden, f"{first}, {second}, {last} as axis {axis} grows: {bench.case}"
        ends = [_shapes(bench.case, {name: other}) for other in (array.take([0], axis), longer[0], longer[2])]
        for output in bench.case.outputs if None not in ends else ():
            first, second, last = (s[output] for s in ends if s is not None)
            limited = len(first) == len(last) and any(a < b == c for a, b, c in zip(first, second, last, strict=True))
            assert not limited, f"{first}, {second}, {last} as axis {axis} grows from 1: {bench.case}"


def _shown(bench: Bench, name: str, random: Random, bad: float) -> bool:
    """Whether one such number, put anywhere in an input, shows in the first output."""
    feeds = _drawn(bench, random)
    feeds[name] = feeds[name].copy()
    feeds[name].reshape(-1)[random.randrange(feeds[name].size)] = bad
    seen = _seen(bench, feeds)[bench.case.outputs[0]]
    return bool(np.isnan(seen).any() if np.isnan(bad) else not np.isfinite(seen).all())


def _carries(bench: Bench, random: Random, inputs: Container[int], bad: float) -> None:
    for name in _floats(bench):
        if _position(bench, name) in inputs and bench.first[bench.case.outputs[0]].dtype.kind == "f" and _covers(bench):
            assert _shown(bench, name, random, bad), f"{bad} in {name} does not show: {bench.case}"


def _covers(bench: Bench) -> bool:
    """Whether windows, where there are any, see every position."""
    stated, rank = traits(bench), len(bench.op.in_shapes[0] or ())
    if stated.windows is None or not any(stated.limits(axis, rank) for axis in range(rank)):
        return True
    shapes = bench.context.shapes
    table = ShapeTable(shapes, dict.fromkeys(shapes, SampleAxis(0)), batchable=True)
    return sees_every_position(bench.op.node, table)


def nan_shows(bench: Bench, random: Random) -> None:
    """A NaN in an input that `carries_nan` names shows in the first output."""
    _carries(bench, random, traits(bench).carries_nan, np.nan)


def infinities_show(bench: Bench, random: Random) -> None:
    """An infinity in an input that `carries_infinity` names shows there as an infinity or a NaN."""
    _carries(bench, random, traits(bench).carries_infinity, random.choice([np.inf, -np.inf]))


def maxima_are_kept(bench: Bench, random: Random) -> None:
    """The largest entry of each channel comes out."""
    x, y = bench.op.node.inputs[0] if bench.op.node.inputs else "", bench.case.outputs[0]
    if traits(bench).keeps_maximum and x in bench.case.feeds and _covers(bench):
        feeds = _drawn(bench, random)
        space = tuple(range(2, feeds[x].ndim))
        assert np.array_equal(_seen(bench, feeds)[y].max(axis=space), feeds[x].max(axis=space)), f"{bench.case}"


def elements_are_kept(bench: Bench, random: Random) -> None:
    """Every element of the first input comes out somewhere."""
    x = bench.op.node.inputs[0] if bench.op.node.inputs else ""
    if traits(bench).keeps_elements and x in bench.case.feeds:
        out = np.concatenate([a.reshape(-1) for a in bench.first.values()])
        assert np.isin(bench.case.feeds[x], out).all(), f"something is lost: {bench.case}"


def what_measures_reads_no_values(bench: Bench, random: Random) -> None:
    """The outputs are the same whatever the input holds; where lengths are listed, they are the input's."""
    if not traits(bench).measures:
        assert not traits(bench).lists_lengths
        return
    feeds = _drawn(bench, random)
    seen = _seen(bench, feeds)[bench.case.outputs[0]]
    assert np.array_equal(seen, bench.first[bench.case.outputs[0]]), f"{bench.case}"
    if traits(bench).lists_lengths:
        shown = slice(int(bench.op.attr("start", 0)), bench.op.attr("end", None))
        assert seen.tolist() == list((bench.op.in_shapes[0] or ())[shown]), f"{seen}: {bench.case}"


def a_target_spells_out_lengths(bench: Bench, random: Random) -> None:
    """Numbers of the target operand, but for 0, 1 and -1, are lengths of the output, counted from the last axis."""
    if traits(bench).target is not None and bench.op.target is not None:
        shape = bench.op.out_shapes[0] or ()
        spelled = zip(reversed(bench.op.target), reversed(shape), strict=False)
        assert all(piece in (None, 0, 1, -1, length) for piece, length in spelled), f"{bench.op.target}: {bench.case}"


def places_are_no_contents(bench: Bench, random: Random) -> None:
    """Inputs that say where or how much are whole numbers or flags, or decide lengths."""
    for name in bench.names:
        position = _position(bench, name)
        if position in traits(bench).geometry:
            whole = bench.case.arrays[name].dtype.kind in "iub"
            assert whole or position in traits(bench).lengths_from, f"{name}: {bench.case}"


def places_come_out_of_places(bench: Bench, random: Random) -> None:
    """What passes places on makes whole numbers or flags of whole numbers."""
    if traits(bench).passes_geometry and all(a.dtype.kind in "iub" for a in bench.case.arrays.values()):
        assert all(a.dtype.kind in "iub" for a in bench.first.values()), f"{bench.case}"


def other_lengths_join_the_same_axes(bench: Bench, random: Random) -> None:
    """Unless it regroups: with a longer first input, the same axes are joined."""
    rule, name = bench.call.rule, bench.op.node.inputs[0] if bench.op.node.inputs else ""
    picks = len(bench.op.inputs) > 1 and any(n in bench.case.feeds for n in bench.op.inputs[1:])
    if traits(bench).regroups or not isinstance(rule, MoveRule) or name not in bench.case.feeds or picks:
        return
    for axis in range(bench.case.feeds[name].ndim):
        longer = np.concatenate([bench.case.feeds[name]] * 2, axis)
        if _shapes(bench.case, {name: longer}) is not None:
            other = Bench(replace(bench.case, arrays={**bench.case.arrays, name: longer}))
            if other.call.barrier is None and min(_lengths(bench, rule), default=2) > 1:
                assert _groups(bench, rule) == _groups(other, rule), f"axis {axis}: {bench.case}"


def _reshapes(bench: Bench, rule: MoveRule) -> list[Reshape]:
    return [step for chain in rule.chains(bench.op) for step in chain if isinstance(step, Reshape)]


def _lengths(bench: Bench, rule: MoveRule) -> list[int]:
    return [length for step in _reshapes(bench, rule) for length in (*step.source, *step.target)]


def _groups(bench: Bench, rule: MoveRule) -> list[object]:
    return [pattern.reshape_groups(step.source, step.target) for step in _reshapes(bench, rule)]


def steps_are_jumps(bench: Bench, random: Random) -> None:
    """Results in steps of a scale jump; whole numbers made of fractions come in steps, or are places."""
    held = traits(bench)
    assert held.jumps or not held.quantises
    computed = [bench.case.arrays[n].dtype.kind for n in bench.case.feeds]
    if "f" in computed and not (held.jumps or held.measures):
        assert bench.first[bench.case.outputs[0]].dtype.kind == "f", f"{bench.case}"


def results_are_no_larger_than_said(bench: Bench, random: Random) -> None:
    """With operands up to a magnitude, no result is beyond the largest that the operator tells."""
    node, largest, feeds = bench.op.node, random.choice([0.5, 1.0, 100.0]), _drawn(bench, random)
    signs = np.random.default_rng(random.getrandbits(32))
    fed = {n: np.asarray(largest * signs.choice([-1, 1], a.shape), a.dtype) for n, a in feeds.items()}
    known = [largest if n in fed and fed[n].dtype == np.float32 else None for n in node.inputs]
    bound = bench.call.rule.magnitude(node, known, bench.op.static) if bench.call.barrier is None else None
    if bound is not None and all(a.dtype == np.float32 for a in fed.values()):
        for name, shown in _seen(bench, fed).items():
            most = np.abs(shown.astype(np.float64)).max(initial=0)
            assert most <= bound * (1 + 1e-5), f"{name} reaches {most}, not {bound}: {bench.case}"


def results_are_no_lower_than_said(bench: Bench, random: Random) -> None:
    """No result is below the lowest number that the operator tells, given the lowest of the operands."""
    feeds, positive = _drawn(bench, random), random.random() < 0.5
    raised = {n: np.asarray(np.abs(a)) if positive and a.dtype.kind == "f" else a for n, a in feeds.items()}
    known = [float(raised[n].min()) if n in raised and raised[n].size else None for n in bench.op.inputs]
    bound = bench.call.rule.lowest(bench.op, known) if bench.call.barrier is None else None
    name = bench.op.outputs[0]
    if bound is not None and "float16" not in (shown := _seen(bench, raised)[name]).dtype.name:
        assert not (shown < bound - 1e-5 * abs(bound)).any(), f"{name} is below {bound}: {bench.case}"


def what_sums_no_products_has_no_weights(bench: Bench, random: Random) -> None:
    """No letters that products run over, no axis that is summed, no weighted sum."""
    if not traits(bench).sums_products:
        axes = bench.call.axes.multiply_adds(bench.context.shapes.__getitem__)
        assert (axes, bench.call.sums, bench.call.weighted_sum) == (None, False, None), f"{bench.case}"


def a_shared_scale_rounds_by_a_step(bench: Bench, random: Random) -> None:
    """The integers stand for the first input, by a scale and a zero point that come out beside them."""
    if traits(bench).shares_scale:
        names, feeds = bench.case.outputs, _drawn(bench, random)
        assert traits(bench).quantises, f"{bench.case}"
        if traits(bench).sums_products:  # the integers are not given out
            return
        assert len(names) == 3, f"{bench.case}"
        y, scale, zero = (_seen(bench, feeds)[name].astype(np.float64) for name in names)
        x = feeds[bench.op.inputs[0]]
        gap = np.abs((y - zero) * scale - x).max(initial=0)
        assert gap <= 1.001 * scale, f"{gap} apart in steps of {scale}: {bench.case} at {feeds}"


TRAIT_LAWS: tuple[TraitLaw, ...] = (
    what_sums_no_products_has_no_weights,
    last_digits_stay_last_digits,
    runs_repeat,
    exact_operands_give_the_formula_itself,
    lengths_follow_only_what_is_named,
    no_other_lengths_are_rounded,
    nan_shows,
    infinities_show,
    maxima_are_kept,
    elements_are_kept,
    what_measures_reads_no_values,
    a_target_spells_out_lengths,
    places_are_no_contents,
    places_come_out_of_places,
    other_lengths_join_the_same_axes,
    steps_are_jumps,
    a_shared_scale_rounds_by_a_step,
    results_are_no_larger_than_said,
    results_are_no_lower_than_said,
)
