"""The laws of the smaller node: needs, ties, carriers and `shrink` together give what the whole node gave."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.algebra.growth import Growth
from analyzer.algebra.keeps import Keeps
from analyzer.algebra.pattern import Mask
from analyzer.errors import Refusal
from analyzer.facts.cut import CutPlan
from analyzer.ops.conv import ConvRule
from tests.laws.benches import Bench, Case, random_facts, random_mask, with_multiples
from tests.laws.laws import held_fixed, takes_multiples
from tests.laws.slicing import cut, run_cut, shrunk_model
from tests.models import Array, run


def shrunk_nodes_agree(case: Case, random: Random) -> None:
    """Needs, ties, carriers and shrink together: the smaller node gives every output element that was asked for.

    What is not needed holds anything; what is constant holds its constant, as far as it stays.
    """
    bench = Bench(case)
    known = random_facts(random, case)
    if takes_multiples(bench) and random.random() < 0.3:
        name = bench.op.inputs[0]
        known[name] = with_multiples(random, known[name], case.arrays[name].shape)
    facts = bench.facts(known)
    claims = bench.constants(facts)
    asked = [random_mask(random, s) if s is not None else pattern.uniform(0, False) for s in bench.op.out_shapes]
    if not any(m.any() for m in asked):
        return
    needs = bench.call.rule.needs(bench.op, asked, facts, claims)
    keeps = closed(bench, asked, needs, facts, claims)
    generator = np.random.default_rng(random.getrandbits(32))
    feed = bench.draw(generator, known)
    reference = bench.run(feed)
    small = {}
    for name, need, fact in zip(bench.op.inputs, needs, facts, strict=True):
        if name in feed:
            free = np.broadcast_to(~need & ~held_fixed(fact), feed[name].shape)
            other = np.where(free, case.sampler(name)(generator, feed[name].shape), feed[name])
            vectors = keeps.vectors(name) if keeps.alive(name) else [np.ones(d, np.bool_) for d in other.shape]
            small[name] = cut(other.astype(feed[name].dtype), vectors)
    named = {
        n: f for n, f in [*zip(bench.op.inputs, facts, strict=True), *zip(bench.op.outputs, claims, strict=True)] if n
    }
    try:
        model = shrunk_model(bench, CutPlan(keeps, named, frozenset({0}), frozenset()))
    except Refusal:
        return
    inputs = {i.name for i in model.graph.input}
    seen = run_cut(model, {n: a for n, a in small.items() if n in inputs}, case)
    for name, mask in zip(bench.op.outputs, asked, strict=True):
        if name and name in seen and keeps.alive(name):
            vectors = keeps.vectors(name)
            expected = cut(reference[name], vectors).astype(np.float64)
            looked = cut(np.broadcast_to(mask, reference[name].shape), vectors)
            assert seen[name].shape == expected.shape, f"{seen[name].shape} instead of {expected.shape}: {case}"
            with np.errstate(invalid="ignore"):
                allowed = 10 * case.tolerance * (1 + np.abs(expected)) + case.step
                near = np.abs(seen[name].astype(np.float64) - expected) <= allowed
            near |= (seen[name] == expected) | (np.isnan(seen[name].astype(np.float64)) & np.isnan(expected))
            assert not (looked & ~near).any(), (
                f"the smaller node gives {seen[name][looked & ~near][:3]}, not {expected[looked & ~near][:3]}: "
                f"{case} with {known}, asked {mask}"
            )


def observed_constants_are_filled_in(case: Case, random: Random) -> None:
    """A rule that asks for less because an output unit was seen to be constant gives that constant itself."""
    bench = Bench(case)
    axes = bench.call.axes.units({})[bench.op.outputs[0]]
    shape = bench.op.out_shapes[0]
    if not axes or case.outputs != ["y0"] or not shape:
        return
    known = random_facts(random, case)
    facts = bench.facts(known)
    derived = bench.constants(facts)
    axis = max(axes)
    generator = np.random.default_rng(random.getrandbits(32))
    free = ~pattern.per_index(derived[0].known, axis, shape[axis], every=False)
    units = np.flatnonzero(free & (generator.random(shape[axis]) < 0.5))
    like = bench.first["y0"]
    seen_values = np.abs(generator.choice(like.reshape(-1), len(units)))
    claims = [derived[0].with_seed(axis, units, seen_values.astype(np.float64), shape[axis])]
    asked = [pattern.uniform(len(shape), True)]
    needs, plain = (bench.call.rule.needs(bench.op, asked, facts, c) for c in (claims, derived))
    pairs = ((np.broadcast_shapes(a.shape, b.shape), a, b) for a, b in zip(needs, plain, strict=True))
    same = ((np.broadcast_to(a, shared) == np.broadcast_to(b, shared)).all() for shared, a, b in pairs)
    if not len(units) or all(same):
        return
    keeps = closed(bench, asked, needs, facts, claims)
    feed = bench.draw(generator, known)
    small = {n: cut(a, keeps.vectors(n)) for n, a in feed.items()}
    named = {n: f for n, f in [*zip(bench.op.inputs, facts, strict=True), ("y0", claims[0])] if n}
    model = shrunk_model(bench, CutPlan(keeps, named, frozenset({0}), frozenset()))
    seen = run_cut(model, small, case)["y0"].astype(np.float64)
    expected = np.moveaxis(bench.run(feed)["y0"].astype(np.float64), axis, 0)
    expected[units] = seen_values.reshape(-1, *(1,) * (len(shape) - 1))
    expected = np.moveaxis(expected, 0, axis)
    near = np.abs(seen - expected) <= 10 * case.tolerance * (1 + np.abs(expected))
    assert near.all(), f"{seen[~near][:3]} instead of {expected[~near][:3]}: {case} with {known}, units {units}"


def closed(
    bench: Bench, asked: Sequence[Mask], needs: Sequence[Mask], facts: Sequence[Constants], claims: Sequence[Constants]
) -> Keeps:
    """Keep vectors that hold everything needed, the ties, and the carriers."""
    changed: list[str] = []
    keeps = Growth({n: bench.context.shapes[n] for n in (*bench.names, *bench.case.outputs)}, changed.append)
    for name, mask in [*zip(bench.op.inputs, needs, strict=True), *zip(bench.op.outputs, asked, strict=True)]:
        if name:
            keeps.need(name, mask)
    while True:
        changed.clear()
        bench.call.axes.ties(keeps)
        if changed:
            continue
        carriers = bench.call.rule.carry(bench.op, keeps, asked, facts, claims)
        for name, axis, index in carriers:
            keeps.grow((name, axis), np.arange(bench.context.shapes[name][axis]) == index)
        if not carriers:
            return keeps.final()


def carriers_are_enough(case: Case, random: Random) -> None:
    """What the needs leave of a convolution's channels, its carriers and a bias give every output that is asked for."""
    bench = Bench(case)
    rule = bench.call.rule
    if not isinstance(rule, ConvRule) or bench.op.op_type not in ("Conv", "ConvTranspose"):
        return
    known = random_facts(random, case)
    x, w = bench.op.inputs[0], bench.op.inputs[1]
    if random.random() < 0.4:
        known[x] = with_multiples(random, known[x], case.arrays[x].shape)
    facts = bench.facts(known)
    claims = bench.constants(facts)
    asked = [random_mask(random, bench.op.out_shapes[0])]
    needs = rule.needs(bench.op, asked, facts, claims)
    channels = case.arrays[x].shape[1]
    keeps = Growth({n: bench.context.shapes[n] for n in (*bench.names, *case.outputs)})
    keeps.grow(
        (x, 1), np.broadcast_to(needs[0].any(axis=tuple(a for a in range(needs[0].ndim) if a != 1)), (channels,))
    )
    while found := rule.carry(bench.op, keeps, asked, facts, claims):
        for name, axis, index in found:
            assert (name, axis) == (x, 1), f"a carrier on another axis: {case}"
            keeps.grow((x, 1), np.arange(channels) == index)
    kept = keeps.get((x, 1))
    feed = bench.draw(np.random.default_rng(random.getrandbits(32)), known)
    kernel, bias = _kernel_with_carriers(bench, facts, kept)
    quiet = np.where(kept.reshape(1, -1, *(1,) * (feed[x].ndim - 2)), feed[x], 0).astype(feed[x].dtype)
    full, shrunk = bench.run(feed), run(case.model({**case.weights, w: kernel}), {**feed, x: quiet})
    after = {n: a.astype(np.float64) + pattern.on_axis(bias, 1, a.ndim) for n, a in shrunk.items()}
    mask = np.broadcast_to(asked[0] & ~claims[0].known, full["y0"].shape)
    wrong = mask & (np.abs(full["y0"] - after["y0"]) > 1e-4 * (1 + np.abs(full["y0"])))
    assert not wrong.any(), f"{wrong.sum()} outputs differ: {case} with {known}, kept {kept}"


