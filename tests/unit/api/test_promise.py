"""What an audit says can go is what `prune` takes, net of what it adds, and nothing is copied without a gain."""

from __future__ import annotations

from contextlib import nullcontext
from itertools import count
from typing import Any

import numpy as np
import onnx
import pytest

import analyzer
from analyzer import Pruned
from analyzer.errors import RunError, RunFailure
from analyzer.shapes.shape_run import measure_shapes
from tests.equivalence.agree import promise_is_kept
from tests.models import Array, parse, run

RNG = np.random.default_rng(7)
N = 40


@pytest.fixture(autouse=True)
def same_numbers() -> None:
    """Whatever the order of the tests, each draws the same: other numbers may kill a unit by chance."""
    RNG.bit_generator.state = np.random.default_rng(7).bit_generator.state


def weights(*shape: int, dead: int = 0) -> Array:
    array = RNG.normal(size=shape).astype(np.float32)
    array[..., :dead] = 0
    return array


def taken(model: onnx.ModelProto, feeds: dict[str, Array]) -> Pruned:
    """The pruned model, which agrees and keeps the promise."""
    pruned = analyzer.prune(model, feeds, latency=False)
    small = onnx.ModelProto.FromString(pruned.data)
    for one, two in zip(run(model, feeds).values(), run(small, feeds).values(), strict=True):
        np.testing.assert_allclose(two, one, rtol=0, atol=1e-4 * np.abs(one).max())
    promise_is_kept(pruned)
    return pruned


def branch(dead: int) -> tuple[Array, Array]:
    """A dense layer of 30 inputs and 40 units, of which some are dead."""
    bias = weights(N)
    bias[:dead] = -1
    return weights(30, N, dead=dead), bias


@pytest.mark.parametrize(
    ("first", "second", "gone"),
    [(3, 30, 530), (30, 3, 530), (0, 30, 530), (3, 3, 0), (30, 30, 1060), (20, 38, 1098)],
)
def test_of_shared_tensors_those_are_copied_whose_copies_pay(first: int, second: int, gone: int) -> None:
    """Dead units free 31 numbers each at their own layer; the copy of a shared matrix costs N rows less them."""
    (w1, b1), (w2, b2) = branch(first), branch(second)
    model = parse(
        f"""g (float[n, 30] x, float[n, {N}] u) => (float[n, {N}] y, float[n, {N}] z) {{
            a = Gemm(x, w1, b1) r = Relu(a) p = MatMul(r, m) q = MatMul(u, m) y = Mul(p, q)
            b = Gemm(x, w2, b2) s = Relu(b) c = MatMul(s, k) d = MatMul(u, k) z = Add(c, d)
        }}""",
        {"w1": w1, "b1": b1, "w2": w2, "b2": b2, "m": weights(N, N), "k": weights(N, N)},
    )
    feeds = {"x": weights(20, 30), "u": weights(20, N)}
    assert taken(model, feeds).audit.removable.parameters == gone


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("constant", [0.0, 2.0])
def test_a_bias_that_must_be_made_is_counted(bias: bool, constant: float) -> None:
    w, b = branch(6)
    b[:6] = constant
    model = parse(
        f"g (float[n, 30] x) => (float[n, 9] y) {{ a = Gemm(x, w, b) r = Relu(a) y = Gemm(r, v{', c' * bias}) }}",
        {"w": w, "b": b, "v": weights(N, 9), "c": weights(9)},
    )
    added = 9 if constant and not bias else 0
    pruned = taken(model, {"x": weights(20, 30)})
    assert pruned.facts.before.parameters - pruned.facts.after.parameters == 6 * (30 + 1 + 9) - added


@pytest.mark.parametrize("name", ["digits_mlp_killed", "digits_keras_cnn"])  # cut once, and looked at again
def test_what_a_trained_model_promises_is_taken(name: str) -> None:
    audit = analyzer.audit(f"sample_models/{name}/model.onnx", f"sample_models/{name}/probe.npz")
    promise_is_kept(audit.prune(latency=False))


@pytest.mark.parametrize("kind", [RunFailure.MEMORY, RunFailure.REFUSED])
def test_memory_that_runs_out_before_a_second_cut_is_no_reason_to_promise_less(
    monkeypatch: pytest.MonkeyPatch, kind: RunFailure
) -> None:
    runs = count()

    def scarce(*given: Any, **options: Any) -> Any:
        if next(runs):
            raise RunError("what was cut does not fit", kind)
        return measure_shapes(*given, **options)

    for module in ("stages", "auditing"):  # the model itself, and what was cut of it
        monkeypatch.setattr(f"analyzer.api.{module}.measure_shapes", scarce)
    model, probe = (f"sample_models/digits_keras_cnn/{name}" for name in ("model.onnx", "probe.npz"))
    expected = pytest.raises(RunError, match="does not fit") if kind is RunFailure.MEMORY else nullcontext()
    with expected:
        analyzer.audit(model, probe)
    assert next(runs) > 1


@pytest.mark.parametrize("middle", ["", "Cast", "Identity"])
@pytest.mark.parametrize("stored", [True, False])
def test_a_reshape_target_that_layers_share_is_spelled_anew_for_each(stored: bool, middle: str) -> None:
    """Two layers lose different numbers of units, a third none; all three go through one target."""
    target = "t = Identity(whole)" if stored else "n = Shape<start = 0, end = 1>(x) t = Concat<axis = 0>(n, two, half)"
    target += {"": "", "Cast": " w = Cast<to = 7>(t)", "Identity": " w = Identity(t)"}[middle]
    read = "w" if middle else "t"
    given: dict[str, Array] = {}
    layers, before = "", "x"
    for layer, dead in enumerate((4, 8, 0)):
        w, b = weights(12, 16), np.ones(16, np.float32)
        killed = [i for half in (0, 8) for i in range(half, half + dead // 2)]
        w[:, killed], b[killed] = 0, -1
        given |= {f"w{layer}": w, f"b{layer}": b, f"v{layer}": weights(16, 12)}
        layers += f"""
            g{layer} = Gemm({before}, w{layer}, b{layer}) s{layer} = Reshape(g{layer}, {read}) r{layer} = Relu(s{layer})
            f{layer} = Flatten(r{layer}) y{layer} = MatMul(f{layer}, v{layer})"""
        before = f"y{layer}"
    sizes = {"whole": np.array([-1, 2, 8]), "two": np.array([2]), "half": np.array([8])}
    model = parse(f"g (float[n, 12] x) => (float[n, 12] y2) {{ {target} {layers} }}", {**given, **sizes})
    pruned = taken(model, {"x": weights(80, 12)})
    assert not pruned.facts.refused
    assert pruned.facts.before.parameters - pruned.facts.after.parameters == 12 * (12 + 1 + 12)
