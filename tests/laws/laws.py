"""The laws that every rule obeys, each stated once; a law raises AssertionError with the case that breaks it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from random import Random
from typing import Any

import numpy as np
import pytest

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.algebra.growth import Growth
from analyzer.algebra.keeps import Keeps
from analyzer.algebra.pattern import Mask
from analyzer.ops.attention import AttentionRule
from analyzer.ops.contraction import Contraction
from analyzer.ops.conv import ConvRule
from analyzer.ops.correspondence import Correspondence, Lettered
from analyzer.ops.fused_attention import ProjectedAttention
from analyzer.ops.moe import MixtureOfExperts
from analyzer.ops.node import OpNode
from analyzer.ops.operator import Operator, traits_of
from analyzer.ops.recurrent import Recurrent
from tests.laws.benches import Bench, Case, random_facts, random_mask, with_multiples
from tests.laws.slicing import Sliced, resting, run_cut, sliced_case
from tests.models import Array, run

DRAWS = 3
Law = Callable[[Case, Random], None]
Patch = Callable[[pytest.MonkeyPatch], None]
#: A wrong rule, the operator, and the law that it breaks.
Fault = tuple[Patch, str, Law]


def letters_part(rule: type[Any], *letters: str) -> Patch:
    """A wrong rule: indices along these letters go one by one, though they must stay whole."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        honest = rule.axes

        def axes(self: Any, node: Any) -> Any:
            found = honest(self, node)
            return replace(found, whole=found.whole.difference(letters)) if isinstance(found, Lettered) else found

        monkeypatch.setattr(rule, "axes", axes)

    patch.__name__ = f"letters_{'_'.join(letters)}_part"
    return patch


def constants_are_constant(case: Case, random: Random) -> None:
    """What is claimed constant is so on every input on which the inputs' constants hold, and has that value."""
    bench = Bench(case)
    known = random_facts(random, case)
    claims = bench.constants(bench.facts(known))
    generator = np.random.default_rng(random.getrandbits(32))
    for _ in range(DRAWS):
        feed = bench.draw(generator, known)
        with np.errstate(all="ignore"):
            seen = bench.run(feed)
        for name, claim in zip(bench.op.outputs, claims, strict=True):
            if name:
                check_claim(case, known, claim, seen[name])


def check_claim(case: Case, known: object, claim: Constants, seen: Array) -> None:
    """Elements that are claimed have the value that is claimed."""
    assert claim.rank == seen.ndim, f"a pattern of rank {claim.rank} for a value of rank {seen.ndim}: {case}"
    held = np.broadcast_to(claim.known, seen.shape)
    value = np.broadcast_to(np.asarray(claim.value, np.float64), seen.shape)
    actual = seen.astype(np.float64)
    allowed = case.tolerance * (1 + np.abs(value)) if seen.dtype.kind == "f" else np.zeros(seen.shape)
    allowed = np.maximum(allowed, 2e-3 * np.abs(value)) if seen.dtype == np.float16 else allowed
    with np.errstate(invalid="ignore"):
        wrong = held & ~(np.abs(actual - value) <= allowed)
    assert not wrong.any(), (
        f"claimed {value[wrong][:4]}, seen {actual[wrong][:4]} ({wrong.sum()} elements): {case} with {known}"
    )


def multiples_share_a_map(case: Case, random: Random) -> None:
    """Channels claimed as multiples are their factors times one map."""
    bench = Bench(case)
    known = random_facts(random, case)
    claims = bench.constants(bench.facts(known))
    feed = bench.draw(np.random.default_rng(random.getrandbits(32)), known)
    seen = bench.run(feed)
    for name, claim in zip(bench.op.outputs, claims, strict=True):
        if name and claim.multiples is not None and claim.multiples.profile in {*bench.op.outputs} - {name}:
            zeros = claim.multiples.factor * seen[claim.multiples.profile]
            assert not (claim.multiples.held & (seen[name] != zeros)).any(), f"not multiples: {case} with {known}"
        elif name and claim.multiples is not None and seen[name].ndim > 1:
            y = seen[name].astype(np.float64)
            held = np.broadcast_to(claim.multiples.held, y.shape)
            factor = np.broadcast_to(claim.multiples.factor, y.shape)
            for channel in range(1, y.shape[1]):
                both = held[:, channel] & held[:, 0]
                crossed = y[:, channel] * factor[:, 0] - y[:, 0] * factor[:, channel]
                assert not (both & (np.abs(crossed) > 1e-3)).any(), f"not multiples of one map: {case} with {known}"


