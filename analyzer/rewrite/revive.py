"""Fresh incoming and zero outgoing weights for units that are dead: the outputs stay, and gradients reach the units.

As the dormant units of Sokar et al. 2023 ("The Dormant Neuron Phenomenon in Deep Reinforcement Learning") are recycled.
Fresh weights are drawn after He et al. 2015 (normal, variance 2 / fan-in), and shifts set so that what is summed has
mean 0 over the data: a ReLU then fires on about half of it. Nothing changes its shape, and no node comes or goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from analyzer.algebra.pattern import Array, Mask
from analyzer.errors import Refusal
from analyzer.facts.cut import elements_kept
from analyzer.graph import Editor, LoadedModel
from analyzer.graph.deferred import made
from analyzer.ops.context import Call
from analyzer.ops.node_edit import Edit
from analyzer.ops.operator import traits_of
from analyzer.ops.weighted_sum import WeightedSum
from analyzer.rewrite.shrink import Shrinker
from analyzer.rewrite.unit_moments import unit_moments
from analyzer.walk import Walk

Feeds = Callable[[], Iterable[Mapping[str, Array]]]

UNKNOWN_ROLE = "cannot-be-revived"


@dataclass(frozen=True, eq=False)
class Drawn:
    """Fresh rows of a weighted sum: `shift` takes what their mean is, with its sign, and `variance` their variance.

    `depth` counts fresh sums between it and what stays: those in front settle first.
    """

    value: str
    axis: int
    units: Mask
    shift: str
    sign: int
    variance: str
    depth: int


@dataclass(eq=False)
class Reviver(Shrinker):
    """One revival of one model: what a cut would take is drawn anew; `model` is edited in place."""

    rng: np.random.Generator = field(kw_only=True)
    drawn: list[Drawn] = field(default_factory=list, init=False)
    _full: dict[str, Array] = field(default_factory=dict, init=False)
    _depth: dict[str, int] = field(default_factory=dict, init=False)

    def run(self) -> None:
        """Make all edits.

        Raises:
            Refusal: fresh weights for a node are not known; the model must then be thrown away.
        """
        for call in self.context.calls:
            if call.op.node.index in self.plan.live and call.barrier is None and self._loses(call):
                self._admit(call)
                total = call.rule.weighted_sum(call.op)
                if total is not None:
                    self._absorb(call, total, self._edit(call))
                for position, name in enumerate(call.inputs):
                    if name in self.context.graph.initializer_names and self._gone(name):
                        self._fill(call, position, total)
                self._note_fresh(call, total)
        for name, array in self._full.items():
            self.editor.set_tensor(name, array)
        # a shift that is shared, say, was not made 0 for the fresh sums, and does not move with them
        self.drawn = [fresh for fresh in self.drawn if {fresh.shift, fresh.variance} - {""} <= self._full.keys()]
        self.editor.finish()

    def centred(self, measured: Mapping[str, tuple[Array, Array]], depth: int) -> None:
        """Take what was measured of fresh sums of this depth off their shifts: means and variances per unit."""
        for fresh in (fresh for fresh in self.drawn if fresh.depth == depth):
            mean, variance = (moment[fresh.units] for moment in measured[fresh.value])
            self._set_gone(fresh.shift, -fresh.sign * mean, add=True)
            if fresh.variance:
                self._set_gone(fresh.variance, np.maximum(variance, np.finfo(np.float32).eps))

    def _gone(self, name: str) -> bool:
        keeps = self.plan.keeps
        return name in keeps and keeps.alive(name) and not all(v.all() for v in keeps.vectors(name))

    def _loses(self, call: Call) -> bool:
        return any(self._gone(name) for name in (*call.inputs, *call.outputs) if name)

    def _admit(self, call: Call) -> None:
        """Refuse weights whose role is not known. What else reads a unit is nobody's matter here: the walk tells it."""
        rule, total = call.rule, call.rule.weighted_sum(call.op)
        if not self.context.graph.inside.isdisjoint(call.outputs):
            raise Refusal(call.op.name, UNKNOWN_ROLE, "it stands in a branch or a loop")
        if total is None:
            stored = any(self._gone(name) for name in call.inputs if name in self.context.graph.initializer_names)
            known = rule.moves or rule.aligned or rule.normalisation(call.op) is not None
            if not rule.moves and ((stored and not known) or self._edit(call).inputs):
                raise Refusal(call.op.name, UNKNOWN_ROLE, f"{call.op.node.op_type} has weights of its own")
            passes = rule.moves or traits_of(call.op.node).measures
            if not passes and not any(self._gone(name) for name in call.outputs):
                raise Refusal(call.op.name, UNKNOWN_ROLE, f"{call.op.node.op_type} adds it up without weights")
            return
        rows = total.rows
        depthwise = rows is not None and total.groups == len(rows) and rows.shape[1] == 1
        if not total.plain or total.activated or rows is None or not (total.groups == 1 or depthwise):
            raise Refusal(call.op.name, UNKNOWN_ROLE, "its weights are not stored as plain numbers of single units")
        if total.groups == 1 and total.stored_axis is None:
            raise Refusal(call.op.name, UNKNOWN_ROLE, "its inputs lie along several axes of the weights")
        self._own(call, total.weight)

    def _own(self, call: Call, position: int, asks: Call | None = None) -> str:
        """The stored tensor of an input that nothing else reads; where it is none, the node that asks is refused."""
        name = call.inputs[position]
        if name not in self.context.graph.initializer_names or not call.op.sole_user[position]:
            raise Refusal((asks or call).op.name, UNKNOWN_ROLE, "a tensor of it is computed, or has other readers")
        return name

    def _stored(self, name: str) -> Array:
        """The tensor as it becomes, in its full shape."""
        if name not in self._full:
            stored = self.context.graph.constant(name)
            assert stored is not None  # an initializer
            self._full[name] = np.array(stored)
        return self._full[name]

    def _kept(self, name: str) -> Mask:
        return elements_kept(self.plan.keeps, name, self.context.graph.initializer_shape(name) or ())

    def _absorb(self, call: Call, total: WeightedSum, edit: Edit) -> None:
        """What constants of the units added goes where a cut would put it, if that is there."""
        for position, array in ((p, made(a)) for p, a in edit.inputs.items()):
            missing = position >= len(call.inputs) or not call.inputs[position]
            if position not in (total.weight, total.bias) or missing:
                taker = self._taker(call, per_unit=True) if position == total.bias else None
                if taker is None:
                    raise Refusal(call.op.name, UNKNOWN_ROLE, "a constant would need a bias that is not there")
                after, place = taker
                self._put(after, place.position, self._with_summand(after, place, array), call)
            else:
                self._put(call, position, array, call)
        if edit.add is not None:
            taker = self._taker(call, per_unit=False)
            if taker is None:
                raise Refusal(call.op.name, UNKNOWN_ROLE, "a constant would need a bias that is not there")
            after, place = taker
            self._put(after, place.position, self._with_summand(after, place, edit.add), call)

    def _put(self, call: Call, position: int, cut: Array, asks: Call) -> None:
        """Numbers that a cut would leave in an operand, at the places that stay; they come from the node that asks."""
        name = self._own(call, position, asks)
        full, kept = self._stored(name), self._kept(name)
        if cut.size != kept.sum():
            raise Refusal(asks.op.name, UNKNOWN_ROLE, "a constant would need a bias of another shape")
        full[kept] = cut.astype(full.dtype).reshape(-1)

    def _fill(self, call: Call, position: int, total: WeightedSum | None) -> None:
        """What a cut would take of a stored operand."""
        norm = call.rule.normalisation(call.op)
        shifts = [call.rule.summand(call.op, p) for p, name in enumerate(call.inputs) if name]
        if total is not None and position == total.weight:
            return self._draw(call, total)
        added = [shift.position for shift in shifts if shift is not None]
        if position in (*added, None if total is None else total.bias, None if norm is None else norm.shift):
            fill = 0.0
        elif norm is not None and position in (norm.scale, norm.variance):
            fill = 1.0
        else:
            return None  # slopes and factors work for a fresh unit as well
        name = self._own(call, position)
        self._stored(name)[~self._kept(name)] = fill
        return None

    def _draw(self, call: Call, total: WeightedSum) -> None:
        """Fresh rows, that read what stays; and zeros where what stays, or is fresh, read units that go."""
        name = self._own(call, total.weight)
        full, kept = self._stored(name), self._kept(name)
        read = np.ones(1, np.bool_)
        if total.groups == 1:
            assert total.stored_axis is not None  # admitted
            vector = self.plan.keeps.vectors(name)[total.stored_axis]
            read = vector.reshape([-1 if axis == total.stored_axis else 1 for axis in range(full.ndim)])
        read = np.broadcast_to(read, full.shape)
        fresh = ~kept & read
        assert total.rows is not None  # admitted
        fan_in = max(float(read.sum()) / len(total.rows), 1.0)
        full[~kept] = 0
        full[fresh] = self.rng.normal(0.0, np.sqrt(2.0 / fan_in), int(fresh.sum())).astype(full.dtype)

    def _note_fresh(self, call: Call, total: WeightedSum | None) -> None:
        """Where the mean of fresh sums can be taken off."""
        value, behind = call.outputs[0], max(self._depth.get(name, 0) for name in call.inputs)
        if total is None:
            self._depth.update(dict.fromkeys(call.outputs, behind))
            return
        axis, depth = total.unit_axis, 1 + (behind if total.groups > 1 else 0)
        self._depth[value] = depth
        place = self._shift_of(call, total)
        if axis is None or place is None or not self._gone(value):
            return
        shift, sign, variance = place
        if shift not in self.context.graph.initializer_names:
            return
        units = ~self.plan.keeps.vectors(value)[axis]
        if (~self._kept(shift)).sum() == units.sum():
            self.drawn.append(Drawn(value, axis, units, shift, sign, variance, depth))

    def _shift_of(self, call: Call, total: WeightedSum) -> tuple[str, int, str] | None:
        """The stored shift behind or in a sum, the sign it counts with, and the stored variance beside it."""
        for per_unit in (True, False):
            if (taker := self._taker(call, per_unit=per_unit)) is not None:
                after, place = taker
                norm = after.rule.normalisation(after.op)
                variance = "" if norm is None or norm.variance is None else after.inputs[norm.variance]
                return after.inputs[place.position], place.sign, variance
        if total.bias is None or total.bias >= len(call.inputs):
            return None
        return call.inputs[total.bias], 1, ""

    def _set_gone(self, name: str, numbers: Array, *, add: bool = False) -> None:
        full, gone = self._stored(name), ~self._kept(name)
        full[gone] = (full[gone] if add else 0) + numbers.astype(full.dtype)
        self.editor.set_tensor(name, full)


@np.errstate(all="ignore")  # as in the flow of constants
def revive(loaded: LoadedModel, walked: Walk, feeds: Feeds, *, seed: int, threads: int | None = None) -> LoadedModel:
    """A copy of the model in which what the cut would take is fresh; it is centred on the data, in as many passes as
    fresh units read fresh units of one channel (1, for most).

    Raises:
        Refusal: fresh weights for a node are not known.
    """
    reviver = Reviver(walked.context, walked.cut, Editor(loaded.copy()), rng=np.random.default_rng(seed))
    reviver.run()
    for depth in sorted({fresh.depth for fresh in reviver.drawn}):
        axes = {fresh.value: fresh.axis for fresh in reviver.drawn if fresh.depth == depth}
        reviver.centred(unit_moments(reviver.editor.loaded, axes, feeds(), threads), depth)
    return reviver.editor.loaded.refreshed()
