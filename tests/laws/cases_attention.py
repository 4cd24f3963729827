"""Cases of attention, and wrong rules for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.algebra.pattern import Mask
from analyzer.ops import attention, fused_attention, grouped_attention, native_attention, quantised_attention
from analyzer.ops import rotary as rotary_embedding
from analyzer.ops.node_edit import Edit
from tests.laws import laws, shrink_laws
from tests.laws.benches import Case, Sampler, normal, positive, whole
from tests.laws.cases_linear import around_zero
from tests.laws.draws import Draw, call, cases_for
from tests.models import Array

CONTRIB = "com.microsoft"
FLOOR = float(np.finfo(np.float32).min)
NO_NUMBERS = [np.inf, np.nan]
MASKED = [None, None, FLOOR, -np.inf]  # what scores of masked keys become


def _some_shut(g: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Summands of scores, of which some are -inf, but not that of a query and its first key."""
    array = np.where(g.random(shape) < 0.3, -np.inf, g.normal(0, 2, shape)).astype(np.float32)
    array[..., 0] = 0
    return array


def _summands(d: Draw, shape: tuple[int, ...], stored: bool) -> Array:
    """Stored ones may leave a query no key, or make no number of a score."""
    array = _some_shut(d.arrays, shape)
    if stored and d.flag():
        array[..., 0] = np.where(d.arrays.random(shape[:-1]) < 0.5, d.pick([-np.inf, *NO_NUMBERS]), 0)
    return array


def _mask(d: Draw, batch: int, steps: int, keys: int, ends: Sequence[int]) -> tuple[Array | None, Sampler]:
    """Which keys count, per sample or per query, or where they end (so many numbers); and how it is drawn anew."""
    if d.flag(0.4):
        shape = d.pick([(batch, keys), (batch, steps, keys)])
        return d.ints(0, 1, *shape, dtype=np.int32), whole(0, 1, np.int32)
    counted = d.ints(1, keys, d.pick(ends), dtype=np.int32) if d.flag(0.3) else None
    return counted, whole(1, keys, np.int32)


@cases_for("Attention", domain=CONTRIB)
def projected(d: Draw, op: str) -> Case:
    batch, steps, inside, heads, width = d.whole(1, 2), d.whole(1, 3), d.whole(1, 4), d.whole(1, 3), d.whole(1, 3)
    value = d.pick([width, d.whole(1, 3)])
    sizes = [heads * width, heads * width, heads * value]
    weight = d.normal(inside, sum(sizes)) * d.arrays.choice([0, 1], (inside, sum(sizes)), p=[0.3, 0.7])
    for head in range(heads):
        if d.flag(0.4):
            at = 2 * heads * width + head * value
            weight[:, at : at + value] = 0
    past = value == width and d.flag(0.3)
    before = d.whole(1, 2) if past else 0
    mask, fed_mask = _mask(d, batch, steps, before + steps, [batch] if past else [batch, batch, 2 * batch])
    shape = d.pick([1, batch]), d.pick([1, heads]), steps, before + steps
    stored = d.flag(0.3)
    inputs = [
        d.normal(batch, steps, inside), weight.astype(np.float32), d.normal(sum(sizes)) if d.flag(0.8) else None, mask,
        d.normal(2, batch, heads, before, width) if past else None,
        _summands(d, shape, stored) if not past and d.flag(0.3) else None,
    ]  # fmt: skip
    fed = [0, *(p for p in ((3, 4) if stored else (3, 4, 5)) if inputs[p] is not None)]
    return call(
        op, *inputs, fed=fed, domain=CONTRIB, num_heads=heads, outputs=["y0", "y1"] if past else 1,
        samplers={3: fed_mask, 5: d.pick([normal(), _some_shut])}, tolerance=1e-4,
        qkv_hidden_sizes=sizes if value != width or d.flag(0.3) else None,
        unidirectional=d.pick([None, 1]), scale=d.pick([None, 0.4]), mask_filter_value=d.pick(MASKED),
    )  # fmt: skip


