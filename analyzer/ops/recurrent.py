"""LSTM, GRU, RNN: at every step, each hidden unit reads the inputs and the hidden units of the step before.

X [t, b, i]  W [d, g*h, i]  R [d, g*h, h]  B [d, 2*g*h] (added to W's sums, then to R's)  P [d, p*h]
initial_h, initial_c, Y_h, Y_c [d, b, h]  Y [t, d, b, h];  unit = hidden unit of one direction.

t steps, d directions, g gates: i, o, f, c of an LSTM (`C = f C + i c; H = o h(C)`), z, r, h of a GRU
(`H = (1 - z) h + z H`), one of an RNN (`H = f(…)`). The last gate gives what is new, the candidate. Past the end that
`sequence_lens` gives, Y is 0. Formulas: ONNX, operators LSTM-14, GRU-14, RNN-14.

What a unit adds to others through R is what it was at the step before: at the first step its initial state. So a
constant can go into the bias only where the initial state is that constant, too. Units whose initial states are one and
the same multiple of their constants (0, mostly) can stand in for each other, a *carrier* for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.algebra.pattern import Array, Mask
from analyzer.facts.units import Curve, Kind
from analyzer.ops.axes import Axes
from analyzer.ops.correspondence import Correspondence
from analyzer.ops.gates import Gates
from analyzer.ops.node import OpNode
from analyzer.ops.node_edit import Cut, Edit, cut_array
from analyzer.ops.operator import Activation, Operator, register
from analyzer.ops.traits import SUMMING
from analyzer.ops.trend import WITHIN_ONE, Trend

X, W, R, B, LENGTHS, H0, C0, P = range(8)
_AXES = Axes(
    "X: t b i, W: d (g h) i, R: d (g h) h, B: d (e h), lengths: b, h0: d b h, c0: d b h, P: d (p h)"
    " -> Y: t d b h, Y_h: d b h, Y_c: d b h",
    whole="t d g e p",
    one="h i",
    made="d h",
    loops="t b d g h i | t b d g h h",
)
_BACKWARD = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
#: Activations that are 0 at 0, without the parameters that would change that.
_ZERO_AT_ZERO = {"tanh", "relu", "leakyrelu", "thresholdedrelu", "scaledtanh", "elu", "softsign"}


@dataclass(frozen=True, eq=False)
class Weights:
    """The stored weights by gate: w [d, g, h, i], r [d, g, h, h], biases of W's and of R's sums [d, g, h]."""

    w: Array
    r: Array
    w_bias: Array
    r_bias: Array


@dataclass(frozen=True, eq=False)
class State:
    """What is known of the hidden units [d, h]: constant at every step, and as they start; `column` [d, j]:
    whether the sum of a unit j and its weights can be added to a bias, or put on a carrier.
    """

    known: Mask
    value: Array
    start_known: Mask
    start: Array
    column: Mask

    @property
    def steady(self) -> Mask:
        """Units that other units see as one constant from the first step on."""
        still = self.known & self.start_known & (self.value == self.start)
        return np.asarray(still & (self.column | (self.value == 0)))

    @property
    def carried(self) -> Mask:
        """Units that start as a multiple of their constant: one of them can stand in for those of one multiple."""
        return np.asarray(self.known & self.start_known & (self.value != 0) & self.column & ~self.steady)

    @property
    def multiple(self) -> Array:
        """How many times its constant each carried unit is at the start; 0 for others."""
        return np.where(self.carried, self.start, 0.0) / np.where(self.carried, self.value, 1.0)


class Recurrent(Operator):
    """Hidden units go that are not needed by what reads the layer, nor by a hidden unit that is."""

    stated = SUMMING
    axes_hold = True
    zero_if_missing = (H0, C0)
    ends = (1,)
    count = 1

    def unsupported(self, node: OpNode) -> str | None:
        if node.attr("layout", 0):
            return "layout 1, which onnxruntime does not run"
        given = [position for position in (W, R, B, P) if node.has(position)]
        stored = all(node.static(position) is not None for position in given)
        return None if stored else "its weights are computed at run time"

    def axes(self, node: OpNode) -> Correspondence:
        return super().axes(node) if node.attr("layout", 0) else _AXES(node.without(node.zeros))

    def summed_axes(self, node: OpNode, position: int) -> tuple[int, ...]:
        return (2,) if position == X else ()

    def activation(self, node: OpNode) -> Activation | None:
        """Each unit is between steps what its gates make of it: only an RNN's is the value of one function."""
        return Activation(Kind.SMOOTH, enters=None)

    def functions(self, node: OpNode) -> list[list[str]]:
        """Per direction the functions of the gates and, of an LSTM, that of the cell; in lower case."""
        directions = node.x_shape(W)[0]
        names = [str(name).lower() for name in node.attr("activations") or ()]
        names = names or [*self.defaults] * directions
        return [names[d * len(self.defaults) :][: len(self.defaults)] for d in range(directions)]

    #: The functions of the gates where none are named.
    defaults: tuple[str, ...] = ("tanh",)

    def weights(self, node: OpNode) -> Weights:
        """The stored weights in double precision, by gate."""
        if "weights" not in node.memo:
            w, r = (np.asarray(node.static(position), np.float64) for position in (W, R))
            d, hidden = r.shape[0], r.shape[2]
            bias = node.static(B)
            both = np.zeros((d, 2, self.count, hidden)) if bias is None else np.asarray(bias, np.float64)
            both = both.reshape(d, 2, self.count, hidden)
            w, r = w.reshape(d, self.count, hidden, -1), r.reshape(d, self.count, hidden, hidden)
            node.memo["weights"] = Weights(w, r, both[:, 0], both[:, 1])
        found: Weights = node.memo["weights"]
        return found

    def sums(self, node: OpNode) -> tuple[tuple[str, int, int], ...]:
        """The gates that are sums of inputs and hidden units: name, position, and which of `functions` it is put in."""
        return (("sum", 0, 0),)

    def gates(self, node: OpNode) -> Gates | None:
        if node.has(LENGTHS) or not node.outputs[0]:  # past the end nothing is summed
            return None
        weights, sums = self.weights(node), self.sums(node)
        at = [place for _, place, _ in sums]
        new = [part[:, -1] for part in (weights.w, weights.r, weights.w_bias[..., np.newaxis])]
        new.append(weights.r_bias[:, -1, :, np.newaxis])
        return Gates(
            names=tuple(name for name, _, _ in sums),
            functions=tuple(tuple(names[place] for _, _, place in sums) for names in self.functions(node)),
            w=weights.w[:, at],
            r=weights.r[:, at],
            bias=(weights.w_bias + weights.r_bias)[:, at],
            empty=np.asarray((np.concatenate(new, axis=2) == 0).all(axis=2)),
            data=X,
            start=H0,
            backward=_BACKWARD[str(node.attr("direction", "forward"))],
        )

    # -- what is constant ---------------------------------------------------------------------------------------

    def silent(self, node: OpNode, xs: Sequence[Constants]) -> tuple[Mask, Array]:
        """Units [d, h] that the weights make constant at every step, and the constants."""
        weights, (known, value) = self.weights(node), self.inputs(node, xs)
        unheard = (~(weights.w[:, -1] != 0) | (known & (value == 0))).all(axis=2)
        made, number = self.candidate(node, weights, xs)
        start_known, start = _at_start(node, xs, H0)
        quiet = unheard & made
        while True:  # a unit is 0 as long as all that it hears of were 0 before
            rest = quiet & (number == 0) & start_known & (start == 0)
            heard = ((weights.r[:, -1] != 0) & ~rest[:, np.newaxis]).any(axis=2)
            if not (quiet & heard).any():
                return quiet, np.where(quiet, number, 0.0)
            quiet = quiet & ~heard

    def candidate(self, node: OpNode, weights: Weights, xs: Sequence[Constants]) -> tuple[Mask, Array]:
        """Units [d, h] that are constant if their candidate hears of nothing, and the constants."""
        raise NotImplementedError

    def inputs(self, node: OpNode, xs: Sequence[Constants]) -> tuple[Mask, Array]:
        """Inputs [i] that are constant at every step, and the constants."""
        return xs[X].per_index(2, node.x_shape(X)[2])

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        known, value = self.silent(node, xs)
        if node.has(LENGTHS):  # 0 past the end
            known = known & (value == 0)
        over_time = Constants(known[np.newaxis, :, np.newaxis], value[np.newaxis, :, np.newaxis])
        at_end = Constants(known[:, np.newaxis], value[:, np.newaxis])
        cell = Constants(at_end.known & (at_end.value == 0), np.zeros((1, 1, 1)))
        return [over_time, at_end, cell][: len(node.outputs)]

    def state(self, node: OpNode, xs: Sequence[Constants], y: Constants) -> State:
        """What is known of the hidden units, from the weights and from what Y was seen to be."""
        known, value = self.silent(node, xs)
        if y.rank == 4:
            seen = np.broadcast_to(pattern.every(y.known, (0, 2)), known.shape)
            number = np.broadcast_to(y.number.min(axis=(0, 2)), known.shape)
            even = np.broadcast_to(y.number.max(axis=(0, 2)), known.shape) == number
            seen = seen & even
            value, known = np.where(seen, number, value), known | seen
        return State(known, value, *_at_start(node, xs, H0), self.columns(node))

    def columns(self, node: OpNode) -> Mask:
        """Units [d, j] whose weights in R are factors on what they are: a constant unit adds constants."""
        return np.ones(_units(node), np.bool_)

    # -- what is needed -----------------------------------------------------------------------------------------

    def needs(self, node: OpNode, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]) -> list[Mask]:
        weights, (known, _) = self.weights(node), self.inputs(node, xs)
        silent, _ = self.silent(node, xs)
        matter = self.matter(node, ys, self.state(node, xs, yc[0]), silent)
        computed = matter & ~silent
        reads = ((weights.w != 0) & computed[:, np.newaxis, :, np.newaxis]).any(axis=(0, 1, 2)) & ~known
        hears = (weights.r != 0) & computed[:, np.newaxis, :, np.newaxis] & matter[:, np.newaxis, np.newaxis]
        rows = np.broadcast_to(matter[:, np.newaxis], weights.w_bias.shape)
        result = [pattern.uniform(x.rank, True) for x in xs]
        result[X] = reads.reshape(1, 1, -1)
        result[W] = ((weights.w != 0) & rows[..., np.newaxis] & reads).reshape(node.x_shape(W))
        result[R] = hears.reshape(node.x_shape(R))
        for position in (B, P):
            if node.has(position):
                directions, width = node.x_shape(position)
                result[position] = np.tile(matter, (1, width // matter.shape[1])).reshape(directions, width)
        for position in (H0, C0):
            if node.has(position):
                result[position] = matter[:, np.newaxis] & (position not in node.zeros)
        return result

    def spare(self, node: OpNode, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]) -> Mask:
        silent, _ = self.silent(node, xs)
        return ~self.matter(node, ys, self.state(node, xs, yc[0]), silent)

    def matter(self, node: OpNode, ys: Sequence[Mask], state: State, silent: Mask) -> Mask:
        """Units [d, h] that are asked for, or heard by units that matter; of those that one can carry, one."""
        asked = np.zeros(state.known.shape, np.bool_)
        for position, mask in enumerate(ys):
            if node.outputs[position]:
                asked = asked | pattern.some(mask, (0, 2) if position == 0 else 1)
        reads = (self.weights(node).r != 0).any(axis=1) & ~silent[:, :, np.newaxis]
        while True:
            heard = (reads & asked[:, :, np.newaxis]).any(axis=1)
            grown = asked | (heard & ~state.steady & ~state.carried)
            if (grown == asked).all():
                grown = asked | _carriers(state, heard, asked)
            if (grown == asked).all():
                return asked
            asked = grown

    # -- the smaller node ---------------------------------------------------------------------------------------

    def shrink(self, node: OpNode, cut: Cut) -> Edit:
        """Constants that go are added to the biases, or go onto the weights of a carrier."""
        weights, state = self.weights(node), self.state(node, cut.xs, cut.ys[0])
        hidden, inputs = cut.keeps.get(node.x(R, 2)), cut.keeps.get(node.x(X, 2))
        known, value = self.inputs(node, cut.xs)
        edit = Edit(leave_out=tuple(sorted(node.zeros)))
        if not hidden.all():
            edit.attributes["hidden_size"] = int(hidden.sum())
        w_shift = weights.w @ np.where(known & ~inputs, value, 0.0)
        gone = state.steady & ~hidden
        r_shift = (weights.r * np.where(gone, state.value, 0.0)[:, np.newaxis, np.newaxis]).sum(axis=3)
        if w_shift.any() or r_shift.any():
            total = np.stack([weights.w_bias + w_shift, weights.r_bias + r_shift], axis=1)[..., hidden]
            edit.inputs[B] = total.reshape(len(total), -1).astype(self._dtype(node, W))
        carried = self._onto_carriers(weights.r, state, hidden)
        if carried is not None:
            stored = carried.reshape(node.x_shape(R)).astype(self._dtype(node, R))
            edit.inputs[R] = cut_array(stored, cut.keeps.vectors(node.inputs[R]))
        return edit

    def _onto_carriers(self, r: Array, state: State, hidden: Mask) -> Array | None:
        """R in which columns of kept units stand for those of units that go; None where nothing is carried."""
        result: Array | None = None
        for direction, units in enumerate(state.carried):
            for multiple in np.unique(state.multiple[direction][units]):
                alike = units & (state.multiple[direction] == multiple)
                gone, stay = np.flatnonzero(alike & ~hidden), np.flatnonzero(alike & hidden)
                if not len(gone) or not len(stay):  # nothing that stays hears of them
                    continue
                value = state.value[direction]
                carrier = stay[np.argmax(np.abs(value[stay]))]
                result = r.copy() if result is None else result
                result[direction, :, :, carrier] += r[direction][:, :, gone] @ (value[gone] / value[carrier])
        return result

    def _dtype(self, node: OpNode, position: int) -> np.dtype[Any]:
        return np.asarray(node.static(position)).dtype


def _units(node: OpNode) -> tuple[int, int]:
    """Directions, and hidden units of each."""
    return node.x_shape(R)[0], min(node.x_shape(R)[1:])


def _at_start(node: OpNode, xs: Sequence[Constants], position: int) -> tuple[Mask, Array]:
    """An initial state [d, h]: whether it is one number for all samples, and the number."""
    shape = _units(node)
    if not node.has(position) or position in node.zeros:
        return np.ones(shape, np.bool_), np.zeros(shape)
    number = xs[position].number
    low, high = (np.broadcast_to(bound(axis=1), shape) for bound in (number.min, number.max))
    known = np.broadcast_to(pattern.every(xs[position].known, 1), shape) & (low == high)
    return known, np.where(known, low, 0.0)


def _carriers(state: State, heard: Mask, asked: Mask) -> Mask:
    """The largest of each group of units that can stand in for each other, where one is heard and none is there."""
    result = np.zeros_like(asked)
    for direction, units in enumerate(state.carried):
        for multiple in np.unique(state.multiple[direction][units]):
            alike = units & (state.multiple[direction] == multiple)
            if (alike & heard[direction]).any() and not (alike & asked[direction]).any():
                result[direction, np.argmax(np.abs(state.value[direction]) * alike)] = True
    return result


class LSTM(Recurrent):
    """A unit is 0 where nothing ever enters its cell."""

    count = 4
    defaults = ("sigmoid", "tanh", "tanh")

    def trend(self, node: OpNode) -> Trend | None:
        return WITHIN_ONE if all(names == [*self.defaults] for names in self.functions(node)) else None

    def sums(self, node: OpNode) -> tuple[tuple[str, int, int], ...]:
        candidate = ("candidate", 3, 1)
        if node.has(P):  # the others read the cell, too, which is not given out
            return (candidate,)
        return ("input gate", 0, 0), ("output gate", 1, 0), ("forget gate", 2, 0), candidate

    def candidate(self, node: OpNode, weights: Weights, xs: Sequence[Constants]) -> tuple[Mask, Array]:
        empty = (weights.w_bias + weights.r_bias)[:, -1] == 0
        start_known, start = _at_start(node, xs, C0)
        still = np.array([_ZERO_AT_ZERO.issuperset(names[1:]) for names in self.functions(node)])
        made = empty & start_known & (start == 0) & still[:, np.newaxis]
        return made, np.zeros(made.shape)


class GRU(Recurrent):
    """A unit is 0 where its candidate is 0 and it starts there."""

    count = 3
    defaults = ("sigmoid", "tanh")

    def sums(self, node: OpNode) -> tuple[tuple[str, int, int], ...]:
        """The candidate reads hidden units through the reset gate."""
        return ("update gate", 0, 0), ("reset gate", 1, 0)

    def candidate(self, node: OpNode, weights: Weights, xs: Sequence[Constants]) -> tuple[Mask, Array]:
        both = weights.w_bias[:, -1], weights.r_bias[:, -1]
        resets_sum = node.attr("linear_before_reset", 0)  # then the reset gate is a factor on R's bias, too
        empty = (both[0] == 0) & (both[1] == 0) if resets_sum else both[0] + both[1] == 0
        start_known, start = _at_start(node, xs, H0)
        still = np.array([names[1] in _ZERO_AT_ZERO for names in self.functions(node)])
        made = empty & start_known & (start == 0) & still[:, np.newaxis]
        return made, np.zeros(made.shape)

    def columns(self, node: OpNode) -> Mask:
        """The candidate reads units times their reset gates, unless these come after the sum."""
        if node.attr("linear_before_reset", 0):
            return super().columns(node)
        return np.asarray((self.weights(node).r[:, -1] == 0).all(axis=1))


class RNN(Recurrent):
    """A unit is a function of its bias where it hears of nothing."""

    def trend(self, node: OpNode) -> Trend | None:
        return WITHIN_ONE if all(names == ["tanh"] for names in self.functions(node)) else None

    def activation(self, node: OpNode) -> Activation | None:
        kinds = {names[0] for names in self.functions(node)}
        if kinds == {"relu"}:
            return Activation(Kind.RECTIFIER, 0.0, enters=None)
        if kinds == {"tanh"}:
            return Activation(Kind.SATURATING, -1.0, 1.0, Curve.TANH, enters=None)
        return super().activation(node)

    def candidate(self, node: OpNode, weights: Weights, xs: Sequence[Constants]) -> tuple[Mask, Array]:
        total = (weights.w_bias + weights.r_bias)[:, -1]
        clip = node.attr("clip")
        total = total if clip is None else np.clip(total, -clip, clip)
        made, value = np.zeros(total.shape, np.bool_), np.zeros(total.shape)
        for direction, (name,) in enumerate(self.functions(node)):
            if name in ("tanh", "relu"):
                made[direction] = True
                value[direction] = np.tanh(total[direction]) if name == "tanh" else np.maximum(total[direction], 0.0)
            elif name in _ZERO_AT_ZERO:
                made[direction] = total[direction] == 0
        return made, value


register(LSTM(), "LSTM")
register(GRU(), "GRU")
register(RNN(), "RNN")
