"""Zero over a divisor that cannot be zero is zero; over any other it may be no number, and nothing is said."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from analyzer.walk.flow import constants_forward
from tests.models import Array, context, parse, run

STORED: dict[str, Array] = {
    "w": np.array([[0, 1, -1], [0, 2, 1], [0, 0.5, 1], [0, -1, 1]], np.float32),  # unit 0 is 0
    "least": np.array(1e-9, np.float32),
    "zero": np.array(0, np.float32),
    "below": np.array(-1, np.float32),
    "two": np.array(2, np.float32),
    "three": np.array(3, np.float32),
    "half": np.array([0.5], np.float32),
    "eighth": np.array(0.125, np.float32),
    "one": np.array(1, np.float32),
    "last": np.array([-1]),
    "wide": np.array([1, 1, 3]),
    "flat": np.array([3]),
    "pads": np.array([0, 0, 2, 0, 0, 0]),
}
SUM = "s = ReduceSum(d, last) "
NOT_ZERO = {
    "clipped from below": SUM + "c = Clip(s, least)",
    "clipped, expanded and reshaped": SUM
    + "k = Clip(s, least) e = Expand(k, wide) f = Reshape(e, flat) c = Cast<to=1>(f)",
    "the larger of it and a number": SUM + "c = Max(s, half)",
    "a root of a mean square and a number": "q = Pow(d, two) m = ReduceMean(q, last) n = Add(m, least) c = Sqrt(n)",
    "a square and a number": "q = Mul(d, d) c = Add(q, least)",
    "a norm and a number": "q = ReduceL2(d, last) c = Add(least, q)",
    "magnitudes, summed": "q = Abs(d) m = ReduceSum(q, last) c = Add(m, least)",
    "clipped from above after all": SUM + "k = Clip(s, , two) c = Max(k, least)",
}
MAYBE_ZERO = {
    "as it is": SUM + "c = Identity(s)",
    "clipped at zero": SUM + "c = Clip(s, zero)",
    "clipped below zero": SUM + "c = Clip(s, below)",
    "clipped to a number below zero": SUM + "k = Clip(s, least) c = Clip(k, , zero)",
    "the larger of it and zero": SUM + "c = Max(s, zero)",
    "the smaller of it and a number": SUM + "k = Clip(s, zero) c = Min(k, least)",
    "a root": "q = Pow(d, two) c = Sqrt(q)",
    "anything and a number": SUM + "c = Add(s, half)",
    "less a number": "q = Mul(d, d) n = Add(q, half) c = Sub(n, half)",
    "a power that may vanish": SUM + "c = Exp(s)",
    "rounded to a half on the way": SUM + "k = Clip(s, least) j = Cast<to=10>(k) c = Cast<to=1>(j)",
    "padded with zeros": SUM + "k = Clip(s, least) c = Pad(k, pads)",
    "an odd power and a number": "q = Pow(d, three) c = Add(q, eighth)",
    "two different factors": "q = Mul(d, two) c = Add(q, one)",
}
DIVIDED = " h = MatMul(x, w) a = Relu(h) y = Div(a, c)"
FEEDS = [
    {"x": np.ones((1, 1, 4), np.float32), "d": np.full((1, 1, 1), number, np.float32)}
    for number in (0, 1, -0.5, -1e30, -200, -1e-9, 7)
]


def model(divisor: str) -> onnx.ModelProto:
    text = "g (float[N, 1, 4] x, float[N, 1, 1] d) => (float[A, B, C] y) {" + divisor + DIVIDED + "}"
    return parse(text, STORED, 18)


def zeros(proto: onnx.ModelProto) -> list[bool]:
    found = constants_forward(context(proto, FEEDS[1]), {})["y"]
    return np.broadcast_to(found.zero, (1, 1, 3)).reshape(-1).tolist()


@pytest.mark.parametrize("form", NOT_ZERO)
def test_zero_over_what_is_not_zero_is_zero(form: str) -> None:
    proto = model(NOT_ZERO[form])
    assert zeros(proto) == [True, False, False]
    for feeds in FEEDS:
        assert (run(proto, feeds)["y"].reshape(-1, 3)[:, 0] == 0).all()


@pytest.mark.parametrize("form", MAYBE_ZERO)
def test_zero_over_what_may_be_zero_is_not_known(form: str) -> None:
    proto = model(MAYBE_ZERO[form])
    assert not any(zeros(proto))
    with np.errstate(all="ignore"):
        assert any(np.isnan(run(proto, feeds)["y"]).any() for feeds in FEEDS)


def test_a_constant_over_what_is_not_zero_is_none() -> None:
    proto = model(NOT_ZERO["clipped from below"].replace("c = Clip", "k = Clip") + " c = Identity(k)")
    bias = proto.graph.initializer.add()
    bias.CopyFrom(onnx.numpy_helper.from_array(np.array([1.5, 0, 0], np.float32), "b"))
    (relu,) = [node for node in proto.graph.node if node.op_type == "Relu"]
    proto.graph.node.insert(list(proto.graph.node).index(relu), onnx.helper.make_node("Add", ["h", "b"], ["n"]))
    relu.input[0] = "n"
    facts = constants_forward(context(proto, FEEDS[1]), {})
    assert facts["a"].known.reshape(-1).tolist() == [True, False, False]
    assert not facts["y"].any
