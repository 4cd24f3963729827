"""Layers, and ways to kill their units, for random graphs: every choice is a pure function of the seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tests.models import Array

RECTIFIERS = ("Relu", "Relu", "Relu", "Clip", "LeakyRelu", "Elu", "PRelu", "HardSwish")
SQUASHING = ("Sigmoid", "Tanh", "HardSigmoid", "Softplus", "Gelu")


@dataclass(frozen=True)
class Value:
    """A value and its shape for one sample (without the sample axis)."""

    name: str
    shape: tuple[int, ...]


class Builder:
    """Nodes and weights of one graph, drawn from one generator."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.stored: dict[str, Array] = {}
        self.count = 0

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def pick(self, options: Sequence[Any]) -> Any:
        return options[int(self.rng.integers(len(options)))]

    def store(self, stem: str, array: Array) -> str:
        self.count += 1
        name = f"{stem}{self.count}"
        self.stored[name] = array
        return name

    def node(self, op: str, inputs: Sequence[str], shape: Sequence[int], **attributes: Any) -> Value:
        self.count += 1
        name = f"{op.lower()}{self.count}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=f"{op}_{self.count}", **attributes))
        return Value(name, tuple(int(d) for d in shape))

    def weight(self, *shape: int) -> Array:
        fan = max(int(np.prod(shape[1:])), 1)
        return np.asarray(self.rng.standard_normal(shape) * np.sqrt(2.0 / fan), np.float32)

    def some(self, units: int, share: float | None = None) -> Array:
        """Indices of a random part of the units: often some, sometimes none, rarely all."""
        p = self.pick([0.0, 0.0, 0.2, 0.4, 1.0 if self.chance(0.15) else 0.6]) if share is None else share
        return np.asarray(np.flatnonzero(self.rng.random(units) < p))

    # ---- linear layers, whose units are killed by weights or by bias

    def kill_linear(self, weight: Array, bias: Array | None, axis: int) -> None:
        """Zero rows (constant units), and biases far to either side (dead or clipped or saturated later)."""
        units = weight.shape[axis]
        for unit in self.some(units):
            index = (slice(None),) * axis + (int(unit),)
            if self.chance(0.4) or bias is None:
                weight[index] = 0
                if bias is not None and self.chance(0.4):
                    bias[unit] = 0
            else:
                bias[unit] = self.pick([-15.0, -15.0, 15.0])

    def conv(self, x: Value, out: int, **fixed: Any) -> Value:
        channels, *space = x.shape
        group = fixed.get("group") or self.pick(
            [g for g in (1, 1, 1, 2, 4, channels) if channels % g == 0 and out % g == 0]
        )
        kernel = fixed.get("kernel") or [min(self.pick([1, 1, 2, 3, 3]), s) for s in space]
        keep = fixed.get("keep", False)
        dilation = [self.pick([1, 1, 2]) if (k - 1) * 2 < s else 1 for k, s in zip(kernel, space, strict=True)]
        reach = [(k - 1) * d for k, d in zip(kernel, dilation, strict=True)]
        if keep:
            before = [r // 2 for r in reach]
            pads = before + [r - b for r, b in zip(reach, before, strict=True)]
            strides = [1] * len(space)
        else:
            pads = [int(self.rng.integers(0, 2)) for _ in range(2 * len(space))]
            strides = [self.pick([1, 1, 2]) for _ in space]
        n = len(space)
        size = [(s + pads[i] + pads[i + n] - reach[i] - 1) // strides[i] + 1 for i, s in enumerate(space)]
        weight = self.weight(out, channels // group, *kernel)
        bias = (self.rng.standard_normal(out) * 0.3).astype(np.float32) if self.chance(0.7) else None
        self.kill_linear(weight, bias, 0)
        shared = [
            k for k, a in self.stored.items() if a.shape == weight.shape and k.startswith("w") and self.chance(0.3)
        ]
        names = [x.name, shared[0] if shared else self.store("w", weight)]
        names += [] if bias is None else [self.store("b", bias)]
        spelled = {"kernel_shape": kernel} if self.chance(0.7) else {}
        return self.node(
            "Conv", names, (out, *size), group=group, pads=pads, strides=strides, dilations=dilation, **spelled
        )

    def conv_transpose(self, x: Value, out: int) -> Value:
        channels, *space = x.shape
        group = self.pick([g for g in (1, 1, 2) if channels % g == 0 and out % g == 0])
        weight = self.weight(channels, out // group, *([2] * len(space)))
        bias = self.rng.standard_normal(out).astype(np.float32) if self.chance(0.6) else None
        if group == 1:
            self.kill_linear(weight, bias, 1)
        names = [x.name, self.store("wt", weight), *([] if bias is None else [self.store("b", bias)])]
        stride = self.pick([1, 2])
        return self.node(
            "ConvTranspose",
            names,
            (out, *((s - 1) * stride + 2 for s in space)),
            group=group,
            strides=[stride] * len(space),
        )

    def dense(self, x: Value, out: int) -> Value:
        features = x.shape[-1]
        bias = (self.rng.standard_normal(out) * 0.3).astype(np.float32) if self.chance(0.8) else None
        if len(x.shape) == 1 and self.chance(0.6):
            flip = self.chance(0.5)
            weight = self.weight(out, features)
            self.kill_linear(weight, bias, 0)
            names = [x.name, self.store("w", weight if flip else np.ascontiguousarray(weight.T))]
            names += [] if bias is None else [self.store("b", bias)]
            more = {"alpha": 0.5, "beta": 2.0} if self.chance(0.2) else {}
            return self.node("Gemm", names, (out,), transB=int(flip), **more)
        weight = np.ascontiguousarray(self.weight(out, features).T)
        self.kill_linear(weight, bias, 1)
        y = self.node("MatMul", [x.name, self.store("w", weight)], (*x.shape[:-1], out))
        if bias is None:
            return y
        operands = [y.name, self.store("b", bias)]
        return self.node("Add", operands if self.chance(0.7) else operands[::-1], y.shape)

    # ---- what follows a layer

    def norm(self, x: Value) -> Value:
        units = x.shape[0]
        gamma = self.rng.uniform(0.5, 1.5, units).astype(np.float32)
        beta = (self.rng.standard_normal(units) * 0.3).astype(np.float32)
        for unit in self.some(units):
            gamma[unit], beta[unit] = (0, beta[unit]) if self.chance(0.6) else (gamma[unit], self.pick([-15, 15]))
        mean = (self.rng.standard_normal(units) * 0.2).astype(np.float32)
        variance = self.rng.uniform(0.5, 1.5, units).astype(np.float32)
        names = [
            self.store(stem, a) for stem, a in zip(("g", "be", "me", "va"), (gamma, beta, mean, variance), strict=True)
        ]
        return self.node("BatchNormalization", [x.name, *names], x.shape)

    def activation(self, x: Value) -> Value:
        op = self.pick(RECTIFIERS if self.chance(0.8) else SQUASHING)
        if op == "Clip":
            limits = [self.store("lim", np.array(v, np.float32)) for v in (0, 6)]
            return self.node("Clip", [x.name, *limits], x.shape)
        if op == "PRelu":
            slope = self.rng.uniform(0, 0.3, (x.shape[0], *([1] * (len(x.shape) - 1)))).astype(np.float32)
            slope[self.some(x.shape[0], 0.3)] = 0
            return self.node("PRelu", [x.name, self.store("sl", slope)], x.shape)
        return self.node(op, [x.name], x.shape)

    def model(self, inputs: Sequence[Value], outputs: Sequence[Value], free: bool) -> onnx.ModelProto:
        """The graph as a model; the sample axis is free or 1."""

        def typed(value: Value) -> onnx.ValueInfoProto:
            return helper.make_tensor_value_info(value.name, onnx.TensorProto.FLOAT, ["n" if free else 1, *value.shape])

        used = {name for node in self.nodes for name in node.input}
        stored = [numpy_helper.from_array(a, n) for n, a in self.stored.items() if n in used]
        unique = list({o.name: o for o in outputs}.values())
        graph = helper.make_graph(self.nodes, "random", [typed(v) for v in inputs], [typed(v) for v in unique], stored)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
