"""How much of a model has verdicts: what is counted, what cannot be, and what makes a node judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import analyzer
from analyzer import Data, Judged, LeftOut
from analyzer.graph.blocked_channels import BLOCKED
from analyzer.ops.context import IDLE
from tests.models import Array, parse


def noise(*shape: int) -> Array:
    return np.random.default_rng(3).normal(0, 1, shape).astype(np.float32)


def audited(text: str, stored: dict[str, Any], opset: int = 18, **feeds: Array) -> analyzer.Audit:
    return analyzer.audit(parse(text, stored, opset), Data(feeds) if feeds else None, causes=False)


def judged(text: str, stored: dict[str, Any], opset: int = 18, **feeds: Array) -> Judged:
    return audited(text, stored, opset, **feeds).judged


def left(found: Judged) -> dict[str, LeftOut]:
    return {entry.reason: entry for entry in found.left_out}


MLP = "g (float[N, 3] x) => (float[N, 2] y) { h = Gemm(x, w1, b1) r = Relu(h) y = MatMul(r, w2) }"
WEIGHTS = {"w1": noise(3, 4), "b1": noise(4), "w2": noise(4, 2)}


def test_what_is_run_and_known_is_judged() -> None:
    found = judged(MLP, WEIGHTS, x=noise(8, 3))
    assert (found.multiply_adds_judged, found.multiply_adds) == (12 + 8, 20)
    assert (found.parameters_judged, found.parameters) == (24, 24)
    assert (found.activations_judged, found.activations) == (2, 2)
    assert found.left_out == ()
    assert not found.little
    assert found.shares == "100 % of multiply-adds, 100 % of parameters, 2 of 2 activations"


def test_without_data_nothing_is() -> None:
    found = judged(MLP, WEIGHTS)
    assert (found.multiply_adds_share, found.parameters_share, found.activations_judged) == (0, 0, 0)
    assert set(left(found)) == {"no data was given"}


DYNAMIC = """g (float[N, 8] x) => (float[N, 8] y) {
    q, s, z = DynamicQuantizeLinear(x) i = MatMulInteger(q, w1, z) f = Cast<to=1>(i) m = Mul(f, s) h = Add(m, b1)
    r = Relu(h) q2, s2, z2 = DynamicQuantizeLinear(r) i2 = MatMulInteger(q2, w2, z2) f2 = Cast<to=1>(i2)
    y = Mul(f2, s2) }"""


def quantised() -> dict[str, Any]:
    draw = np.random.default_rng(1)
    bias = np.zeros(16, np.float32)
    bias[:6] = -1e6  # dead, whatever the data
    return {
        "w1": draw.integers(-127, 127, (8, 16), np.int8),
        "b1": bias,
        "w2": draw.integers(-127, 127, (16, 8), np.int8),
    }


def test_a_gate_over_a_dynamically_quantised_model_does_not_pass_unseen() -> None:
    rows = noise(16, 8) * np.arange(1, 17, dtype=np.float32)[:, None]
    model = parse(DYNAMIC, quantised(), 18)
    checked = analyzer.check(model, {"x": rows}, budgets={"max-dead": 0})
    found = checked.audit.judged
    assert found.multiply_adds == 2 * 8 * 16
    assert found.parameters == 2 * 8 * 16 + 16
    assert found.multiply_adds_share == 1
    assert checked.audit.facts.dead == 6
    assert not checked.passed
    assert "one sample per run" in " ".join(f.message for f in checked.findings if f.code == "DU023")


def test_a_relu_behind_a_sum_whose_zero_point_comes_at_run_time_judges_it() -> None:
    found = judged(DYNAMIC.replace("[N, 8]", "[1, 8]"), quantised(), x=noise(16, 8))
    assert (found.multiply_adds_judged, found.multiply_adds) == (2 * 8 * 16, 2 * 8 * 16)
    assert found.left_out == ()


def test_a_recurrent_layer_is_counted_and_judged_but_not_the_table_in_front_of_it() -> None:
    text = """g (int64[N, 5] x) => (float y) {
        e = Gather(table, x) t = Transpose<perm=[1, 0, 2]>(e) s, h = LSTM<hidden_size=6>(t, w, r)
        k = Squeeze(h, zero) d = Gemm(k, w2) y = Relu(d) }"""
    stored = {
        "table": noise(10, 4),
        "w": noise(1, 24, 4),
        "r": noise(1, 24, 6),
        "w2": noise(6, 3),
        "zero": np.array([0]),
    }
    audit = audited(text, stored, x=np.arange(40).reshape(8, 5) % 10)
    found = audit.judged
    assert found.multiply_adds == 5 * 24 * (4 + 6) + 18
    assert found.multiply_adds_judged == found.multiply_adds
    assert found.parameters == 40 + 24 * 10 + 18
    assert found.parameters_judged == 24 * 10 + 18
    assert not audit.operators_without_rule
    assert left(found)["their units lead to no audited value"].parameters == 40


def test_a_table_is_judged_by_the_normalisation_that_it_leads_to() -> None:
    text = """g (int64[N, 5] x) => (float y) {
        e = Gather(table, x) p = Add(e, places) n = LayerNormalization(p, s) y = MatMul(n, w) }"""
    stored = {"table": noise(10, 4), "places": noise(5, 4), "s": noise(4), "w": noise(4, 2)}
    found = judged(text, stored, x=np.arange(40).reshape(8, 5) % 10)
    assert found.parameters_share == 1
    assert found.parameters == 40 + 20 + 4 + 8


def test_a_product_of_activations_counts_with_the_units_that_it_reads() -> None:
    text = """g (float[N, 5, 3] x) => (float y) {
        q = MatMul(x, w1) k = MatMul(x, w2) t = Transpose<perm=[0, 2, 1]>(k) a = MatMul(q, t) y = Softmax(a) }"""
    found = judged(text, {"w1": noise(3, 4), "w2": noise(3, 4)}, x=noise(8, 5, 3))
    assert found.multiply_adds == 2 * 5 * 3 * 4 + 5 * 5 * 4
    assert found.multiply_adds_share == 1


def test_what_nobody_counted_is_not_counted_and_never_0() -> None:
    text = "g (float[N, 2, 2] x) => (float[N] y) { d = Det(x) r = Relu(d) y = Identity(r) }"
    audit = audited(text, {}, x=noise(8, 2, 2))
    found = audit.judged
    assert found.multiply_adds_share is None
    assert (found.not_counted, found.left_out[0].multiply_adds) == (1, None)
    assert found.cost == "multiply-adds not counted"
    assert found.shares.startswith("multiply-adds not counted, ")
    assert found.little
    assert audit.to_dict()["operators_without_rule"][0]["multiply_adds"] is None


BRANCHES = """g (float[N, 3] x, bool flag) => (float y) {
    h = Gemm(x, w1, b1) r = Relu(h)
    y = If(flag) <then_branch = t () => (float p) { p = MatMul(r, w2) },
                  else_branch = e () => (float p) { p = MatMul(r, w3) }> }"""


def test_what_branches_read_is_judged_where_a_run_takes_them() -> None:
    model = parse(BRANCHES, {**WEIGHTS, "w3": noise(4, 2)})
    data = Data({"x": noise(8, 3), "flag": np.array(True)}, constants=["flag"])
    found = analyzer.audit(model, data, causes=False)
    assert found.model.parameters == 12 + 4 + 8 + 8
    assert found.judged.parameters_judged == 12 + 4 + 8
    assert found.judged.multiply_adds == found.judged.multiply_adds_judged == 12 + 8
    assert [entry.reason for entry in found.judged.left_out] == [IDLE]


def test_what_is_stored_in_subgraphs_is_counted() -> None:
    model = parse(BRANCHES, WEIGHTS)
    then, other = (attribute.g for attribute in model.graph.node[-1].attribute)
    for body, name in ((then, "w2"), (other, "w3")):
        body.initializer.append(onnx.numpy_helper.from_array(noise(4, 2), name))
    del model.graph.initializer[-1]
    data = Data({"x": noise(8, 3), "flag": np.array(True)}, constants=["flag"])
    found = analyzer.audit(model, data, causes=False)
    assert found.model.parameters == 12 + 4 + 8 + 8
    assert found.judged.parameters_judged == 12 + 4 + 8


def test_a_branch_that_only_moves_costs_nothing() -> None:
    text = """g (float[N, 3] x, bool flag) => (float y) {
        h = Gemm(x, w1, b1) r = Relu(h)
        y = If(flag) <then_branch = t () => (float p) { p = Identity(r) },
                      else_branch = e () => (float p) { p = Neg(r) }> }"""
    data = Data({"x": noise(8, 3), "flag": np.array(True)}, constants=["flag"])
    audit = analyzer.audit(parse(text, {"w1": noise(3, 4), "b1": noise(4)}), data, causes=False)
    assert audit.judged.left_out == ()
    assert all(operator.free for operator in audit.operators_without_rule)


def test_convolutions_in_blocks_that_cannot_be_read_back_are_counted_and_left_out(tmp_path: Path) -> None:
    text = """g (float[1, 3, 8, 8] x) => (float y) {
        a = Conv<pads=[1, 1, 1, 1]>(x, w1) b = Relu(a) c = Conv<pads=[1, 1, 1, 1]>(b, w2) d = Relu(c)
        e = GlobalAveragePool(d) f = Flatten(e) y = Gemm(f, w3) }"""
    plain = parse(text, {"w1": noise(32, 3, 3, 3), "w2": noise(32, 32, 3, 3), "w3": noise(32, 4)})
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 4
    ort.InferenceSession(plain.SerializeToString(), options, providers=["CPUExecutionProvider"])
    model = onnx.load(options.optimized_model_filepath)
    if not any(node.domain == BLOCKED for node in model.graph.node):
        pytest.skip("onnxruntime blocks nothing on this processor")
    read_back = analyzer.audit(model, {"x": noise(8, 3, 8, 8)}, causes=False).judged
    last = next(node for node in reversed(model.graph.node) if node.op_type == "Conv")
    last.attribute.append(onnx.helper.make_attribute("activation_params", [0.5]))  # which no Relu has
    before = analyzer.audit(plain, {"x": noise(8, 3, 8, 8)}, causes=False).judged
    found = analyzer.audit(model, {"x": noise(8, 3, 8, 8)}, causes=False).judged
    assert before.multiply_adds_share == read_back.multiply_adds_share == 1
    assert found.multiply_adds == before.multiply_adds
    assert found.multiply_adds_judged == 32 * 4
    assert found.little
    assert "audit the file from before it" in found.left_out[0].reason


def test_a_shared_tensor_is_judged_when_all_its_readers_are() -> None:
    text = """g (float[N, 4, 4] x) => (float y, float s) {
        l = LayerNormalization(x, scale) y = Mul(l, w) d = Det(x) s = Mul(d, w) }"""
    found = judged(text, {"scale": noise(4), "w": noise(4)}, x=noise(8, 4, 4))
    assert (found.parameters_judged, found.parameters) == (4, 8)
    stored = {"scale": noise(4), "w": noise(4), "v": noise(4)}
    other = judged(text.replace("Mul(d, w)", "Mul(d, v)"), stored, x=noise(8, 4, 4))
    assert (other.parameters_judged, other.parameters) == (8, 12)
