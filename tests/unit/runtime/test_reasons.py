"""What onnxruntime says becomes one sentence, however long the names in the file are."""

from __future__ import annotations

import pytest

from analyzer.runtime.opening import LONGEST_REASON, run_error

LONG = 3_000_000  # characters; a pattern that takes the square of them does not end


@pytest.mark.parametrize(
    "said",
    [
        "Error: two nodes with same node name ({}).",
        "Load model from {} failed:It is no model.",
        "/onnxruntime/core/graph/graph.cc:12 void onnxruntime::Graph::Check() {} was refused.",
        "Non-zero status code returned while running Relu node. Name:'{}' Status Message: too small",
    ],
)
@pytest.mark.parametrize("name", ["n" * LONG, "n/" * (LONG // 2), "f(" * (LONG // 2), "n " * (LONG // 2)])
def test_long_names_are_cut_before_they_are_looked_through(said: str, name: str) -> None:
    error = run_error(RuntimeError(f"[ONNXRuntimeError] : 1 : FAIL : {said.format(name)}"), "load")
    assert str(error).startswith("onnxruntime cannot load the model: ")
    assert len(str(error)) < LONGEST_REASON + 60
