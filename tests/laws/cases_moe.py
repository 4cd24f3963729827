"""Cases of mixtures of experts, and wrong rules for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from analyzer.ops import moe
from analyzer.ops.node_edit import Edit
from analyzer.ops.operator import CONTRIB
from tests.laws import laws, shrink_laws
from tests.laws.benches import Case
from tests.laws.draws import Draw, call, cases_for


@cases_for("MoE", domain=CONTRIB)
def experts(d: Draw, op: str) -> Case:
    kind = d.pick(["relu", "relu", "identity", "gelu", "silu", "swiglu", "swiglu"])
    count, width, inside, rows = d.whole(1, 4), d.whole(1, 4), d.whole(1, 4), 2 if kind == "swiglu" else 1
    tokens = d.pick([(d.whole(1, 4),), (d.whole(1, 3), d.whole(1, 3))])
    first, second = d.weight(count, rows * inside, width), d.weight(count, width, inside)
    biases = [d.normal(count, n) if d.flag(0.7) else None for n in (rows * inside, width)]
    for unit in range(inside):
        if d.flag(0.3):  # dead, or constant, in all experts; or what such a unit is multiplied by
            row = rows * unit + d.whole(0, rows - 1)
            first[:, row] = 0
            if biases[0] is not None and d.flag():
                biases[0][:, row] = 0
    if d.flag(0.3):  # an output that all experts agree about
        at = d.whole(0, width - 1)
        second[:, at] = 0
        if biases[1] is not None:
            biases[1][:, at] = d.pick([0, 0.75])
    if d.flag(0.3):
        first[..., d.whole(0, width - 1)] = 0
    if d.flag(0.3):
        second[..., d.whole(0, inside - 1)] = 0
    gated: dict[str, Any] = {
        "swiglu_fusion": 1,
        "activation_alpha": d.pick([None, 1.7]),
        "activation_beta": d.pick([None, 1.0]),
        "swiglu_limit": d.pick([None, 7.0, 0.5]),
    }
    return call(
        op, d.normal(*tokens, width), d.normal(int(np.prod(tokens)), count), first, biases[0], second, biases[1],
        fed=(0, 1), domain=CONTRIB, activation_type=d.pick([kind, None if kind == "relu" else kind]),
        k=d.whole(1, count), normalize_routing_weights=d.pick([None, 0, 1]), **(gated if rows == 2 else {}),
    )  # fmt: skip


@cases_for("QMoE", domain=CONTRIB)
def packed_experts(d: Draw, op: str) -> Case:
    bits, count, width, inside = d.pick([4, 8]), d.whole(1, 4), 32, 32
    tokens = d.pick([(d.whole(1, 4),), (d.whole(1, 3), d.whole(1, 3))])
    first, second = (
        d.ints(0, 255, count, n, m * bits // 8, dtype=np.uint8) for n, m in ((inside, width), (width, inside))
    )
    scales = [np.abs(d.normal(count, n)) / 2**bits for n in (inside, width)]
    return call(
        op, d.normal(*tokens, width), d.normal(int(np.prod(tokens)), count), first, scales[0],
        d.normal(count, inside) if d.flag() else None, second, scales[1], d.normal(count, width) if d.flag() else None,
        fed=(0, 1), domain=CONTRIB, activation_type=d.pick(["relu", "silu"]), k=d.whole(1, count),
        normalize_routing_weights=1, expert_weight_bits=bits, weights_prepacked=0,
    )  # fmt: skip


def _any_bias_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moe.MixtureOfExperts, "shrink", lambda self, node, cut: Edit())


def _smooth_ones_keep_zero_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(moe._ACTIVATIONS, "silu", lambda x: np.maximum(x, 0))


def _shares_add_up_to_one(monkeypatch: pytest.MonkeyPatch) -> None:
    honest: Any = moe.MixtureOfExperts.constants

    def constants(self: Any, node: Any, xs: Any) -> Any:
        always = type("Always", (), {"__getattr__": lambda s, n: getattr(node, n)})()
        always.attr = lambda name, default=None: 1 if name.startswith("norm") else node.attr(name, default)
        return honest(self, always, xs)

    monkeypatch.setattr(moe.MixtureOfExperts, "constants", constants)


def _second_of_a_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    honest: Any = moe.MixtureOfExperts.hidden

    def hidden(self: Any, node: Any, xs: Any) -> Any:
        known, value = honest(self, node, xs)
        return (np.roll(known, 1, 1), value) if moe._rows(node) == 2 else (known, value)

    monkeypatch.setattr(moe.MixtureOfExperts, "hidden", hidden)


def _the_other_of_a_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    honest: Any = moe._stored

    def stored(node: Any, position: int) -> Any:
        pairs = position in (moe.W1, moe.B1) and moe._rows(node) == 2
        return np.roll(honest(node, position), -1 if pairs else 0, 1)

    monkeypatch.setattr(moe, "_stored", stored)


def _experts_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """On what the first one adds."""
    honest: Any = moe._stored

    def stored(node: Any, position: int) -> Any:
        array = honest(node, position)
        return np.broadcast_to(array[:1], array.shape) if position == moe.B2 else array

    monkeypatch.setattr(moe, "_stored", stored)


FAULTS: list[laws.Fault] = [
    (_any_bias_stays, "MoE", shrink_laws.shrunk_nodes_agree),
    (_smooth_ones_keep_zero_only, "MoE", laws.constants_are_constant),
    (_shares_add_up_to_one, "MoE", laws.constants_are_constant),
    (_second_of_a_pair, "MoE", laws.unneeded_inputs_change_nothing),
    (_the_other_of_a_pair, "MoE", laws.unneeded_inputs_change_nothing),
    (_experts_agree, "MoE", laws.constants_are_constant),
]
