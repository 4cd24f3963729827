"""Layers of attention with heads that are dead on purpose: these go, whole, and no other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import numpy as np
import onnx
import pytest

from analyzer.ops.attention import AttentionRule
from tests.audits import Pruned, pruned
from tests.laws.nets import Net
from tests.models import Array, build

TRIES, SAMPLES, STEPS, MODEL, WIDTH = 12, 3, 4, 5, 2
CONTRIB = "com.microsoft"


@dataclass
class Layer:
    """Weights by head: queries and keys [heads, MODEL, WIDTH], values of which some are constant, outputs."""

    net: Net
    queries: Array
    keys: Array
    values: Array
    shift: Array  # what is added to values
    outputs: Array

    @classmethod
    def drawn(cls, net: Net, groups: int, repeats: int) -> tuple[Layer, set[int]]:
        """A layer, and the groups of which some head is alive."""
        draw = net.arrays.normal
        layer = cls(
            net,
            draw(0, 1, (groups * repeats, MODEL, WIDTH)), draw(0, 1, (groups, MODEL, WIDTH)),
            draw(0, 1, (groups, MODEL, WIDTH)), draw(0, 1, (groups, WIDTH)),
            draw(0, 1, (groups * repeats, WIDTH, MODEL)),
        )  # fmt: skip
        alive = set()
        for group in range(groups):
            heads = slice(group * repeats, (group + 1) * repeats)
            kind = net.random.choice(["unread", "zero", "constant", "half", "one", "alive"])
            if kind in ("zero", "constant"):
                layer.values[group] = 0
                layer.shift[group] *= kind == "constant"
            elif kind == "unread":
                layer.outputs[heads] = 0
            else:
                alive.add(group)
                if kind == "half":  # a constant slot within a head that is alive
                    layer.values[group, :, 0] = 0
                elif kind == "one":
                    layer.outputs[heads][1:] = 0
        return layer, alive

    def dense(self, x: str, weight: Array, shift: Array | None = None) -> str:
        """X times the weights of all heads, [heads, MODEL, WIDTH], and a bias."""
        y = self.net.add("MatMul", x, self.net.keep(np.concatenate(weight, axis=1)))
        return y if shift is None else self.net.add("Add", y, self.net.keep(shift.reshape(-1)))


def projected(layer: Layer, x: str) -> str:
    parts = [np.concatenate(weight, axis=1) for weight in (layer.queries, layer.keys, layer.values)]
    bias = np.concatenate([np.zeros(parts[0].shape[1] * 2), layer.shift.reshape(-1)])
    packed = layer.net.keep(np.concatenate(parts, axis=1)), layer.net.keep(bias)
    causal = layer.net.random.choice([0, 1])
    return layer.net.add("Attention", x, *packed, num_heads=len(layer.keys), unidirectional=causal, domain=CONTRIB)


def many_heads(layer: Layer, x: str) -> str:
    inside = layer.net.random.random() < 0.5
    q, k = layer.dense(x, layer.queries), layer.dense(x, layer.keys)
    v = layer.dense(x, layer.values, None if inside else layer.shift)
    bias = np.concatenate([np.zeros(2 * layer.shift.size), layer.shift.reshape(-1)])
    more = [layer.net.keep(bias)] if inside else []
    return layer.net.add("MultiHeadAttention", q, k, v, *more, num_heads=len(layer.keys), domain=CONTRIB)


KINDS: dict[str, tuple[Callable[[Layer, str], str], int]] = {"projected": (projected, 1), "many heads": (many_heads, 1)}


def layer_of(kind: str, seed: int) -> tuple[onnx.ModelProto, dict[str, Array], set[int]]:
    """A model, what to feed it, and the groups that are alive."""
    net = Net(Random(seed))
    make, most = KINDS[kind]
    groups, repeats = net.random.choice([1, 2, 3, 4]), net.random.randint(1, most)
    layer, alive = Layer.drawn(net, groups, repeats)
    y = net.add("MatMul", make(layer, "x"), net.keep(np.concatenate(layer.outputs)))
    y = net.add("Add", y, "x")
    feed = {"x": net.arrays.normal(0, 1, (SAMPLES, STEPS, MODEL)).astype(np.float32)}
    return build(net.nodes, feed, net.stored, [y], 23, {CONTRIB: 1}, free=(0,)), feed, alive


def groups_left(kind: str, seed: int) -> None:
    """As many as are alive; the smaller model gives the same."""
    model, feed, alive = layer_of(kind, seed)
    found = pruned(model, feed)
    assert found.difference < 1e-4
    calls = [c for c in found.walk.context.calls if isinstance(c.rule, AttentionRule)]
    assert len(calls) == 1
    assert _attention(found) == len(alive), f"{alive} are alive"


def _attention(found: Pruned) -> int:
    """How many heads of keys are left, 0 where nothing attends any more."""
    names = ("kv_num_heads", "num_heads")
    for node in found.model.graph.node:
        counts = {a.name: a.i for a in node.attribute if a.name in names}
        if counts:
            return counts[next(name for name in names if name in counts)]
    return 0


@pytest.mark.parametrize("kind", KINDS)
def test_dead_heads_go_and_no_others(kind: str) -> None:
    for seed in range(TRIES):
        groups_left(kind, seed)
