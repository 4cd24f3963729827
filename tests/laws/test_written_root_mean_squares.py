"""Streams normalised by a root mean square in single operators: channels that are 0 go, and no others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import onnx
import pytest

from analyzer.ops.binary import Aligned
from analyzer.rewrite import factors, shrink
from tests.audits import Pruned, pruned
from tests.laws.nets import Net
from tests.models import build, parse

WIDTH, SQUARED = 6, "q = Pow(x, two) m = ReduceMean(q, last) e = Add(m, eps)"
#: Ways to write it, or what is like it.
FORMS = {
    "over the root": f"{SQUARED} r = Sqrt(e) d = Div(x, r) y = Mul(d, w)",
    "times one over it": f"{SQUARED} r = Sqrt(e) i = Div(one, r) d = Mul(i, x) y = Mul(w, d)",
    "times its reciprocal": "q = Mul(x, x) m = ReduceMean(q, last) e = Add(eps, m) r = Sqrt(e) i = Reciprocal(r) "
    "d = Mul(x, i) y = Mul(w, d)",
    "as a power": f"{SQUARED} i = Pow(e, root) d = Mul(x, i) y = Mul(d, w)",
    "without a scale": f"{SQUARED} r = Sqrt(e) y = Div(x, r)",
    "scaled before": f"{SQUARED} r = Sqrt(e) i = Reciprocal(r) s = Mul(w, x) y = Mul(s, i)",
    "by hand": "q = Mul(x, x) t = ReduceSum(q, last) m = Mul(t, sixth) e = Add(m, eps) r = Sqrt(e) d = Div(x, r) "
    "y = Mul(d, w)",
    "by a norm": "n = ReduceL2(x, last) e = Max(n, eps) d = Div(x, e) y = Mul(d, w)",
    "by magnitudes": "a = Abs(x) m = ReduceMean(a, last) e = Add(m, eps) d = Div(x, e) y = Mul(d, w)",
    "in halves outside": "f = Cast<to=1>(x) q = Pow(f, two) m = ReduceMean(q, last) e = Add(m, eps) r = Sqrt(e) "
    "i = Reciprocal(r) d = Mul(f, i) h = Cast<to=10>(d) y = Mul(w, h)",
}
NEW_MUL = ("without a scale", "scaled before")  # no stored number behind the root can take the factor
NUMBERS = {"two": 2.0, "one": 1.0, "root": -0.5, "sixth": 1 / WIDTH, "last": [-1]}


def normalised(form: str, seed: int) -> tuple[Pruned, int]:
    """Two normalisations of one stream that share an epsilon, and how many channels are not 0.

    Some are 0 in one summand alone, some are constants other than 0: those stay.
    """
    net, half = Net(Random(seed)), "halves" in form
    draw, dtype = net.arrays.normal, np.float16 if half else np.float32
    feed = {"x": draw(0, 1, (3, 4, 5)).astype(dtype)}
    dead = net.arrays.random(WIDTH) < 0.5
    streams = [draw(0, 1, (5, WIDTH)) * ~dead for _ in range(2)]
    streams[0] += dead * draw(0, 1, WIDTH) * (net.arrays.random(WIDTH) < 0.2)
    stuck = (net.arrays.random(WIDTH) < 0.2) * ~np.any(streams, axis=(0, 1))
    parts = [net.add("MatMul", "x", net.keep(weight, dtype)) for weight in streams]
    stream = net.add("Add", net.add("Add", *parts), net.keep(stuck * draw(2, 1, WIDTH), dtype))
    net.stored["eps"] = np.asarray(net.random.choice([1e-5, 0.5]), np.float32)
    net.stored |= {name: np.asarray(n, np.int64 if name == "last" else np.float32) for name, n in NUMBERS.items()}
    for _ in range(2):
        names = {"x": stream, "w": net.keep(draw(1, 0.3, WIDTH), dtype)}
        graph = onnx.parser.parse_graph(f"g (float x) => (float y) {{ {FORMS[form]} }}")
        for node in graph.node:
            node.input[:] = [names.get(name, name) for name in node.input]
            names |= {name: f"{name}{len(net.nodes)}" for name in node.output}
            node.output[:] = [names[name] for name in node.output]
            net.nodes.append(node)
        stream = net.add("Add", stream, names["y"])
    y = net.add("MatMul", stream, net.keep(draw(0, 1, (WIDTH, 3)), dtype))
    used = {name for node in net.nodes for name in node.input}
    stored = {name: array for name, array in net.stored.items() if name in used}
    alive = np.any(streams, axis=(0, 1)) | stuck
    return pruned(build(net.nodes, feed, stored, [y], 18, free=(0,)), feed), int(alive.sum())


def count(found: Pruned, op_type: str) -> int:
    return sum(node.op_type == op_type for node in found.model.graph.node)


@pytest.mark.parametrize("form", FORMS)
def test_a_root_mean_square_in_single_operators_is_taken_over_fewer_channels(form: str) -> None:
    widths = set()
    for seed in range(12):
        found, alive = normalised(form, seed)
        assert found.difference < (0.05 if "halves" in form else 1e-4), seed
        assert found.shape("w0")[1:] == (alive,), seed
        widths.add(alive)
        added = 2 * (form in NEW_MUL and alive < WIDTH)
        assert count(found, "Mul") == 2 * FORMS[form].count("Mul(") + added, seed
    assert len(widths) > 2


def _epsilon_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    honest: Any = Aligned.scaling

    def scaling(self: Any, node: Any, position: int) -> Any:
        found = honest(self, node, position)
        return found and replace(found, along=None)

    monkeypatch.setattr(Aligned, "scaling", scaling)


def _the_scale_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shrink, "taken_up", lambda *given: (factors.taken_up(*given) or [])[:-1])


def _nothing_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shrink.Shrinker, "_multiply", lambda *_: None)


@pytest.mark.parametrize("fault", [_epsilon_stays, _the_scale_stays, _nothing_takes_it])
def test_a_factor_that_is_forgotten_shows(
    fault: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    fault(monkeypatch)
    assert max(normalised("over the root", seed)[0].difference for seed in range(12)) > 1e-2


def test_an_epsilon_that_all_share_is_stored_once_more() -> None:
    found, alive = next(pair for seed in range(12) if (pair := normalised("over the root", seed))[1] < WIDTH)
    sums = {node.input[1] for node in found.model.graph.node if node.op_type == "Add" and "eps" in node.input[1]}
    assert alive < WIDTH
    assert len(sums) == 1


def channels_averaged(body: str, **stored: Any) -> Pruned:
    """Six channels of which two never fire, and what their mean is used for."""
    draw = np.random.default_rng(0)
    arrays = {"w": draw.normal(size=(6, 3, 3, 3)), "b": np.array([1, -99, 1, -99, 1, 1.0]), **stored}
    x = draw.normal(size=(3, 3, 5, 5)).astype(np.float32)
    text = "g (float[N, 3, 5, 5] x) => (float[N, i, j, k] y) { c = Conv<pads = [1, 1, 1, 1]>(x, w, b) r = Relu(c) "
    text += f"{body} }}"
    return pruned(parse(text, {n: np.asarray(a, np.float32) for n, a in arrays.items()}, 17), {"x": x})


def test_a_map_of_means_over_channels_lets_dead_ones_go() -> None:
    """As attention over positions takes it (CBAM)."""
    v = np.random.default_rng(1).normal(size=(2, 6, 1, 1))
    found = channels_averaged("m = ReduceMean<axes = [1]>(r) g = Sigmoid(m) p = Mul(r, g) y = Conv(p, v)", v=v)
    assert found.shape("w")[0] == 4
    assert found.difference < 1e-5
    assert count(found, "Mul") == 2


def test_a_constant_other_than_zero_stays_in_front_of_a_mean() -> None:
    v = np.random.default_rng(1).normal(size=(2, 6, 1, 1))
    w = np.random.default_rng(0).normal(size=(6, 3, 3, 3))
    w[3] = 0
    b = np.array([1, -99, 1, 2, 1, 1.0])
    found = channels_averaged("m = ReduceMean<axes = [1]>(r) n = Conv(r, v) y = Add(n, m)", v=v, w=w, b=b)
    assert found.shape("w")[0] == 5
    assert found.difference < 1e-5
    assert found.reasons("r") == {"constant-not-zero": (3,)}
