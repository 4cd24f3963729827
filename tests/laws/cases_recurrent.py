"""Cases of layers that remember, and wrong rules for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from analyzer.algebra.pattern import Mask
from analyzer.ops import recurrent
from tests.laws import laws, shrink_laws
from tests.laws.benches import Case, whole
from tests.laws.draws import Draw, call, cases_for
from tests.models import Array

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
_FUNCTIONS = {"LSTM": 3, "GRU": 2, "RNN": 1}
EXAMPLES = 12
_NAMES = ("Sigmoid", "Tanh", "Relu", "HardSigmoid", "Softsign", "Elu", "Softplus", "LeakyRelu", "Affine")


@cases_for("LSTM", "GRU", "RNN")
def recurrent_layer(d: Draw, op: str) -> Case:
    gates, hidden, inside = GATES[op], d.whole(1, 5), d.whole(1, 3)
    directions, batch, steps = d.pick([1, 1, 2]), d.whole(1, 3), d.whole(1, 4)
    x, w = d.normal(steps, batch, inside), d.normal(directions, gates, hidden, inside)
    r, b = d.normal(directions, gates, hidden, hidden), d.normal(directions, 2, gates, hidden)
    w, r = w * d.arrays.choice([0, 1], w.shape, p=[0.2, 0.8]), r * d.arrays.choice([0, 1], r.shape, p=[0.4, 0.6])
    states = [_state(d, directions, batch, hidden) for _ in range(2 if op == "LSTM" else 1)]
    for unit in range(hidden):
        if d.flag(0.35):  # nothing new ever enters it
            w[d.pick([0, slice(None)]), -1, unit] = 0
            b[:, :, -1, unit] = 0 if d.flag(0.8) or op == "RNN" else d.pick([[1, -1], [0, 0]])
            r[:, -1, unit] = 0 if d.flag(0.7) else d.pick([0, r[:, -1, unit]])
            b[:, 0, -1, unit] += 0 if op != "RNN" else d.pick([0, 0.7, -0.7])
    lengths = d.ints(0, steps, batch, dtype=np.int32) if d.flag(0.3) else None
    peepholes = d.normal(directions, 3 * hidden) if op == "LSTM" and d.flag(0.3) else None
    bias = b.reshape(directions, -1) if d.flag(0.8) else None
    inputs = [x, w.reshape(directions, -1, inside), r.reshape(directions, -1, hidden), bias, lengths, *states]
    inputs += [peepholes] if op == "LSTM" else []
    inputs = [a if a is None or a.dtype == np.int32 else a.astype(np.float32) for a in inputs]
    stored = [position for position in (5, 6) if d.flag(0.5)]
    fed = [0, 4, *(position for position in (5, 6) if position not in stored)]
    y = [["y0"], ["y0", "y1"], ["y0", "y1", "y2"]]
    named: dict[str, Any] = {"hidden_size": hidden, "clip": d.pick([None, None, 0.8])}
    named["direction"] = "bidirectional" if directions == 2 else d.pick(["forward", "reverse"])
    if d.flag(0.3):
        named["activations"] = [d.pick(_NAMES) for _ in range(_FUNCTIONS[op] * directions)]
    if op == "GRU":
        named["linear_before_reset"] = d.pick([None, 0, 1])
    if op == "LSTM":
        named["input_forget"] = d.pick([None, None, 1])
    return call(
        op, *inputs, opset=d.pick([7, 14]), fed=[p for p in fed if p < len(inputs) and inputs[p] is not None],
        outputs=d.pick(y if op == "LSTM" else y[:2]), samplers={4: whole(0, steps, np.int32)}, tolerance=1e-4,
        **named,
    )  # fmt: skip


@cases_for("DynamicQuantizeLSTM", domain="com.microsoft")
def dynamic_lstm(d: Draw, op: str) -> Case:
    hidden, inside, directions, batch, steps = (
        d.whole(1, 5),
        d.whole(1, 3),
        d.pick([1, 1, 2]),
        d.whole(1, 3),
        d.whole(1, 4),
    )
    dtype, rest = d.pick([(np.int8, 0), (np.uint8, 128)])
    shape, b = d.pick([(directions,), (directions, 4 * hidden)]), d.normal(directions, 2, 4, hidden)
    w, r = (d.ints(-90, 90, directions, n, 4, hidden) for n in (inside, hidden))
    zero = np.full(shape, d.pick([0, 5]) if rest else 0)  # onnxruntime takes no others
    for unit in range(hidden):
        if d.flag(0.4):  # nothing new ever enters it
            b[:, :, -1, unit] = 0 if d.flag(0.8) else 0.7
            for array in (w, r):
                array[:, :, -1, unit] = zero.max()
        if d.flag(0.4):  # no other hears of it
            r[:, unit] = zero.max()
    w, r = ((a + rest).reshape(directions, -1, 4 * hidden).astype(dtype) for a in (w, r))
    points, scale = (zero + rest).astype(dtype), np.asarray(d.arrays.uniform(0.004, 0.02, shape), np.float32)
    direction = "bidirectional" if directions == 2 else d.pick(["forward", "reverse"])
    states = [_state(d, directions, batch, hidden) for _ in range(2)]
    peepholes = d.normal(directions, 3 * hidden) if d.flag(0.3) else None
    inputs = [d.normal(steps, batch, inside), w, r, b.reshape(directions, -1), None, *states, peepholes]
    fed = [p for p in (0, *(p for p in (5, 6) if d.flag())) if inputs[p] is not None]
    return call(
        op, *inputs, scale, points, scale, points, domain="com.microsoft", fed=fed, tolerance=5e-6,
        outputs=d.pick([["y0"], ["y0", "y1"], ["y0", "y1", "y2"]]), hidden_size=hidden,
        direction=direction,
    )  # fmt: skip


def _state(d: Draw, directions: int, batch: int, hidden: int) -> Array | None:
    """Some units start at zero for all samples, or all samples start alike."""
    state = d.normal(directions, batch, hidden)
    state *= d.arrays.choice([0, 1], (directions, 1, hidden))
    kind = d.pick(["none", "own", "alike"])
    return None if kind == "none" else state if kind == "own" else np.repeat(state[:, :1], batch, axis=1)


def with_constants(d: Draw, op: str) -> Case:
    """A layer of which some units are constant from the first step on, whatever is fed and wherever they start."""
    case = recurrent_layer(d, op)
    while "activations" in {a.name for a in case.node.attribute} or not case.node.output[0] or "x3" not in case.arrays:
        case = recurrent_layer(d, op)
    hidden, directions = case.arrays["x2"].shape[2], len(case.arrays["x2"])
    w, r = (case.arrays[n].reshape(directions, GATES[op], hidden, -1) for n in ("x1", "x2"))
    b, start = case.arrays["x3"].reshape(directions, 2, GATES[op], hidden), case.arrays.get("x5")
    for direction, unit in np.ndindex(directions, hidden):
        if not d.flag(0.6):
            continue
        w[direction, :, unit], r[direction, :, unit], b[direction, :, :, unit] = 0, 0, 0
        shut = {"LSTM": [200, 200, -200], "GRU": [-200, 0], "RNN": []}[op]  # i, o, f; z, r
        b[direction, 0, :, unit] = [*shut, d.pick([-0.5, 0.3, 0.7])]
        if "x7" in case.arrays:
            case.arrays["x7"][:] = 0
        if start is not None and case.node.op_type != "RNN" and d.flag():
            new = np.tanh(b[direction, 0, -1, unit])
            start[direction, :, unit] = d.pick([0.0, 1.0, 0.5]) * (np.tanh(new) if op == "LSTM" else new)
    return case


def _cells_start_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    honest: Any = recurrent._at_start

    def at_start(node: Any, xs: Any, position: int) -> Any:
        known, value = honest(node, xs, position)
        return (known | True, value * 0) if position == recurrent.C0 else (known, value)

    monkeypatch.setattr(recurrent, "_at_start", at_start)


def _states_start_at_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    honest: Any = recurrent._at_start
    monkeypatch.setattr(recurrent, "_at_start", lambda *given: (honest(*given)[0] | True, honest(*given)[1] * 0))


def _biases_add_up_before_the_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    honest: Any = recurrent.GRU.candidate

    def candidate(self: Any, node: Any, weights: Any, xs: Any) -> Any:
        both = replace(weights, w_bias=weights.w_bias + weights.r_bias, r_bias=0 * weights.r_bias)
        return honest(self, node, both, xs)

    monkeypatch.setattr(recurrent.GRU, "candidate", candidate)


def _every_function_is_zero_at_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recurrent, "_ZERO_AT_ZERO", {name.lower() for name in _NAMES})


def _nothing_ends_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recurrent, "LENGTHS", 99)


def _units_hear_of_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def matter(self: Any, node: Any, ys: Any, state: Any, silent: Mask) -> Mask:
        asked = np.zeros(silent.shape, np.bool_)
        for position, mask in enumerate(ys):
            if node.outputs[position]:
                asked |= mask.any(axis=(0, 2) if position == 0 else 1)
        return asked

    monkeypatch.setattr(recurrent.Recurrent, "matter", matter)


def _spoil_edits(monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Any], object]) -> None:
    honest: Any = recurrent.Recurrent.shrink

    def shrink(self: Any, node: Any, cut: Any) -> Any:
        edit = honest(self, node, cut)
        spoil(edit)
        return edit

    monkeypatch.setattr(recurrent.Recurrent, "shrink", shrink)


def _hidden_size_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    _spoil_edits(monkeypatch, lambda edit: edit.attributes.clear())


def _constant_inputs_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    _spoil_edits(monkeypatch, lambda edit: edit.inputs.pop(recurrent.B, None))


FAULTS: list[laws.Fault] = [
    (_cells_start_empty, "LSTM", laws.constants_are_constant),
    (_states_start_at_zero, "GRU", laws.constants_are_constant),
    (_states_start_at_zero, "RNN", laws.constants_are_constant),
    (_biases_add_up_before_the_reset, "GRU", laws.constants_are_constant),
    (_every_function_is_zero_at_zero, "LSTM", laws.constants_are_constant),
    (_nothing_ends_early, "RNN", laws.constants_are_constant),
    (_units_hear_of_no_others, "LSTM", laws.unneeded_inputs_change_nothing),
    (_hidden_size_stays, "GRU", shrink_laws.shrunk_nodes_agree),
    (_constant_inputs_are_forgotten, "LSTM", shrink_laws.shrunk_nodes_agree),
]
