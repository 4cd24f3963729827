"""LayerNormalization written out, over the channels that are not constant: Y = scale * (X - mean) / sqrt(var + e) + B.

Of D channels n are left out, constants c of mean m and variance v: mean = (sum(X) + n m) / D and
var = (sum((X - mean)^2) + n (m - mean)^2 + n v) / D, sums over the others. A left-out channel does come out
of the normalisation as a number that changes, (c - mean) / deviation, which lies between those of two constants: up to
two channels stay as carriers, and take on what the readers, weighted sums, make of the others.

Written over all channels, with weight 0 where one is left out; of this the ordinary cut takes what nothing else needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from analyzer.algebra.pattern import Array, Mask, Shape
from analyzer.facts.choice import Choice
from analyzer.facts.units import ShapeTable
from analyzer.graph import Editor, LoadedModel
from analyzer.ops.context import Call, Context
from analyzer.ops.operator import traits_of
from analyzer.ops.weighted_sum import WeightedSum
from analyzer.units.decomposed_norms import DecomposedNorm, decomposed_norms
from analyzer.walk import Walk

MOST_CARRIERS = 2
_FARTHEST = 4  # widths of their range that constants may lie away from a carrier that other normalisations have, too
_STATISTICS = {"float16": "float32", "float32": "float32", "float64": "float64"}


@dataclass(frozen=True, eq=False)
class CentredNorm:
    """A normalisation of the last axis, as one operator or as several: what enters it, and the call that gives it out.

    `scale` and `shift` are calls, and the positions at which they read what was learned.
    """

    enters: str
    last: Call
    epsilon: float
    scale: tuple[Call, int]
    shift: tuple[Call, int] | None


@dataclass(frozen=True, eq=False)
class ConstantChannels:
    """A normalisation, and what is constant in front of it: whether, and at what, per channel of the last axis."""

    norm: CentredNorm
    known: Mask
    value: Array

    @property
    def scale(self) -> Array:
        """The learned scale."""
        return np.asarray(_stored(self.norm.scale), np.float64)

    @property
    def shift(self) -> Array:
        """The learned shift."""
        stored = _stored(self.norm.shift)
        return np.zeros(len(self.known)) if stored is None else np.asarray(stored, np.float64)

    def readers(self, context: Context) -> list[tuple[Call, WeightedSum]] | None:
        """All that reads the channels, where these are sums over them."""
        return _readers(context, self.norm.last.outputs[0], len(self.norm.last.op.y_shape()) - 1)


def norms_over_constants(walked: Walk, choice: Choice) -> list[ConstantChannels]:
    """The normalisations in front of which constant channels stay."""
    context, found = walked.context, []
    held = {layer.value for layer in walked.layers if not choice.covers(layer)}
    decomposed = decomposed_norms(context).by_result
    for call in context.calls if choice.units is None else ():  # what the user listed is what goes
        live = call.barrier is None and walked.closure.live(call)
        norm = _centred(context, call, decomposed.get(call.outputs[0])) if live else None
        if norm is None or held.intersection((norm.enters, call.outputs[0])):
            continue
        (x,), axis = context.constants(walked.facts, [norm.enters]), len(call.op.y_shape()) - 1
        channels = ConstantChannels(norm, *x.per_index(axis, call.op.y_shape()[axis]))
        if not _can_be_carried(context, channels):  # what nothing needs of the others: the shift comes out there
            channels = replace(channels, known=channels.known & (channels.scale == 0))
        staying = channels.known & walked.closure.keeps.get((norm.enters, axis))
        if staying.sum() > MOST_CARRIERS and not channels.known.all():
            found.append(channels)
    return found


def write_out(
    loaded: LoadedModel, table: ShapeTable, context: Context, norms: Sequence[ConstantChannels]
) -> tuple[LoadedModel, ShapeTable]:
    """The model with these normalisations written out, and the shapes of the new values."""
    copy = loaded.copy()
    editor, carriers = Editor(copy), set[int]()
    editor.name_nodes({node.index: node.name for node in loaded.graph.nodes})
    new, dtypes = dict[str, tuple[str, Shape]](), dict[str, str]()
    written = dict[str, str]()  # what now stands for the output of a normalisation, which another may read
    for channels in norms:
        writer = _Writer(editor, context, channels, written)
        writer.run(carriers)
        new |= {name: (channels.norm.enters, shape) for name, (shape, _) in writer.made.items()}
        dtypes |= {name: dtype for name, (_, dtype) in writer.made.items()}
    editor.finish()
    gone = {channels.norm.last.outputs[0] for channels in norms}  # these names would mean something else
    table = table.with_values(new)
    shapes = {name: shape for name, shape in table.shapes.items() if name not in gone}
    return copy.refreshed(), replace(table, shapes=shapes, dtypes={**table.dtypes, **dtypes})


def _centred(context: Context, call: Call, decomposed: DecomposedNorm | None) -> CentredNorm | None:
    """What is said of a normalisation that can be written out: of one axis, by stored numbers per channel."""
    op, norm, found = call.op, call.rule.normalisation(call.op), None
    if norm is not None and norm.epsilon is not None:
        shift = None if norm.shift is None or not op.has(norm.shift) else (call, norm.shift)
        found = CentredNorm(call.inputs[0], call, norm.epsilon, (call, norm.scale), shift)
    elif decomposed is not None and decomposed.centred and decomposed.scale is not None:
        scale, shift = (
            None if place is None else (context.by_node[place[0].index], place[1])
            for place in (decomposed.scale, decomposed.shift)
        )
        found = None if scale is None else CentredNorm(decomposed.enters, call, decomposed.epsilon, scale, shift)
    if found is None or op.node.place or call.outputs[0] in context.outputs:
        return None
    stored = [_stored(place) for place in (found.scale, found.shift) if place is not None]
    fits = all(
        array is not None and array.shape == op.y_shape()[-1:] and array.dtype.name == op.y_dtype for array in stored
    )
    rank, free = len(op.y_shape()), context.free_axes(found.enters)
    return found if fits and rank > 1 and rank - 1 not in free and op.y_dtype in _STATISTICS else None


def _stored(place: tuple[Call, int] | None) -> Array | None:
    return None if place is None else place[0].op.static(place[1])


def _readers(context: Context, value: str, axis: int) -> list[tuple[Call, WeightedSum]] | None:
    """All readers of the channels of a value, over views, where they are sums over these with stored weights."""
    readers = []
    for node, position in context.graph.consumers.get(value, ()):
        reader = context.by_node[node.index]
        if traits_of(node).measures:
            continue
        viewed = None if reader.barrier is not None or position else _viewed(reader, axis)
        if viewed is not None:
            behind = None if viewed[0] in context.outputs else _readers(context, *viewed)
            if behind is None:
                return None
            readers += behind
            continue
        total = None if reader.barrier is not None else reader.weighted_sum
        if total is None or (total.data, total.axis) != (position, axis):
            return None
        stored = node.inputs[total.weight] in context.graph.initializer_names and total.stored_axis is not None
        if not (stored and total.groups == 1 and total.plain and total.absorbs):
            return None
        readers.append((reader, total))
    return readers


def _viewed(call: Call, axis: int) -> tuple[str, int] | None:
    """What a movement gives out that keeps an axis in order, with nothing else beside it, and where it lies then."""
    own = call.rule.places(call.op, 0, axis) if call.rule.moves and len(call.outputs) == 1 else None
    if own is None:
        return None
    varying = [a for a, length in enumerate(own.shape) if length > 1]
    whole = len(varying) == 1 and np.array_equal(own.reshape(-1), np.arange(call.op.x_shape()[axis]))
    return (call.outputs[0], varying[0]) if whole else None


def _rows(reader: Call, total: WeightedSum) -> Array:
    """A reader's weights as they are stored, [channels, ...]."""
    return np.moveaxis(np.asarray(reader.op.static(total.weight)).astype(np.float64), total.stored_axis or 0, 0)