@cases_for("QAttention", domain=CONTRIB)
def quantised(d: Draw, op: str) -> Case:
    batch, steps, inside, heads, width = d.whole(1, 2), d.whole(1, 3), d.whole(1, 4), d.whole(1, 3), d.whole(1, 3)
    columns, before = 3 * heads * width, d.pick([0, 0, d.whole(1, 2)])
    shape = (columns,) if d.flag() else ()
    rest = d.ints(-5, 5, *shape, dtype=np.int8) if d.flag() else np.zeros(shape, np.int8)
    weight = d.ints(-90, 90, inside, columns) * d.arrays.choice([0, 1], (inside, columns), p=[0.3, 0.7])
    for head in range(heads):
        if d.flag(0.4):
            at = 2 * heads * width + head * width
            weight[:, at : at + width] = 0
    weight = np.where(d.arrays.random(weight.shape) < 0.1, 0, weight + rest).astype(np.int8)
    mask, fed_mask = _mask(d, batch, steps, before + steps, [batch])
    zero = np.array(d.whole(100, 150), np.uint8) if d.flag(0.8) else None
    inputs = [
        d.ints(100, 150, batch, steps, inside, dtype=np.uint8), weight, d.normal(columns),
        np.array(0.02, np.float32), d.arrays.uniform(0.01, 0.02, shape).astype(np.float32), mask, zero, rest,
        d.normal(2, batch, heads, before, width) if before else None,
    ]  # fmt: skip
    computed = zero is not None and d.flag()
    around = around_zero(120 if computed else 0 if zero is None else int(zero))
    given = [0, 3, 5, 6, 8] if computed else [0, *d.pick([[], [3]]), 5, 8]
    samplers = {0: around, 3: positive(), 5: fed_mask, 6: whole(110, 130, np.uint8)}
    return call(
        op, *inputs, fed=[p for p in given if inputs[p] is not None], domain=CONTRIB, num_heads=heads, tolerance=1e-4,
        outputs=["y0", "y1"] if before else 1, unidirectional=d.pick([None, 1]), samplers=samplers,
        rests={0: 6} if computed else None, mask_filter_value=d.pick(MASKED),
    )  # fmt: skip


@cases_for("MultiHeadAttention", domain=CONTRIB)
def many_heads(d: Draw, op: str) -> Case:
    batch, steps, heads, width = d.whole(1, 2), d.whole(1, 3), d.whole(1, 3), d.whole(1, 3)
    apart = d.flag(0.8)  # else laid out by heads
    past = apart and d.flag(0.4)
    value = d.pick([width, d.whole(1, 3)]) if apart and not past else width
    keys, before = d.whole(1, 4), d.whole(1, 2) if past else 0
    inputs: list[Array | None] = [d.normal(batch, steps, heads * width)]
    shapes = [(batch, keys, heads * n) if apart else (batch, heads, keys, n) for n in (width, value)]
    inputs += [d.normal(*shape) for shape in shapes]
    bias = d.normal(heads * (2 * width + value)) if apart and d.flag() else None
    mask, fed_mask = _mask(d, batch, steps, before + keys, [batch])
    shape = d.pick([1, batch]), d.pick([1, heads]), steps, before + keys
    stored = d.flag(0.3)
    more = _summands(d, shape, stored) if d.flag(0.3) else None
    inputs += [bias, mask, more]
    if past:
        inputs += [d.normal(batch, heads, before, width), d.normal(batch, heads, before, value)]
    fed = [p for p, array in enumerate(inputs) if array is not None and p != 3 and not (stored and p == 5)]
    return call(
        op, *inputs, fed=fed, domain=CONTRIB, num_heads=heads, tolerance=1e-4,
        samplers={4: fed_mask, 5: d.pick([normal(), _some_shut])},
        outputs=["y0", "y1", "y2"] if past or (apart and d.flag(0.2)) else 1,
        unidirectional=d.pick([None, None, 1]), scale=d.pick([None, 0.4]), mask_filter_value=d.pick(MASKED),
    )  # fmt: skip


