"""A Softmax of constants is constant, where its axis is whole and its length is the same for every feed."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import analyzer
from tests.laws.benches import Bench
from tests.laws.draws import call
from tests.models import Array, parse, run


def drawn(*shape: int) -> Array:
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("kind", ["Softmax", "LogSoftmax"])
def test_a_constant_net_that_ends_in_it_is_its_constant(kind: str) -> None:
    stored: dict[str, Array] = {
        "w": np.zeros((4, 6), np.float32), "b": -np.ones(6, np.float32), "w2": drawn(6, 3), "b2": drawn(3),
    }  # fmt: skip
    text = f"h = Gemm(x, w, b) a = Relu(h) l = Gemm(a, w2, b2) y = {kind}(l)"
    model = parse(f"g (float[n,4] x) => (float[n,3] y) {{ {text} }}", stored)
    small = onnx.ModelProto.FromString(analyzer.prune(model, latency=False).data)
    assert not {"Gemm", kind} & {node.op_type for node in small.graph.node}
    x = drawn(5, 4)
    np.testing.assert_allclose(run(small, {"x": x})["y"], run(model, {"x": x})["y"], rtol=1e-5)


def structural(text: str, width: str, opset: int = 18, stored: dict[str, Array] | None = None) -> tuple[int, ...]:
    """Units of the ReLU behind the Softmax that the weights alone decide."""
    held: dict[str, Array] = {"w": np.zeros((4, 3), np.float32), "b": drawn(3), **(stored or {})}
    model = parse(f"g (float[{width},4] x) => (float[{width},3] y) {{ {text} }}", held, opset)
    (layer,) = [layer for layer in analyzer.audit(model).layers if layer.value == "y"]
    return layer.structural


@pytest.mark.parametrize(
    ("text", "width", "opset", "known"),
    [
        ("h = Gemm(x, w, b) s = Softmax<axis=1>(h) y = Relu(s)", "n", 18, True),
        ("h = Gemm(x, w, b) s = Softmax<axis=0>(h) y = Relu(s)", "n", 18, False),  # of as many as there are samples
        ("h = Gemm(x, w, b) s = Softmax<axis=1>(h) y = Relu(s)", "n", 11, False),
        ("h = Gemm(x, w, b) s = Hardmax<axis=1>(h) y = Relu(s)", "n", 18, False),
    ],
)
def test_only_a_whole_axis_of_fixed_length_is_known(text: str, width: str, opset: int, known: bool) -> None:
    assert structural(text, width, opset) == ((0, 1, 2) if known else ())


def test_one_open_entry_leaves_the_row_open() -> None:
    one = np.zeros((4, 3), np.float32)
    one[0, 2] = 1
    assert structural("h = Gemm(x, w, b) s = Softmax<axis=1>(h) y = Relu(s)", "n", stored={"w": one}) == ()


def test_numbers_so_large_that_their_last_digits_decide_are_left_alone() -> None:
    large: dict[str, Array] = {"b": np.array([1e6, 1e6 + 1, 0], np.float32)}
    assert structural("h = Gemm(x, w, b) s = Softmax<axis=1>(h) y = Relu(s)", "n", stored=large) == ()


@pytest.mark.parametrize(("dtype", "along"), [(np.float32, 1), (np.float64, 1), (np.float16, None)])
def test_halves_have_no_room_for_what_adds_up_to_one_or_changes_nothing(dtype: type, along: int | None) -> None:
    bench = Bench(call("Softmax", drawn(2, 5).astype(dtype), axis=1))
    assert (bench.call.rule.sums_to_one(bench.op), bench.call.rule.levels(bench.op)) == (along, along)
