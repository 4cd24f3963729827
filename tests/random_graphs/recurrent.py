"""Random graphs with layers that remember: directions, states, peepholes, ends of sequences, ways to read them."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import helper

from tests.models import Array
from tests.random_graphs.builder import Builder, Value
from tests.random_graphs.generator import SAMPLES, Made, dense_head

STEPS = 4
_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def make_recurrent(seed: int) -> Made:
    """The graph of a seed; all randomness comes from it."""
    b = Builder(seed)
    x = Value("x", (STEPS, 5))
    value = b.activation(b.dense(x, 6)) if b.chance(0.5) else x
    steps = _node(b, "Transpose", [value.name], perm=[1, 0, 2])
    for last in [False] * int(b.chance(0.5)) + [True]:
        steps, width = _layer(b, steps, value.shape[-1], last=last)
        value = Value(steps, (STEPS, width))
    if b.nodes[-1].op_type == "Reshape" and value.name.startswith("state"):
        value = Value(value.name, (value.shape[-1],))
    else:
        value = Value(_node(b, "Transpose", [steps], perm=[1, 0, 2]), value.shape)
    model = b.model([x], [dense_head(b, value)], free=b.chance(0.7))
    random = np.random.default_rng(seed + 1)
    probe, fresh = (random.standard_normal((SAMPLES, *x.shape)).astype(np.float32) for _ in range(2))
    return Made(model, {"x": probe}, {"x": fresh * 3})


def _node(b: Builder, op: str, inputs: list[str], stem: str = "", **attributes: Any) -> str:
    b.count += 1
    name = f"{stem or op.lower()}{b.count}"
    b.nodes.append(helper.make_node(op, inputs, [name], name=f"{op}_{b.count}", **attributes))
    return name


def _layer(b: Builder, steps: str, width: int, *, last: bool) -> tuple[str, int]:
    """One layer, from [steps, samples, width] to the same with its own width, or to its last state [samples, width]."""
    op, hidden, directions = b.pick(["LSTM", "LSTM", "GRU", "RNN"]), b.pick([3, 5, 8]), b.pick([1, 1, 2])
    w, r = (b.weight(directions, _GATES[op], hidden, n) for n in (width, hidden))
    bias = (b.rng.standard_normal((directions, 2, _GATES[op], hidden)) * 0.3).astype(np.float32)
    r *= b.rng.random(r.shape) < b.pick([0.2, 0.7, 1.0])
    _kill(b, op, w, r, bias)
    names = [steps, *(b.store(stem, a.reshape(directions, -1, a.shape[-1])) for stem, a in (("w", w), ("r", r)))]
    names += [b.store("b", bias.reshape(directions, -1)) if b.chance(0.85) else ""]
    names += ["", *(_state(b, steps, directions, hidden) for _ in range(1 + (op == "LSTM")))]
    names += [b.store("p", b.weight(directions, 3 * hidden))] if op == "LSTM" and b.chance(0.3) else []
    named: dict[str, Any] = {"hidden_size": hidden}
    named["direction"] = "bidirectional" if directions == 2 else b.pick(["forward", "reverse"])
    if op == "GRU":
        named["linear_before_reset"] = int(b.rng.integers(2))
    if op == "RNN":
        named["activations"] = [b.pick(["Tanh", "Relu"])] * directions
    if op == "LSTM" and b.chance(0.2):
        named["input_forget"] = 1
    while not names[-1]:
        names.pop()
    b.count += 1
    y, state = f"y{b.count}", f"end{b.count}"
    only_state = last and b.chance(0.3)
    b.nodes.append(helper.make_node(op, names, ["" if only_state else y, state], name=f"{op}_{b.count}", **named))
    if only_state:
        turned = _node(b, "Transpose", [state], perm=[1, 0, 2])
        flat = b.store("rs", np.array([-1, directions * hidden]))
        return _node(b, "Reshape", [turned, flat], "state"), directions * hidden
    if directions == 1 and b.chance(0.5):
        return _node(b, "Squeeze", [y, b.store("ax", np.array([1]))]), hidden
    turned = _node(b, "Transpose", [y], perm=[0, 2, 1, 3])
    return _node(b, "Reshape", [turned, b.store("rs", np.array([0, 0, -1]))]), directions * hidden


def _kill(b: Builder, op: str, w: Array, r: Array, bias: Array) -> None:
    """Units that nothing new ever enters, and units that are constant from the first step on."""
    for direction, unit in np.ndindex(len(w), w.shape[2]):
        kind = b.pick(["alive", "alive", "empty", "shut"])
        if kind == "empty":
            for array in (w, r):
                array[direction, -1, unit] = 0
            bias[direction, :, -1, unit] = 0
        elif kind == "shut":
            gates = {"LSTM": [200, 200, -200], "GRU": [-200, 0], "RNN": []}[op]  # i, o, f; z, r
            w[direction, :, unit], r[direction, :, unit], bias[direction, 1, :, unit] = 0, 0, 0
            bias[direction, 0, :, unit] = [*gates, b.pick([-0.5, 0.5, 0.8])]


def _state(b: Builder, steps: str, directions: int, hidden: int) -> str:
    """None, zeros that are made for the number of samples, or stored numbers that are repeated for it."""
    kind = b.pick(["none", "none", "zeros", "stored"])
    if kind == "none":
        return ""
    samples = _node(b, "Gather", [_node(b, "Shape", [steps]), b.store("i", np.array([1]))], axis=0)
    sizes = [b.store("d", np.array([directions])), samples, b.store("h", np.array([hidden]))]
    shape = _node(b, "Concat", sizes, axis=0)
    if kind == "zeros":
        return _node(b, "ConstantOfShape", [shape])
    start = b.weight(directions, 1, hidden) * (b.rng.random((directions, 1, hidden)) < 0.5)
    return _node(b, "Expand", [b.store("h0", start.astype(np.float32)), shape])