def _kernel_with_carriers(bench: Bench, facts: Sequence[Constants], kept: Mask) -> tuple[Array, Array]:
    """The kernel in which carriers stand in for what went, and what goes into the bias."""
    rule = bench.call.rule
    assert isinstance(rule, ConvRule)
    known, value = rule.channels(bench.op, facts)
    held, factor = rule.held_multiples(bench.op, facts)
    groups = rule.groups(bench.op)
    stored = rule.kernel(bench.op).astype(np.float64)
    transposed = bench.op.op_type == "ConvTranspose"
    # [group, out, in, *kernel]
    wide = stored.reshape(groups, stored.shape[0] // groups, *stored.shape[1:])
    wide = (wide.swapaxes(1, 2) if transposed else wide).copy()
    bias = np.zeros(wide.shape[:2])
    flat = rule.flat_border(bench.op)
    for group in range(groups):
        here = slice(group * wide.shape[2], (group + 1) * wide.shape[2])
        for members, size in ((known[here] & (value[here] != 0), value[here]), (held[here], factor[here])):
            gone = members & ~kept[here]
            taps = np.einsum("i,oi...->o...", np.where(gone, size, 0), wide[group])
            if size is not factor[here] and members is not held[here] and flat and np.array_equal(size, value[here]):
                bias[group] += taps.reshape(len(taps), -1).sum(axis=1)
                continue
            carriers = np.flatnonzero(members & kept[here])
            if gone.any() and len(carriers):
                wide[group][:, carriers[0]] += taps / size[carriers[0]]
    wide = wide.swapaxes(1, 2) if transposed else wide
    return wide.reshape(stored.shape).astype(np.float32), bias.reshape(-1)