def _can_be_carried(context: Context, channels: ConstantChannels) -> bool:
    """Whether readers can take what they make of constant channels from others, in numbers that their types hold."""
    readers = channels.readers(context)
    most = (1 + _FARTHEST) * (np.abs(channels.scale) + np.abs(channels.shift))
    return readers is not None and all(
        np.tensordot(most, np.abs(_rows(reader, total)), 1).max(initial=0.0)
        < np.finfo(np.asarray(reader.op.static(total.weight)).dtype).max
        for reader, total in readers
    )


class _Writer:
    """Writes one normalisation out; `made` are the new values, with shapes and element types."""

    def __init__(self, editor: Editor, context: Context, channels: ConstantChannels, written: dict[str, str]) -> None:
        self.written = written
        self.editor, self.context, self.channels = editor, context, channels
        self.norm, self.op = channels.norm, channels.norm.last.op
        self.made: dict[str, tuple[Shape, str]] = {}

    def run(self, used: set[int]) -> None:
        """`used` are carriers of normalisations before this one, which it prefers; its own are added."""
        known, value, scale, shift = (
            self.channels.known, self.channels.value, self.channels.scale, self.channels.shift.copy()
        )  # fmt: skip
        carriers = _carriers(np.flatnonzero(known), value, used) if (scale[known] != 0).any() else ()
        if carriers:
            used.update(carriers)
            self._fold(carriers, shift)
        scale = np.where(known, 0.0, scale)
        scale[list(carriers)] = 1.0
        left_out = known & ~np.isin(np.arange(len(known)), carriers)
        self._replace(left_out, carriers, scale, shift)

    def _fold(self, carriers: Sequence[int], shift: Array) -> None:
        """What readers make of constant channels goes onto the carriers; what these always add, onto one that goes."""
        known, value, scale = self.channels.known, self.channels.value, self.channels.scale
        shares = np.zeros((len(carriers), len(known)))
        first, last = carriers[0], carriers[-1]
        if value[first] == value[last]:
            shares[0, known] = 1.0
        else:
            shares[0, known] = (value[known] - value[last]) / (value[first] - value[last])
            shares[1, known] = 1.0 - shares[0, known]
        always = next(int(i) for i in np.flatnonzero(known) if i not in carriers)
        summed = [*carriers, always]
        for reader, total in self.channels.readers(self.context) or ():
            rows, dtype = _rows(reader, total), np.asarray(reader.op.static(total.weight)).dtype
            onto = np.tensordot(shares * scale, rows, 1)
            rows[always] = np.tensordot(shift[summed], rows[summed], 1)
            rows[list(carriers)] = onto
            self._store(reader, total.weight, np.moveaxis(rows, 0, total.stored_axis or 0).astype(dtype))
        shift[always] = float(shift[summed].any())
        shift[list(carriers)] = 0.0

    def _store(self, call: Call, position: int, array: Array) -> str:
        """Write a stored input anew: in place where the node alone reads it."""
        name, graph = call.op.node.inputs[position], self.context.graph
        alone = len(graph.consumers[name]) == 1 and name in graph.initializer_names and name not in graph.outputs
        if alone:
            self.editor.set_tensor(name, array)
            return name
        name = self.editor.add_tensor(f"{call.op.name}/{position}", array)
        self.editor.set_input(call.op.node.index, position, name)
        return name

    def _replace(self, left_out: Mask, carriers: Sequence[int], scale: Array, shift: Array) -> None:
        """Write the operators in place of the node."""
        op, norm, value = self.op, self.norm, self.channels.value
        width, count, own = len(left_out), int(left_out.sum()), str(op.y_dtype)
        wide, dtype = op.y_shape(), _STATISTICS[own]
        narrow = (*wide[:-1], 1)
        mean_left_out, spread = _mean_and_spread(value[left_out], width)
        weights = np.where(left_out, 0.0, 1.0 / width)
        if len(carriers) == 1:  # it stands for the others, which are equal to it
            weights[carriers[0]] += count / width
            count, spread = 0, 0.0
        share = self._number(weights[:, np.newaxis], dtype)

        def add(op_type: str, *inputs: str, shape: Shape = wide, dtype: str = dtype, **attributes: int) -> str:
            name = self.editor.add_before(op.node.index, op_type, inputs, **attributes)
            self.made[name] = shape, dtype
            return name

        x = self.written.get(norm.enters, norm.enters)
        x = x if own == dtype else add("Cast", x, to=1)
        mean = add("MatMul", x, share, shape=narrow)
        if count and mean_left_out:
            mean = add("Add", mean, self._number(count * mean_left_out / width, dtype), shape=narrow)
        centred = add("Sub", x, mean)
        variance = add("MatMul", add("Mul", centred, centred), share, shape=narrow)
        if count:
            away = mean
            if mean_left_out:
                away = add("Sub", mean, self._number(mean_left_out, dtype), shape=narrow)
            squared = add("Mul", away, away, shape=narrow)
            rest = add("Mul", squared, self._number(count / width, dtype), shape=narrow)
            variance = add("Add", variance, rest, shape=narrow)
        variance = add("Add", variance, self._number(norm.epsilon + spread, dtype), shape=narrow)
        factor = add("Reciprocal", add("Sqrt", variance, shape=narrow), shape=narrow)
        y = add("Mul", centred, factor)
        if own != dtype:
            y = add("Cast", y, dtype=own, to=10)
        y = add("Mul", y, self._store(*norm.scale, scale.astype(own)), dtype=own)
        if norm.shift is not None:
            y = add("Add", y, self._store(*norm.shift, shift.astype(own)), dtype=own)
        elif shift.any():
            y = add("Add", y, self._number(shift, own), dtype=own)
        self.editor.replace_value(op.outputs[0], y)
        self.written[op.outputs[0]] = y
        self.editor.drop_node(op.node.index)

    def _number(self, array: Array | float, dtype: str) -> str:
        return self.editor.add_tensor(f"{self.op.name}/number", np.asarray(array, dtype))


def _carriers(dead: Array, value: Array, used: set[int]) -> tuple[int, ...]:
    """The channels with the lowest and the highest constant, or two that serve others, too; one where all are equal."""
    width = np.ptp(value[dead])
    for among in (np.intersect1d(dead, sorted(used)), dead):
        if len(among):
            low, high = (int(among[f(value[among])]) for f in (np.argmin, np.argmax))
            if _FARTHEST * (value[high] - value[low]) >= width:
                return (low,) if width == 0 else (low, high)
    return ()


def _mean_and_spread(constants: Array, width: int) -> tuple[float, float]:
    """The mean of the constants, and the sum of their squared distances from it, of `width` channels."""
    mean = float(constants.mean())
    return mean, float(np.square(constants - mean).sum()) / width
