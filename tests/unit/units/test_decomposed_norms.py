"""Normalisations that are written as several nodes are audited, explained and named like those in one."""

from __future__ import annotations

import numpy as np
import pytest

import analyzer
from analyzer.facts.causes import CauseCode
from tests.models import Array, parse

MEAN = "m = ReduceMean<axes=[-1]>(x) d = Sub(x, m)"
LAYER = f"{MEAN} p = Pow(d, two) v = ReduceMean<axes=[-1]>(p) e = Add(v, eps) r = Sqrt(e) q = Div(d, r)"
RMS = "p = Mul(x, x) v = ReduceMean<axes=[-1]>(p) e = Add(eps, v) r = Sqrt(e) i = Reciprocal(r) q = Mul(i, x)"
ONE_OVER = "p = Pow(x, two) v = ReduceMean<axes=[2]>(p) e = Add(v, eps) r = Sqrt(e) i = Div(one, r) q = Mul(x, i)"
POWER = "p = Pow(x, two) v = ReduceMean<axes=[2]>(p) e = Add(v, eps) i = Pow(e, root) q = Mul(x, i)"
HALVES = "h = Cast<to=10>(x) f = Cast<to=1>(h) p = Mul(f, f) v = ReduceMean<axes=[2]>(p) e = Add(v, eps) "
HALVES += "i = Pow(e, root) o = Mul(f, i) k = Cast<to=10>(o) q = Cast<to=1>(k)"
UNLIKE = {
    "over all": LAYER.replace("axes=[-1]>(p)", "axes=[1, 2]>(p)"),
    "over another": LAYER.replace("axes=[-1]>(x)", "axes=[1]>(x)"),
    "another power": LAYER.replace("two", "three"),
    "of another value": LAYER.replace("Div(d, r)", "Div(x, r)"),
    "read within": f"{LAYER} t = Tanh(v)",
}


def audited(lines: str, learned: str = "s = Mul(q, g) n = Add(s, b)") -> analyzer.Audit:
    """Of `x`, made by a dense layer; scale 3 is 0, channel 5 of x is constant."""
    rng = np.random.default_rng(0)
    stored: dict[str, Array] = {"w": rng.normal(size=(4, 8)), "g": rng.normal(size=8), "b": rng.normal(size=8)}
    stored["w"][:, 5] = stored["g"][3] = 0
    stored |= {
        "two": np.array(2),
        "three": np.array(3),
        "one": np.array(1),
        "root": np.array(-0.5),
        "eps": np.array(1e-5),
    }
    outputs = "(float[a, b, c] n, float[d, e, f] t)" if " t = " in lines else "(float[a, b, c] n)"
    text = f"g (float[N, 6, 4] z) => {outputs} {{ x = MatMul(z, w) {lines} {learned} }}"
    used = {name: np.asarray(array, np.float32) for name, array in stored.items()}
    model = parse(text, used, 13)
    for node in model.graph.node:
        node.name = node.output[0]
    return analyzer.audit(model, {"z": rng.normal(size=(16, 6, 4)).astype(np.float32)})


@pytest.mark.parametrize(
    ("lines", "name"),
    [(LAYER, "LayerNormalization"), *((lines, "RMSNormalization") for lines in (RMS, ONE_OVER, POWER, HALVES))],
)
def test_its_output_is_audited_and_explained(lines: str, name: str) -> None:
    audit = audited(lines)
    layers = {layer.value: layer for layer in audit.layers}
    assert layers["n"].audited.op == f"{name} (decomposed)"
    assert set(layers["n"].dead) >= {3}
    cause = next(found.cause_of(3) for found in audit.facts.diagnoses if found.value == "n")
    assert cause is not None and cause.code is CauseCode.NORM_SCALE_ZERO
    assert cause.detail == "its scale in s is 0"
    (locked,) = (entry for entry in audit.locked if entry.value == "x")
    assert locked.units == (5,)
    if name == "LayerNormalization":
        assert locked.reason == "normalisation-statistics"
        assert locked.detail == f"q ({name}, decomposed) normalises over this axis"
    else:  # zeros could go
        assert locked.reason == "graph-output"
    assert audit.judged.parameters_share == 1


@pytest.mark.parametrize("learned", ["n = Mul(g, q)", "n = Identity(q)"])
def test_what_it_learned_may_be_missing(learned: str) -> None:
    assert "LayerNormalization (decomposed)" in {layer.audited.op for layer in audited(LAYER, learned).layers}


@pytest.mark.parametrize("lines", UNLIKE.values(), ids=UNLIKE)
def test_what_only_looks_like_one_is_none(lines: str) -> None:
    assert not any("Normalization" in layer.audited.op for layer in audited(lines).layers)
