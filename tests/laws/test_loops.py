"""Random graphs with loops, scans and choices in each other, killed units inside: against what numpy makes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from random import Random

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import analyzer
from analyzer import Data, Run
from analyzer.api.audit_result import Audit
from analyzer.errors import ComparisonFailed
from analyzer.graph import Node, Role, view
from analyzer.graph.subgraphs import Placed
from analyzer.ops.context import HIDDEN
from tests.models import Array, parse, session

SAMPLES, STEPS, WIDTH = 10, 3, 5
GRAPHS = 24

Values = dict[str, Array]
Step = Callable[[Values], None]


@dataclass
class Body:
    """A graph while it grows: nodes, what it stores, and the same in numpy."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    stored: Values = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)


class Made:
    """A random model of rows [N, WIDTH] and series [N, STEPS, WIDTH]; `seen` fills up as numpy computes it."""

    def __init__(self, seed: int) -> None:
        self.random, self.numbers = Random(seed), np.random.default_rng(seed)
        self.main, self.flags = Body(), Values()
        self.seen: dict[str, list[Array]] = {}
        self.number = 0
        self.main.nodes.append(helper.make_node("Transpose", ["s"], ["steps"], perm=[1, 0, 2]))
        self.main.steps.append(lambda v: v.update(steps=v["s"].transpose(1, 0, 2)))
        self.shared = self._weights(WIDTH)
        self.main.stored |= {"shared_w": self.shared[0], "shared_b": self.shared[1]}
        value = self._dense(self.main, "x")
        for _ in range(self.random.randint(1, 2)):
            value = self._nest(self.main, value, [value], depth=2)
            value = self._dense(self.main, value)
        self._dense(self.main, value, relu=False, name="y", width=2)
        rows = self.numbers.normal(0, 1, (SAMPLES, WIDTH)).astype(np.float32)
        series = self.numbers.normal(0, 1, (SAMPLES, STEPS, WIDTH)).astype(np.float32)
        self.probe = {"x": rows, "s": series}
        self.model = self._model()

    @property
    def feeds(self) -> Values:
        return self.probe | self.flags

    def dead(self) -> dict[str, list[int]]:
        """Per activation the units that are one number, over all samples and steps."""
        self.seen.clear()
        values = dict(self.feeds)
        for step in self.main.steps:
            step(values)
        rows = {name: np.concatenate(arrays) for name, arrays in self.seen.items()}
        return {n: [u for u in range(r.shape[1]) if np.unique(r[:, u]).size == 1] for n, r in rows.items()}

    def _model(self) -> onnx.ModelProto:
        inputs = [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", WIDTH]),
            helper.make_tensor_value_info("s", TensorProto.FLOAT, ["N", "T", WIDTH]),
            *(
                helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), [])
                for n, a in self.flags.items()
            ),
        ]
        given = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
        tensors = [numpy_helper.from_array(a, n) for n, a in self.main.stored.items()]
        graph = helper.make_graph(self.main.nodes, "g", inputs, given, tensors)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)

    def _name(self, stem: str) -> str:
        self.number += 1
        return f"{stem}{self.number}"

    def _weights(self, columns: int) -> tuple[Array, Array]:
        w = self.numbers.normal(0, 0.6, (WIDTH, columns)).astype(np.float32)
        b = self.numbers.normal(0, 0.3, columns).astype(np.float32)
        for unit in range(columns):
            draw = self.random.random()
            if draw < 0.25:
                b[unit] = -100  # never fires
            elif draw < 0.4:
                w[:, unit], b[unit] = 0, 0.5 + self.random.random()  # another constant than 0
        return w, b

    def _dense(self, body: Body, source: str, *, relu: bool = True, name: str = "", width: int = WIDTH) -> str:
        made, summed = name or self._name("r"), self._name("sum")
        shared = width == WIDTH and self.random.random() < 0.2
        w, b = self.shared if shared else self._weights(width)
        names = ["shared_w", "shared_b"] if shared else [self._name("w"), self._name("b")]
        if not shared:
            (self.main if self.random.random() < 0.5 else body).stored.update(zip(names, (w, b), strict=True))
        body.nodes.append(helper.make_node("Gemm", [source, *names], [summed], name=f"{made}_gemm"))
        body.nodes.append(helper.make_node("Relu" if relu else "Identity", [summed], [made], name=f"{made}_act"))

        def step(values: Values) -> None:
            values[made] = values[source] @ w + b
            if relu:
                values[made] = np.maximum(values[made], 0)
                self.seen.setdefault(made, []).append(values[made])

        body.steps.append(step)
        return made

    def _add(self, body: Body, one: str, two: str) -> str:
        made = self._name("plus")
        body.nodes.append(helper.make_node("Add", [one, two], [made]))
        body.steps.append(lambda v: v.update({made: v[one] + v[two]}))
        return made

    def _nest(self, body: Body, value: str, around: list[str], depth: int) -> str:
        kind = self.random.choice([self._loop, self._scan, self._if])
        return kind(body, value, around, depth)

    def _inner(self, body: Body, value: str, around: list[str], depth: int) -> str:
        """Layers, some of which read values from outside, and maybe another nest."""
        value = self._dense(body, value)
        if self.random.random() < 0.5:
            value = self._add(body, value, self.random.choice(around))
        if depth and self.random.random() < 0.5:
            value = self._nest(body, value, [*around, value], depth - 1)
        return self._dense(body, value)

    def _graph(self, body: Body, inputs: list[onnx.ValueInfoProto], outputs: list[str]) -> onnx.GraphProto:
        tensors = [numpy_helper.from_array(a, n) for n, a in body.stored.items()]
        kinds = {"go": TensorProto.BOOL}
        given = [helper.make_tensor_value_info(n, kinds.get(n[:2], TensorProto.FLOAT), None) for n in outputs]
        return helper.make_graph(body.nodes, self._name("body"), inputs, given, tensors)

    def _state(self, name: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, None)

    def _loop(self, body: Body, value: str, around: list[str], depth: int) -> str:
        inner, state, result, stacked = Body(), self._name("h"), self._name("loop"), self._name("stacked")
        i, going, go, count = (self._name(stem) for stem in ("i", "going", "go", "count"))
        times = self.random.randint(1, 3)
        if self.random.random() < 0.5:
            self.flags[count] = np.array(times)
        else:
            self.main.stored[count] = np.array(times)
        inner.nodes.append(helper.make_node("Identity", [going], [go]))
        end = self._inner(inner, state, around, depth)
        inputs = [
            helper.make_tensor_value_info(i, TensorProto.INT64, []),
            helper.make_tensor_value_info(going, TensorProto.BOOL, []),
            self._state(state),
        ]
        graph = self._graph(inner, inputs, [go, end, self._twice(inner, end)])
        body.nodes.append(helper.make_node("Loop", [count, "", value], [result, stacked], body=graph))

        def step(values: Values) -> None:
            values[state] = values[value]
            for _ in range(times):
                for line in inner.steps:
                    line(values)
                values[state] = values[end]
            values[result] = values[state]

        body.steps.append(step)
        return result

    def _twice(self, body: Body, value: str) -> str:
        made = self._name("given")
        body.nodes.append(helper.make_node("Identity", [value], [made]))
        return made

    def _scan(self, body: Body, value: str, around: list[str], depth: int) -> str:
        inner, state, entry, result = Body(), self._name("h"), self._name("entry"), self._name("scan")
        end = self._inner(inner, self._add(inner, state, entry), around, depth)
        graph = self._graph(inner, [self._state(state), self._state(entry)], [end, self._twice(inner, end)])
        node = helper.make_node("Scan", [value, "steps"], [result, self._name("all")], body=graph, num_scan_inputs=1)
        if self.random.random() < 0.3:
            node.attribute.append(helper.make_attribute("scan_output_directions", [1]))
        body.nodes.append(node)

        def step(values: Values) -> None:
            values[state] = values[value]
            for row in values["steps"]:
                values[entry] = row
                for line in inner.steps:
                    line(values)
                values[state] = values[end]
            values[result] = values[state]

        body.steps.append(step)
        return result

    def _if(self, body: Body, value: str, around: list[str], depth: int) -> str:
        condition, result, taken = self._name("flag"), self._name("chosen"), self.random.random() < 0.5
        where = self.flags if self.random.random() < 0.5 else self.main.stored
        where[condition] = np.array(taken)
        bodies = (Body(), Body())
        ends = [self._inner(branch, value, around, depth) for branch in bodies]
        graphs = [self._graph(b, [], [e]) for b, e in zip(bodies, ends, strict=True)]
        body.nodes.append(helper.make_node("If", [condition], [result], then_branch=graphs[0], else_branch=graphs[1]))

        def step(values: Values) -> None:
            for line in bodies[not taken].steps:
                line(values)
            values[result] = values[ends[not taken]]

        body.steps.append(step)
        return result


