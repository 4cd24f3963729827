"""Whether onnxruntime takes a file is asked while other work goes on, and is the answer where it does not."""

from __future__ import annotations

import onnx
import pytest

from analyzer.errors import RunError
from analyzer.runtime import loading
from analyzer.runtime.loading import accepted, load_model
from tests.models import parse

FINE = parse("g (float[n,2] x) => (float[n,2] y) { y = Relu(x) }", {})
ODD_AXIS = parse("g (float[n,2] x) => (float[n,2] y) { y = Softmax<axis=7>(x) }", {})


@pytest.fixture(params=["small", "large"])
def _of_any_size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "large":
        monkeypatch.setattr(loading, "_SMALL", 0)


@pytest.mark.usefixtures("_of_any_size")
def test_the_block_runs_where_the_file_is_taken() -> None:
    done = []
    with accepted(load_model(FINE)):
        done.append(True)
    assert done


@pytest.mark.usefixtures("_of_any_size")
def test_a_file_that_is_refused_does_not_come_out_of_the_block() -> None:
    with pytest.raises(RunError, match="axis"), accepted(load_model(ODD_AXIS)):
        pass


def test_the_refusal_is_the_answer_whatever_failed_beside_it() -> None:
    with pytest.raises(RunError, match="axis"), accepted(load_model(ODD_AXIS)):
        raise ValueError("a consequence")


def test_what_failed_in_the_block_is_the_answer_where_the_file_is_taken() -> None:
    with pytest.raises(ValueError, match="the cause"), accepted(load_model(FINE)):
        raise ValueError("the cause")


def test_an_operator_that_is_not_there_is_no_refusal() -> None:
    node = onnx.helper.make_node("Unheard", ["x"], ["y"], domain="")
    model = onnx.ModelProto()
    model.CopyFrom(FINE)
    model.graph.node[0].CopyFrom(node)
    with accepted(load_model(model)):
        pass
