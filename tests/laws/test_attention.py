"""Layers of attention with heads that are dead on purpose: these go, whole, and no other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
import onnx
import pytest

from analyzer.ops.attention import AttentionRule
from tests.audits import Pruned, pruned
from tests.laws.nets import Net
from tests.models import Array, build

TRIES, SAMPLES, STEPS, MODEL, WIDTH = 12, 3, 4, 5, 16
CONTRIB = "com.microsoft"
LENGTHS = {"x": STEPS, "z": 6}  # of the inputs


@dataclass
class Layer:
    """Weights by head: queries and keys [heads, MODEL, WIDTH], values of which some are constant, outputs."""

    net: Net
    queries: Array
    keys: Array
    values: Array
    shift: Array  # what is added to values
    outputs: Array
    alive: set[int]  # groups of which some head is
    constant: set[int]  # groups whose values are, and not 0
    still: dict[int, int]  # how many values are constant in groups that are alive
    repeats: int = 0  # how many heads of queries have to stay in each

    @classmethod
    def drawn(cls, net: Net, groups: int, repeats: int) -> Layer:
        """A layer of which some heads are dead, and groups that are constant."""
        draw = net.arrays.normal
        layer = cls(
            net,
            draw(0, 1, (groups * repeats, MODEL, WIDTH)), draw(0, 1, (groups, MODEL, WIDTH)),
            draw(0, 1, (groups, MODEL, WIDTH)), draw(0, 1, (groups, WIDTH)),
            draw(0, 1, (groups * repeats, WIDTH, MODEL)), set(), set(), {},
        )  # fmt: skip
        for group in range(groups):
            heads = slice(group * repeats, (group + 1) * repeats)
            kind = net.random.choice(["unread", "zero", "constant", *["half"] * 4, "one", "alive"])
            if kind in ("zero", "constant"):
                layer.values[group] = 0
                layer.shift[group] *= kind == "constant"
                layer.constant.update({group} if kind == "constant" else ())
            elif kind == "unread":
                layer.outputs[heads] = 0
            else:
                layer.alive.add(group)
                layer.repeats = max(layer.repeats, 1 if kind == "one" else repeats)
                layer.still[group] = net.random.randint(1, WIDTH - 1) if kind == "half" else 0
                layer.values[group][:, net.arrays.permutation(WIDTH)[: layer.still[group]]] = 0
                if kind == "one":
                    layer.outputs[heads][1:] = 0
        return layer

    def elsewhere(self) -> str:
        """What keys and values are made of: what queries are, or something of another length."""
        return self.net.random.choice(["x", "z"])

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


def quantised(layer: Layer, x: str) -> str:
    """Of bytes: what enters is quantised while the model runs, or before; only the bias is made of floats."""
    net = layer.net
    weight = np.concatenate([part for each in (layer.queries, layer.keys, layer.values) for part in each], axis=1)
    scale = np.abs(weight).max() / 127
    bias = np.concatenate([np.zeros(2 * layer.shift.size), layer.shift.reshape(-1)])
    scales = [net.keep(0.05), net.keep(120, np.uint8)]
    if net.random.random() < 0.5:
        made = net.add("DynamicQuantizeLinear", x, outputs=3)
        q, scales = made, [f"{made}_1", f"{made}_2"]
    else:
        q = net.add("QuantizeLinear", x, *scales)
    stored = [net.keep(np.rint(weight / scale), np.int8), net.keep(bias)]
    after = [net.keep(scale), "", scales[1], net.keep(0, np.int8)]
    return net.add("QAttention", q, *stored, scales[0], *after, num_heads=len(layer.keys), domain=CONTRIB)


def many_heads(layer: Layer, x: str) -> str:
    inside, z = layer.net.random.random() < 0.5, layer.elsewhere()
    q, k = layer.dense(x, layer.queries), layer.dense(z, layer.keys)
    v = layer.dense(z, layer.values, None if inside else layer.shift)
    bias = np.concatenate([np.zeros(2 * layer.shift.size), layer.shift.reshape(-1)])
    more = [layer.net.keep(bias)] if inside else []
    return layer.net.add("MultiHeadAttention", q, k, v, *more, num_heads=len(layer.keys), domain=CONTRIB)


def grouped(layer: Layer, x: str) -> str:
    """Packed or not, turned or not, with a window or a soft cap."""
    net = layer.net
    packed, turned = net.random.random() < 0.4, net.random.random() < 0.5
    weights = layer.queries, layer.keys, layer.values
    shifts = np.zeros(layer.queries.shape[0] * WIDTH), np.zeros(layer.shift.size), layer.shift.reshape(-1)
    if packed:
        read = [layer.dense(x, np.concatenate(weights), np.concatenate(shifts)), "", ""]
    else:
        read = [layer.dense(x, *both) for both in zip(weights, shifts, strict=True)]
    lengths = [net.keep([STEPS - 1], np.int32), net.keep(STEPS, np.int32)]
    lengths[0] = net.add("Expand", lengths[0], net.add("Shape", x, end=1))
    angles = [net.keep(f(np.arange(STEPS * WIDTH // 2)).reshape(STEPS, -1)) for f in (np.cos, np.sin) if turned]
    return net.add(
        "GroupQueryAttention", *read, "", "", *lengths, *angles, domain=CONTRIB, do_rotary=int(turned),
        num_heads=len(layer.queries), kv_num_heads=len(layer.keys),
        local_window_size=net.random.choice([-1, 2]), softcap=net.random.choice([0.0, 3.0]),
    )  # fmt: skip


def native(layer: Layer, x: str) -> str:
    """Of ai.onnx, with a mask or not; flat, or laid out by heads, and then normalised or not, turned or not."""
    net, counts, z = layer.net, (len(layer.queries), len(layer.keys), len(layer.keys)), layer.elsewhere()
    read = [layer.dense(x, layer.queries), layer.dense(z, layer.keys), layer.dense(z, layer.values, layer.shift)]
    flat, normalised = net.random.random() < 0.5, net.random.random() < 0.5
    if not flat:
        for part, count in enumerate(counts):
            apart = net.add("Reshape", read[part], net.keep([0, 0, count, WIDTH], np.int64))
            if normalised and part < 2:
                apart = net.add("RMSNormalization", apart, net.keep(net.arrays.normal(1, 0.3, WIDTH)))
            read[part] = net.add("Transpose", apart, perm=[0, 2, 1, 3])
    if net.random.random() < 0.5:
        for part, source in enumerate((x, z)):
            angles = net.arrays.normal(0, 1, (LENGTHS[source], WIDTH // 2))
            caches = [net.keep(np.repeat([f(angles)], SAMPLES, axis=0)) for f in (np.cos, np.sin)]
            zero, batch = net.keep([0], np.int64), net.add("Shape", x, end=1)
            caches = [net.add("Slice", cache, zero, batch, zero) for cache in caches]
            turned: dict[str, Any] = {"num_heads": counts[part]} if flat else {}
            read[part] = net.add("RotaryEmbedding", read[part], *caches, **turned)
    mask = net.random.choice(["none", "none", "stored", "fed"])
    if mask == "fed":  # a query may find no key, and gets 0
        layer.alive |= layer.constant
        layer.still = dict.fromkeys(layer.alive, 0)
        layer.repeats = len(layer.queries) // len(layer.keys) if layer.constant else layer.repeats
        read.append(net.add("Greater", net.add("ReduceMax", z, net.keep([2], np.int64), keepdims=0), net.keep(0.5)))
        read[3] = net.add("Unsqueeze", read[3], net.keep([1, 2], np.int64))
        read[3] = net.add("Expand", read[3], net.keep([1, 1, LENGTHS[x], 1], np.int64))
    elif mask == "stored":
        read.append(net.keep(net.arrays.normal(0, 1, (LENGTHS[x], LENGTHS[z]))))
    named: dict[str, Any] = {"q_num_heads": counts[0], "kv_num_heads": counts[1]} if flat else {}
    y = net.add("Attention", *read, is_causal=net.random.choice([0, 1]), **named)
    if flat:
        return y
    return net.add("Reshape", net.add("Transpose", y, perm=[0, 2, 1, 3]), net.keep([0, 0, -1], np.int64))


KINDS: dict[str, tuple[Callable[[Layer, str], str], int]] = {
    "projected": (projected, 1),
    "quantised": (quantised, 1),
    "many heads": (many_heads, 1),
    "grouped": (grouped, 3),
    "native": (native, 3),
}


def layer_of(kind: str, seed: int) -> tuple[onnx.ModelProto, dict[str, Array], Layer]:
    """A model, what to feed it, and what is alive in it."""
    net = Net(Random(seed))
    make, most = KINDS[kind]
    groups, repeats = net.random.choice([1, 2, 3, 4]), net.random.randint(1, most)
    layer = Layer.drawn(net, groups, repeats)
    y = net.add("MatMul", make(layer, "x"), net.keep(np.concatenate(layer.outputs)))
    y = net.add("Add", y, "x")
    shapes = {name: (SAMPLES, length, MODEL) for name, length in LENGTHS.items()}
    feed = {name: net.arrays.normal(0, 1, shape).astype(np.float32) for name, shape in shapes.items()}
    return build(net.nodes, feed, net.stored, [y], 23, {CONTRIB: 1}, free=(0,)), feed, layer


def groups_left(kind: str, seed: int) -> int:
    """As many as are alive; the smaller model gives the same. How many values of a head are left."""
    model, feed, layer = layer_of(kind, seed)
    found = pruned(model, feed)
    assert found.difference < 1e-4
    (call,) = [c for c in found.walk.context.calls if isinstance(c.rule, AttentionRule)]
    assert _attention(found) == len(layer.alive), f"{layer.alive} are alive"
    if not layer.alive or not isinstance(call.rule, AttentionRule):
        return 0
    width = WIDTH - min(layer.still.values()) if call.rule.narrows(call.op) else WIDTH
    kept = found.walk.closure.keeps.shape(call.outputs[0])
    assert np.prod(kept[1:]) == STEPS * len(layer.alive) * layer.repeats * width
    return width


def _attention(found: Pruned) -> int:
    """How many heads of keys are left, 0 where nothing attends any more."""
    (call,) = [c for c in found.walk.context.calls if isinstance(c.rule, AttentionRule)]
    heads = call.rule.heads(call.op) if isinstance(call.rule, AttentionRule) else None
    assert heads is not None
    axis = 1 if len(call.op.y_shape()) == 4 else 2
    return int(found.walk.closure.keeps.get((call.outputs[0], axis)).reshape(heads.groups, -1).any(axis=1).sum())


@pytest.mark.parametrize("kind", KINDS)
def test_dead_heads_go_and_no_others(kind: str) -> None:
    widths = {groups_left(kind, seed) for seed in range(TRIES)}
    assert (len(widths) > 2) == (kind not in ("grouped", "quantised"))


def _with_cache(kind: str, seed: int, before: int) -> Pruned:
    """One step behind a past of this length, which the model takes and gives out; pruned."""
    net = Net(Random(seed))
    layer = Layer.drawn(net, 3, 1)
    feed = {"x": (2, 1, MODEL), "past_k": (2, 3, before, WIDTH), "past_v": (2, 3, before, WIDTH)}
    feeds = {name: net.arrays.normal(0, 1, shape).astype(np.float32) for name, shape in feed.items()}
    read = [layer.dense("x", w) for w in (layer.queries, layer.keys)] + [layer.dense("x", layer.values, layer.shift)]
    past = ["past_k", "past_v"]
    if kind == "GroupQueryAttention":
        lengths = net.add("Expand", net.keep([before], np.int32), net.add("Shape", "x", end=1))
        inputs, counts = [*read, *past, lengths, net.keep(before + 1, np.int32)], {"kv_num_heads": 3, "num_heads": 3}
    else:
        inputs, counts = [*read, "", "", "", *past], {"num_heads": 3}
    y = net.add(kind, *inputs, outputs=3, domain=CONTRIB, **counts)
    output = net.add("MatMul", y, net.keep(np.concatenate(layer.outputs)))
    model = build(net.nodes, feeds, net.stored, [output, f"{y}_1", f"{y}_2"], 23, {CONTRIB: 1}, free=(0,))
    return pruned(model, feeds)


@pytest.mark.parametrize("before", [0, 2])
@pytest.mark.parametrize("kind", ["GroupQueryAttention", "MultiHeadAttention"])
def test_heads_of_a_cache_stay(kind: str, before: int) -> None:
    reasons = set()
    for seed in range(6):
        found = _with_cache(kind, seed, before)
        assert found.difference < 1e-5
        assert _attention(found) == 3
        assert not [call for call in found.walk.context.calls if call.barrier is not None]
        reasons |= {locked.reason for locked in found.walk.locked}
    assert reasons == {"graph-output"}


def encoder(seed: int) -> tuple[Pruned, set[int], int]:
    """A layer as it is fused: embedding, attention, two skip connections, a feed-forward part with dead units."""
    net = Net(Random(seed))
    draw, width, inner = net.arrays.normal, MODEL, 6
    layer = Layer.drawn(net, 3, 1)
    ids = net.arrays.integers(0, 7, (SAMPLES, STEPS)).astype(np.int32)
    mask = net.add("Greater", "ids", net.keep(1, np.int32))
    mask = net.add("Cast", mask, to=onnx.TensorProto.INT32)
    tables = [net.keep(draw(0, 1, (rows, width))) for rows in (7, STEPS)]
    x = net.add("EmbedLayerNormalization", "ids", "", *tables, "", *_scale(net), outputs=2, domain=CONTRIB)
    parts = [np.concatenate(weight, axis=1) for weight in (layer.queries, layer.keys, layer.values)]
    bias = np.concatenate([np.zeros(parts[0].shape[1] * 2), layer.shift.reshape(-1)])
    weights = [net.keep(np.concatenate(parts, axis=1)), net.keep(bias)]
    y = net.add("Attention", x, *weights, mask, num_heads=3, domain=CONTRIB)
    y = net.add("MatMul", y, net.keep(np.concatenate(layer.outputs)))
    x = net.add("SkipLayerNormalization", y, x, *_scale(net), net.keep(draw(0, 1, width)), domain=CONTRIB)
    still = net.arrays.random(inner) < 0.4
    y = net.add("MatMul", x, net.keep(draw(0, 0.3, (width, inner)) * ~still))
    y = net.add("BiasGelu", y, net.keep(draw(0, 1, inner)), domain=CONTRIB)
    y = net.add("MatMul", y, net.keep(draw(0, 1, (inner, width))))
    y = net.add("SkipLayerNormalization", y, x, *_scale(net), net.keep(draw(0, 1, width)), domain=CONTRIB)
    model = build(net.nodes, {"ids": ids}, net.stored, [y], 18, {CONTRIB: 1}, free=(0,))
    return pruned(model, {"ids": ids}), layer.alive, int((~still).sum())


def _scale(net: Net) -> list[str]:
    return [net.keep(net.arrays.normal(1, 0.3, MODEL)), net.keep(net.arrays.normal(0, 1, MODEL))]


def test_a_fused_encoder_is_cut() -> None:
    for seed in range(TRIES):
        found, alive, inner = encoder(seed)
        assert found.difference < 1e-4
        assert _attention(found) == max(len(alive), 1)  # the sum takes no constant instead of a value
        assert not [call.barrier for call in found.walk.context.calls if call.barrier is not None]
        (units,) = [c for c in found.walk.context.calls if c.op.op_type == "BiasGelu"]
        assert int(found.walk.closure.keeps.get((units.outputs[0], 2)).sum()) == max(inner, 1)
        assert "Add" not in {node.op_type for node in found.model.graph.node}  # constants go into the bias of the sum
