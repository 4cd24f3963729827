"""Units that compute the same thing for every input: their outgoing weights are added onto the first of them.

Two units are twins when their incoming weights, biases and per-channel parameters are equal bit by bit. After the
weights were moved, nothing reads the later twins any more, and an ordinary cut takes them away. Exact for every input
up to the rounding of one sum.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from analyzer.graph import Editor, LoadedModel
from analyzer.ops.binary import Aligned
from analyzer.ops.clip import ClipRule
from analyzer.ops.concat import ConcatRule
from analyzer.ops.context import Call, Context
from analyzer.ops.contraction import Contraction
from analyzer.ops.conv import ConvRule
from analyzer.ops.gemm import Gemm
from analyzer.ops.movements import TransposeRule
from analyzer.ops.norm import BatchNorm
from analyzer.ops.pool import Spatial
from analyzer.ops.unary import Unary

Labels = npt.NDArray[np.int64]  # per index of the unit axis: the first index that computes the same
Twins = dict[str, tuple[int, Labels]]  # per value its unit axis, and something per unit of it
Array = np.ndarray[Any, np.dtype[Any]]


def find_twins(context: Context) -> Twins:
    """Per value its unit axis, and per unit the first unit that equals it."""
    found: Twins = {}
    for call in context.calls:
        if call.barrier is not None or call.outputs[0] in context.graph.static_values:
            continue
        twins = _twins_of(context, call, found)
        if twins is not None:
            found[call.outputs[0]] = twins
    return found


def _twins_of(context: Context, call: Call, found: Mapping[str, tuple[int, Labels]]) -> tuple[int, Labels] | None:
    rule, op = call.rule, call.op
    before = found.get(call.inputs[0]) if call.inputs else None
    if type(rule) is ConvRule and rule.groups(op) in (1, op.x_shape()[1]):
        return 1, _conv_labels(op.static(1), op.static(2), before, rule.groups(op))
    if type(rule) in (Contraction, Gemm):
        return _dense_twins(call, before)
    if isinstance(rule, Aligned):
        return _elementwise(call, found)
    if isinstance(rule, ConcatRule):
        return _concatenated(rule, call, found)
    if before is None:
        return None
    axis, labels = before
    if isinstance(rule, Unary | ClipRule) or (isinstance(rule, Spatial) and axis in rule.free_axes(op)):
        return before
    if isinstance(rule, BatchNorm) and axis == 1:
        table = np.stack([np.ravel(np.asarray(op.static(p))) for p in (1, 2, 3, 4)], axis=1)
        return 1, _first([(int(i), table[c].tobytes()) for c, i in enumerate(labels)])
    return _moved(call, axis, labels)


def _moved(call: Call, axis: int, labels: Labels) -> tuple[int, Labels] | None:
    """Behind a Transpose the same units lie along another axis; a Flatten repeats each for all its positions."""
    op = call.op
    if isinstance(call.rule, TransposeRule):
        order = op.attr("perm") or list(range(len(op.x_shape())))[::-1]
        return list(order).index(axis), labels
    flat = op.op_type in ("Flatten", "Reshape") and len(op.y_shape()) == 2
    if flat and axis == 1 and op.y_shape()[0] == op.x_shape()[0]:
        inner = int(np.prod(op.x_shape()[2:]))
        return 1, (labels[:, None] * inner + np.arange(inner)).reshape(-1)
    return None


def _elementwise(call: Call, found: Mapping[str, tuple[int, Labels]]) -> tuple[int, Labels] | None:
    """Units stay twins where every operand holds the same for both: twins themselves, equal numbers, one for all."""
    op, shape = call.op, call.op.y_shape()
    whole = {p: found[n] for p, n in enumerate(call.inputs) if n in found and op.x_shape(p) == shape}
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
            columns.append([row.tobytes() for row in np.moveaxis(np.asarray(stored), axis - missing, 0)])
        else:
            return None
    return axis, _first(list(zip(*columns, strict=True)))


def _concatenated(rule: ConcatRule, call: Call, found: Mapping[str, tuple[int, Labels]]) -> tuple[int, Labels] | None:
    """The twins of each part; a part without known ones has none."""
    axis = rule.axis(call.op)
    keys: list[Hashable] = []
    for position, length in enumerate(rule.lengths(call.op)):
        before = found.get(call.inputs[position])
        labels = before[1] if before is not None and before[0] == axis else np.arange(length)
        keys += [(position, int(label)) for label in labels]
    return axis, _first(keys)


def _conv_labels(kernel: Array | None, bias: Array | None, before: tuple[int, Labels] | None, groups: int) -> Labels:
    assert kernel is not None  # a rule with a kernel computed at run time is a barrier
    offsets = np.zeros(len(kernel)) if bias is None else np.ravel(bias)
    if groups == 1:
        merged = _fold(kernel, 1, before[1] if before is not None and before[0] == 1 else None)
        return _first([(merged[o].tobytes(), float(offsets[o])) for o in range(len(kernel))])
    width = len(kernel) // groups
    own = before[1] if before is not None and before[0] == 1 else np.arange(groups)
    return _first([(int(own[o // width]), kernel[o].tobytes(), float(offsets[o])) for o in range(len(kernel))])


def _dense_twins(call: Call, before: tuple[int, Labels] | None) -> tuple[int, Labels] | None:
    op = call.op
    weight = op.static(1)
    if weight is None or weight.ndim != 2 or op.attr("transA", 0):
        return None
    matrix = weight if op.attr("transB", 0) else weight.T
    last = len(op.x_shape(0)) - 1
    matrix = _fold(matrix, 1, before[1] if before is not None and before[0] == last else None)
    bias = op.static(2) if isinstance(call.rule, Gemm) and op.has(2) else None
    if isinstance(call.rule, Gemm) and op.has(2) and (bias is None or bias.size not in (1, len(matrix))):
        return None
    offsets = np.zeros(len(matrix)) if bias is None else np.broadcast_to(np.ravel(bias), (len(matrix),))
    return len(op.y_shape()) - 1, _first([(matrix[o].tobytes(), float(offsets[o])) for o in range(len(matrix))])


def _fold(matrix: Array, axis: int, labels: Labels | None) -> Array:
    """Columns of twins added onto the first of them."""
    if labels is None or (labels == np.arange(len(labels))).all():
        return np.ascontiguousarray(matrix)
    moved = np.moveaxis(matrix, axis, 0).astype(np.float64)
    total = np.zeros_like(moved)
    np.add.at(total, labels, moved)
    return np.ascontiguousarray(np.moveaxis(total, 0, axis).astype(matrix.dtype))


def _first(keys: Sequence[Hashable]) -> Labels:
    seen: dict[Hashable, int] = {}
    return np.asarray([seen.setdefault(key, place) for place, key in enumerate(keys)], np.int64)


def merge_duplicates(loaded: LoadedModel, context: Context) -> tuple[LoadedModel, Twins]:
    """The model with the outgoing weights of twins moved onto the first; per value the unit axis and the other twins.

    Whether these go is for the cut to say: something else may need them.
    """
    found = find_twins(context)
    copy = loaded.copy()
    editor, merged = Editor(copy), Twins()
    for call in context.calls:
        before = found.get(call.inputs[0]) if call.inputs and call.barrier is None else None
        if before is None or (before[1] == np.arange(len(before[1]))).all():
            continue
        axis, labels = before
        weight, place = _reader_weight(call, axis)
        if weight is None or not call.op.sole_user[1] or call.inputs[1] not in context.graph.initializer_names:
            continue
        editor.set_tensor(call.inputs[1], _fold(weight, place, labels))
        merged[call.inputs[0]] = axis, np.flatnonzero(labels != np.arange(len(labels)))
    return (copy if merged else loaded), merged


def _reader_weight(call: Call, axis: int) -> tuple[Array | None, int]:
    """The stored weight of a reader and its axis of input units."""
    op, rule = call.op, call.rule
    if type(rule) is ConvRule and rule.groups(op) == 1 and axis == 1:
        return op.static(1), 1
    if type(rule) in (Contraction, Gemm) and axis == len(op.x_shape(0)) - 1 and not op.attr("transA", 0):
        weight = op.static(1)
        if weight is not None and weight.ndim == 2:
            return weight, 1 if op.attr("transB", 0) else 0
    return None, 0
