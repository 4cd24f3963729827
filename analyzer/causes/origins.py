"""From the input of an activation upstream, unit by unit: to the weighted sums and the values that it is made of.

Scales, shifts and normalisations on the way are folded into one factor and one summand per unit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from analyzer.algebra.pattern import Array, index_map
from analyzer.causes.kernels import Kernel, kernel_of
from analyzer.facts.statistics import Floats, Ints
from analyzer.ops.affine import Affine, Normalisation
from analyzer.ops.context import Call, Context
from analyzer.units.decomposed_norms import DecomposedNorm, decomposed_norms

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
    the values before each rounding to integers on the way (name, axis, indices), `opaque` says that what makes `source`
    is not understood, and `filled_by` names the node that puts a stored number there, whatever it reads.
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
    filled_by: str = ""
    splits: int = 0

    @property
    def ends(self) -> bool:
        """Whether the search goes no further than `source`."""
        return self.opaque or bool(self.filled_by)

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
    done, open_terms = list[Term](), [start]
    written = decomposed_norms(context).by_result
    while open_terms:
        term = open_terms.pop()
        producer, norm = context.graph.producer.get(term.source), written.get(term.source)
        steps = None if producer is None else _step(context, context.by_node[producer.index], term, term is start)
        if norm is not None and norm.scale is not None:
            steps = _normalised_in_parts(context, norm, term)
        if steps is None:
            done.append(term)
        else:
            done += [t for t in steps if t.kernel is not None or t.ends]
            open_terms += [t for t in steps if t.kernel is None and not t.ends]
    return done


def _step(context: Context, call: Call, term: Term, first: bool) -> list[Term] | None:
    """One node further up; None where the value itself is where the search ends."""
    rule, op = call.rule, call.op
    if call.barrier is not None or not len(term.units):
        return [replace(term, opaque=True)]
    total = rule.weighted_sum(op) or rule.averaged_sum(op)
    if total is not None:
        if total.activated and not first:
            return None
        kernel = kernel_of(call, total, term.axis)
        if kernel is None:
            return [replace(term, opaque=True)]
        return [replace(term, kernel=kernel, shift=term.shift + term.scale * kernel.bias[term.index])]
    if any(rule.summed_axes(op, position) for position in range(len(op.inputs))):
        return [replace(term, opaque=True)]
    norm, affine = rule.normalisation(op), rule.affine(op)
    if norm is not None:
        return _normalised(call, norm, affine, term)
    if affine is not None:
        return _combined(call, affine, term)
    if rule.pools and rule.keeps_units(op, term.axis):
        return [replace(term, source=call.inputs[0])]
    return list(_moved(context, call, term)) if rule.moves else None


def _normalised(call: Call, norm: Normalisation, affine: Affine | None, term: Term) -> list[Term]:
    op = call.op
    scale = op.static(norm.scale)
    bias = None if norm.shift is None else op.static(norm.shift)
    through = _learned(op.name, op.y_shape()[term.axis], scale, bias, term)
    if affine is None or through.opaque:
        return [_of_every_feed(through)]
    return _combined(call, affine, through)


def _normalised_in_parts(context: Context, norm: DecomposedNorm, term: Term) -> list[Term]:
    """Over a normalisation that is written as several nodes."""
    places, graph = (norm.scale, norm.shift), context.graph
    scale, bias = (None if place is None else graph.constant(place[0].inputs[place[1]]) for place in places)
    name = (norm.scale or (norm.last,))[0].name
    return [_of_every_feed(_learned(name, context.shapes[term.source][term.axis], scale, bias, term))]


def _learned(node: str, length: int, scale: Array | None, bias: Array | None, term: Term) -> Term:
    """The term with what a normalisation learned; opaque where that is not one number per unit."""
    if scale is None or np.size(scale) != length:
        return replace(term, opaque=True)
    gamma = np.asarray(scale, np.float64).reshape(-1)
    beta = np.zeros(length) if bias is None or np.size(bias) != length else np.asarray(bias, np.float64).reshape(-1)
    usual, added = float(np.median(np.abs(gamma))), term.scale * beta[term.index]
    return replace(term, norms=(*term.norms, Norm(node, gamma[term.index], usual, added)))


def _of_every_feed(term: Term) -> Term:
    """The scale is that of what is normalised, which is another number for every feed."""
    if term.opaque:
        return term
    last = term.norms[-1]
    return replace(term, scale=term.scale * last.scale, shift=term.shift + last.added, opaque=True)


def _moved(context: Context, call: Call, term: Term) -> Iterator[Term]:
    """Over operators that move elements, which say where each index came from."""
    left = np.ones(len(term.units), np.bool_)
    output, filled = call.outputs.index(term.source), np.zeros(len(term.units), np.bool_)
    for position, name in enumerate(call.inputs):
        for axis in _likely_axes(context.shapes.get(name) or (), term):
            places = index_map(call.rule.places(call.op, position, axis, output), term.axis)
            if places is None:
                continue
            index = np.broadcast_to(places, (context.shapes[term.source][term.axis],))[term.index]
            filled |= index < 0
            if (mask := left & (index >= 0)).any():
                yield term.only(mask, source=name, axis=axis, index=index[mask])
                left &= ~mask
                break
    if (mask := left & filled).any():
        yield term.only(mask, filled_by=call.op.name)
    if (mask := left & ~filled).any():
        yield term.only(mask, opaque=True)


def _likely_axes(shape: tuple[int, ...], term: Term) -> list[int]:
    """Axes that may hold the units, the channel axis of a flattened map before its positions."""
    return sorted((a for a, d in enumerate(shape) if d > 1 and a), key=lambda a: (a != term.axis, a)) or [0]


def _combined(call: Call, affine: Affine, term: Term) -> list[Term]:
    """Over sums, and over stored factors and shifts."""
    op, rank = call.op, len(call.op.y_shape())
    if len(affine.factors) > 1 and term.splits >= MOST_SPLITS:
        return [replace(term, opaque=True)]
    shift, terms = _along(affine.shift, term), list[Term]()
    for position, pattern in affine.factors.items():
        factor, shape = _along(pattern, term), op.x_shape(position)
        axis = term.axis - (rank - len(shape))
        if shift is None or factor is None or axis < 0 or shape[axis] != op.y_shape()[term.axis]:
            return [replace(term, opaque=True)]
        name = op.node.inputs[position]
        own = replace(term, source=name, axis=axis, scale=term.scale * factor)
        if affine.rounds:
            own = replace(own, quantised=(*term.quantised, (name, axis, term.index)))
        # what is added on the way counts once, with the first summand
        terms.append(replace(own, shift=np.zeros_like(shift) if terms else term.shift + term.scale * shift))
    return [replace(own, splits=term.splits + (len(terms) > 1)) for own in terms]


def _along(array: Array, term: Term) -> Floats | None:
    """A pattern as one number per traced index; None when it varies along other axes."""
    if any(d > 1 for a, d in enumerate(array.shape) if a != term.axis):
        return None
    flat = np.asarray(array, np.float64).reshape(-1)
    return flat[term.index] if flat.size > 1 else np.full(len(term.index), float(flat[0]))