def unneeded_inputs_change_nothing(case: Case, random: Random) -> None:
    """An input element that is not needed may take any finite value; constants and multiples must stay what they are.

    Constant outputs are left out: the rule may fill them in from what it knows.
    """
    bench = Bench(case)
    known = random_facts(random, case)
    if takes_multiples(bench) and random.random() < 0.3:
        name = bench.op.inputs[0]
        known[name] = with_multiples(random, known[name], case.arrays[name].shape)
    facts = bench.facts(known)
    claims = bench.constants(facts)
    asked = [random_mask(random, s) if s is not None else pattern.uniform(0, False) for s in bench.op.out_shapes]
    needs = bench.call.rule.needs(bench.op, asked, facts, claims)
    assert len(needs) == len(bench.op.inputs), f"{len(needs)} masks for {len(bench.op.inputs)} inputs: {case}"
    generator = np.random.default_rng(random.getrandbits(32))
    feed = bench.draw(generator, known)
    reference = bench.run(feed)
    for name, need, fact in zip(bench.op.inputs, needs, facts, strict=True):
        if not name:
            continue
        array = case.arrays[name]
        assert need.ndim == array.ndim, f"a mask of rank {need.ndim} for {name}: {case}"
        free = ~np.broadcast_to(need, array.shape)
        if name in feed:
            free = free & ~np.broadcast_to(held_fixed(fact), array.shape)
            changed = {**feed, name: np.where(free, case.sampler(name)(generator, array.shape), feed[name])}
            changed[name] = changed[name].astype(array.dtype)
            _same(case, known, bench, asked, claims, reference, bench.run(changed), f"feed {name}")
    _weights_too(bench, random, known, facts, claims, asked, needs, feed)


def takes_multiples(bench: Bench) -> bool:
    return isinstance(bench.call.rule, ConvRule) and bench.op.op_type in ("Conv", "FusedConv", "ConvTranspose")


def held_fixed(fact: Constants) -> Mask:
    return fact.known if fact.multiples is None else fact.known | fact.multiples.held


_ABSORBING = ConvRule | Contraction | Recurrent | ProjectedAttention | MixtureOfExperts


def _weights_too(
    bench: Bench, random: Random, known: dict[str, Constants], facts: Sequence[Constants],
    claims: Sequence[Constants], asked: Sequence[Mask], needs: Sequence[Mask], feed: dict[str, Array],
) -> None:  # fmt: skip
    """The same for stored inputs; what the shrunk node moves into a bias or a carrier is taken out of both runs."""
    case, generator = bench.case, np.random.default_rng(random.getrandbits(32))
    quiet = dict(feed)
    for name, need, fact in zip(bench.op.inputs, needs, facts, strict=True):
        if name in feed and isinstance(bench.call.rule, _ABSORBING):
            absorbed = np.broadcast_to(held_fixed(fact) & ~need, feed[name].shape)
            quiet[name] = np.where(absorbed, resting(bench, name), feed[name]).astype(feed[name].dtype)
    reference = run(case.model(), quiet)
    for position, (name, need) in enumerate(zip(bench.op.inputs, needs, strict=True)):
        rule = bench.call.rule
        if isinstance(rule, Recurrent) and position in (2, 3) and rule.silent(bench.op, facts)[1].any():
            continue  # what hidden constants add goes into the bias, or onto a carrier
        if isinstance(rule, MixtureOfExperts) and position in (3, 4) and rule.hidden(bench.op, facts)[0].any():
            continue  # likewise into the second bias
        if name in case.stored and case.arrays[name].dtype.kind == "f" and not need.all():
            array = case.arrays[name]
            free = ~np.broadcast_to(need, array.shape) & (array != 0)  # zeros are absorbed constants, too
            changed = np.where(free, generator.normal(0, 3, array.shape), array).astype(array.dtype)
            seen = run(case.model({**case.weights, name: changed}), quiet)
            _same(case, known, bench, asked, claims, reference, seen, f"weight {name}")


def _same(
    case: Case, known: object, bench: Bench, asked: Sequence[Mask], claims: Sequence[Constants],
    before: dict[str, Array], after: dict[str, Array], what: str,
) -> None:  # fmt: skip
    for name, mask, claim in zip(bench.op.outputs, asked, claims, strict=True):
        if name:
            check_same(case, known, mask & ~claim.known, before[name], after[name], what)


def check_same(case: Case, known: object, looked: Mask, before: Array, after: Array, what: str) -> None:
    """An output is what it was where that is asked for, though an input changed."""
    a, b = before.astype(np.float64), after.astype(np.float64)
    with np.errstate(invalid="ignore"):
        equal = (np.abs(a - b) <= 1e-5 * (1 + np.abs(a))) | (np.isnan(a) & np.isnan(b)) | (a == b)
    changed = np.broadcast_to(looked, a.shape) & ~equal
    assert not changed.any(), f"{what} matters, but is not needed: {case} with {known}, asked {looked}"


