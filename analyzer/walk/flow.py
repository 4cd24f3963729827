"""The two directions of the walk: constants forward, needs backward, each node once, in topological order."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from operator import and_

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.algebra.pattern import Array, Mask, Shape
from analyzer.facts.audit import LayerVerdicts
from analyzer.facts.units import LARGEST_EXACT
from analyzer.graph import Graph
from analyzer.graph.view import once_per_graph
from analyzer.ops.context import Call, Context
from analyzer.ops.joined_units import JoinedUnits
from analyzer.walk.rounding import DOUBTFUL_ULPS, Rounding, epsilon, jumps_somewhere


@dataclass(frozen=True, slots=True)
class Seed:
    """Units of a value that were seen to be constant: indices along an axis, and their values.

    `lowest` and `highest` are what was seen of them, where that is not one value: they are constant up to rounding.
    `across` is another axis, and the index of each unit on it, where units lie along two.
    """

    axis: int
    units: Array
    values: Array
    lowest: Array
    highest: Array
    across: tuple[int, Array] | None = None

    @classmethod
    def of(cls, layer: LayerVerdicts, constants: Mapping[int, float]) -> Seed:
        """The units of a layer that are taken for these constants; integers that doubles do not hold are left out."""
        integer = layer.audited.dtype == "int64"
        held = {u: v for u, v in constants.items() if not integer or abs(v) <= LARGEST_EXACT}
        units, values = np.asarray([*held], np.int64), np.asarray([*held.values()], np.float64)
        seen = layer.statistics
        if seen is None or not seen.samples:
            return cls(layer.audited.axis, units, values, values, values)
        lowest, highest = np.asarray(seen.minimum[units]), np.asarray(seen.maximum[units])
        # what the weights decide may be a rounding away from what was seen; lossy units vary
        between = (lowest <= values) & (values <= highest) & layer.is_dead[units]
        return cls(
            layer.audited.axis, units, values, np.where(between, lowest, values), np.where(between, highest, values)
        )

    def before(self, joined: JoinedUnits) -> Seed:
        """The same units where they lie along two axes, before movements put them on one."""
        (outer, inner), (first, second) = joined.axes, joined.places
        return replace(self, axis=inner, units=second[self.units], across=(outer, first[self.units]))

    def at_end(self) -> Seed:
        """The same units in what the last entries along the first axis are."""
        across = None if self.across is None else (self.across[0] - 1, self.across[1])
        return replace(self, axis=self.axis - 1, across=across)

    def added_to(self, found: Constants, shape: Shape) -> Constants:
        """What is known of a value of this shape, and the seed."""
        if self.across is None:
            return found.with_seed(self.axis, self.units, self.values, shape[self.axis] if shape else 1)
        other, places = self.across
        lengths = [length if axis in (self.axis, other) else 1 for axis, length in enumerate(shape)]
        at = tuple(self.units if axis == self.axis else places if axis == other else 0 for axis in range(len(shape)))
        known, number = np.zeros(lengths, np.bool_), np.zeros(lengths)
        known[at], number[at] = True, self.values
        return Constants(found.known | known, np.where(known, number, found.number), found.multiples)

    @property
    def exact(self) -> bool:
        """Whether each of them was seen to be one and the same value."""
        return bool(np.array_equal(self.lowest, self.highest))


def constants_forward(
    context: Context, seeds: Mapping[str, Seed], doubted: Mapping[str, Mask] | None = None
) -> dict[str, Constants]:
    """Which elements of every value are constant: decided by the weights, or following from the seeds.

    `doubted` are elements about which nothing is claimed, nor about what would follow from them.
    """
    return _forward(context, seeds, doubted)[0]


def decisive_calls(
    context: Context, seeds: Mapping[str, Seed], doubted: Mapping[str, Mask] | None = None
) -> frozenset[int]:
    """Indices of nodes that must go on summing what they sum: another last digit decides a jump behind them."""
    if not jumps_somewhere(context):
        return frozenset()
    _, rounding = _forward(context, seeds, doubted)
    pending, calls = [*rounding.decisive], set()
    while pending:
        node = context.graph.producer.get(pending.pop())
        if node is not None and node.index not in calls:
            calls.add(node.index)
            pending += filter(rounding.is_doubtful, node.inputs)
    return frozenset(calls)


def _forward(
    context: Context, seeds: Mapping[str, Seed], doubted: Mapping[str, Mask] | None
) -> tuple[dict[str, Constants], Rounding]:
    graph = context.graph
    facts = dict(_stored_facts(graph))
    for copy in context.copies.values():
        facts[copy.name] = facts[copy.source]
    for name in graph.inputs:
        facts[name] = _seeded(context, name, Constants.unknown(context.rank(name)), seeds)
    rounding = Rounding(context, facts)
    for call in context.calls:
        if all(o in facts or not o for o in call.outputs):
            continue
        for name, found in zip(call.outputs, _apply(context, call, facts), strict=True):
            if name:
                if doubted and name in doubted:
                    found = Constants(found.known & ~doubted[name], found.value)
                facts[name] = _seeded(context, name, rounding.held(call, name, found), seeds)
                if name in seeds and not seeds[name].exact:
                    rounding.doubt(name)
    return facts, rounding


def constants_within_rounding(
    context: Context, seeds: Mapping[str, Seed], doubted: Mapping[str, Mask]
) -> dict[str, Constants]:
    """`constants_forward`, without what comes out differently at the two ends of seeds that are not exact.

    A difference of units that are about equal, or a large weight, makes much of their last digits.
    """
    facts = constants_forward(context, seeds, doubted)
    if all(seed.exact for seed in seeds.values()):
        return facts
    low, high = (
        constants_forward(context, {n: replace(s, values=getattr(s, end)) for n, s in seeds.items()}, doubted)
        for end in ("lowest", "highest")
    )
    apart = {n: mask for n in facts if (mask := _apart(low[n], high[n], context.dtype(n) or "float32")).any()}
    return constants_forward(context, seeds, {**doubted, **{n: m | doubted.get(n, False) for n, m in apart.items()}})


def _apart(low: Constants, high: Constants, dtype: str) -> Mask:
    """Elements that differ by more than rounding."""
    allowed = DOUBTFUL_ULPS * epsilon(dtype) * np.maximum(np.abs(low.number), np.abs(high.number))
    same = low.known & high.known & (np.abs(low.number - high.number) <= allowed)
    return np.asarray((low.known | high.known) & ~same)


@once_per_graph
def _stored_facts(graph: Graph) -> dict[str, Constants]:
    arrays = ((name, graph.constant(name)) for name in (*graph.initializer_names, *graph.static_values))
    return {name: _stored(array) for name, array in arrays if array is not None and array.dtype.kind not in "SUO"}


def _stored(array: Array) -> Constants:
    """A stored tensor; of integers that doubles do not tell apart nothing is derived."""
    if array.dtype not in (np.int64, np.uint64):
        return Constants.exactly(array)
    told_apart = (array <= LARGEST_EXACT) & (array >= -LARGEST_EXACT if array.dtype == np.int64 else True)
    return Constants.exactly(array) if told_apart.all() else Constants(np.asarray(told_apart), array)


def _apply(context: Context, call: Call, facts: Mapping[str, Constants]) -> list[Constants]:
    if call.barrier is not None:
        return context.constants({}, call.outputs)
    found = call.rule.constants(call.op, context.constants(facts, call.inputs))
    return found + context.constants({}, call.outputs[len(found) :])


def _seeded(context: Context, name: str, found: Constants, seeds: Mapping[str, Seed]) -> Constants:
    for folded in context.folded_axes(name):
        if max(found.known.shape[folded], np.shape(found.number)[folded]) > 1:
            found = Constants(found.known.all(axis=folded, keepdims=True) & _even(found, folded), _first(found, folded))
    seed = seeds.get(name)
    if seed is not None and len(seed.units):
        found = seed.added_to(found, context.shapes[name])
    return found


def _even(found: Constants, axis: int) -> Mask:
    number = found.number
    return np.asarray(number.min(axis=axis, keepdims=True) == number.max(axis=axis, keepdims=True))


def _first(found: Constants, axis: int) -> Array:
    return np.asarray(found.number.take([0], axis))


@dataclass(frozen=True, slots=True)
class Needs:
    """What some output still depends on: per value a pattern, and the values that a stored constant replaces.

    Of stored tensors it is the smallest box around what is needed, a vector per axis: masks would take as much memory
    as the weights.
    """

    masks: dict[str, Mask]
    materialized: frozenset[str]
    boxes: dict[str, list[Mask]]

    def of(self, name: str, rank: int) -> Mask:
        """The mask of a value; nothing is needed of a value nobody asked for."""
        if (box := self.boxes.get(name)) is not None:
            return reduce(and_, (pattern.on_axis(vector, axis, rank) for axis, vector in enumerate(box)))
        found = self.masks.get(name)
        return pattern.uniform(rank, False) if found is None else found


@np.errstate(all="ignore")  # what comes out infinite or NaN is not known, whatever made it so
def needs_backward(context: Context, facts: Mapping[str, Constants], more: Mapping[str, Mask] | None = None) -> Needs:
    """Which elements of every value some graph output depends on, or that `more` asks for."""
    masks: dict[str, Mask] = {}
    boxes: dict[str, list[Mask]] = {}
    materialized: set[str] = set()
    stored = {*context.graph.initializer_names, *context.copies}

    def ask(name: str, mask: Mask) -> None:
        for folded in context.folded_axes(name):
            if mask.ndim and mask.shape[folded] > 1:
                mask = pattern.some(mask, folded, keepdims=True)
        if name in stored and mask.ndim:
            if mask.any():
                box = pattern.box(mask)
                boxes[name] = [a | b for a, b in zip(box, boxes.get(name, box), strict=True)]
            return
        known = masks.get(name)
        masks[name] = mask if known is None else known | mask

    for name in context.graph.outputs:
        ask(name, pattern.uniform(context.rank(name), True))
    for name, mask in (more or {}).items():
        ask(name, mask)
    for call in reversed(context.calls):
        for name in call.outputs:
            if name and replaceable(context, name, facts, masks.get(name), materialized):
                materialized.add(name)
        ys = [
            pattern.uniform(context.rank(o), False)
            if not o or o in materialized
            else masks.get(o, pattern.uniform(context.rank(o), False))
            for o in call.outputs
        ]
        if not any(y.any() for y in ys):
            continue
        for name in call.op.node.captured:
            ask(name, pattern.uniform(context.rank(name), True))
        if call.barrier is not None:
            asked = [pattern.uniform(context.rank(n), True) for n in call.inputs]
        else:
            xs, yc = (context.constants(facts, names) for names in (call.inputs, call.outputs))
            asked = call.rule.needs(call.op, ys, xs, yc)
        for name, mask in zip(call.inputs, asked, strict=True):
            if name:
                ask(name, mask)
    return Needs(masks, frozenset(materialized), boxes)


def replaceable(
    context: Context, name: str, facts: Mapping[str, Constants], asked: Mask | None, materialized: Collection[str]
) -> bool:
    """Whether all that is asked of a value is constant and every reader can take a small stored constant instead.

    That is so for elementwise readers whose other operand brings the full shape. An output of the graph can be
    replaced when its shape is known: its constant is then written out to that shape.
    """
    graph = context.graph
    if name in graph.static_values or name not in context.shapes:
        return False
    found = facts.get(name)
    if found is None or not found.any or context.shapes[name] == ():
        return False
    if not found.all and (asked is None or (asked & ~found.known).any()):
        return False
    if name in context.outputs:
        producer = graph.producer.get(name)
        if producer is not None and producer.op_type == "Expand" and graph.constant(producer.inputs[0]) is not None:
            return False  # that is how it would be written
        expands = graph.opsets.get("", 1) >= 8
        return expands and context.lengths(name) is not None and graph.types[name].dtype is not None
    readers = graph.consumers.get(name, ())
    return bool(readers) and all(
        position >= 0 and _takes_constant(context, context.by_node[node.index], position, materialized)
        for node, position in readers
    )


def _takes_constant(context: Context, call: Call, position: int, materialized: Collection[str]) -> bool:
    """Whether another operand has the output's shape, for any number of samples and any lengths."""
    if call.barrier is not None or not call.rule.aligned or not call.op.out_shapes[0]:
        return False
    shape, free = call.op.y_shape(), context.free_axes(call.outputs[0])
    for other, name in enumerate(call.inputs):
        computed = other != position and name and call.op.static(other) is None and name != call.inputs[position]
        whole = computed and call.op.x_shape(other) == shape and context.free_axes(name) >= free
        if whole and name not in materialized:
            return True
    return False