@cases_for("GroupQueryAttention", domain=CONTRIB)
def grouped(d: Draw, op: str) -> Case:
    batch, steps, groups, repeats, width = d.whole(1, 2), d.whole(1, 3), d.whole(1, 3), d.whole(1, 2), d.pick([8, 16])
    heads, before = groups * repeats, d.pick([0, 0, d.whole(1, 2)])
    packed, rotary = d.flag(0.3), width == 16 and d.flag(0.6)
    batch = 1 if before and steps > 1 else batch
    sizes = [heads * width, groups * width, groups * width]
    inputs: list[Array | None] = [None] * 16
    for position, size in enumerate([sum(sizes)] if packed else sizes):
        inputs[position] = d.normal(batch, steps, size)
    if before or d.flag(0.3):
        inputs[3:5] = [d.normal(batch, groups, before, width) for _ in range(2)] if before else [None, None]
    total = before + steps
    fewest = total if before and steps > 1 else steps if before else 1  # keys, of which the rest of a sample is padding
    inputs[5] = d.ints(fewest - 1, total - 1, *d.pick([(batch,), (batch, 1)]), dtype=np.int32)
    inputs[6] = np.array(total, np.int32)
    if rotary:
        inputs[7:9] = [d.normal(before + steps, width // 2) for _ in range(2)]
    stored = d.flag(0.3)
    if d.flag(0.3):
        shape = d.pick([1, batch]), d.pick([1, heads]), steps, before + steps
        inputs[10] = _summands(d, shape, stored) if stored else d.normal(*shape)
    if d.flag(0.2):
        inputs[11] = d.normal(heads)
    fixed = {5: whole(fewest - 1, total - 1, np.int32), 6: whole(total, total, np.int32)}
    fed = [p for p in (0, 1, 2, 3, 4, 5, 6, *(() if stored else (10,))) if inputs[p] is not None]
    causal = d.pick([None, None, 0])
    outputs = ["y0", "y1", "y2", "y3"][: d.pick([3, 4])] if before or d.flag(0.3) else ["y0"]
    return call(
        op, *inputs, fed=fed, domain=CONTRIB, num_heads=heads, kv_num_heads=groups, samplers=fixed, tolerance=1e-4,
        outputs=outputs, qk_output=d.pick([1, 2]) if len(outputs) > 3 else None, scale=d.pick([None, 0.4]),
        causal=causal, do_rotary=int(rotary), rotary_interleaved=d.pick([None, 1]) if rotary else None,
        local_window_size=d.pick([None, None, 2]) if causal is None else None, softcap=d.pick([None, None, 3.0]),
        smooth_softmax=d.pick([None, None, 1]) if inputs[11] is None else None,
    )  # fmt: skip


@cases_for("Attention")
def native(d: Draw, op: str) -> Case:
    batch, steps, groups, repeats, width = d.whole(1, 2), d.whole(1, 3), d.whole(1, 3), d.whole(1, 2), d.whole(1, 3)
    heads, before, keys = groups * repeats, d.pick([0, 0, d.whole(1, 2)]), d.whole(1, 4)
    value, flat, opset = d.whole(1, 3), d.flag(), d.pick([23, 24, 25])
    shapes = [(heads, steps, width), (groups, keys, width), (groups, keys, value)]
    inputs: list[Array | None] = [
        d.normal(batch, n, h * w) if flat else d.normal(batch, h, n, w) for h, n, w in shapes
    ] + [None] * 4  # fmt: skip
    mask = (d.pick([1, batch]), d.pick([1, heads]), steps, before + keys)[d.whole(0, 2) :]
    kind = d.pick(["none", "none", "float", "bool"])
    if kind != "none":
        inputs[3] = d.normal(*mask) if kind == "float" else d.ints(0, 1, *mask, dtype=np.bool_)
    if kind == "float" and d.flag(0.3):
        inputs[3] = np.where(d.ints(0, 1, *mask) == 1, d.pick([-np.inf, FLOOR, -5.0]), 0).astype(np.float32)
    if before:
        inputs[4:6] = [d.normal(batch, groups, before, w) for w in (width, value)]
    stored = {3} if d.flag() else set()
    if kind == "float" and stored and d.flag(0.3):
        inputs[3] = np.where(d.ints(0, 2, *mask) == 0, d.pick(NO_NUMBERS), d.normal(*mask)).astype(np.float32)
    if opset > 23 and not before and d.flag(0.2):
        inputs[6] = d.ints(0, keys, batch)
    left, right = (d.pick([None, 1]) if opset == 25 else None for _ in range(2))
    return call(
        op, *inputs, fed=[p for p, a in enumerate(inputs) if a is not None and p not in stored], opset=opset,
        samplers={6: whole(0, keys)}, q_num_heads=heads if flat else None, kv_num_heads=groups if flat else None,
        outputs=(["y0", "y1", "y2"] if before else ["y0", "", ""]) + (["y3"] if d.flag(0.2) else []),
        qk_matmul_output_mode=d.pick([None, 1, 2, 3]), scale=d.pick([None, 0.4]), is_causal=d.pick([None, 1]),
        softcap=d.pick([None, 3.0]), tolerance=1e-4, left_window_size=left, right_window_size=right,
    )  # fmt: skip


@cases_for("RotaryEmbedding", domain=CONTRIB)
def fused_rotary(d: Draw, op: str) -> Case:
    return _rotary(d, CONTRIB)


@cases_for("RotaryEmbedding")
def rotary(d: Draw, op: str) -> Case:
    return _rotary(d, "")


def _rotary(d: Draw, domain: str) -> Case:
    batch, heads, steps, width = d.whole(1, 2), d.whole(1, 3), d.whole(1, 3), d.pick([2, 4, 6])
    flat, part = d.flag(), d.flag(0.4)
    turned = d.pick([n for n in (2, 4) if n <= width]) if part else width
    named = flat or (bool(domain) and part)
    x = d.normal(batch, steps, heads * width) if flat else d.normal(batch, heads, steps, width)
    looked_up = bool(domain) or d.flag()
    caches = [d.normal(5, turned // 2) if looked_up else d.normal(batch, steps, turned // 2) for _ in range(2)]
    places = d.ints(0, 4, batch, steps) if not domain or d.flag(0.7) else d.ints(0, 5 - steps, 1)
    inputs = [x, places, *caches] if domain else [x, *caches, places if looked_up else None]
    at = 1 if domain else 3
    highest = 4 if places.ndim == 2 else 5 - steps
    return call(
        "RotaryEmbedding", *inputs, fed=[0, at] if looked_up else [0], domain=domain, opset=23,
        num_heads=heads if named else None, rotary_embedding_dim=turned if part else None,
        interleaved=d.pick([None, 1]), samplers={at: whole(0, highest)},
    )  # fmt: skip


def _another_head_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    honest: Any = attention.AttentionRule.asked

    def asked(self: Any, node: Any, ys: Any) -> Mask:
        return np.roll(honest(self, node, ys), 1, axis=0)

    monkeypatch.setattr(attention.AttentionRule, "asked", asked)


def _the_past_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_attention, "with_past", lambda *given: given[-1])


def _heads_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention.AttentionRule, "shrink", lambda self, node, cut: Edit())


def _constant_inputs_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_attention, "removed_constants", lambda known, value, kept: value * 0)


def _a_bias_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    honest: Any = fused_attention.MultiHeadAttention.values

    def values(self: Any, node: Any, xs: Any, heads: Any) -> Any:
        return honest(self, node.without(frozenset({3})), xs, heads)

    monkeypatch.setattr(fused_attention.MultiHeadAttention, "values", values)


def _weights_always_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouped_attention.GroupQueryAttention, "averages", lambda self, node: True)