# -- ties ---------------------------------------------------------------------------------------------------------


def settled(bench: Bench, seeds: dict[str, list[Mask]]) -> Keeps:
    """Keep vectors at the fixpoint of one node's ties."""
    changed: list[str] = []
    keeps = Growth({n: bench.context.shapes[n] for n in (*bench.names, *bench.case.outputs)}, changed.append)
    for name, vectors in seeds.items():
        keeps.grow_all(name, vectors)
    for _ in range(50):
        changed.clear()
        bench.call.axes.ties(keeps)
        if not changed:
            return keeps.final()
    raise AssertionError(f"ties do not settle: {bench.case}")


def _random_box(random: Random, shape: tuple[int, ...]) -> list[Mask]:
    generator = np.random.default_rng(random.getrandbits(32))
    vectors = []
    for length in shape or (1,):
        if not length:
            vectors.append(np.zeros(0, np.bool_))
            continue
        vector = generator.random(length) < random.choice([0.2, 0.6, 1.0])
        vector[random.randrange(length)] = True
        vectors.append(vector)
    return vectors


def _random_seeds(bench: Bench, random: Random) -> dict[str, list[Mask]]:
    names = [n for n in bench.case.outputs if random.random() < 0.8] or bench.case.outputs[:1]
    names += [n for n in bench.names if random.random() < 0.15 and (n in bench.case.feeds or bench.shared)]
    return {n: _random_box(random, bench.context.shapes[n]) for n in names}


def tied_slots_stay_together(case: Case, random: Random) -> None:
    """Of an index and what is cut together with it, either keeps the other, whatever else stays."""
    bench = Bench(case, shared=random.random() < 0.3)
    shapes = {n: bench.context.shapes[n] for n in (*bench.names, *case.outputs) if bench.context.shapes[n]}
    if not shapes:
        return
    name = random.choice([*shapes])
    axis = random.randrange(len(shapes[name]))
    if not shapes[name][axis]:
        return
    index = random.randrange(shapes[name][axis])
    tied = bench.call.axes.tied((name, axis), index)
    open_axes = {(name, axis), *(ref for ref, _, _ in tied)}
    base = {n: [np.full(d, (n, a) not in open_axes) for a, d in enumerate(s)] for n, s in shapes.items()}
    mine = {**base, name: [v | (np.arange(len(v)) == index) if a == axis else v for a, v in enumerate(base[name])]}
    for (other, place), indices, part in tied:
        if part:
            continue
        there = np.isin(np.arange(shapes[other][place]), indices)
        theirs = {**base, other: [v | there if a == place else v for a, v in enumerate(base[other])]}
        forth = settled(bench, mine).get((other, place))[indices].all()
        back = settled(bench, theirs).get((name, axis))[index]
        assert forth or back, f"{name}[{axis}: {index}] is not tied to {other}[{place}: {indices}]: {case}"


def more_asked_more_kept(case: Case, random: Random) -> None:
    """Ties are monotone: asking for more never keeps less."""
    bench = Bench(case)
    if getattr(bench.call.axes, "own", None):
        return  # which channels fill a group up is a free choice
    base = {n: _random_box(random, bench.context.shapes[n]) for n in bench.names[:2]}
    small = {**base, **_random_seeds(bench, random)}  # the axes that must keep one index have something to keep
    small |= {n: [a | b for a, b in zip(small[n], base[n], strict=True)] for n in base}
    extra = _random_seeds(bench, random)
    large = {
        n: [
            np.asarray(a | b)
            for a, b in zip(small.get(n, extra.get(n, [])), extra.get(n, small.get(n, [])), strict=True)
        ]
        for n in (*small, *(e for e in extra if e not in small))
    }
    less, more = settled(bench, small), settled(bench, large)
    for name in (*bench.names, *case.outputs):
        for a, b in zip(less.vectors(name), more.vectors(name), strict=True):
            assert not (a & ~b).any(), f"{name} keeps less when more is asked: {case}, {small} < {large}"


