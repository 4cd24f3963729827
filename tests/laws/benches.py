"""One operator call that can be run: the ground the laws are checked on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from random import Random
from typing import Any

import numpy as np
import onnx

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants, Multiples
from analyzer.algebra.pattern import Mask
from analyzer.facts.units import ShapeTable
from analyzer.ops.context import Call, Context
from analyzer.runtime.loading import load_model
from tests.models import Array, build, session

Sampler = Callable[[np.random.Generator, tuple[int, ...]], Array]


def normal(dtype: Any = np.float32) -> Sampler:
    """Numbers of both signs."""
    return lambda g, shape: np.asarray(g.normal(0, 2, shape)).astype(dtype)


def positive(dtype: Any = np.float32) -> Sampler:
    """Numbers well above zero."""
    return lambda g, shape: np.asarray(g.uniform(0.2, 3, shape)).astype(dtype)


def whole(low: int, high: int, dtype: Any = np.int64) -> Sampler:
    """Whole numbers from `low` to `high`, both included."""
    return lambda g, shape: np.asarray(g.integers(low, high + 1, shape)).astype(dtype)


def sampler_for(array: Array) -> Sampler:
    """What to fill an input of this element type with."""
    if array.dtype == np.bool_:
        return whole(0, 1, np.bool_)
    if array.dtype.kind == "u":
        return whole(0, 9, array.dtype)
    if array.dtype.kind == "i":
        return whole(-5, 5, array.dtype)
    return normal(array.dtype)


@dataclass(eq=False)
class Case:
    """One call: `arrays` by input name, those in `stored` as weights; `samplers` say how to redraw the others."""

    node: onnx.NodeProto
    arrays: dict[str, Array]
    stored: frozenset[str]
    opset: int = 18
    domains: Mapping[str, int] = field(default_factory=dict)
    samplers: dict[str, Sampler] = field(default_factory=dict)
    constants: bool = True  # whether facts about the inputs may be drawn
    tolerance: float = 2e-5
    spelled: Mapping[str, tuple[str, int]] = field(default_factory=dict)  # attributes that are lengths: (value, axis)
    rests: Mapping[str, str] = field(default_factory=dict)  # inputs that may lie at the number that another one holds

    def __repr__(self) -> str:
        shapes = {n: (a.dtype.name, a.shape, "stored" if n in self.stored else "") for n, a in self.arrays.items()}
        small = {n: a.tolist() for n, a in self.arrays.items() if n in self.stored and a.size <= 8}
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in self.node.attribute}
        return f"Case({self.node.op_type}-{self.opset} {attributes} {shapes} {small})"

    @property
    def step(self) -> int:
        """How far quantised results may be apart when rows are shorter.

        Simple scales (see `_Type` among the quantised cases) bring halves, and onnxruntime rounds those in its vectors
        in another way than in what is left over at the end. Other scales bring none, and allow nothing.
        """
        if not (self.node.op_type.startswith("QLinear") and self.node.domain):
            return 0
        scales = [a.item() * 64 * 105 for a in self.arrays.values() if a.dtype == np.float32 and a.size == 1]
        return int(all(abs(scale - round(scale)) < 1e-3 for scale in scales))

    @property
    def feeds(self) -> dict[str, Array]:
        """The inputs that are not stored."""
        return {n: a for n, a in self.arrays.items() if n not in self.stored}

    @property
    def weights(self) -> dict[str, Array]:
        """The inputs that are."""
        return {n: a for n, a in self.arrays.items() if n in self.stored}

    @property
    def outputs(self) -> list[str]:
        """Names of the outputs that are given out."""
        return [o for o in self.node.output if o]

    def model(self, weights: Mapping[str, Array] | None = None) -> onnx.ModelProto:
        """The call as a model, with other weights if given."""
        stored = self.weights if weights is None else weights
        return build([self.node], self.feeds, stored, self.outputs, self.opset, self.domains)

    def sampler(self, name: str) -> Sampler:
        """How to fill an input."""
        return self.samplers.get(name) or sampler_for(self.arrays[name])


class Bench:
    """A case, loaded and ready to run; `shared` pretends that other nodes read its weights as well."""

    def __init__(self, case: Case, shared: bool = False) -> None:
        self.case, self.shared = case, shared
        proto = case.model()
        self._session = session(proto)
        first = self.run(case.feeds)
        shapes = {n: a.shape for n, a in {**case.arrays, **first}.items()}
        self.context = Context(
            load_model(proto).graph, ShapeTable(shapes, {}, 1, {n: a.dtype.name for n, a in first.items()})
        )
        (call,) = self.context.calls
        alone = call.op.sole_user
        self.call = replace(call, op=replace(call.op, sole_user=(False,) * len(alone))) if shared else call
        self.first = first

    @property
    def op(self) -> Any:
        """The call as its rule sees it."""
        return self.call.op

    @cached_property
    def names(self) -> list[str]:
        """Names of the given inputs."""
        return [n for n in self.op.inputs if n]

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs."""
        return dict(zip(self.case.outputs, self._session.run(self.case.outputs, dict(feeds)), strict=True))

    def facts(self, known: Mapping[str, Constants]) -> list[Constants]:
        """Constants per input, stored ones exact."""
        arrays = self.case.arrays
        return [
            Constants.unknown(0) if not n else Constants.exactly(arrays[n]) if n in self.case.stored else known[n]
            for n in self.op.inputs
        ]

    def constants(self, facts: Sequence[Constants]) -> list[Constants]:
        """What the rule derives for the outputs, unknown for the rest."""
        found = list(self.call.rule.constants(self.op, facts))
        ranks = [len(s or ()) for s in self.op.out_shapes]
        return found + [Constants.unknown(r) for r in ranks[len(found) :]]

    def draw(self, generator: np.random.Generator, facts: Mapping[str, Constants]) -> dict[str, Array]:
        """A feed on which the facts hold."""
        feed = {n: filled(generator, self.case.sampler(n), a, facts[n]) for n, a in self.case.feeds.items()}
        for name, zero in self.case.rests.items():
            multiples = facts[name].multiples
            if multiples is not None:
                feed[name] = np.where(multiples.held, feed[zero].reshape(()), feed[name]).astype(feed[name].dtype)
        return feed


