"""Random graphs with nested choices between branches and killed units inside, against the same computation unfolded."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import analyzer
from analyzer import Data
from analyzer.api.audit_result import Audit
from analyzer.errors import ComparisonFailed, InputError
from analyzer.facts.choice import Choice
from analyzer.facts.evidence import Evidence
from analyzer.facts.units import ShapeTable
from analyzer.graph import Graph
from analyzer.ops.context import HIDDEN
from analyzer.ops.decided import decided_branches
from analyzer.ops.lengths import Lengths
from analyzer.probes.probe import open_probe
from analyzer.runtime.loading import load_model
from analyzer.shapes.shape_run import measure_shapes
from tests.models import Array, parse, session

SAMPLES, WIDTH = 24, 6
GRAPHS = 16


@dataclass
class Scope:
    """A graph while it grows: its nodes and what it stores itself."""

    depth: int = 0
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    stored: dict[str, Array] = field(default_factory=dict)


class Made:
    """A random model with choices, and beside it the nodes that a run computes, each choice followed to its end."""

    def __init__(self, seed: int, kinds: tuple[str, ...] = ("stored", "fed", "shape", "folded")) -> None:
        self.random, self.numbers = Random(seed), np.random.default_rng(seed)
        self.kinds = kinds
        self.main, self.flags = Scope(), dict[str, Array]()
        self.unfolded, self.unfolded_stored = list[onnx.NodeProto](), dict[str, Array]()
        self.audited: list[str] = []  # in the order in which they are computed
        self.undecided = 0  # choices that a run comes to and its feed alone decides
        self.shared = self._weights(WIDTH, WIDTH)
        self.main.stored |= {"shared_w": self.shared[0], "shared_b": self.shared[1]}
        self.unfolded_stored |= self.main.stored
        self.names = 0
        value, twin = self._layers(self.main, "x", "x", taken=True)
        value, twin = self._choice(self.main, value, twin, depth=2, taken=True)
        value, twin = self._layers(self.main, value, twin, taken=True)
        self._dense(self.main, value, twin, taken=True, relu=False, name="y", width=3)
        self.model = self._model(self.main.nodes, self.main.stored, ["y"])
        self.probe = {"x": self.numbers.normal(0, 1, (SAMPLES, WIDTH)).astype(np.float32)}

    @property
    def feeds(self) -> dict[str, Array]:
        return self.probe | self.flags

    def truth(self) -> list[Array]:
        """What the audited values are, from the unfolded computation."""
        stored = self.unfolded_stored
        model = self._model(self.unfolded, stored, [*self.audited, self.output])
        return [np.asarray(a) for a in session(model).run([*self.audited, self.output], self.probe)]

    def _model(self, nodes: list[onnx.NodeProto], stored: dict[str, Array], outputs: list[str]) -> onnx.ModelProto:
        inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", WIDTH])]
        if outputs == ["y"]:
            inputs += [helper.make_tensor_value_info(name, TensorProto.BOOL, []) for name in self.flags]
        given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        tensors = [numpy_helper.from_array(a, n) for n, a in stored.items()]
        graph = helper.make_graph(nodes, "g", inputs, given, tensors)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)

    def _weights(self, rows: int, columns: int) -> tuple[Array, Array]:
        w = self.numbers.normal(0, 1, (rows, columns)).astype(np.float32)
        b = self.numbers.normal(0, 0.3, columns).astype(np.float32)
        for unit in range(columns):
            draw = self.random.random()
            if draw < 0.2:
                b[unit] = -100  # never fires
            elif draw < 0.35:
                w[:, unit], b[unit] = 0, 0.5 + self.random.random()  # another constant than 0
        return w, b

    def _dense(
        self,
        scope: Scope,
        source: str,
        twin: str,
        *,
        taken: bool,
        relu: bool = True,
        name: str = "",
        width: int = WIDTH,
    ) -> tuple[str, str]:
        """A dense layer; its weights lie outside (some are shared), or in the scope under names that others have."""
        own = name or f"{self.random.choice('hgv')}{scope.depth}"
        while any(own in node.output for node in scope.nodes):
            own += "_"
        where = "shared" if width == WIDTH and self.random.random() < 0.2 else self.random.choice(["main", "scope"])
        w, b = self.shared if where == "shared" else self._weights(WIDTH, width)
        self.names += 1
        names = ["shared_w", "shared_b"] if where == "shared" else [f"{own}_w", f"{own}_b"]
        if where == "main":
            names = [f"w{self.names}", f"b{self.names}"]
            self.main.stored |= dict(zip(names, (w, b), strict=True))
        elif where == "scope":
            scope.stored |= dict(zip(names, (w, b), strict=True))
        summed = f"{own}_sum" if relu else own
        scope.nodes.append(helper.make_node("Gemm", [source, *names], [summed], name=f"{own}_gemm"))
        if relu:
            scope.nodes.append(helper.make_node("Relu", [summed], [own], name=f"{own}_relu"))
        if taken:
            u = f"u{self.names}"
            self.unfolded_stored |= {f"{u}_w": w, f"{u}_b": b}
            self.unfolded.append(helper.make_node("Gemm", [twin, f"{u}_w", f"{u}_b"], [f"{u}_sum"]))
            self.unfolded.append(helper.make_node("Relu" if relu else "Identity", [f"{u}_sum"], [u]))
            self.output = u
            if relu:
                self.audited.append(u)
            return own, u
        return own, ""

    def _layers(self, scope: Scope, value: str, twin: str, *, taken: bool) -> tuple[str, str]:
        for _ in range(self.random.randint(1, 2)):
            value, twin = self._dense(scope, value, twin, taken=taken)
        return value, twin

    def _condition(self, scope: Scope, *, taken: bool) -> tuple[str, bool]:
        kind, value = self.random.choice(self.kinds), self.random.random() < 0.5
        self.names += 1
        name = f"c{self.names}"
        if kind == "fed":
            self.flags[name] = np.array(value)
        elif kind == "stored":
            scope.stored[name] = np.array(value)
        elif kind == "folded":
            scope.stored[f"{name}_1"] = np.array(1.0 if value else -1.0, np.float32)
            scope.stored[f"{name}_0"] = np.array(0.0, np.float32)
            scope.nodes.append(helper.make_node("Greater", [f"{name}_1", f"{name}_0"], [name]))
        else:
            scope.stored |= {f"{name}_at": np.array(1), f"{name}_length": np.array(WIDTH if value else 1)}
            scope.nodes.append(helper.make_node("Shape", ["x"], [f"{name}_shape"]))
            scope.nodes.append(helper.make_node("Gather", [f"{name}_shape", f"{name}_at"], [f"{name}_dim"]))
            scope.nodes.append(helper.make_node("Equal", [f"{name}_dim", f"{name}_length"], [name]))
        self.undecided += taken and kind == "fed"
        return name, value

    def _choice(self, scope: Scope, source: str, twin: str, *, depth: int, taken: bool) -> tuple[str, str]:
        condition, value = self._condition(scope, taken=taken)
        result, branches = "", []
        for branch in (True, False):
            body, runs = Scope(scope.depth + 1), taken and branch == value
            inner, inner_twin = source, twin
            if self.random.random() < 0.8:
                inner, inner_twin = self._layers(body, source, twin, taken=runs)
            if depth and self.random.random() < 0.7:
                inner, inner_twin = self._choice(body, inner, inner_twin, depth=depth - 1, taken=runs)
            if inner == source:  # nothing was computed: onnxruntime wants a node
                body.nodes.append(helper.make_node("Identity", [inner], [f"same{body.depth}"]))
                inner = f"same{body.depth}"
            elif self.random.random() < 0.3:
                inner, inner_twin = self._dense(body, inner, inner_twin, taken=runs)
            if runs:
                result = inner_twin
            given = [helper.make_tensor_value_info(inner, TensorProto.FLOAT, None)]
            tensors = [numpy_helper.from_array(a, n) for n, a in body.stored.items()]
            branches.append(helper.make_graph(body.nodes, "branch", [], given, tensors))
        self.names += 1
        name = f"chosen{self.names}"
        scope.nodes.append(
            helper.make_node("If", [condition], [name], then_branch=branches[0], else_branch=branches[1])
        )
        return name, result


def audited(made: Made) -> Audit:
    return analyzer.audit(made.model, Data(made.feeds, constants=[*made.flags]), causes=False)


def choices(graph: onnx.GraphProto) -> int:
    inner = [a.g for node in graph.node for a in node.attribute if a.HasField("g")]
    return sum(node.op_type == "If" for node in graph.node) + sum(map(choices, inner))


def constant_units(value: Array) -> list[int]:
    return [unit for unit in range(value.shape[1]) if np.unique(value[:, unit]).size == 1]


@pytest.mark.parametrize("seed", range(GRAPHS))
def test_units_in_branches_are_judged_by_what_a_run_computes(seed: int) -> None:
    made = Made(seed)
    *values, _ = made.truth()
    layers = [layer for layer in audited(made).layers if layer.samples and layer.audited.op == "Relu"]
    assert [list(layer.dead) for layer in layers] == [constant_units(value) for value in values]


@pytest.mark.parametrize("seed", range(GRAPHS))
def test_what_is_cut_in_branches_changes_nothing(seed: int) -> None:
    made = Made(seed)
    audit = audited(made)
    for choice in (Choice(), Choice(evidence=Evidence.STRUCTURAL)):
        pruned = audit.prune(choice=choice, latency=False)
        feeds = [made.feeds]
        if choice.evidence is Evidence.STRUCTURAL:  # whatever the model is fed
            feeds += [made.probe | {name: np.array(not flag) for name, flag in made.flags.items()}]
        else:
            assert audit.removable.parameters == pruned.facts.before.parameters - pruned.facts.after.parameters
        for feed in feeds:
            before, after = (session(m).run(None, feed)[0] for m in (made.model, onnx.load_from_string(pruned.data)))
            np.testing.assert_allclose(before, after, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", range(GRAPHS))
def test_a_choice_that_the_file_decides_is_gone(seed: int) -> None:
    made = Made(seed, ("stored", "folded", "shape"))
    pruned = audited(made).prune(latency=False)
    assert choices(onnx.load_from_string(pruned.data).graph) == 0
    assert choices(made.model.graph) > 0
    layers = [layer for layer in audited(made).layers if layer.audited.op == "Relu"]
    assert len(layers) == len(made.audited)


@pytest.mark.parametrize("seed", range(0, GRAPHS, 2))
def test_branches_that_no_sample_takes_go_when_asked_for(seed: int) -> None:
    made = Made(seed)
    pruned = audited(made).prune(choice=Choice(branches="taken"), latency=False)
    smaller = onnx.load_from_string(pruned.data)
    assert choices(smaller.graph) == 0
    before, after = (session(m).run(None, _fed(m, made.feeds))[0] for m in (made.model, smaller))
    np.testing.assert_allclose(before, after, rtol=1e-4, atol=1e-5)
    assert pruned.facts.observed
    record = {p.key: p.value for p in smaller.metadata_props}
    said = any("would take another branch" in note for note in pruned.facts.notes)
    assert said == bool(made.undecided) == (record.get("deadunits.branches") == "as the probe takes them")
    assert record["deadunits.evidence"] == "observed"


def _fed(model: onnx.ModelProto, feeds: dict[str, Array]) -> dict[str, Array]:
    return {value.name: feeds[value.name] for value in model.graph.input}


def test_branches_go_by_samples_alone() -> None:
    made = Made(0)
    with pytest.raises(InputError, match="goes by the samples"):
        audited(made).prune(choice=Choice(branches="taken", evidence=Evidence.STRUCTURAL), latency=False)
    with pytest.raises(InputError, match="fewer than you ask for"):
        audited(made).prune(choice=Choice(branches="taken", min_samples=SAMPLES + 1), latency=False)
    with pytest.raises(InputError, match="give a probe"):
        analyzer.audit(made.model, causes=False).prune(choice=Choice(branches="taken"), latency=False)


def test_wrong_facts_about_branches_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = decided_branches

    def wrong(graph: Graph, table: ShapeTable, lists: Lengths) -> dict[str, int]:
        return {key: 1 - branch for key, branch in right(graph, table, lists).items()}

    monkeypatch.setattr("analyzer.ops.context.decided_branches", wrong)
    with pytest.raises((AssertionError, ComparisonFailed)):
        for seed in range(GRAPHS):
            test_what_is_cut_in_branches_changes_nothing(seed)


DENSE = "h = Gemm(x, w1, b1) r = Relu(h)"


def _weights(**more: Array) -> dict[str, Array]:
    numbers = np.random.default_rng(0)
    w = {f"w{i}": numbers.normal(0, 1, (4, 4)).astype(np.float32) for i in (1, 2, 3)}
    b = {f"b{i}": np.array([-100, 1, 1, 1], np.float32) for i in (1, 2, 3)}
    return w | b | {"zero": np.zeros((), np.float32)} | more


@pytest.mark.parametrize("inputs", ["float[N, T] x", "float[N, 4] x, float[K] d"])
@pytest.mark.parametrize("probe", [True, False])
def test_a_length_of_which_runs_showed_one_size_decides_no_choice(inputs: str, probe: bool) -> None:
    """Other lengths do not run, or are not tried, as that of a default: they may take the other branch all the same."""
    measured, other = ("x", 9) if "T" in inputs else ("d", 4)
    model = parse(
        f"""g ({inputs}) => (float[N, 4] y) {{ s = Shape({measured}) t = Gather(s, last) c = Equal(t, four)
        y = If(c) <then_branch = e () => (float[N, 4] p) {{ p = MatMul(x, w) }},
                  else_branch = o () => (float[N, 4] q) {{ q = MatMul(x, v) }}> }}""",
        _weights(
            w=np.ones((4, 4), np.float32), v=np.ones((other, 4), np.float32), d=np.ones(4, np.float32),
            last=np.array(-1), four=np.array(4),
        ),
        opset=17,
    )  # fmt: skip
    data = {"x": np.random.default_rng(1).normal(0, 1, (8, 4)).astype(np.float32)} if probe else None
    pruned = analyzer.prune(model, data, causes=False, latency=False)
    assert choices(onnx.load_from_string(pruned.data).graph) == 1


def test_branches_that_only_some_samples_take_are_not_judged_and_kept() -> None:
    model = parse(
        f"""g (float[N, 4] x) => (float[N, 4] y) {{ {DENSE} top = ReduceMax<keepdims=0>(x) c = Greater(top, limit)
        y = If(c) <then_branch = t () => (float[N, 4] p) {{ s = Gemm(r, w2, b2) p = Relu(s) }},
                  else_branch = e () => (float[N, 4] q) {{ s = Gemm(r, w3, b3) q = Relu(s) }}> }}""",
        _weights(limit=np.array(1.0, np.float32)),
        opset=17,
    )
    rows = np.random.default_rng(1).normal(0, 1, (32, 4)).astype(np.float32)
    audit = analyzer.audit(model, {"x": rows}, causes=False)
    assert [(layer.value, list(layer.dead)) for layer in audit.layers if layer.samples] == [("r", [0])]
    assert {entry.reason for entry in audit.judged.left_out} == {HIDDEN}
    assert [lock.reason for lock in audit.locked] == ["subgraph-capture"]
    pruned = audit.prune(latency=False)
    assert not pruned.changed


def test_samples_of_a_holdout_may_take_the_other_branch() -> None:
    model = parse(
        f"""g (float[N, 4] x) => (float[N, 4] y) {{ {DENSE} top = ReduceMax<keepdims=0>(x) c = Greater(top, limit)
        y = If(c) <then_branch = t () => (float[N, 4] p) {{ s = Gemm(r, w2, b2) p = Relu(s) }},
                  else_branch = e () => (float[N, 4] q) {{ q = Neg(r) }}> }}""",
        _weights(limit=np.array(0.0, np.float32)),
        opset=17,
    )
    rows = np.abs(np.random.default_rng(1).normal(0, 1, (16, 4))).astype(np.float32)
    alone = analyzer.audit(model, {"x": rows}, causes=False)
    assert [layer.value for layer in alone.layers if layer.samples] == ["r", "p"]
    both = analyzer.audit(model, Data({"x": rows}, {"x": -rows}), causes=False)
    assert [layer.value for layer in both.layers if layer.samples] == ["r"]


def test_a_name_that_a_branch_and_the_graph_around_it_both_use() -> None:
    model = parse(
        f"""g (float[N, 4] x, bool flag) => (float[N, 4] y) {{ {DENSE}
        z = If(flag) <then_branch = t () => (float[N, 4] p) {{ s = Gemm(r, w2, b2) p = Relu(s) }},
                     else_branch = e () => (float[N, 4] p) {{ s = Gemm(r, w3, b3) p = Relu(s) }}>
        s = Gemm(z, w3, b3) p = Relu(s) y = Gemm(p, w1, b1) }}""",
        _weights(),
        opset=17,
    )
    rows = np.random.default_rng(1).normal(0, 1, (16, 4)).astype(np.float32)
    feeds = {"x": rows, "flag": np.array(True)}
    audit = analyzer.audit(model, Data(feeds, constants=["flag"]), causes=False)
    assert [list(layer.dead) for layer in audit.layers if layer.samples and layer.audited.op == "Relu"] == [[0]] * 3
    pruned = audit.prune(latency=False)
    before, after = (
        session(onnx.load_from_string(m)).run(None, feeds)[0] for m in (model.SerializeToString(), pruned.data)
    )
    np.testing.assert_allclose(before, after, rtol=1e-4, atol=1e-5)


def test_branches_that_cannot_be_opened_are_left_alone() -> None:
    model = parse(
        f"""g (float[N, 4] x, bool flag) => (float[N, 4] y) {{ {DENSE}
        some = If(flag)
            <then_branch = t () => (seq(float[N, 4]) p) {{ s = Gemm(r, w2, b2) p = SequenceConstruct(s, s) }},
            else_branch = e () => (seq(float[N, 4]) q) {{ q = SequenceConstruct(r) }}>
        z = SequenceAt(some, first) y = Gemm(z, w3, b3) }}""",
        _weights(first=np.array(0)),
        opset=13,  # in which nothing gives a sequence another name
    )
    rows = np.random.default_rng(1).normal(0, 1, (8, 4)).astype(np.float32)
    audit = analyzer.audit(model, Data({"x": rows, "flag": np.array(True)}, constants=["flag"]), causes=False)
    assert [layer.value for layer in audit.layers if layer.samples] == ["r", "y"]


def test_a_length_that_values_decide_makes_no_choice_for_good() -> None:
    model = parse(
        f"""g (float[1, 4] x) => (float[1, 4] y) {{ {DENSE}
        one = Reshape(x, lone) m = NonZero(one) s = Shape(m) n = Gather(s, second) c = Greater(n, none)
        y = If(c) <then_branch = t () => (float[1, 4] p) {{ t1 = Gemm(r, w2, b2) p = Relu(t1) }},
                  else_branch = e () => (float[1, 4] q) {{ t2 = Gemm(r, w3, b3) q = Relu(t2) }}> }}""",
        _weights(lone=np.array([1, 4]), second=np.array(1), none=np.array(0)),
        opset=17,
    )
    rows = 1 + np.random.default_rng(1).random((16, 4), np.float32)
    audit = analyzer.audit(model, {"x": rows}, causes=False)
    assert [layer.value for layer in audit.layers if layer.samples] == ["r", "p"]
    pruned = audit.prune(choice=Choice(evidence=Evidence.STRUCTURAL), latency=False)
    assert not pruned.changed
    assert choices(onnx.load_from_string(audit.prune(latency=False).data).graph) == 1


def test_a_branch_that_other_lengths_do_not_take_keeps_what_varies_along_its_axes() -> None:
    model = parse(
        """g (float[N, T, 4] x) => (float[N, T, 4] y) {
        s = Shape(x) n = Gather(s, second) c = Less(n, limit)
        y = If(c) <then_branch = t () => (float[N, T, 4] p) { m = MatMul(x, w1) u = Relu(m) p = MatMul(u, w2) },
                  else_branch = e () => (float[N, T, 4] q) { q = Neg(x) }> }""",
        _weights(second=np.array(1), limit=np.array(6)),
        opset=17,
    )
    rows = np.random.default_rng(1).normal(0, 1, (16, 5, 4)).astype(np.float32)
    shapes = measure_shapes(load_model(model), open_probe({"x": rows}, load_model(model).graph.inputs))
    assert shapes.shapes["u"] == (1, 5, 4)
    assert shapes.dynamic["u"] == {0, 1, 2}  # the branch takes 1 to 5 positions; none of these was tried
