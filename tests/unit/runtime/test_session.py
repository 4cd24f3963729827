"""Sessions: feeds in, arrays out, and every refusal of onnxruntime in one sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, parser

from analyzer.errors import RunError
from analyzer.graph import Editor, serialize
from analyzer.graph.lend import runnable
from analyzer.runtime.loading import load_model
from analyzer.runtime.session import Session


def model_bytes(text: str) -> bytes:
    return parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]> {text}'
    ).SerializeToString()


RELU = model_bytes("g (float[N, 3] x) => (float[N, 3] y) { y = Relu(x) }")
X = np.array([[-1, 0, 2]], np.float32)


def refusal(source: Any, feeds: dict[str, Any] | None = None, **options: Any) -> str:
    with pytest.raises(RunError) as caught, Session(source, **options) as session:
        session.run(feeds or {})
    return str(caught.value)


def test_a_feed_gives_the_outputs_by_name() -> None:
    with Session(RELU) as session:
        assert session.output_names == ("y",)
        assert session.output_types == {"y": "float32"}
        assert session.run({"x": X})["y"].tolist() == [[0, 0, 2]]


def test_a_loaded_model_and_an_extended_one_run_alike() -> None:
    loaded = load_model(RELU)
    editor = Editor(loaded.copy())
    editor.output(editor.add("Neg", ["y"]))
    with Session(loaded) as plain, Session(editor.loaded) as extended:
        (added,) = set(extended.output_names) - {"y"}
        assert np.array_equal(plain.run({"x": X})["y"], -extended.run({"x": X}, [added])[added])


MOVED = "t = Transpose<perm = [1, 0, 2]>"


@pytest.mark.parametrize(
    ("text", "dtype"),
    [
        (f"g (float16[A, B, 4] x) => (float16[B, A, 5] y) {{ {MOVED}(x) y = MatMul(t, w) }}", np.float16),
        (
            f"g (float16[A, B, 4] x) => (float[B, A, 5] y) {{ {MOVED}(x) v = Cast<to = 1>(w) u = Cast<to = 1>(t)"
            " y = MatMul(u, v) }",
            np.float32,
        ),
        (
            f"g (float[A, B, 4] x) => (float[B, A, 5] y) {{ h = Cast<to = 10>(x) {MOVED}(h) v = Cast<to = 10>(w)"
            " u = MatMul(t, v) y = Cast<to = 1>(u) }",
            np.float32,
        ),
        *(
            (
                f"g ({kind}[A, B, 4] x) => (float[B, A, 5] y) {{ {MOVED}(x) u = Cast<to = 1>(t) y = MatMul(u, w) }}",
                np.float32,
            )
            for kind in ("int32", "bool", "bfloat16", "double")
        ),
        (
            f"g (int32[A, B, 4] x) => (float[B, A, 5] y) {{ {MOVED}(x) s = Identity(t) u = CastLike(s, w)"
            " y = MatMul(u, w) }",
            np.float32,
        ),
        (
            "g (int32[A, B, 4] x) => (float[B, A, 5] y) { k = Constant<value_int = 2>() z = Greater(k, k)"
            f" y = If<then_branch = p () => (float[B, A, 5] r) {{ {MOVED}(x) u = Cast<to = 1>(t) r = MatMul(u, w) }},"
            f" else_branch = q () => (float[B, A, 5] n) {{ {MOVED}(x) u = Cast<to = 1>(t) v = MatMul(u, w)"
            " n = Neg(v) }>(z) }",
            np.float32,
        ),
    ],
)
def test_a_cast_of_axes_that_change_places_in_front_of_a_product_does_not_end_the_process(
    text: str, dtype: type, tmp_path: Path
) -> None:
    model = onnx.ModelProto.FromString(model_bytes(text))
    model.graph.initializer.append(numpy_helper.from_array(np.ones((4, 5), dtype), "w"))
    onnx.save(model, tmp_path / "moved.onnx")
    words = [sys.executable, "-m", "analyzer", "audit", str(tmp_path / "moved.onnx"), "--random", "2", "--dim", "B=3"]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("body", "may_die"),
    [
        (f"{MOVED}(x) y = MatMul(t, w)", False),
        (f"{MOVED}(x) u = Relu(t) c = Cast<to = 1>(u) y = MatMul(c, w)", True),
        (f"c = Cast<to = 1>(x) {MOVED}(c) y = MatMul(t, w)", False),
        (f"{MOVED}(x) m = MatMul(t, w) y = Cast<to = 1>(m)", False),
        (f"{MOVED}(x) s = Shape(t) f = Cast<to = 1>(s) m = MatMul(t, w) y = Mul(m, f)", False),
    ],
)
def test_only_a_cast_behind_a_transpose_costs_a_fusion(body: str, may_die: bool) -> None:
    model = onnx.ModelProto.FromString(model_bytes(f"g (float[A, B, 3] x) => (float[B, A, 3] y) {{ {body} }}"))
    model.graph.initializer.append(numpy_helper.from_array(np.ones((3, 3), np.float32), "w"))
    assert runnable(load_model(model)).casts_transposed is may_die


@pytest.mark.parametrize(
    ("kind", "may_die"), [("seq(float16[A, B, 3])", True), ("float16[A, B, 3]", True), ("float", False)]
)
def test_lists_may_hold_halves(kind: str, may_die: bool) -> None:
    first = "i = Constant<value_int = 0>() t = SequenceAt(x, i)" if "seq" in kind else "t = Identity(x)"
    text = f"g ({kind} x) => (y) {{ {first} m = Transpose(t) y = MatMul(m, t) }}"
    assert runnable(load_model(model_bytes(text))).casts_transposed is may_die


def test_sums_of_four_bits_are_those_of_the_numbers_that_they_stand_for() -> None:
    random = np.random.default_rng(0)
    numbers, x = random.integers(-8, 8, (64, 8)), random.standard_normal((4, 64)).astype(np.float32)
    text = "g (float[N, 64] x) => (float[N, 8] y) { w = DequantizeLinear(q, s) y = MatMul(x, w) }"
    model = parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]> {text}')
    stored = {"q": numbers.astype(ml_dtypes.int4), "s": np.array(0.1, np.float32)}
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in stored.items())
    with Session(model.SerializeToString()) as session:
        assert np.abs(session.run({"x": x})["y"] - x @ (numbers * 0.1)).max() < 1e-5


def large_model() -> onnx.ModelProto:
    weights = np.random.default_rng(0).random((64, 64), dtype=np.float32)
    node = helper.make_node("MatMul", ["x", "W"], ["y"])
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 64])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 64])
    graph = helper.make_graph([node], "g", [x], [y], [numpy_helper.from_array(weights, "W")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_weights_can_be_lent_instead_of_copied() -> None:
    loaded = load_model(large_model())
    shared = runnable(loaded)
    assert set(shared.lent) == {"W"}
    assert len(shared.content) < 1000 < len(serialize(loaded))
    feed = {"x": np.eye(64, dtype=np.float32)}
    with Session(shared) as session:
        assert np.array_equal(session.run(feed)["y"], numpy_helper.to_array(large_model().graph.initializer[0]))
    stored = loaded.graph.constant("W")
    assert stored is not None
    assert np.array_equal(stored, shared.lent["W"])


def test_external_data_is_read_by_onnxruntime_from_the_models_folder(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(large_model(), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    loaded = load_model(path)
    assert len(runnable(loaded).content) < 1000
    feed = {"x": np.eye(64, dtype=np.float32)}
    with Session(loaded) as session:
        assert np.array_equal(session.run(feed)["y"], numpy_helper.to_array(large_model().graph.initializer[0]))


def test_bfloat16_goes_in_and_comes_out() -> None:
    text = "g (bfloat16[N, 3] x) => (float[N, 3] y, bfloat16[N, 3] z) { y = Cast<to=1>(x)\n z = Cast<to=16>(y) }"
    x = np.array([[1, 2.5, -3]], ml_dtypes.bfloat16)
    with Session(model_bytes(text)) as session:
        results = session.run({"x": x})
        assert session.output_types["z"] == "bfloat16"
        empty = session.run({"x": x[:0]})
    assert results["z"].dtype == x.dtype
    assert np.array_equal(results["z"], x)
    assert np.array_equal(results["y"], x.astype(np.float32))
    assert empty["z"].shape == (0, 3)


def test_sequences_have_no_element_type() -> None:
    text = "g (float[N, 3] x) => (seq(float[N, 3]) y) { y = SequenceConstruct(x) }"
    with Session(model_bytes(text)) as session:
        assert session.output_types == {"y": None}


def test_bytes_that_are_no_model_are_refused_in_one_sentence() -> None:
    assert refusal(b"abc") == (
        "onnxruntime cannot load the model: Failed to load model because protobuf parsing failed."
    )


def test_an_operator_that_nobody_knows_is_named() -> None:
    assert "Bogus" in refusal(model_bytes("g (float[N] x) => (float[N] y) { y = Bogus(x) }"))


def test_a_kernel_that_is_missing_is_named() -> None:
    text = "g (double[N, 2, 3, 3] x) => (double[N, 2, 1, 1] y) { y = GlobalMaxPool(x) }"
    assert refusal(model_bytes(text)) == (
        "onnxruntime cannot load the model: Could not find an implementation for GlobalMaxPool(1) node."
    )


def test_an_operator_that_fails_is_named_without_source_locations() -> None:
    text = "g (float[N, 3] x) => (float[M, K] y) <int64[2] s = {2, 3}> { y = Reshape(x, s) }"
    message = refusal(model_bytes(text), {"x": np.zeros((1, 3), np.float32)})
    assert message.startswith("onnxruntime cannot run the model: Reshape node")
    assert "{1,3}" in message
    assert ".h:" not in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("feeds", "said"),
    [
        ({"x": np.zeros((2, 4), np.float32)}, "Got: 4 Expected: 3"),
        ({"x": np.zeros((2, 3))}, "tensor(double)"),
        ({"z": X}, "missing"),
    ],
)
def test_a_feed_that_does_not_fit_is_said_to(feeds: dict[str, Any], said: str) -> None:
    message = refusal(RELU, feeds)
    assert said in message
    assert "ONNXRuntimeError" not in message


def test_running_out_of_memory_says_what_to_lower() -> None:
    text = "g (float[N] x, int64[2] s) => (float[A, B] y) { y = Expand(x, s) }"
    feeds = {"x": np.zeros(1, np.float32), "s": np.array([1 << 22, 1 << 22])}
    assert "lower the batch size" in refusal(model_bytes(text), feeds)
