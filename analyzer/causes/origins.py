"""From the input of an activation upstream, unit by unit: to the weighted sums and the values that it is made of.

Scales, shifts and normalisations on the way are folded into one factor and one summand per unit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.algebra.pattern import Array
from analyzer.causes.kernels import Kernel, kernel_of
from analyzer.facts.statistics import Floats, Ints
from analyzer.ops.binary import Aligned
from analyzer.ops.concat import ConcatRule
from analyzer.ops.context import Call, Context
from analyzer.ops.contraction import Contraction
from analyzer.ops.conv import ConvRule
from analyzer.ops.move import MoveRule
from analyzer.ops.norm import BatchNorm, InstanceNorm, Normalised
from analyzer.ops.pool import Spatial
from analyzer.ops.quantize_linear import Linear

_SAME = frozenset(("Identity", "Dropout", "Cast"))
_SUMS = frozenset(("Add", "Sum", "Sub"))
MOST_SPLITS = 2  # a residual stream is the sum of all blocks before it: only the nearest are told apart


@dataclass(frozen=True, slots=True)
class Norm:
    """A normalisation on the way, per unit: its own scale, and what its shift adds to the pre-activation."""

    node: str
    scale: Floats
    usual: float  # the layer's median |scale|
    added: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """One summand of the value traced: `scale * source[index] + shift` for the units in `units`.

    `kernel` is the weighted sum that makes `source`, where one does (its bias is in `shift`). `quantised` are
    the values before each QuantizeLinear on the way (name, axis, indices), and `opaque` says that what makes `source`
    is not understood.
    """

    units: Ints
    source: str
    axis: int
    index: Ints
    scale: Floats
    shift: Floats
    norms: tuple[Norm, ...] = ()
    kernel: Kernel | None = None
    quantised: tuple[tuple[str, int, Ints], ...] = ()
    opaque: bool = False
    splits: int = 0

    def only(self, mask: Array, **changes: object) -> Term:
        """The same for some of the units."""
        norms = tuple(Norm(n.node, n.scale[mask], n.usual, n.added[mask]) for n in self.norms)
        part = replace(
            self,
            units=self.units[mask],
            index=self.index[mask],
            scale=self.scale[mask],
            shift=self.shift[mask],
            norms=norms,
            quantised=tuple((name, axis, index[mask]) for name, axis, index in self.quantised),
        )
        return replace(part, **changes)  # type: ignore[arg-type]


def trace(context: Context, value: str, axis: int, units: Ints) -> list[Term]:
    """What these indices of a value are made of: the terms of one unit add up to it."""
    start = Term(units, value, axis, units, np.ones(len(units)), np.zeros(len(units)))
    done: list[Term] = []
    open_terms = [start]
    while open_terms:
        term = open_terms.pop()
        producer = context.graph.producer.get(term.source)
        steps = None if producer is None else _step(context, context.by_node[producer.index], term)
        if steps is None:
            done.append(term)
        else:
            done += [t for t in steps if t.kernel is not None or t.opaque]
            open_terms += [t for t in steps if t.kernel is None and not t.opaque]
    return done


def _step(context: Context, call: Call, term: Term) -> list[Term] | None:
    """One node further up; None where the value itself is where the search ends."""
    rule, op = call.rule, call.op
    if call.barrier is not None or not len(term.units):
        return [replace(term, opaque=True)]
    if isinstance(rule, ConvRule | Contraction):
        kernel = kernel_of(call, term.axis)
        if kernel is None:
            return [replace(term, opaque=True)]
        return [replace(term, kernel=kernel, shift=term.shift + term.scale * kernel.bias[term.index])]
    if isinstance(rule, BatchNorm | InstanceNorm | Normalised):
        return _normalised(call, term)
    if isinstance(rule, Linear):
        return [_rescaled(rule, call, term)]
    if op.op_type in _SAME or (isinstance(rule, Spatial) and term.axis <= 1):
        return [replace(term, source=call.inputs[0])]
    if isinstance(rule, MoveRule | ConcatRule):
        return list(_moved(context, call, term))
    if isinstance(rule, Aligned) and op.op_type in (*_SUMS, "Mul", "Div"):
        return _combined(call, term)
    return None


def _normalised(call: Call, term: Term) -> list[Term]:
    op = call.op
    whole = not isinstance(call.rule, BatchNorm)
    scale, bias = op.static(1), op.static(2)
    length = op.y_shape()[term.axis]
    if scale is None or np.size(scale) != length:
        return [replace(term, opaque=True)]
    gamma = np.asarray(scale, np.float64).reshape(-1)
    beta = np.zeros(length) if bias is None or np.size(bias) != length else np.asarray(bias, np.float64).reshape(-1)
    added = term.scale * beta[term.index]
    norm = Norm(op.name, gamma[term.index], float(np.median(np.abs(gamma))), added)
    through = replace(term, norms=(*term.norms, norm), shift=term.shift + added)
    if whole:
        return [replace(through, scale=term.scale * gamma[term.index], opaque=True)]
    mean, variance = (np.asarray(op.static(p), np.float64).reshape(-1)[term.index] for p in (3, 4))
    slope = gamma[term.index] / np.sqrt(variance + float(op.attr("epsilon", 1e-5)))
    shift = through.shift - term.scale * slope * mean
    return [replace(through, source=call.inputs[0], scale=term.scale * slope, shift=shift)]


def _rescaled(rule: Linear, call: Call, term: Term) -> Term:
    op = call.op

    def parameter(position: int, default: float) -> Floats:
        array = rule.parameter(op, position, default)
        return np.broadcast_to(array.reshape(-1), (op.y_shape()[term.axis],))[term.index].astype(np.float64)

    scale, zero = parameter(1, 1.0), parameter(2, 0.0)
    if op.op_type == "DequantizeLinear":
        return replace(
            term, source=call.inputs[0], scale=term.scale * scale, shift=term.shift - term.scale * scale * zero
        )
    return replace(
        term,
        source=call.inputs[0],
        scale=term.scale / scale,
        shift=term.shift + term.scale * zero,
        quantised=(*term.quantised, (call.inputs[0], term.axis, term.index)),
    )


def _moved(context: Context, call: Call, term: Term) -> Iterator[Term]:
    """Over operators that move elements: labels are moved forward to see where each index came from."""
    left = np.ones(len(term.units), np.bool_)
    inputs = range(len(call.inputs)) if isinstance(call.rule, ConcatRule) else [0]
    for position in inputs:
        shape = context.shapes.get(call.inputs[position]) or ()
        for axis in _likely_axes(shape, term):
            found = _labels(context, call, position, axis, term)
            if found is not None and (mask := left & (found >= 0)).any():
                name = call.inputs[position]
                yield term.only(mask, source=name, axis=axis, index=found[mask])
                left &= ~mask
                break
    if left.any():
        yield term.only(left, opaque=True)


def _likely_axes(shape: tuple[int, ...], term: Term) -> list[int]:
    """Axes that may hold the units, the channel axis of a flattened map before its positions."""
    return sorted((a for a, d in enumerate(shape) if d > 1 and a), key=lambda a: (a != term.axis, a)) or [0]


def _labels(context: Context, call: Call, position: int, axis: int, term: Term) -> Ints | None:
    """Per traced index its index on `axis` of one input, -1 where it comes from elsewhere; None if several mix."""
    inputs = []
    for place, name in enumerate(call.inputs):
        shape = context.shapes.get(name) or ()
        if place == position:
            labels = pattern.on_axis(np.arange(1.0, shape[axis] + 1), axis, len(shape))
            inputs.append(Constants(np.ones_like(labels, np.bool_), labels))
        elif (array := call.op.static(place)) is not None and not isinstance(call.rule, ConcatRule):
            inputs.append(Constants.exactly(array))
        else:
            inputs.append(Constants(pattern.uniform(len(shape), True), np.zeros((1,) * len(shape))))
    made = call.rule.constants(call.op, inputs)[call.outputs.index(term.source)]
    others = tuple(a for a in range(made.rank) if a != term.axis)
    number = made.number
    if not made.all or any(number.shape[a] > 1 and np.ptp(number, axis=a).any() for a in others):
        return None
    flat = np.broadcast_to(number.max(axis=others), (context.shapes[term.source][term.axis],))
    return np.asarray(flat[term.index], np.int64) - 1


def _combined(call: Call, term: Term) -> list[Term] | None:
    """Sums, and products with stored numbers; a product of two computed values is where the search ends."""
    op = call.op
    rank = len(op.y_shape())
    computed = [p for p, static in enumerate(op.statics) if static is None]
    stored = [p for p in range(len(op.inputs)) if p not in computed]
    factors = op.op_type in ("Mul", "Div")
    if (factors and (len(computed) != 1 or (op.op_type == "Div" and computed == [1]))) or not computed:
        return None
    if len(computed) > 1 and term.splits >= MOST_SPLITS:
        return [replace(term, opaque=True)]
    shift, scale = term.shift, term.scale
    for position in stored:
        array = _along(op.static(position), term, rank)
        if array is None:
            return [replace(term, opaque=True)]
        if factors:
            scale = scale * array if op.op_type == "Mul" else scale / np.where(array == 0, 1.0, array)
        else:
            shift = shift + (-1.0 if op.op_type == "Sub" and position == 1 else 1.0) * term.scale * array
    terms = []
    for place, position in enumerate(computed):
        shape = op.x_shape(position)
        axis = term.axis - (rank - len(shape))
        if axis < 0 or shape[axis] != op.y_shape()[term.axis]:
            return [replace(term, opaque=True)]
        sign = -1.0 if op.op_type == "Sub" and position == 1 else 1.0
        own = replace(term, source=op.node.inputs[position], axis=axis, scale=sign * scale)
        own = replace(own, splits=term.splits + (len(computed) > 1))
        terms.append(replace(own, shift=shift) if not place else _without_shift(own))
    return terms


def _without_shift(term: Term) -> Term:
    """A second summand: what was added on the way counts once, with the first."""
    return replace(term, shift=np.zeros_like(term.shift))


def _along(array: Array | None, term: Term, rank: int) -> Floats | None:
    """A stored operand as one number per traced index; None when it varies along other axes."""
    if array is None:
        return None
    lifted = np.asarray(array, np.float64).reshape((1,) * (rank - np.ndim(array)) + np.shape(array))
    if any(d > 1 for a, d in enumerate(lifted.shape) if a != term.axis):
        return None
    flat = lifted.reshape(-1)
    return flat[term.index] if flat.size > 1 else np.full(len(term.index), float(flat[0]))