def audited(made: Made) -> Audit:
    return analyzer.audit(made.model, Data(made.feeds, constants=[*made.flags]), causes=False)


@pytest.mark.parametrize("seed", range(GRAPHS))
def test_units_in_loops_are_judged_over_all_steps(seed: int) -> None:
    made = Made(seed)
    truth = made.dead()
    layers = {layer.value: list(layer.dead) for layer in audited(made).layers if layer.samples}
    rectified = {name: dead for name, dead in layers.items() if name in truth}
    assert rectified == {name: truth[name] for name in rectified}
    hidden = {n for n in truth if n not in rectified}
    assert not hidden or "If" in str(made.model)  # within a choice that each step may make anew
    assert len(rectified) > len(hidden)


@pytest.mark.parametrize("seed", range(GRAPHS))
def test_what_is_cut_in_loops_changes_nothing(seed: int) -> None:
    made = Made(seed)
    audit = audited(made)
    pruned = audit.prune(latency=False)
    assert audit.removable.parameters == pruned.facts.before.parameters - pruned.facts.after.parameters
    longer = {"s": np.concatenate([made.probe["s"], made.probe["s"][:, :2]], axis=1)}
    for feed in (made.feeds, made.feeds | longer):
        before, after = (session(m).run(None, feed)[0] for m in (made.model, onnx.load_from_string(pruned.data)))
        if feed is made.feeds:
            np.testing.assert_allclose(before, after, rtol=1e-4, atol=1e-5)
        assert before.shape == after.shape


