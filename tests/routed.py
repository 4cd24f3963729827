"""Mixtures of experts in the forms that exporters and fusions write, with experts that nothing is routed to."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

import analyzer
from analyzer import Choice
from analyzer.facts.experts import RoutedExperts
from tests.models import Array, Feeds, parse, run

EXPERTS, WIDTH, INSIDE, IDLE = 6, 8, 10, (2, 3, 5)
WEIGHTS = 2 * WIDTH * INSIDE  # of one expert, without biases
ROUTED = "f = Reshape(x, flat) s = MatMul(f, router) p = Softmax(s) "
CHOSEN = "b, i = TopK(p, k) n = ReduceSum(b, last) v = Div(b, n) "
SHARED = CHOSEN + "l = Unsqueeze(v, last) "
GATHERED = (
    "w1 = {op}(first, {ids}) u = Unsqueeze(f, middle) h = MatMul(u, w1) r = Sigmoid(h) w2 = {op}(second, {ids}) "
    "o = MatMul(r, w2) q = Squeeze(o, two) "
)
WEIGHED = "m = Mul(q, l) t = ReduceSum<keepdims=0>(m, one) "
ENDED = "y = MatMul(t, head)"


def dense_experts(marked: str) -> str:
    """All experts compute all tokens; most of that is multiplied by zero."""
    parts = [
        f"{marked.format(e=e)} g{e} = Mul(d{e}, v) u{e} = ReduceSum(g{e}, last) h{e} = MatMul(f, first{e}) "
        f"r{e} = Sigmoid(h{e}) o{e} = MatMul(r{e}, second{e}) m{e} = Mul(o{e}, u{e}) "
        for e in range(EXPERTS)
    ]
    return ROUTED + CHOSEN + "".join(parts) + f"t = Sum({', '.join(f'm{e}' for e in range(EXPERTS))}) "


def loop_experts(marked: str) -> str:
    """Each expert computes its own tokens, which are added to what others gave."""
    parts = [
        f"c{e} = Gather(marks, number{e}) z{e} = NonZero(c{e}) a{e} = Transpose(z{e}) "
        f"k{e}, i{e} = Split<axis=1>(a{e}, halves) x{e} = GatherND(f, i{e}) h{e} = MatMul(x{e}, first{e}) "
        f"r{e} = Sigmoid(h{e}) o{e} = MatMul(r{e}, second{e}) w{e} = GatherND(turned, a{e}) "
        f"u{e} = Unsqueeze(w{e}, last) m{e} = Mul(o{e}, u{e}) "
        f't{e} = ScatterND<reduction="add">({f"t{e - 1}" if e else "none"}, i{e}, m{e}) '
        for e in range(EXPERTS)
    ]
    start = "turned = Transpose(v) none = Mul(f, zero) "
    return ROUTED + CHOSEN + start + marked + "".join(parts) + f"t = Identity(t{EXPERTS - 1}) "


def fused_experts(norm: int, k: int = 2, act: str = "relu") -> str:
    more = ", swiglu_fusion=1" if act == "swiglu" else ""
    return (
        "f = Reshape(x, flat) s = MatMul(f, router) "
        f'm = com.microsoft.MoE<k={k}, normalize_routing_weights={norm}, activation_type="{act}"{more}>'
        "(x, s, rows1, bias1, rows2, bias2) t = Reshape(m, flat) "
    )


TURNED = "marks = Transpose<perm=[2, 1, 0]>(oh) "
PACKED = (
    "f = Reshape(x, flat) s = MatMul(f, router) m = com.microsoft.QMoE<k=2, normalize_routing_weights=1, "
    'expert_weight_bits=4, weights_prepacked=0, activation_type="silu">(x, s, bytes1, scale1, bias3, bytes2, scale2) '
    "t = Reshape(m, flat) "
)
FORMS = {
    "gather": ROUTED + SHARED + GATHERED.format(op="Gather", ids="i") + WEIGHED,
    "gathernd": ROUTED + SHARED + "j = Unsqueeze(i, last) " + GATHERED.format(op="GatherND", ids="j") + WEIGHED,
    "argmax": ROUTED + "i = ArgMax<axis=1>(p) " + GATHERED.format(op="Gather", ids="i") + "t = Squeeze(q, one) ",
    "dense": dense_experts("c{e} = Equal(i, number{e}) d{e} = Cast<to=1>(c{e})"),
    "cast": dense_experts("j{e} = Cast<to=6>(i) c{e} = Equal(short{e}, j{e}) d{e} = Cast<to=1>(c{e})"),
    "onehot": loop_experts("oh = OneHot(i, depth, values) " + TURNED),
    "equal": loop_experts("j = Unsqueeze(i, last) eq = Equal(j, all) oh = Cast<to=7>(eq) " + TURNED),
    "fused": fused_experts(1),
    "shares": fused_experts(0),
    "swiglu": fused_experts(0, 1, "swiglu"),
    "packed": PACKED,
    "three": fused_experts(1, 3, "silu"),
}  # fmt: skip


def stored(form: str) -> dict[str, Array]:
    random = np.random.default_rng(3)

    def normal(*shape: int) -> Array:
        return random.normal(size=shape).astype(np.float32)

    router = normal(WIDTH, EXPERTS)
    router[:, IDLE] = -2  # of what is positive a large negative score
    rows = 2 if form == "swiglu" else 1
    first, second = normal(EXPERTS, WIDTH, INSIDE), normal(EXPERTS, INSIDE, WIDTH)
    made: dict[str, Array] = {
        "router": router, "first": first, "second": second, "head": normal(WIDTH, 3),
        "rows1": normal(EXPERTS, rows * INSIDE, WIDTH), "bias1": normal(EXPERTS, rows * INSIDE),
        "rows2": normal(EXPERTS, WIDTH, INSIDE), "bias2": normal(EXPERTS, WIDTH),
        "flat": np.array([-1, WIDTH]), "k": np.array([2]), "last": np.array([-1]), "one": np.array([1]),
        "two": np.array([2]), "middle": np.array([1, 2]), "depth": np.array(EXPERTS), "values": np.array([0, 1]),
        "halves": np.array([1, 1]), "zero": np.array(0, np.float32), "all": np.arange(EXPERTS),
    }  # fmt: skip
    for n in (1, 2):
        made |= {f"bytes{n}": random.integers(0, 256, (EXPERTS, WIDTH, WIDTH // 2)).astype(np.uint8)}
        made |= {f"scale{n}": np.abs(normal(EXPERTS, WIDTH)) / 10}
    made["bias3"] = normal(EXPERTS, WIDTH)
    for e in range(EXPERTS):
        made |= {f"first{e}": first[e], f"second{e}": second[e], f"number{e}": np.array(e)}
        made[f"short{e}"] = np.array(e, np.int32)
    return made


def model(form: str, **changed: Array) -> onnx.ModelProto:
    return model_with(form, changed)


def model_with(form: str, changed: Feeds, opset: int = 18, also: str = "") -> onnx.ModelProto:
    """`also` are further outputs."""
    body = FORMS[form] + ENDED
    arrays = {name: a for name, a in {**stored(form), **changed}.items() if f"{name})" in body or f"{name}," in body}
    return parse(f"g (float[N, T, {WIDTH}] x) => (float[M, 3] y{also}) {{ {body} }}", arrays, opset)


def data(samples: int = 30) -> Array:
    return np.abs(np.random.default_rng(5).normal(size=(samples, 4, WIDTH))).astype(np.float32)


def pruned(proto: onnx.ModelProto, given: Any = None, **choice: Any) -> analyzer.Pruned:
    given = {"x": data()} if given is None else given
    return analyzer.prune(proto, given, choice=Choice(experts=True, **choice), latency=False)


def routers(proto: onnx.ModelProto, given: Any = None) -> tuple[RoutedExperts, ...]:
    found = analyzer.audit(proto, {"x": data()} if given is None else given, experts=True).facts.experts
    assert found is not None
    return found


def written(result: analyzer.Pruned) -> onnx.ModelProto:
    return onnx.ModelProto.FromString(result.data)


def same(before: onnx.ModelProto, after: onnx.ModelProto, x: Array) -> bool:
    return np.allclose(run(before, {"x": x})["y"], run(after, {"x": x})["y"], rtol=1e-4, atol=1e-4)