def cut_nodes_agree(case: Case, random: Random) -> None:
    """Cut inputs through the cut node give the cut outputs; in weighted sums, terms that go count as zero."""
    bench = Bench(case, shared=random.random() < 0.3)
    seeds = _random_seeds(bench, random)
    keeps = settled(bench, seeds)
    for name in case.outputs:
        assert keeps.alive(name) or name not in seeds, f"{name} died: {case}"
    found: Sliced | None = sliced_case(bench, keeps)
    if found is None:
        return
    reference = run(case.model({**case.weights, **found.weights}), found.reference)
    small = run_cut(found.case.model(), found.case.feeds, case)
    for name in (n for n in found.case.outputs if keeps.alive(n)):
        expected = reference[name]
        for axis, vector in enumerate(keeps.vectors(name)):
            expected = expected.compress(vector, axis) if expected.ndim else expected
        assert small[name].shape == expected.shape, f"{small[name].shape} instead of {expected.shape}: {case} {seeds}"
        a, b = small[name].astype(np.float64), expected.astype(np.float64)
        with np.errstate(invalid="ignore"):
            near = np.abs(a - b) <= 10 * case.tolerance * (1 + np.abs(b)) + case.step
            equal = near | (np.isnan(a) & np.isnan(b)) | (a == b)
        assert equal.all(), f"the cut node gives something else: {case} {seeds}\n{found.case}"


def letters_fit(case: Case, random: Random) -> None:
    """The described axes are those of the run: each letter has one length in a call."""
    bench = Bench(case)
    described = bench.call.barrier is None and getattr(type(bench.call.rule), "axes", None) is not Operator.axes
    assert not described or type(bench.call.axes) is not Correspondence, f"letters that do not fit: {case}"


def unit_axes_are_axes(case: Case, random: Random) -> None:
    """Unit axes lie within the output's rank, one entry per output."""
    bench = Bench(case)
    given = {}
    for name, shape in zip(bench.op.inputs, bench.op.in_shapes, strict=True):
        axes = frozenset(a for a in range(len(shape or ())) if random.random() < 0.5)
        given[name] = axes if axes and random.random() < 0.7 else None
    found = bench.call.axes.units(given)
    assert set(found) == set(bench.op.outputs), f"units of {set(found)}: {case}"
    for name, shape in zip(bench.op.outputs, bench.op.out_shapes, strict=True):
        units = found[name]
        assert units is None or (units and units <= set(range(len(shape or ())))), f"{units} of {shape}: {case}"


def products_are_counted(case: Case, random: Random) -> None:
    """With ones everywhere and no padding, the outputs add up to the number of multiply-adds."""
    bench = Bench(case)
    counted = bench.call.multiply_adds(bench.context.shapes.__getitem__)
    if not traits_of(bench.op.node).sums_products:
        assert counted == 0, f"{counted} multiply-adds in {case}"
        assert not bench.call.sums, f"sums products: {case}"
        return
    if counted is None:
        assert bench.call.barrier is not None, f"not counted: {case}"
        return
    if isinstance(bench.call.rule, AttentionRule):
        expected = _products_of_attention(bench.op)
        assert counted == expected, f"{counted} multiply-adds counted, {expected} made: {case}"
        return
    if bench.op.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum", "FusedMatMul"):
        return
    padded = any(bench.op.attr("pads") or []) or str(bench.op.attr("auto_pad", "")).startswith("SAME")
    if padded or bench.op.attr("output_shape"):
        return
    ones = {n: np.ones_like(a) for n, a in case.arrays.items()}
    scale = float(bench.op.attr("alpha", 1.0)) if bench.op.op_type in ("Gemm", "FusedMatMul") else 1.0
    if len(bench.op.inputs) > 2 and bench.op.inputs[2]:
        ones[bench.op.inputs[2]] = np.zeros_like(case.arrays[bench.op.inputs[2]])
    seen = run(case.model({n: ones[n] for n in case.stored}), {n: ones[n] for n in case.feeds})
    total = float(seen[case.outputs[0]].astype(np.float64).sum()) / scale
    assert counted == round(total), f"{counted} multiply-adds counted, {total} made: {case}"


def _products_of_attention(op: OpNode) -> int:
    """Each query meets each key, of the past too, and each value; where all are made of one input, by a matrix."""
    x, keys = op.x_shape(), op.x_shape()[-2]
    past = {"MultiHeadAttention": 6, "GroupQueryAttention": 3, "QAttention": 8}.get(op.op_type, 4)
    queries, values = (prod(shape) // (x[0] * x[-2]) for shape in (x, op.y_shape()))  # how wide, of all heads together
    made = 0
    if op.op_type == "QAttention" or (op.op_type == "Attention" and op.node.domain):
        made = x[-1] * op.x_shape(1)[-1]
        queries = (op.x_shape(1)[-1] - values) // 2
    elif op.has(1):
        keys = op.x_shape(1)[-2]
    else:
        queries = values
    keys += op.x_shape(past)[-2] if op.has(past) else 0
    return x[0] * x[-2] * (made + keys * (queries + values))
