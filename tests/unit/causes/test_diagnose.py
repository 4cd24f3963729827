"""Models built with each cause of death: every one is named rightly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import analyzer
from analyzer.facts.causes import CauseCode, LayerDiagnosis, UnitCause
from tests.models import Array, parse

SAMPLES = 64


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def positive(*shape: int) -> Array:
    return rng().random((SAMPLES, *shape)).astype(np.float32)


def centred(*shape: int) -> Array:
    return rng().normal(size=(SAMPLES, *shape)).astype(np.float32)


def f32(array: Any) -> Array:
    return np.asarray(array, np.float32)


def diagnoses(text: str, data: Array, **stored: Array) -> dict[str, LayerDiagnosis]:
    found = analyzer.audit(parse(text, stored), {"X": data})
    return {diagnosis.value: diagnosis for diagnosis in found.facts.diagnoses}


def cause(text: str, data: Array, value: str = "Y", unit: int = 0, **stored: Array) -> UnitCause:
    found = diagnoses(text, data, **stored)[value].cause_of(unit)
    assert found is not None
    return found


DENSE = "m (float[N,4] X) => (float[N,3] Z) {H = Gemm(X, W, B) Y = Relu(H) Z = Gemm(Y, V)}"
V = np.eye(3, dtype=np.float32)


def dense(first: Any, bias: float = 0.0) -> dict[str, Any]:
    """Weights [4, 3] of which column 0 is `first`; the other units fire."""
    weights = np.full((4, 3), 0.5, np.float32)
    weights[:, 0] = first
    return {"W": weights, "B": f32([bias, 0, 0]), "V": V}


def test_a_bias_that_holds_the_sum_down() -> None:
    found = cause(DENSE, positive(4), **dense([1, -1, 1, -1], -50.0))
    assert found.code is CauseCode.BIAS_DOMINATES
    assert "-50" in found.detail
    assert found.distance is not None and found.distance > 20


def test_weights_that_hold_the_sum_down_without_the_bias() -> None:
    found = cause(DENSE, positive(4) + 1, **dense([0.1, -1, -1, -1], 0.1))
    assert found.code is CauseCode.WEIGHTS_DOMINATE
    assert found.distance is not None and found.distance > 0


def test_nonpositive_weights_on_inputs_that_are_never_negative() -> None:
    found = cause(DENSE, positive(4), **dense([-1, -2, 0, -1], -0.1))
    assert found.code is CauseCode.NONPOSITIVE_WEIGHTS


def test_nonpositive_weights_do_not_count_on_inputs_that_can_be_negative() -> None:
    found = cause(DENSE, centred(4), **dense([-1, -2, 0, -1], -50.0))
    assert found.code is CauseCode.BIAS_DOMINATES


def test_a_negative_factor_turns_positive_weights_into_nonpositive_ones() -> None:
    text = "m (float[N,4] X) => (float[N,3] Y) {H = MatMul(X, W) S = Mul(H, F) Y = Relu(S)}"
    found = cause(text, positive(4), W=np.full((4, 3), 0.5, np.float32), F=f32([-1, 1, 1]))
    assert found.code is CauseCode.NONPOSITIVE_WEIGHTS


def test_an_observed_zero_kernel() -> None:
    found = cause(DENSE, positive(4), **dense(1e-12, -1.0))
    assert found.code is CauseCode.ZERO_KERNEL


def test_a_structural_zero_kernel_needs_no_data() -> None:
    found = analyzer.audit(parse(DENSE, dense(0.0)))
    (diagnosis,) = found.facts.diagnoses[:1]
    assert diagnosis.causes[0].code is CauseCode.ZERO_KERNEL
    assert diagnosis.causes[0].distance is None


NORMED = "m (float[N,2,6,6] X) => (float[N,3,4,4] Y) {C = Conv(X, K) H = BatchNormalization(C, G, B, M, S) Y = Relu(H)}"


def normed(scale: float, shift: float) -> dict[str, Any]:
    return {
        "K": rng().normal(size=(3, 2, 3, 3)).astype(np.float32),
        "G": f32([scale, 1, 1]),
        "B": f32([shift, 0, 0]),
        "M": np.zeros(3, np.float32),
        "S": np.full(3, 18, np.float32),
    }


def test_a_normalisation_scale_of_zero() -> None:
    assert cause(NORMED, centred(2, 6, 6), **normed(0.0, -0.3)).code is CauseCode.NORM_SCALE_ZERO


def test_a_normalisation_scale_of_about_zero() -> None:
    assert cause(NORMED, centred(2, 6, 6), **normed(1e-4, -0.3)).code is CauseCode.NORM_SCALE_ZERO


def test_a_constant_that_is_not_zero_behind_a_normalisation_scale_of_zero() -> None:
    assert cause(NORMED, centred(2, 6, 6), **normed(0.0, 0.3)).code is CauseCode.NORM_SCALE_ZERO


def test_a_normalisation_shift_that_is_too_negative() -> None:
    found = cause(NORMED, centred(2, 6, 6), **normed(1.0, -9.0))
    assert found.code is CauseCode.NORM_SHIFT_NEGATIVE
    assert found.distance is not None and found.distance > 2


CHAIN = (
    "m (float[N,4] X) => (float[N,2] Z) "
    "{A = Gemm(X, W, B) P = Relu(A) C = Gemm(P, V, D) Q = Relu(C) E = Gemm(Q, U, F) R = Relu(E) Z = MatMul(R, T)}"
)


def chain() -> dict[str, Any]:
    """Unit 0 of P is held down by its bias; unit 0 of Q reads only that, unit 0 of R only unit 0 of Q."""
    w, v, u = (np.full((4, 3), 0.5, np.float32), *(np.full((3, 3), 0.5, np.float32) for _ in range(2)))
    v[:, 0] = u[:, 0] = [1, 0, 0]
    return {
        "W": w,
        "B": f32([-100, 0, 0]),
        "V": v,
        "D": f32([-1, 0, 0]),
        "U": u,
        "F": f32([0.25, 0, 0]),
        "T": np.ones((3, 2), np.float32),
    }


def test_starved_units_point_to_the_root() -> None:
    found = diagnoses(CHAIN, positive(4), **chain())
    causes = [found[value].cause_of(0) for value in "PQR"]
    assert [c.code for c in causes if c] == [CauseCode.BIAS_DOMINATES, CauseCode.STARVED, CauseCode.STARVED]
    assert [c.root for c in causes if c] == [None, ("P", 0), ("P", 0)]


def test_starved_over_pooling_and_flatten() -> None:
    text = (
        "m (float[N,1,4,4] X) => (float[N,2] Y) {A = Conv(X, K, B) P = Relu(A) "
        "M = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(P) F = Flatten(M) H = Gemm(F, W) Y = Relu(H)}"
    )
    weights = np.full((8, 2), 0.5, np.float32)
    weights[4:, 1] = 0  # unit 1 reads channel 0 alone: positions 0 to 3
    stored: dict[str, Any] = {"K": f32([1, 1]).reshape(2, 1, 1, 1), "B": f32([-9, 0]), "W": weights}
    found = cause(text, positive(1, 4, 4), unit=1, **stored)
    assert (found.code, found.root) == (CauseCode.STARVED, ("P", 0))


def test_starved_over_a_concatenation() -> None:
    text = (
        "m (float[N,4] X) => (float[N,1] Y) {A = Gemm(X, W, B) P = Relu(A) Q = Gemm(X, W) "
        "C = Concat<axis = 1>(Q, P) H = Gemm(C, U) Y = Relu(H)}"
    )
    w = np.full((4, 2), 0.5, np.float32)
    stored: dict[str, Any] = {"W": w, "B": f32([0, -100]), "U": f32([[0], [0], [0], [1]])}
    found = cause(text, positive(4), **stored)
    assert (found.code, found.root) == (CauseCode.STARVED, ("P", 1))


def test_inputs_that_do_not_vary() -> None:
    data = positive(4)
    data[:, 0] = 0.75
    found = cause(DENSE, data, **dense([-1, 0, 0, 0]))
    assert found.code is CauseCode.INPUT_CONSTANT
    assert found.distance is None


@pytest.mark.parametrize(("op", "factor"), [("Tanh", 400.0), ("Sigmoid", -2000.0)])
def test_a_saturated_unit_that_is_dead(op: str, factor: float) -> None:
    text = f"m (float[N,4] X) => (float[N,3] Y) {{H = Gemm(X, W, B) Y = {op}(H)}}"
    found = cause(text, positive(4) + 1, **{k: a for k, a in dense(factor).items() if k != "V"})
    assert found.code is CauseCode.SATURATED
    assert found.distance is not None and found.distance > 0


def test_a_saturated_unit_that_still_moves() -> None:
    text = "m (float[N,4] X) => (float[N,3] Y) {H = Gemm(X, W, B) Y = Tanh(H)}"
    found = cause(text, centred(4), **{k: a for k, a in dense(1e6).items() if k != "V"})
    assert found.code is CauseCode.SATURATED
    assert "lower end" in found.detail


def test_a_unit_stuck_at_its_upper_bound() -> None:
    text = "m (float[N,4] X) => (float[N,3] Y) {H = Gemm(X, W, B) Y = Clip(H, L, U)}"
    stored = dense(1.0, 30.0) | {"L": f32(0), "U": f32(6)}
    stored.pop("V")
    found = cause(text, positive(4), **stored)
    assert found.code is CauseCode.SATURATED
    assert found.distance is not None and found.distance > 10


def test_weights_that_were_rounded_to_the_zero_point() -> None:
    text = (
        "m (float[N,4] X) => (float[N,3] Y) {W = DequantizeLinear(Q, S, O) H = MatMul(X, W) A = Add(H, B) Y = Relu(A)}"
    )
    weights = np.full((4, 3), 90, np.int8)
    weights[:, 0] = 3
    stored: dict[str, Any] = {"Q": weights, "S": f32(0.01), "O": np.array(3, np.int8), "B": f32([-0.5, 0, 0])}
    assert cause(text, positive(4), **stored).code is CauseCode.QUANTISATION


def test_weights_with_a_step_of_their_own_were_zero_before() -> None:
    text = (
        "m (float[N,4] X) => (float[N,3] Y) "
        "{W = DequantizeLinear<axis = 1>(Q, S, O) H = MatMul(X, W) A = Add(H, B) Y = Relu(A)}"
    )
    weights = np.full((4, 3), 90, np.int8)
    weights[:, 0] = 0
    stored: dict[str, Any] = {"Q": weights, "S": f32([0.01] * 3), "O": np.zeros(3, np.int8), "B": f32([-0.5, 0, 0])}
    assert cause(text, positive(4), **stored).code is CauseCode.ZERO_KERNEL


def test_a_sum_that_would_fire_and_is_rounded_away() -> None:
    text = (
        "m (float[N,4] X) => (float[N,3] Y) "
        "{H = Gemm(X, W, B) Q = QuantizeLinear(H, S, O) D = DequantizeLinear(Q, S, O) Y = Relu(D)}"
    )
    stored = dense(0.001) | {"S": f32(0.1), "O": np.array(128, np.uint8)}
    stored.pop("V")
    found = cause(text, positive(4), **stored)
    assert found.code is CauseCode.QUANTISATION


def test_inputs_that_are_flattened_by_rounding() -> None:
    text = (
        "m (float[N,4] X) => (float[N,3] Y) "
        "{Q = QuantizeLinear(X, S, O) D = DequantizeLinear(Q, S, O) H = MatMul(D, W) A = Add(H, B) Y = Relu(A)}"
    )
    data = positive(4)
    data[:, 0] *= 0.01
    weights = np.full((4, 3), 0.5, np.float32)
    weights[:, 0] = [1, 0, 0, 0]
    stored: dict[str, Any] = {"W": weights, "B": f32([-0.1, 0, 0]), "S": f32(0.1), "O": np.array(0, np.uint8)}
    assert cause(text, data, **stored).code is CauseCode.QUANTISATION


def test_a_linear_value_that_is_clipped_to_integers() -> None:
    text = (
        "m (float[N,4] X) => (float[N,3] Y) {H = Gemm(X, W, B) Q = QuantizeLinear(H, S, O) "
        "D = DequantizeLinear(Q, S, O) Y = BatchNormalization(D, G, Z, Z, G)}"
    )
    stored = dense([-1, -1, -1, -1]) | {"S": f32(0.1), "O": np.array(0, np.uint8)}
    stored |= {"G": f32([1] * 3), "Z": f32([0] * 3)}
    stored.pop("V")
    assert cause(text, positive(4), **stored).code is CauseCode.QUANTISATION


PADDED = "m (float[N,4] X) => (float[N,3] Z) {H = Gemm(X, W) P = Pad(H, pads, fill) Y = Relu(P) Z = MatMul(Y, V)}"


@pytest.mark.parametrize("fill", [2.0, 0.0, -3.0])
def test_a_filling_is_not_taken_for_the_unit_of_that_number(fill: float) -> None:
    """Unit 1 has no weights, and units 4 and 5 have nothing to do with it, whatever number they hold."""
    weights = np.full((4, 4), 0.5, np.float32)
    weights[:, 1] = 0
    stored = {"W": weights, "pads": np.array([0, 0, 0, 2]), "fill": f32(fill), "V": np.ones((6, 3), np.float32)}
    found = diagnoses(PADDED, positive(4), **stored)["Y"]
    assert {cause.unit: cause.code for cause in found.causes} == {
        1: CauseCode.ZERO_KERNEL,
        4: CauseCode.INPUT_CONSTANT,
        5: CauseCode.INPUT_CONSTANT,
    }
    assert all("Pad" in cause.detail for cause in found.causes[1:])


@pytest.mark.parametrize(
    ("node", "dead"),
    [
        ('com.microsoft.FusedGemm<activation = "Relu">(X, W, B)', 0),
        ("com.microsoft.BiasGelu(X, B)", 0),
    ],
)
def test_what_an_operator_adds_before_its_own_activation_is_not_measured_without_it(node: str, dead: int) -> None:
    """The data of a square layer have the shape of its pre-activation, and are another thing."""
    weights = np.full((4, 4), 0.5, np.float32)
    stored = {"W": weights, "B": f32([-60, 0, 0, 0])}
    used: dict[str, Any] = {name: array for name, array in stored.items() if name in node}
    found = cause(f"m (float[N,4] X) => (float[N,4] Y) {{Y = {node}}}", positive(4), unit=dead, **used)
    assert found.distance is None
    assert "reaches" not in found.detail and "lies between" not in found.detail


def test_the_pre_activation_of_a_sum_of_integers_is_not_its_data() -> None:
    text = (
        "m (float[N,2,4,4] X) => (float[N,2,4,4] D) {Q = QuantizeLinear(X, S, O) "
        "Y = QLinearConv(Q, S, O, W, S, P, S, O, B) D = DequantizeLinear(Y, S, O)}"
    )
    stored: dict[str, Any] = {
        "S": f32(0.1),
        "O": np.array(0, np.uint8),
        "P": np.array(0, np.int8),
        "W": np.full((2, 2, 1, 1), 9, np.int8),
        "B": np.array([-90000, 0], np.int32),
    }
    found = cause(text, positive(2, 4, 4), **stored)
    assert found.distance is None and "reaches" not in found.detail


def test_a_gelu_of_several_nodes_is_measured_where_it_begins() -> None:
    text = (
        "m (float[N,4] X) => (float[N,3] Y) "
        "{H = Gemm(X, W, B) D = Div(H, R) E = Erf(D) A = Add(E, O) M = Mul(H, A) Y = Mul(M, F)}"
    )
    stored = dense(0.001, -40.0) | {"R": f32(2**0.5), "O": f32(1), "F": f32(0.5)}
    stored.pop("V")
    found = cause(text, positive(4), **stored)
    assert found.code is CauseCode.SATURATED and "between -40 and" in found.detail


def test_what_is_not_understood_is_said_to_be_unknown() -> None:
    text = "m (float[N,4] X) => (float[N,4] Y) {A = Neg(X) E = Exp(A) H = Mul(E, A) Y = Relu(H)}"
    assert cause(text, positive(4)).code is CauseCode.UNKNOWN


def test_both_branches_of_a_sum_must_be_silent() -> None:
    text = (
        "m (float[N,4] X) => (float[N,3] Y) {A = MatMul(X, W) C = MatMul(X, V) S = Add(A, C) H = Add(S, B) Y = Relu(H)}"
    )
    w, v = np.full((4, 3), 0.5, np.float32), np.full((4, 3), 0.5, np.float32)
    w[:, 0] = 0
    stored: dict[str, Any] = {"W": w, "V": v, "B": f32([-60, 0, 0])}
    assert cause(text, positive(4), **stored).code is CauseCode.BIAS_DOMINATES
    v[:, 0] = 0
    assert cause(text, positive(4), **stored).code is CauseCode.ZERO_KERNEL


def test_a_normalisation_scale_of_zero_after_a_sum_silences_every_branch() -> None:
    text = (
        "m (float[N,4] X) => (float[N,3] Y) "
        "{A = MatMul(X, W) C = MatMul(X, V) S = Add(A, C) H = BatchNormalization(S, G, B, B, G1) Y = Relu(H)}"
    )
    w = np.full((4, 3), 0.5, np.float32)
    stored: dict[str, Any] = {"W": w, "V": w, "G": f32([0, 1, 1]), "B": f32([0, 0, 0]), "G1": f32([1, 1, 1])}
    assert cause(text, positive(4), **stored).code is CauseCode.NORM_SCALE_ZERO


def test_distances_are_those_of_the_pre_activation() -> None:
    data, stored = positive(4), dense([1, -1, 1, -1], -5.0)
    sums = data.astype(np.float64) @ stored["W"].astype(np.float64) + stored["B"]
    found = diagnoses(DENSE, data, **stored)["Y"]
    assert found.distances[0] == pytest.approx(-sums[:, 0].max() / sums[:, 0].std(), rel=1e-4)


def test_units_of_another_axis_are_no_source() -> None:
    """The six rows that are read come from a value whose units are its five columns."""
    text = (
        "m (float[N,6,5] X) => (float[N,2,5] Z) {R = Reshape(X, T) Q = GroupNormalization<num_groups=6>(R, S, S) "
        "P = Reshape(Q, F) H = Add(P, B) Y = Relu(H) Z = Conv(Y, W)}"
    )
    stored: dict[str, Any] = {
        "T": np.array([1, -1, 5]), "F": np.array([-1, 6, 5]), "S": np.ones(6, np.float32),
        "B": np.full((1, 6, 1), -9, np.float32), "W": np.ones((2, 6, 1), np.float32),
    }  # fmt: skip
    data = centred(6, 5)
    data[:2] = [1, -1, 1, -1, 0]
    data[1] += 0.5  # one run of both does not show that they are normalised together
    found = cause(text, data, unit=5, **stored)
    assert found.code is CauseCode.BIAS_DOMINATES


def test_every_dead_unit_of_a_random_network_has_a_cause() -> None:
    text = (
        "m (float[N,6] X) => (float[N,5] Z) "
        "{A = Gemm(X, W, B) P = Relu(A) C = Gemm(P, V, D) Q = Relu(C) Z = MatMul(Q, U)}"
    )
    random = rng()
    stored: dict[str, Any] = {
        "W": random.normal(-0.3, 1, (6, 40)).astype(np.float32),
        "B": random.normal(-1, 1, 40).astype(np.float32),
        "V": random.normal(-0.2, 1, (40, 30)).astype(np.float32),
        "D": random.normal(-1, 2, 30).astype(np.float32),
        "U": random.normal(0, 1, (30, 5)).astype(np.float32),
    }
    found = analyzer.audit(parse(text, stored), {"X": positive(6)})
    named = {d.value: {c.unit for c in d.causes} for d in found.facts.diagnoses}
    assert found.facts.dead > 5
    assert all(named.get(layer.value, set()) >= set(layer.dead) for layer in found.layers)
    assert not any(c.code is CauseCode.UNKNOWN for d in found.facts.diagnoses for c in d.causes)