def _values_stand_in_front(monkeypatch: pytest.MonkeyPatch) -> None:
    honest: Any = pattern.take
    monkeypatch.setattr(pattern, "take", lambda array, axis, at: honest(array, axis, at - at[0]))


def _places_turn_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        rotary_embedding.Rotary, "partners", lambda self, node: np.arange(node.x_shape()[-1], dtype=np.int64)
    )


def _every_query_finds_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_attention.Attention, "_some_key", lambda self, node: True)


def _weights_are_always_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    for rule in (attention.AttentionRule, fused_attention.FusedAttention, grouped_attention.GroupQueryAttention):
        monkeypatch.setattr(rule, "numbers_always", lambda self, node: True)


def _any_finite_summand_makes_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention.AttentionRule, "numbers_always", lambda self, node: True)


def _padding_sees_keys_through_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    honest: Any = grouped_attention.GroupQueryAttention.values

    def values(self: Any, node: Any, *given: Any) -> Any:
        attributes = {**node.node.attributes, "local_window_size": -1}
        return honest(self, replace(node, node=replace(node.node, attributes=attributes)), *given)

    monkeypatch.setattr(grouped_attention.GroupQueryAttention, "values", values)


def _bytes_are_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantised_attention, "stands_for", lambda q, *parameters, axis: q.astype(np.float64))


