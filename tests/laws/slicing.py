"""The cut node, built by hand for every operator, so that keep vectors can be checked without the rewriter."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx import NodeProto, helper

from analyzer.algebra.keeps import Keeps
from analyzer.algebra.pattern import Mask
from analyzer.facts.cut import CutPlan
from analyzer.ops.attention import AttentionRule
from analyzer.ops.context import Context
from analyzer.ops.contraction import Contraction
from analyzer.ops.conv import ConvRule
from analyzer.ops.fused_attention import ProjectedAttention
from analyzer.ops.moe import MixtureOfExperts
from analyzer.ops.operator import BARRIER
from analyzer.ops.recurrent import Recurrent
from analyzer.ops.reduce import ReduceRule
from analyzer.ops.rms_norm import RootMeanSquare, SkipRootMeanSquare
from analyzer.rewrite.shrink import shrink
from analyzer.runtime.loading import load_model
from tests.laws.benches import Bench, Case
from tests.laws.few_bits import pack_anew
from tests.models import Array, run

#: What the cut node looks like is not for this file to say.
_SKIPPED = ("Shape", "Size", "Dropout")


@dataclass(frozen=True)
class Sliced:
    """The cut case, and the feed of the original that it is held against; `weights` are changed in it for that."""

    case: Case
    reference: dict[str, Array]
    weights: dict[str, Array] = field(default_factory=dict)


def sliced_case(bench: Bench, keeps: Keeps) -> Sliced | None:
    """Cut every input by its keep vectors and respell attributes; None where that is not told here."""
    op = bench.op
    node = NodeProto()
    node.CopyFrom(bench.case.node)
    case = replace(bench.case, node=node)
    bench = copy(bench)
    bench.case = case
    if bench.call.rule is BARRIER or op.op_type in _SKIPPED:
        return None
    if not any(keeps.alive(o) for o in case.outputs):
        return None
    arrays = {n: cut(a, keeps.vectors(n)) for n, a in case.arrays.items()}
    reference, weights = dict(case.feeds), dict[str, Array]()
    changes: dict[str, Any] = {}
    if isinstance(bench.call.rule, ConvRule):
        changes = _conv(bench, keeps, arrays)
        reference[op.inputs[bench.call.rule.x]] = _rested(bench, keeps, bench.call.rule.x)
    elif isinstance(bench.call.rule, Contraction):
        if op.op_type == "MatMulNBits":
            pack_anew(bench, keeps, arrays)
        for position in (bench.call.rule.a, bench.call.rule.b):
            if op.inputs[position] in reference:
                reference[op.inputs[position]] = _rested(bench, keeps, position)
    elif isinstance(bench.call.rule, Recurrent):
        reference[op.inputs[0]] = _rested(bench, keeps, 0)
        r, dynamic = op.inputs[2], op.op_type == "DynamicQuantizeLSTM"
        hidden = keeps.get((r, 1 if dynamic else 2))
        changes = {"hidden_size": int(hidden.sum())}
        silenced = _silenced(bench, hidden) if dynamic else {r: np.where(hidden, case.arrays[r], 0)}
        reference |= {name: array for name, array in silenced.items() if name in reference}
        weights = {name: array for name, array in silenced.items() if name not in reference}
    elif isinstance(bench.call.rule, RootMeanSquare | SkipRootMeanSquare) and bench.call.rule.narrows(op):
        changes = _narrowed(bench, keeps, arrays, reference)
        if op.has(3):  # a stored bias
            weights = {op.inputs[3]: _rested(bench, keeps, 3)}
    elif isinstance(bench.call.rule, MixtureOfExperts):
        reference[op.inputs[0]] = _rested(bench, keeps, 0)
        weights = {op.inputs[4]: _rested(bench, keeps, 4)}
    elif isinstance(bench.call.rule, AttentionRule):
        changes = _heads(bench, keeps)
        if bench.call.sums:
            reference[op.inputs[0]] = _rested(bench, keeps, 0)
    elif isinstance(bench.call.rule, ReduceRule) and bench.call.rule.loose(op):
        reference[op.inputs[0]] = _averaged(bench, keeps)
    elif op.op_type == "DynamicQuantizeLinear":  # only zeros leave the range as it is
        reference[op.inputs[0]] = _rested(bench, keeps, 0)
    elif op.op_type in _RESPELL:
        changes = _RESPELL[op.op_type](bench, keeps, arrays)
    changes |= {name: keeps.shape(value)[axis] for name, (value, axis) in case.spelled.items()}
    for name, value in changes.items():
        for old in [a for a in node.attribute if a.name == name]:
            node.attribute.remove(old)
        if value is not None:
            node.attribute.append(helper.make_attribute(name, value))
    dead_in = [n for n in op.inputs if n and not keeps.alive(n)]
    if op.op_type in ("Concat", "QLinearConcat"):  # a part that goes takes its scale and zero point along
        first, width = (0, 1) if op.op_type == "Concat" else (2, 3)
        parts = [op.inputs[i : i + width] for i in range(first, len(op.inputs), width)]
        del node.input[first:]
        node.input.extend(n for part in parts if part[0] not in dead_in for n in part)
    elif dead_in:
        raise AssertionError(f"{dead_in} died, but the output lives: {case}")
    kept = {n: a for n, a in arrays.items() if n in node.input}
    made = Case(
        node,
        kept,
        case.stored & set(kept),
        case.opset,
        case.domains,
        case.samplers,
        True,
        case.tolerance,
        rests=case.rests,
    )
    return Sliced(made, reference, weights)


def cut(array: Array, vectors: Sequence[Mask]) -> Array:
    """The array without the indices that go."""
    return array[np.ix_(*vectors)] if array.ndim else array


def _rested(bench: Bench, keeps: Keeps, position: int) -> Array:
    """The input with zeros (or zero points) where indices go."""
    name = bench.op.inputs[position]
    array = bench.case.arrays[name]
    inside = np.zeros(array.shape, np.bool_)
    inside[np.ix_(*keeps.vectors(name))] = True
    return np.where(inside, array, resting(bench, name)).astype(array.dtype)


def _silenced(bench: Bench, kept: Mask) -> dict[str, Array]:
    """The layer with hidden units that are 0 where they go, so that they leave the range of all as it is."""
    gone, changed = ~kept, dict[str, Array]()
    for position, zero in ((1, 9), (2, 11)):
        array = bench.case.arrays[bench.op.inputs[position]].copy()
        array.reshape(*array.shape[:2], 4, -1)[:, :, -1, gone] = bench.case.arrays[bench.op.inputs[zero]].max()
        changed[bench.op.inputs[position]] = array
    for position in (3, 5, 6):  # the bias, and where it starts
        if bench.op.has(position):
            array = bench.case.arrays[bench.op.inputs[position]].copy()
            parts = array.reshape(len(array), 2, 4, -1)[:, :, -1] if position == 3 else array
            parts[..., gone] = 0
            changed[bench.op.inputs[position]] = array
    return changed


def _conv(bench: Bench, keeps: Keeps, arrays: dict[str, Array]) -> dict[str, Any]:
    op, rule = bench.op, bench.call.rule
    assert isinstance(rule, ConvRule)
    groups = rule.groups(op)
    if groups == 1:
        return {}
    x, w, y = op.inputs[rule.x], op.inputs[rule.w], op.outputs[0]
    ins, outs = (keeps.get((n, 1)).reshape(groups, -1) for n in (x, y))
    kernel = bench.case.arrays[w]
    transposed = rule.out_axis() == 1
    first, second = (ins, outs) if transposed else (outs, ins)
    wide = kernel.reshape(groups, -1, *kernel.shape[1:])
    live = np.flatnonzero(ins.any(axis=1))
    assert np.array_equal(live, np.flatnonzero(outs.any(axis=1))), f"half a group stays: {bench.case}"
    assert len({int(n) for n in ins[live].sum(axis=1)}) == 1, f"groups of unequal size: {bench.case}"
    assert len({int(n) for n in outs[live].sum(axis=1)}) == 1, f"groups of unequal size: {bench.case}"
    if bench.shared:  # one kernel for all its readers: every group keeps the same inner channels
        assert (second[live] == keeps.get((w, 1))).all(), f"a shared kernel that fits no group: {bench.case}"
        assert np.array_equal(first.reshape(-1), keeps.get((w, 0))), f"a shared kernel with other rows: {bench.case}"
        return {"group": len(live)}
    parts = [wide[g][first[g]][:, second[g]] for g in live]
    arrays[w] = np.concatenate(parts)
    expected = tuple(int(v.sum()) for v in keeps.vectors(w))
    assert arrays[w].shape == expected, f"kernel {expected} planned, {arrays[w].shape} needed: {bench.case}"
    return {"group": len(live)}


def _heads(bench: Bench, keeps: Keeps) -> dict[str, Any]:
    """Heads counted anew: what is kept of the output, and of the keys, in heads of the old width."""
    op, rule = bench.op, bench.call.rule
    assert isinstance(rule, AttentionRule)
    heads = rule.heads(op)
    assert heads is not None
    y = keeps.get((op.outputs[0], 1 if len(op.y_shape()) == 4 else 2))
    each = y.reshape(heads.groups, heads.repeats, -1)
    counts = each.sum(axis=2)[each.any(axis=2)]
    assert len({*counts.tolist()}) == 1, f"heads of unequal size: {bench.case}"
    assert rule.narrows(op) or (each.all(axis=2) == each.any(axis=2)).all(), f"half a head stays: {bench.case}"
    numbers = {rule.counts[1]: int(each.any(axis=(1, 2)).sum())}
    numbers[rule.counts[0]] = int(each.any(axis=2).sum())
    changes: dict[str, Any] = {name: n for name, n in numbers.items() if op.attr(name) is not None}
    sizes = [heads.width * numbers["num_heads"]] * 2 + [int(y.sum())] if isinstance(rule, ProjectedAttention) else []
    if sizes and (op.attr("qkv_hidden_sizes") or sizes[0] != sizes[2]):
        changes["qkv_hidden_sizes"] = sizes
    return changes


def _rotary(bench: Bench, keeps: Keeps, arrays: dict[str, Array]) -> dict[str, Any]:
    heads, shape = bench.op.attr("num_heads"), bench.op.x_shape()
    axis = 1 if len(shape) == 4 else 2
    return {"num_heads": int(keeps.get((bench.op.inputs[0], axis)).sum()) * heads // shape[axis]} if heads else {}


def _groups(bench: Bench, keeps: Keeps, arrays: dict[str, Array]) -> dict[str, Any]:
    groups, kept = bench.op.attr("num_groups"), keeps.get((bench.op.inputs[0], 1))
    return {"num_groups": int(kept.sum()) * groups // len(kept)}


def _narrowed(bench: Bench, keeps: Keeps, arrays: dict[str, Array], reference: dict[str, Array]) -> dict[str, Any]:
    """A root mean square over fewer channels, of which those that go are 0."""
    op, skips = bench.op, isinstance(bench.call.rule, SkipRootMeanSquare)
    kept = keeps.get((op.inputs[0], len(op.x_shape()) - 1))
    ratio = len(kept) / kept.sum()
    scale = op.inputs[2 if skips else 1]
    arrays[scale] = (arrays[scale] * np.sqrt(ratio)).astype(arrays[scale].dtype)
    for position in (0, 1) if skips else (0,):
        if op.inputs[position] in reference:
            reference[op.inputs[position]] = _rested(bench, keeps, position)
    return {"epsilon": op.attr("epsilon", 1e-12 if skips else 1e-5) * ratio}


def _averaged(bench: Bench, keeps: Keeps) -> Array:
    """What a sum over fewer numbers is the sum of; of a mean, numbers that are larger by as much."""
    x, name, rule = _rested(bench, keeps, 0), bench.op.inputs[0], bench.call.rule
    assert isinstance(rule, ReduceRule)
    kept = [keeps.get((name, axis)).mean() for axis in rule.reduced(bench.op)]
    return (x / np.prod(kept)).astype(x.dtype) if bench.op.op_type == "ReduceMean" else x


def _shape_operand(bench: Bench, keeps: Keeps, arrays: dict[str, Array]) -> dict[str, Any]:
    arrays[bench.op.inputs[1]] = np.array(keeps.shape(bench.op.outputs[0]), np.int64)
    return {}


def _squeeze(bench: Bench, keeps: Keeps, arrays: dict[str, Array]) -> dict[str, Any]:
    if bench.op.has(1) or bench.op.attr("axes"):
        return {}
    axes = [a for a, n in enumerate(bench.op.x_shape()) if n == 1]
    if bench.case.opset < 13:
        return {"axes": axes}
    _add_input(bench, arrays, np.array(axes, np.int64))
    return {}


def _add_input(bench: Bench, arrays: dict[str, Array], array: Array) -> None:
    arrays["added"] = array
    bench.case.node.input.append("added")
    bench.case.stored |= {"added"}


def _split(bench: Bench, keeps: Keeps, arrays: dict[str, Array]) -> dict[str, Any]:
    axis = int(bench.op.attr("axis", 0)) % len(bench.op.x_shape())
    kept, whole = (
        keeps.get((bench.op.inputs[0], axis)),
        [bench.op.y_shape(i)[axis] for i in range(len(bench.op.outputs))],
    )
    sizes = [int(part.sum()) for part in np.split(kept, np.cumsum(whole)[:-1])]
    gone = [o for o, size in zip(bench.op.outputs, sizes, strict=True) if not size]
    assert not any(keeps.alive(o) for o in gone), f"{gone} live on nothing: {bench.case}"
    sizes = [size for size in sizes if size]
    del bench.case.node.output[:]
    bench.case.node.output.extend(o for o in bench.op.outputs if o not in gone)
    if bench.case.opset < 13:
        return {"split": sizes}
    if bench.op.has(1):
        arrays[bench.op.inputs[1]] = np.array(sizes, np.int64)
    else:
        _add_input(bench, arrays, np.array(sizes, np.int64))
    return {"num_outputs": None}


def _slice(bench: Bench, keeps: Keeps, arrays: dict[str, Array]) -> dict[str, Any]:
    op = bench.op
    rank = len(op.x_shape())
    spelled = [op.ints(i, n) for i, n in ((1, "starts"), (2, "ends"), (3, "axes"), (4, "steps"))]
    starts, ends, axes, steps = spelled
    if starts is None or ends is None or (steps is None and op.has(4)):
        return {}
    axes = axes or list(range(len(starts)))
    steps = steps or [1] * len(starts)
    if steps[0] != 1 and len(steps) == 1:
        return _gathered(
            bench, keeps, arrays, axes[0] % rank, range(op.x_shape()[axes[0]])[slice(*_bounds(op, axes[0]))]
        )
    for place, axis in enumerate(axes):
        if steps[place] != 1:
            continue
        length = op.x_shape()[axis % rank]
        source = keeps.get((op.inputs[0], axis % rank))
        taken = np.arange(length)[starts[place] : ends[place]]
        wanted = taken[keeps.get((op.outputs[0], axis % rank))]
        places = np.cumsum(source)[wanted] - 1
        assert source[wanted].all() and (np.diff(places) == 1).all(), f"no longer a slice: {bench.case}"
        starts[place], ends[place] = int(places[0]), int(places[-1]) + 1
    if not op.has(1):
        return {"starts": starts, "ends": ends}
    arrays[op.inputs[1]], arrays[op.inputs[2]] = np.array(starts), np.array(ends)
    return {}


def _bounds(op: Any, axis: int) -> tuple[int, int | None, int]:
    (start,), (end,), (step,) = (op.ints(i, "") for i in (1, 2, 4))
    return start, None if step < 0 and end < -op.x_shape()[axis] else end, step


def _gathered(bench: Bench, keeps: Keeps, arrays: dict[str, Array], axis: int, taken: Sequence[int]) -> dict[str, Any]:
    """What is left of a slice in steps is gathered."""
    op, node = bench.op, bench.case.node
    wanted = np.asarray(taken)[keeps.get((op.outputs[0], axis))]
    source = keeps.get((op.inputs[0], axis))
    assert source[wanted].all()
    arrays[op.inputs[1]] = np.cumsum(source)[wanted] - 1
    node.op_type = "Gather"
    del node.input[2:]
    for name in op.inputs[2:]:
        arrays.pop(name, None)
    return {"axis": axis}


def _gather(bench: Bench, keeps: Keeps, arrays: dict[str, Array]) -> dict[str, Any]:
    op = bench.op
    indices = op.static(1)
    if indices is None:
        return {}
    rank = len(op.x_shape())
    axis = int(op.attr("axis", 0)) % rank
    source = keeps.get((op.inputs[0], axis))
    vectors = keeps.vectors(op.outputs[0])[axis : axis + indices.ndim]
    wanted = indices[np.ix_(*vectors)] if indices.ndim else indices
    wanted = wanted % op.x_shape()[axis]
    assert source[wanted].all(), f"gathered rows are gone: {bench.case}"
    arrays[op.inputs[1]] = (np.cumsum(source) - 1)[wanted].astype(np.int64)
    return {}


def _resize(bench: Bench, keeps: Keeps, arrays: dict[str, Array]) -> dict[str, Any]:
    if bench.op.has(3) and keeps.shape(bench.op.outputs[0]) != bench.op.y_shape():
        lengths = np.array(keeps.shape(bench.op.outputs[0]), np.int64)
        arrays[bench.op.inputs[3]] = lengths[bench.op.attr("axes") or slice(None)]
    return {}


def _one_block(bench: Bench, keeps: Keeps, arrays: dict[str, Array]) -> dict[str, Any]:
    return {"block_size": None} if arrays[bench.op.inputs[1]].shape == (1,) else {}


_RESPELL = {
    "Reshape": _shape_operand,
    "Expand": _shape_operand,
    "Squeeze": _squeeze,
    "Split": _split,
    "Slice": _slice,
    "Gather": _gather,
    "Resize": _resize,
    "QuantizeLinear": _one_block,
    "DequantizeLinear": _one_block,
    "RotaryEmbedding": _rotary,
    "GroupNormalization": _groups,
}


def shrunk_model(bench: Bench, plan: CutPlan) -> onnx.ModelProto:
    """The one node as the rewriter leaves it."""
    proto = bench.case.model()
    for output in [o for o in proto.graph.output if not plan.keeps.alive(o.name)]:
        proto.graph.output.remove(output)
    loaded = load_model(proto)
    context = Context(loaded.graph, bench.context.table)
    return onnx.ModelProto.FromString(ir.to_proto(shrink(loaded, context, plan)[0].model).SerializeToString())


def resting(bench: Bench, name: str) -> float:
    """The number that stands for zero in an input: its zero point where it is quantised."""
    position = list(bench.op.inputs).index(name)
    zero = {"ConvInteger": {0: 2}, "MatMulInteger": {0: 2, 1: 3}, "QLinearConv": {0: 2}, "QLinearMatMul": {0: 2}}
    zero |= {"QGemm": {0: 2}, "MatMulIntegerToFloat": {0: 4}, "QAttention": {0: 6}}
    place = zero.get(bench.op.op_type, {}).get(position)
    point = bench.case.arrays.get(bench.op.inputs[place]) if place is not None and bench.op.has(place) else None
    return 0.0 if point is None else float(np.ravel(point)[0])


def run_cut(model: onnx.ModelProto, feeds: dict[str, Array], case: Case) -> dict[str, Array]:
    """The outputs of the smaller node; that onnxruntime refuses it breaks the law."""
    try:
        return run(model, feeds)
    except Exception as error:
        raise AssertionError(f"onnxruntime refuses the smaller node of {case}: {error}") from error