def test_a_loop_that_gives_nothing_out_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = view._node_of

    def wrong(placed: Placed, index: int, opsets: Mapping[str, int], scope: str | None) -> Node:
        node = right(placed, index, opsets, scope)
        return replace(node, captured=()) if node.role is Role.EXIT else node

    monkeypatch.setattr(view, "_node_of", wrong)
    with pytest.raises((AssertionError, ComparisonFailed)):
        for seed in range(GRAPHS):
            test_what_is_cut_in_loops_changes_nothing(seed)


WEIGHTS = {
    "w": np.eye(4, dtype=np.float32),
    "ones": np.ones(4, np.float32),
    "down": np.array([-9, -9, -9, -1], np.float32),  # unit 3 fires once the state has grown
    "yes": np.array(True),
}
RECTIFIES = """g (float[N, 4] x, int64 count) => (float[N, 4] y) {
    y = Loop <body = b (int64 i, bool on, float[N, 4] h) => (bool go, float[N, 4] next) {
        go = Identity(on) s = Gemm(h, w, down) r = Relu(s) u = Add(h, ones) next = Add(u, r)
    }> (count, yes, x) }"""


@pytest.mark.parametrize(("steps", "dead"), [(1, [0, 1, 2, 3]), (3, [0, 1, 2])])
def test_a_unit_that_fires_in_a_later_step_is_alive(steps: int, dead: list[int]) -> None:
    rows = np.random.default_rng(0).random((8, 4), np.float32)
    data = Data({"x": rows, "count": np.array(steps)}, constants=["count"])
    audit = analyzer.audit(parse(RECTIFIES, WEIGHTS, opset=17), data, causes=False)
    assert {layer.value: list(layer.dead) for layer in audit.layers if layer.samples} == {"r": dead}


@pytest.mark.parametrize("steps", [0, 3])
def test_a_loop_that_some_sample_does_not_enter_is_not_judged(steps: int) -> None:
    model = parse(
        """g (float[1, 4] x, int64 count) => (float[1, 4] y) { p = Gemm(x, w, ones) q = Relu(p)
        z = Loop <body = b (int64 i, bool on, float[1, 4] h) => (bool go, float[1, 4] next) {
            go = Identity(on) s = Gemm(h, w, down) r = Relu(s) next = Add(h, r) }> (count, yes, q)
        y = Gemm(z, w, ones) }""",
        WEIGHTS,
        opset=17,
    )
    rows = np.random.default_rng(0).random((4, 4), np.float32)
    counts = np.array([2, steps, 3, 1])
    feeds = [{"x": row[None], "count": np.array(count)} for row, count in zip(rows, counts, strict=True)]
    audit = analyzer.audit(model, feeds, causes=False)
    judged = {layer.value for layer in audit.layers if layer.samples}
    assert ("r" in judged) == bool(steps)
    assert judged >= {"q", "y"}
    assert {entry.reason for entry in audit.judged.left_out} == (set() if steps else {HIDDEN})


