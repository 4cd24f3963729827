"""Cases of attention, and wrong rules for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from analyzer.algebra.pattern import Mask
from analyzer.ops import attention, fused_attention
from analyzer.ops.node_edit import Edit
from tests.laws import laws, shrink_laws
from tests.laws.benches import Case, whole
from tests.laws.draws import Draw, call, cases_for
from tests.models import Array

CONTRIB = "com.microsoft"
FLOOR = float(np.finfo(np.float32).min)


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
    mask, fed_mask = None, whole(0, 1, np.int32)
    if d.flag(0.4):
        mask = d.ints(0, 1, *d.pick([(batch, before + steps), (batch, steps, before + steps)]), dtype=np.int32)
    elif d.flag(0.3):
        size = d.pick([batch, batch, 2 * batch]) if not past else batch
        mask, fed_mask = d.ints(1, before + steps, size, dtype=np.int32), whole(1, before + steps, np.int32)
    shape = d.pick([1, batch]), d.pick([1, heads]), steps, before + steps
    inputs = [
        d.normal(batch, steps, inside), weight.astype(np.float32), d.normal(sum(sizes)) if d.flag(0.8) else None, mask,
        d.normal(2, batch, heads, before, width) if past else None,
        d.normal(*shape) if not past and d.flag(0.3) else None,
    ]  # fmt: skip
    fed = [0, *(p for p in (3, 4, 5) if inputs[p] is not None)]
    return call(
        op, *inputs, fed=fed, domain=CONTRIB, num_heads=heads, outputs=["y0", "y1"] if past else 1,
        samplers={3: fed_mask}, tolerance=1e-4,
        qkv_hidden_sizes=sizes if value != width or d.flag(0.3) else None,
        unidirectional=d.pick([None, 1]), scale=d.pick([None, 0.4]), mask_filter_value=d.pick([None, FLOOR]),
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
    mask, fed_mask = None, whole(0, 1, np.int32)
    if d.flag(0.3):
        mask = d.ints(0, 1, *d.pick([(batch, before + keys), (batch, steps, before + keys)]), dtype=np.int32)
    elif d.flag(0.2):
        mask, fed_mask = d.ints(1, before + keys, batch, dtype=np.int32), whole(1, before + keys, np.int32)
    shape = d.pick([1, batch]), d.pick([1, heads]), steps, before + keys
    more = d.normal(*shape) if d.flag(0.3) else None
    inputs += [bias, mask, more]
    if past:
        inputs += [d.normal(batch, heads, before, width), d.normal(batch, heads, before, value)]
    fed = [p for p, array in enumerate(inputs) if array is not None and p != 3]
    return call(
        op, *inputs, fed=fed, domain=CONTRIB, num_heads=heads, samplers={4: fed_mask}, tolerance=1e-4,
        outputs=["y0", "y1", "y2"] if past or (apart and d.flag(0.2)) else 1,
        unidirectional=d.pick([None, None, 1]), scale=d.pick([None, 0.4]), mask_filter_value=d.pick([None, FLOOR]),
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


def _widths_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    honest: Any = attention.AttentionRule.axes

    def axes(self: Any, node: Any) -> Any:
        found = honest(self, node)
        return replace(found, whole=found.whole - {"d", "v"}) if hasattr(found, "whole") else found

    monkeypatch.setattr(attention.AttentionRule, "axes", axes)


FAULTS: list[laws.Fault] = [
    (_another_head_is_asked_for, "MultiHeadAttention", laws.unneeded_inputs_change_nothing),
    (_the_past_is_forgotten, "MultiHeadAttention", laws.constants_are_constant),
    (_a_bias_is_forgotten, "MultiHeadAttention", laws.constants_are_constant),
    (_heads_are_not_counted, "MultiHeadAttention", shrink_laws.shrunk_nodes_agree),
    (_constant_inputs_are_forgotten, "Attention", shrink_laws.shrunk_nodes_agree),
    (_widths_are_cut, "MultiHeadAttention", laws.cut_nodes_agree),
]
