"""Random small networks with dead, constant and live units, built layer by layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np
import onnx
from onnx import helper

from tests.models import Array, build

OPSET = 18


@dataclass
class Net:
    """A network in the making: nodes, weights, and the maps [N, channels, side, side] that may be read further."""

    random: Random
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    stored: dict[str, Array] = field(default_factory=dict)
    maps: list[tuple[str, int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.arrays = np.random.default_rng(self.random.getrandbits(32))

    def keep(self, array: Any, dtype: Any = np.float32) -> str:
        """Store a tensor."""
        name = f"w{len(self.stored)}"
        self.stored[name] = np.asarray(array, dtype)
        return name

    def add(self, op_type: str, *inputs: str, outputs: int = 1, domain: str = "", **attributes: Any) -> str:
        """Append a node; the name of its first output."""
        names = [f"v{len(self.nodes)}_{i}" if i else f"v{len(self.nodes)}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op_type, list(inputs), names, domain=domain, **attributes))
        return names[0]

    def pick(self) -> tuple[str, int, int]:
        """A map, mostly a late one."""
        late = self.maps[-2:] if self.random.random() < 0.7 else self.maps
        return self.random.choice(late)

    def show(self, name: str, channels: int, side: int) -> None:
        """Let later layers read a map."""
        self.maps.append((name, channels, side))

    def bias(self, units: int) -> Array:
        """Some units that never fire."""
        values = self.arrays.normal(0.3, 0.5, units)
        values[self.arrays.random(units) < 0.25] = -50
        return values

    def kernel(self, *shape: int) -> Array:
        """Some rows of zeros, some columns of zeros."""
        weight = self.arrays.normal(0, 0.6, shape)
        weight[self.arrays.random(shape[0]) < 0.2] = 0
        if shape[1] > 1:
            weight[:, self.arrays.random(shape[1]) < 0.15] = 0
        return weight


def conv(net: Net) -> None:
    x, channels, side = net.pick()
    size = net.random.choice([1, 3]) if side > 2 else 1
    pad = size // 2 if net.random.random() < 0.7 else 0
    out = net.random.choice([channels, 4, 6])
    groups = 1
    if net.random.random() < 0.35:
        groups = net.random.choice([g for g in (channels, 2) if channels % g == 0])
        out = channels * net.random.choice([1, 1, 2])
    weight = net.keep(net.kernel(out, channels // groups, size, size))
    inputs = [x, weight, net.keep(net.bias(out))] if net.random.random() < 0.8 else [x, weight]
    y = net.add("Conv", *inputs, pads=[pad] * 4, group=groups)
    net.show(y, out, side + 2 * pad - size + 1)


def transposed(net: Net) -> None:
    x, channels, side = net.pick()
    if side > 5:
        return
    weight = net.keep(net.kernel(channels, 4, 2, 2))
    net.show(net.add("ConvTranspose", x, weight, net.keep(net.bias(4)), strides=[2, 2]), 4, side * 2)


def activation(net: Net) -> None:
    x, channels, side = net.pick()
    op = net.random.choice(
        ["Relu"] * 4 + ["Clip", "Sigmoid", "LeakyRelu", "HardSwish", "HardSigmoid", "Elu", "PRelu", "SiLU"]
    )
    if op == "Clip":
        y = net.add(op, x, net.keep(0.0), net.keep(6.0))
    elif op == "PRelu":
        y = net.add(op, x, net.keep(net.arrays.random((channels, 1, 1))))
    elif op == "SiLU":
        y = net.add("Mul", x, net.add("Sigmoid", x))
    else:
        y = net.add(op, x)
    net.show(y, channels, side)


def batch_norm(net: Net) -> None:
    x, channels, side = net.pick()
    scale = net.arrays.normal(1, 0.3, channels)
    scale[net.arrays.random(channels) < 0.2] = 0
    rest = [net.bias(channels) / 10, net.arrays.normal(0, 1, channels), net.arrays.random(channels) + 0.5]
    net.show(net.add("BatchNormalization", x, *map(net.keep, (scale, *rest))), channels, side)


def instance_norm(net: Net) -> None:
    x, channels, side = net.pick()
    if side > 1:
        y = net.add("InstanceNormalization", x, net.keep(net.kernel(channels, 1)[:, 0]), net.keep(net.bias(channels)))
        net.show(y, channels, side)


def pool(net: Net) -> None:
    x, channels, side = net.pick()
    if side < 3:
        return
    op, pad = net.random.choice(["MaxPool", "AveragePool"]), net.random.choice([0, 1])
    extra: dict[str, Any] = {"count_include_pad": net.random.choice([0, 1])} if op == "AveragePool" else {}
    y = net.add(op, x, kernel_shape=[3, 3], pads=[pad] * 4, strides=[1, 1], **extra)
    net.show(y, channels, side + 2 * pad - 2)


def join(net: Net) -> None:
    x, channels, side = net.pick()
    same = [m for m in net.maps if m[1:] == (channels, side)]
    flat = [m for m in net.maps if m[2] == side]
    kind = net.random.choice(["Add", "Add", "Mul", "Sub", "Max", "Concat", "Concat", "stored"])
    if kind == "Concat":
        others = [net.random.choice(flat) for _ in range(net.random.randint(1, 2))]
        if channels + sum(o[1] for o in others) <= 24:
            net.show(net.add("Concat", x, *(o[0] for o in others), axis=1), channels + sum(o[1] for o in others), side)
    elif kind == "stored":
        summand = net.keep(net.arrays.normal(0, 1, net.random.choice([(channels, 1, 1), (1, channels, 1, 1), ()])))
        net.show(net.add(net.random.choice(["Add", "Mul", "Sub"]), x, summand), channels, side)
    else:
        net.show(net.add(kind, x, net.random.choice(same)[0]), channels, side)


def gate(net: Net) -> None:
    """Squeeze and excite."""
    x, channels, side = net.pick()
    squeezed = net.add("GlobalAveragePool", x)
    inner = net.add("Relu", net.add("Conv", squeezed, net.keep(net.kernel(3, channels, 1, 1)), net.keep(net.bias(3))))
    outer = net.add(
        "Sigmoid", net.add("Conv", inner, net.keep(net.kernel(channels, 3, 1, 1)), net.keep(net.bias(channels)))
    )
    net.show(net.add("Mul", x, outer), channels, side)


def split(net: Net) -> None:
    x, channels, side = net.pick()
    if channels > 1:
        first = net.random.randint(1, channels - 1)
        y = net.add("Split", x, net.keep([first, channels - first], np.int64), outputs=2, axis=1)
        net.show(y, first, side)
        net.show(f"{y}_1", channels - first, side)


def slicing(net: Net) -> None:
    x, channels, side = net.pick()
    if channels > 1:
        start = net.random.randint(0, channels - 1)
        bounds = [net.keep([n], np.int64) for n in (start, channels, 1)]
        net.show(net.add("Slice", x, *bounds), channels - start, side)


def gather(net: Net) -> None:
    x, channels, side = net.pick()
    order = net.arrays.integers(0, channels, channels)
    net.show(net.add("Gather", x, net.keep(order, np.int64), axis=1), channels, side)


def shuffle(net: Net) -> None:
    x, channels, side = net.pick()
    if channels % 2 == 0:
        apart = net.add("Reshape", x, net.keep([-1, 2, channels // 2, side, side], np.int64))
        turned = net.add("Transpose", apart, perm=[0, 2, 1, 3, 4])
        net.show(net.add("Reshape", turned, net.keep([-1, channels, side, side], np.int64)), channels, side)


def channels_last(net: Net) -> None:
    x, channels, side = net.pick()
    turned = net.add("Transpose", x, perm=[0, 2, 3, 1])
    dense = net.add("MatMul", turned, net.keep(net.kernel(channels, 5)))
    active = net.add("Relu", net.add("Add", dense, net.keep(net.bias(5))))
    if net.random.random() < 0.3:
        scales = net.arrays.normal(1, 0.2, 5)
        active = net.add("LayerNormalization", active, net.keep(scales), net.keep(net.bias(5) / 10))
    net.show(net.add("Transpose", active, perm=[0, 3, 1, 2]), 5, side)


def border(net: Net) -> None:
    x, channels, side = net.pick()
    if side < 7:
        mode = net.random.choice(["constant", "constant", "edge", "reflect"]) if side > 1 else "constant"
        pads = net.keep([0, 0, 1, 1, 0, 0, 1, 1], np.int64)
        if net.random.random() < 0.5:  # a 1 that only a run shows
            one = net.add("ReduceMax", net.add("Cast", net.add("Not", net.add("IsNaN", "x")), to=7), keepdims=0)
            one, none = net.add("Reshape", one, net.keep([1], np.int64)), net.keep([0, 0], np.int64)
            pads = net.add("Concat", none, one, one, none, one, one, axis=0)
        y = net.add("Pad", x, pads, mode=mode)
        net.show(y, channels, side + 2)


def blocks(net: Net) -> None:
    x, channels, side = net.pick()
    if channels % 4 == 0 and side <= 4:
        net.show(
            net.add("DepthToSpace", x, blocksize=2, mode=net.random.choice(["DCR", "CRD"])), channels // 4, side * 2
        )


def resize(net: Net) -> None:
    x, channels, side = net.pick()
    if side <= 3:
        y = net.add("Resize", x, "", net.keep([1, 1, 2, 2]), mode=net.random.choice(["nearest", "linear"]))
        net.show(y, channels, side * 2)


LAYERS: tuple[Callable[[Net], None], ...] = (
    conv, conv, conv, conv, activation, activation, activation, batch_norm, batch_norm, pool, join, join, join, gate,
    split, slicing, gather, shuffle, channels_last, border, blocks, resize, transposed, instance_norm,
)  # fmt: skip


def random_net(random: Random) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """A network and a feed of five samples."""
    net = Net(random)
    x = net.arrays.normal(0, 1, (5, 3, 6, 6)).astype(np.float32)
    if random.random() < 0.3:
        x[:, 1] = random.choice([0.0, 1.0])
    net.show("x", 3, 6)
    conv(net)
    activation(net)
    for _ in range(random.randint(2, 10)):
        random.choice(LAYERS)(net)
    last, channels, _ = net.maps[-1]
    flat = net.add("Flatten", net.add("GlobalAveragePool", last))
    hidden = net.add("Gemm", flat, net.keep(net.kernel(6, channels)), net.keep(net.bias(6)), transB=1)
    active = net.add("Relu", hidden)
    output = net.add("MatMul", active, net.keep(net.kernel(6, 3)))
    outputs = [output]
    if random.random() < 0.15:
        outputs.append(random.choice(net.maps[1:])[0])
    used = _used(net, outputs)
    stored = {n: a for n, a in net.stored.items() if any(n in node.input for node in used)}
    return build(used, {"x": x}, stored, list(dict.fromkeys(outputs)), OPSET, free=(0,)), {"x": x}


def _used(net: Net, outputs: list[str]) -> list[onnx.NodeProto]:
    """The nodes that lead to an output."""
    wanted, kept = set(outputs), []
    for node in reversed(net.nodes):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= set(node.input)
    return kept[::-1]