def filled(generator: np.random.Generator, sampler: Sampler, like: Array, facts: Constants) -> Array:
    """Random numbers on which the facts hold."""
    array = sampler(generator, like.shape)
    if facts.multiples is not None:
        column = (like.shape[0], 1, *like.shape[2:])
        held = np.broadcast_to(facts.multiples.held, like.shape)
        scaled = sampler(generator, column) * np.broadcast_to(facts.multiples.factor, like.shape)
        array = np.where(held, scaled, array)
    known = np.broadcast_to(facts.known, like.shape)
    return np.where(known, np.broadcast_to(facts.value, like.shape), array).astype(like.dtype)


def random_pattern_shape(random: Random, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Mostly a pattern along one axis, sometimes along some, or none."""
    rank, kind = len(shape), random.random()
    axes: set[int] = set()
    if rank and kind < 0.5:
        axes = {1 if rank > 1 and random.random() < 0.7 else random.randrange(rank)}
    elif kind < 0.85:
        axes = {a for a in range(rank) if random.random() < 0.5}
    return tuple(d if a in axes else 1 for a, d in enumerate(shape))


def random_mask(random: Random, shape: tuple[int, ...]) -> Mask:
    """A random pattern of a value of this shape."""
    generator = np.random.default_rng(random.getrandbits(32))
    share = random.choice([0.15, 0.5, 0.85])
    return np.asarray(generator.random(random_pattern_shape(random, shape)) < share)


def random_facts(random: Random, case: Case) -> dict[str, Constants]:
    """Random constants for every fed input."""
    found = {}
    for name, array in case.feeds.items():
        if not case.constants:
            found[name] = Constants.unknown(array.ndim)
            continue
        generator = np.random.default_rng(random.getrandbits(32))
        known = random_mask(random, array.shape)
        value = np.asarray(case.sampler(name)(generator, known.shape)).astype(array.dtype)
        plain = np.asarray(generator.choice([0, 0, 1, 2], known.shape)).astype(array.dtype)
        value = np.where(generator.random(known.shape) < (0.6 if name not in case.samplers else 0.0), plain, value)
        as_double = random.random() < 0.7  # derived facts are in double precision, stored ones as stored
        found[name] = Constants(known, value.astype(np.float64) if as_double else value)
        if name in case.rests:
            resting = random_mask(random, array.shape) & ~known
            found[name] = replace(
                found[name], multiples=Multiples(case.rests[name], resting, resting.astype(np.float64))
            )
    return found


def with_multiples(random: Random, facts: Constants, shape: tuple[int, ...]) -> Constants:
    """Some channels are multiples of one map as well."""
    generator = np.random.default_rng(random.getrandbits(32))
    free = ~pattern.per_index(facts.known, 1, shape[1], every=False)
    held = pattern.on_axis(free & (generator.random(shape[1]) < 0.6), 1, len(shape))
    factor = pattern.on_axis(generator.choice([-2.0, -0.5, 1.0, 3.0], shape[1]), 1, len(shape))
    return Constants(facts.known, facts.value, Multiples("map", held, np.where(held, factor, 0.0)))


__all__ = ["Bench", "Call", "Case", "Sampler", "filled", "random_facts", "random_mask", "with_multiples"]
