"""Shapes that no run showed: where they contradict each other a call is a barrier, and nothing is raised."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from random import Random

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import analyzer
from analyzer.errors import DeadunitsError
from analyzer.facts.units import SampleAxis, ShapeTable
from analyzer.graph import LoadedModel
from analyzer.ops.context import Context
from analyzer.ops.fitting_shapes import fit_together
from analyzer.runtime.loading import load_model
from analyzer.shapes.shape_run import measure_shapes
from analyzer.shapes.shape_session import told_by
from tests.laws.benches import Bench, Case
from tests.laws.cases import RULES, case_of
from tests.laws.test_rules import EXAMPLES
from tests.models import Array, parse

LENGTHS = (-7, -1, 0, 1, 2, 5, 9)
ODD = "odd.domain"


@pytest.mark.parametrize("rule", RULES, ids="::".join)
def test_shapes_that_a_run_showed_fit_together(rule: tuple[str, str]) -> None:
    for seed in range(4):
        bench = Bench(case_of(rule, Random(seed)))
        assert bench.call.barrier is not None or fit_together(bench.call.rule, bench.op), bench.case


@pytest.mark.parametrize("rule", RULES, ids="::".join)
def test_shapes_that_are_not_asked_for_are_those_of_a_run(rule: tuple[str, str]) -> None:
    for seed in range(6):
        bench = Bench(case_of(rule, Random(seed)))
        if read := told_by(bench.op.node):
            shown = next(iter(bench.run(bench.case.feeds).values())).shape
            assert shown == np.broadcast_shapes(*(shape or () for shape in bench.op.in_shapes[: len(read)])), bench.case


@pytest.mark.parametrize("rule", RULES, ids="::".join)
def test_shapes_that_contradict_each_other_raise_nothing(rule: tuple[str, str]) -> None:
    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), report_multiple_bugs=False)
    @given(seed=st.integers(0, 2**32 - 1))
    def holds(seed: int) -> None:
        random = Random(seed)
        case = damaged(case_of(rule, random), random)
        with suppress(DeadunitsError):
            analyzer.audit(never_run(case.model()))

    holds()


@pytest.mark.parametrize(
    ("body", "stored"),
    [
        ("y = Reshape (x, s)", {"s": np.array([1, 8])}),
        ("y = Reshape (x, s)", {"s": np.array([5, 7])}),
        ("y = DepthToSpace <blocksize = 3> (m)", {"m": np.zeros((1, 4, 2, 2), np.float32)}),
        ("y = DequantizeLinear <axis = 0> (q, s, z)",
         {"q": np.zeros((4, 3), np.int8), "s": np.ones(3, np.float32), "z": np.zeros(3, np.int8)}),
        ("y = ReduceMean <axes = [1, 1]> (x)", {}),
    ],
)  # fmt: skip
def test_a_call_whose_shapes_do_not_fit_together_is_a_barrier(body: str, stored: dict[str, Array]) -> None:
    model = parse(f"m (float[1, 6] x) => (float[a, b] y) {{ {body} }}", stored, 13)
    loaded = load_model(never_run(model))
    assert barriers(loaded, measure_shapes(loaded, None)) == {"y"}


@pytest.mark.parametrize(
    ("body", "opset"),
    [
        ("y = Expand (x, bounds)", 13),
        ("y = Slice (x, bounds, bounds, bounds)", 13),
        ("y = Slice <starts = [0], ends = [1, 2]> (x)", 9),
        ("y = Gather (x, bounds) z = Reshape (x, bounds)", 13),
    ],
)
def test_lists_of_another_rank_or_length_raise_nothing(body: str, opset: int) -> None:
    stored = {"bounds": np.array([[0, 1]])} if "bounds" in body else {}
    with suppress(DeadunitsError):
        analyzer.audit(never_run(parse(f"m (float[1, 6] x) => (float[a, b] y) {{ {body} }}", stored, opset)))


def barriers(loaded: LoadedModel, table: ShapeTable) -> set[str]:
    """What is made by calls of which nothing is known."""
    assert not table.measured
    shapes = {"y": (2, 4), **table.shapes}
    context = Context(loaded.graph, replace(table, shapes=shapes, sample_axes=dict.fromkeys(shapes, SampleAxis(None))))
    return {call.outputs[0] for call in context.calls if call.barrier is not None and not call.op.node.domain}


def never_run(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with an operator beside it that onnxruntime does not have."""
    model.graph.node.append(onnx.helper.make_node("Odd", [model.graph.input[0].name], ["odd"], domain=ODD))
    model.graph.output.append(onnx.helper.make_tensor_value_info("odd", onnx.TensorProto.FLOAT, None))
    model.opset_import.append(onnx.helper.make_opsetid(ODD, 1))
    return model


def damaged(case: Case, random: Random) -> Case:
    """The case with another length, rank, number or attribute in one or two places."""
    arrays, node = dict(case.arrays), onnx.NodeProto.FromString(case.node.SerializeToString())
    for _ in range(random.choice((1, 1, 2))):
        if random.random() < 0.6 and arrays:
            name = random.choice(sorted(arrays))
            arrays[name] = _other(arrays[name], random)
        elif node.attribute:
            _change(random.choice(list(node.attribute)), random)
    return replace(case, node=node, arrays=arrays)


def _other(array: Array, random: Random) -> Array:
    kind = random.random()
    if array.dtype.kind in "iu" and kind < 0.5 and array.size:
        array = array.copy()
        limits = np.iinfo(array.dtype)
        array.reshape(-1)[random.randrange(array.size)] = np.clip(random.choice(LENGTHS), limits.min, limits.max)
        return array
    if array.ndim and array.size and kind < 0.75:
        axis = random.randrange(array.ndim)
        return array.take(range(array.shape[axis] + random.choice((-1, 1, 2))), axis, mode="wrap")
    if array.ndim and array.size and kind < 0.88:
        return np.asarray(array.take(0, random.randrange(array.ndim)))
    return np.expand_dims(array, random.choice((0, -1)))


def _change(attribute: onnx.AttributeProto, random: Random) -> None:
    if attribute.type == onnx.AttributeProto.INT:
        attribute.i = random.choice(LENGTHS)
    elif attribute.type == onnx.AttributeProto.INTS and attribute.ints:
        kind = random.random()
        if kind < 0.4:
            attribute.ints.append(random.choice(LENGTHS))
        elif kind < 0.7:
            attribute.ints.pop()
        else:
            attribute.ints[random.randrange(len(attribute.ints))] = random.choice(LENGTHS)
