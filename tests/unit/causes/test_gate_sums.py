"""What feeds the gates of hidden units, and what it tells."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

import analyzer
from analyzer.causes.gate_sums import GatedLayer, with_gates
from analyzer.facts.causes import CauseCode
from analyzer.graph import Editor
from analyzer.graph.serialize import serialize
from analyzer.ops.context import Context
from analyzer.runtime.loading import load_model
from tests.audits import table_of
from tests.models import Array, parse, run


def noise(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(0, 0.7, shape).astype(np.float32)


X = noise(1, 5, 3, seed=1)
START = noise(2, 1, 4, seed=2)


def layer_of(direction: str, start: Array | None, opset: int) -> onnx.ModelProto:
    d = 2 if direction == "bidirectional" else 1
    stored = {"w": noise(d, 4, 3), "r": noise(d, 4, 4, seed=3), "b": noise(d, 8, seed=4)}
    stored |= {} if start is None else {"h": start[:d]}
    h = ", , h" if start is not None else ""
    activations = ", ".join(['"Tanh"'] * d)
    return parse(
        f"g (float[N, 5, 3] x) => (float y) {{ t = Transpose<perm = [1, 0, 2]>(x)"
        f' y = RNN<hidden_size = 4, direction = "{direction}",'
        f" activations = [{activations}]>(t, w, r, b{h}) }}",
        stored,
        opset,
    )


@pytest.mark.parametrize("opset", [9, 20])
@pytest.mark.parametrize("start", [None, START], ids=["from zero", "from a state"])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_the_function_of_the_sum_is_what_the_layer_gives(direction: str, start: Array | None, opset: int) -> None:
    model = layer_of(direction, start, opset)
    loaded, table = load_model(model), table_of(model, {"x": X})
    _, call = Context(loaded.graph, table).calls
    gates = call.rule.gates(call.op)
    assert gates is not None
    places = {u: divmod(u, 4) for u in range(4 * len(gates.backward))}
    layer = GatedLayer(gates, "y", places, 1e-3, call)
    extended, _, named = with_gates(loaded, table, [layer])
    Editor(extended).output(*(watched.value for watched in named.values()))
    model = onnx.ModelProto.FromString(serialize(extended))
    y, *sums = run(model, {"x": X}).values()
    for direction_at, total in enumerate(sums):
        np.testing.assert_allclose(np.tanh(total), y[:, direction_at], atol=1e-5)


@pytest.mark.parametrize(("dtype", "named"), [(np.float32, "float"), (np.float16, "float16")])
def test_a_gate_that_stays_shut_is_named(dtype: Any, named: str) -> None:
    w, r, b = noise(1, 16, 3), noise(1, 16, 4, seed=3), noise(1, 32, seed=4)
    b[0, 4 + 1] = -300  # the output gate of unit 1
    for array in (w, r):
        array[0, 12 + 2] = 0  # the candidate of unit 2
    b[0, 12 + 2] = b[0, 28 + 2] = 0
    model = parse(
        f"g ({named}[5, N, 3] x) => ({named} y) {{ s = LSTM<hidden_size = 4>(x, w, r, b)"
        " t = Squeeze(s, one) y = MatMul(t, v) }",
        {n: a.astype(dtype) for n, a in {"w": w, "r": r, "b": b, "v": noise(4, 2)}.items()} | {"one": np.array([1])},
    )
    audit = analyzer.audit(model, {"x": noise(6, 5, 1, 3).astype(dtype)})
    (diagnosis,) = [d for d in audit.facts.diagnoses if d.value == "s"]
    shut, empty = diagnosis.causes
    assert (shut.unit, shut.code) == (1, CauseCode.SATURATED)
    assert "its output gate stays shut" in shut.detail
    assert (empty.unit, empty.code) == (2, CauseCode.ZERO_KERNEL)
    assert "nothing enters it" in empty.detail