def test_a_state_that_grows_from_step_to_step_is_left_alone() -> None:
    model = parse(
        """g (float[N, 4] x) => (float[N, 4] y) { first = Unsqueeze(x, front)
        all = Loop <body = b (int64 i, bool on, float[M, N, 4] h) => (bool go, float[L, N, 4] next) {
            go = Identity(on) m = ReduceMean<axes = [0], keepdims = 0>(h) s = Gemm(m, w, down) r = Relu(s)
            t = Gemm(r, w, ones) e = Unsqueeze(t, front) q = Concat<axis = 0>(h, e) next = Relu(q)
        }> (count, yes, first)
        y = ReduceSum<keepdims = 0>(all, front) }""",
        {**WEIGHTS, "front": np.array([0]), "count": np.array(3)},
        opset=17,
    )
    rows = np.random.default_rng(0).random((8, 4), np.float32)
    audit = analyzer.audit(model, {"x": rows}, causes=False)
    judged = {layer.value: list(layer.dead) for layer in audit.layers if layer.samples}
    assert judged["r"] == [0, 1, 2, 3]
    assert "next" not in judged
    assert audit.prune(latency=False).facts.after.parameters < audit.model.parameters


def test_an_outer_unit_that_only_a_body_reads_goes_from_both() -> None:
    model = parse(
        """g (float[N, 4] x) => (float[N, 4] y) { s = Gemm(x, w, down) r = Relu(s) z = Gemm(x, w, ones)
        y = Loop <body = b (int64 i, bool on, float[N, 4] h) => (bool go, float[N, 4] next) {
            go = Identity(on) t = Gemm(r, v, ones) u = Tanh(t) next = Add(h, u) }> (count, yes, z) }""",
        {**WEIGHTS, "v": np.random.default_rng(1).normal(0, 1, (4, 4)).astype(np.float32), "count": np.array(2)},
        opset=17,
    )
    rows = 5 * np.random.default_rng(0).random((8, 4), np.float32)
    audit = analyzer.audit(model, {"x": rows}, causes=False)
    assert audit.facts.conditions.one_by_one  # nobody knows whether a loop keeps samples apart
    pruned = audit.prune(latency=False)
    shapes = {t.name: tuple(t.dims) for t in onnx.load_from_string(pruned.data).graph.initializer}
    assert shapes["v"] == (1, 4)
    before, after = (session(m).run(None, {"x": rows})[0] for m in (model, onnx.load_from_string(pruned.data)))
    np.testing.assert_allclose(before, after, rtol=1e-5, atol=1e-6)


def test_samples_that_share_a_feed_by_the_word_of_the_user_are_seen_alike() -> None:
    made = Made(2)
    alone = audited(made)
    data = Data(made.feeds, constants=[*made.flags])
    together = analyzer.audit(made.model, data, run=Run(independent=True), causes=False)
    assert together.facts.conditions.stated
    assert [(one.value, one.dead) for one in together.layers] == [(one.value, one.dead) for one in alone.layers]


def test_how_far_units_in_loops_are_from_firing_is_measured_over_all_steps() -> None:
    rows = np.random.default_rng(0).random((8, 4), np.float32)
    data = Data({"x": rows, "count": np.array(3)}, constants=["count"])
    audit = analyzer.audit(parse(RECTIFIES, WEIGHTS, opset=17), data)
    assert not audit.facts.conditions.causes_failed
    (diagnosis,) = audit.facts.diagnoses
    entering = np.concatenate([rows + step - 9 for step in range(3)])[:, :3]  # the state grows by 1 in each step
    measured = np.array(diagnosis.distances[:3], np.float64)
    np.testing.assert_allclose(measured, -entering.max(axis=0) / entering.std(axis=0), rtol=1e-3)