def _constants_add_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantised_attention, "off_zero", lambda x, zero: Constants(x.known, 0 * x.number))


def _everything_adds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    exactly = Constants.exactly
    monkeypatch.setattr(quantised_attention, "at_computed", lambda x, zero: exactly(np.zeros((1,) * x.rank)))


def _values_go_from_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_attention.MultiHeadAttention, "narrows", lambda self, node: True)


def _sizes_are_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    honest: Any = fused_attention.ProjectedAttention.shrink

    def shrink(self: Any, node: Any, cut: Any) -> Edit:
        edit: Edit = honest(self, node, cut)
        edit.attributes.pop("qkv_hidden_sizes", None)
        return edit

    monkeypatch.setattr(fused_attention.ProjectedAttention, "shrink", shrink)


def _keys_of_one_input_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    honest: Any = attention.AttentionRule.axes

    def axes(self: Any, node: Any) -> Any:
        found = honest(self, node)
        return replace(found, loops=tuple(tuple(dict.fromkeys(loop)) for loop in found.loops))

    monkeypatch.setattr(attention.AttentionRule, "axes", axes)


FAULTS: list[laws.Fault] = [
    (_keys_of_one_input_are_not_counted, f"{CONTRIB}:Attention", laws.products_are_counted),
    (_bytes_are_numbers, "QAttention", laws.constants_are_constant),
    (_constants_add_nothing, "QAttention", laws.constants_are_constant),
    (_everything_adds_nothing, "QAttention", shrink_laws.shrunk_nodes_agree),
    (_another_head_is_asked_for, "QAttention", laws.unneeded_inputs_change_nothing),
    (_heads_are_not_counted, "QAttention", shrink_laws.shrunk_nodes_agree),
    (_weights_are_always_numbers, f"{CONTRIB}:Attention", laws.constants_are_constant),
    (_weights_are_always_numbers, "MultiHeadAttention", laws.constants_are_constant),
    (_weights_are_always_numbers, "GroupQueryAttention", laws.constants_are_constant),
    (_any_finite_summand_makes_numbers, f"{CONTRIB}:Attention", laws.constants_are_constant),
    (_any_finite_summand_makes_numbers, "Attention", laws.constants_are_constant),
    (_padding_sees_keys_through_windows, "GroupQueryAttention", laws.constants_are_constant),
    (_values_go_from_a_cache, "MultiHeadAttention", laws.cut_nodes_agree),
    (_sizes_are_not_told, f"{CONTRIB}:Attention", shrink_laws.shrunk_nodes_agree),
    (_every_query_finds_a_key, "Attention", laws.constants_are_constant),
    (_another_head_is_asked_for, "Attention", laws.unneeded_inputs_change_nothing),
    (_heads_are_not_counted, "Attention", shrink_laws.shrunk_nodes_agree),
    (_weights_always_add_up, "GroupQueryAttention", laws.constants_are_constant),
    (_values_stand_in_front, "GroupQueryAttention", laws.constants_are_constant),
    (_another_head_is_asked_for, "GroupQueryAttention", laws.unneeded_inputs_change_nothing),
    (_heads_are_not_counted, "GroupQueryAttention", shrink_laws.shrunk_nodes_agree),
    (_places_turn_alone, "RotaryEmbedding", laws.constants_are_constant),
    (_places_turn_alone, "RotaryEmbedding", laws.unneeded_inputs_change_nothing),
    (_another_head_is_asked_for, "MultiHeadAttention", laws.unneeded_inputs_change_nothing),
    (_the_past_is_forgotten, "MultiHeadAttention", laws.constants_are_constant),
    (_a_bias_is_forgotten, "MultiHeadAttention", laws.constants_are_constant),
    (_heads_are_not_counted, "MultiHeadAttention", shrink_laws.shrunk_nodes_agree),
    (_constant_inputs_are_forgotten, f"{CONTRIB}:Attention", shrink_laws.shrunk_nodes_agree),
    (laws.letters_part(attention.AttentionRule, "d", "v"), "MultiHeadAttention", laws.cut_nodes_agree),
]
