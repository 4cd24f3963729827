"""Units that compute the same thing for every input: their outgoing weights are added onto the first of them.

Two units are twins when their incoming weights, biases and per-channel parameters are equal bit by bit. After the
weights were moved, nothing reads the later twins any more, and an ordinary cut takes them away. Exact for every input
up to the rounding of one sum.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from analyzer.algebra.pattern import Array, index_map
from analyzer.graph import Editor, LoadedModel
from analyzer.ops.context import Call, Context
from analyzer.ops.operator import traits_of
from analyzer.ops.weighted_sum import WeightedSum

Labels = npt.NDArray[np.int64]  # per index of the unit axis: the first index that computes the same
UnitLabels = tuple[int, Labels]  # the unit axis, and something per unit
Twins = dict[str, UnitLabels]


@np.errstate(all="ignore")  # weights may be anything, as in the walk
def find_twins(context: Context) -> Twins:
    """Per value its unit axis, and per unit the first unit that equals it."""
    known: Twins = {}
    for call in context.calls:
        if call.barrier is not None or call.outputs[0] in context.graph.static_values:
            continue
        for output, name in enumerate(call.outputs):
            twins = _twins_of(call, output, known) if name else None
            if twins is not None:
                known[name] = twins
    return known


def _twins_of(call: Call, output: int, known: Mapping[str, UnitLabels]) -> UnitLabels | None:
    rule, op = call.rule, call.op
    if traits_of(op.node).joins:
        return _joined(call, known)
    if rule.moves:
        return _moved(call, output, known)
    if output:
        return None
    total = rule.weighted_sum(op)
    if total is not None:
        return _summed(total, known.get(call.inputs[total.data]))
    if rule.aligned:
        return _elementwise(call, known)
    axis, labels = known.get(call.inputs[0] if call.inputs else "", (-1, np.zeros(0, np.int64)))
    if axis < 0 or rule.keeps_units(op, axis):
        return None if axis < 0 else (axis, labels)
    norm = rule.normalisation(op)
    if norm is None or not norm.alone or axis != 1:
        return None
    return axis, _first(labels.tolist(), *(_rows(op.static(p), 0) for p in range(1, len(op.inputs))))


def _summed(total: WeightedSum, before: UnitLabels | None) -> UnitLabels | None:
    """Units of equal weights and biases, where what they read is the same or twins."""
    rows = total.rows if total.plain else None
    if rows is None or total.unit_axis is None or np.isnan(total.offsets).any():
        return None
    labels = before[1] if before is not None and before[0] == total.axis else None
    if total.groups == 1:
        return total.unit_axis, _first(_rows(_fold(rows, 1, labels), 0), total.offsets.tolist())
    if rows.shape[1] > 1:
        return None
    own = np.arange(total.groups) if labels is None else labels
    return total.unit_axis, _first(
        own.repeat(len(rows) // total.groups).tolist(), _rows(rows, 0), total.offsets.tolist()
    )


def _moved(call: Call, output: int, known: Mapping[str, UnitLabels]) -> UnitLabels | None:
    """Indices that come from twins, and from the same index of every other axis that they vary along."""
    op, rule = call.op, call.rule
    if call.inputs[0] not in known:
        return None
    axis, labels = known[call.inputs[0]]
    places = rule.places(op, 0, axis, output)
    varying = [] if places is None else [a for a, length in enumerate(places.shape) if length > 1]
    if places is None or len(varying) != 1:
        return None
    keys = [np.where(places < 0, -1, labels[places]).reshape(-1).tolist()]
    for other in (a for a, length in enumerate(op.x_shape()) if a != axis and length > 1):
        beside = rule.places(op, 0, other, output)
        if beside is None or beside.shape[varying[0]] > 1:
            index = index_map(beside, varying[0])
            if index is None:
                return None
            keys.append(index.tolist())
    return varying[0], _first(*keys)


def _joined(call: Call, known: Mapping[str, UnitLabels]) -> UnitLabels | None:
    """The twins of each part; a part without known ones has none."""
    keys: list[Hashable] = []
    joined = next((a for a in range(len(call.op.y_shape())) if call.rule.places(call.op, 0, a) is not None), 0)
    for position, name in enumerate(call.inputs):
        axis, labels = known.get(name, (-1, np.zeros(0, np.int64)))
        keys += [(position, i) for i in (labels if axis == joined else np.arange(call.op.x_shape(position)[joined]))]
    return joined, _first(keys)


def _elementwise(call: Call, known: Mapping[str, UnitLabels]) -> UnitLabels | None:
    """Units stay twins where every operand holds the same for both: twins themselves, equal numbers, one for all."""
    op, shape = call.op, call.op.y_shape()
    whole = {p: known[n] for p, n in enumerate(call.inputs) if n in known and op.x_shape(p) == shape}
    if not whole:
        return None
    axis = next(iter(whole.values()))[0]
    columns: list[Sequence[Hashable]] = []
    for position in (p for p, name in enumerate(call.inputs) if name):
        missing = len(shape) - len(op.x_shape(position))
        stored = op.static(position)
        if position in whole and whole[position][0] == axis:
            columns.append(whole[position][1].tolist())
        elif missing > axis or op.x_shape(position)[axis - missing] == 1:
            continue
        elif stored is not None:
            columns.append(_rows(stored, axis - missing))
        else:
            return None
    return axis, _first(*columns)


def _rows(array: Array | None, axis: int) -> list[bytes]:
    """What an array holds at each index of an axis, to the bit."""
    assert array is not None  # callers ask where numbers are stored
    return [row.tobytes() for row in np.moveaxis(np.asarray(array), axis, 0)]


def _fold(matrix: Array, axis: int, labels: Labels | None) -> Array:
    """Columns of twins added onto the first of them."""
    if labels is None or (labels == np.arange(len(labels))).all():
        return np.ascontiguousarray(matrix)
    moved = np.moveaxis(matrix, axis, 0).astype(np.float64)
    total = np.zeros_like(moved)
    np.add.at(total, labels, moved)
    return np.ascontiguousarray(np.moveaxis(total, 0, axis).astype(matrix.dtype))


def _first(*columns: Sequence[Hashable]) -> Labels:
    """Per index the first index that is equal to it in all columns."""
    seen: dict[Hashable, int] = {}
    return np.asarray([seen.setdefault(key, place) for place, key in enumerate(zip(*columns, strict=True))], np.int64)


def merge_duplicates(loaded: LoadedModel, context: Context) -> tuple[LoadedModel, Twins]:
    """The model with the outgoing weights of twins moved onto the first; per value the unit axis and the other twins.

    Whether these go is for the cut to say: something else may need them.
    """
    known = find_twins(context)
    copy = loaded.copy()
    editor, merged = Editor(copy), Twins()
    for call in context.calls:
        total = None if call.barrier is not None else call.rule.weighted_sum(call.op)
        before = None if total is None else known.get(call.inputs[total.data])
        if total is None or before is None or (before[1] == np.arange(len(before[1]))).all():
            continue
        (axis, labels), name = before, call.inputs[total.weight]
        weight = call.op.static(total.weight) if total.plain and total.groups == 1 and total.axis == axis else None
        alone = call.op.sole_user[total.weight] and name in context.graph.initializer_names
        if weight is None or total.stored_axis is None or not alone:
            continue
        editor.set_tensor(name, _fold(weight, total.stored_axis, labels))
        merged[call.inputs[total.data]] = axis, np.flatnonzero(labels != np.arange(len(labels)))
    return (copy if merged else loaded), merged
