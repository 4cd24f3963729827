"""The form that a model is analysed in gives what its file gives: alone and several samples at once."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from analyzer.errors import DeadunitsError, RunError
from analyzer.graph import serialize
from analyzer.graph.lend import as_given
from analyzer.runtime.loading import load_model
from analyzer.runtime.opening import Optimization
from analyzer.runtime.session import Session
from analyzer.shapes.confirmed_lengths import with_confirmed_lengths
from tests.conformance.node_cases import node_cases
from tests.conformance.test_folding import fed
from tests.equivalence.cases import CASES
from tests.equivalence.cases_forms import FORMS
from tests.equivalence.cases_moving import MOVING
from tests.laws import test_branches, test_loops
from tests.models import Array
from tests.random_graphs.generator import make
from tests.random_graphs.quantised import make_dynamic, make_few_bits
from tests.random_graphs.recurrent import make_recurrent

PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "dev")
NODES = {"dev": 100, "ci": 120}.get(PROFILE, 1 << 20)
GRAPHS = {"dev": 4, "ci": 6}.get(PROFILE, 60)
SEED = int(time.time()) if PROFILE == "nightly" else 0
BATCHES = (1, 3)
HALF = 2e-3


def outputs(source: Any, feeds: Mapping[str, Any]) -> dict[str, Any]:
    with Session(source, threads=1, optimization=Optimization.NONE, few_runs=True) as session:
        return session.run(feeds)


def same(one: Mapping[str, Any], two: Mapping[str, Any]) -> bool:
    """To the bit; halves up to rounding, as onnxruntime computes parts in float32, and where depends on the nodes."""
    if [*one] != [*two]:
        return False
    return all(_equal(np.asarray(a), np.asarray(b)) for a, b in zip(one.values(), two.values(), strict=True))


def _equal(a: Array, b: Array) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype == np.float16:
        return np.allclose(a, b, rtol=HALF, atol=HALF, equal_nan=True)
    return a.tolist() == b.tolist() or a.tobytes() == b.tobytes()


def taken(model: onnx.ModelProto, all_feeds: Iterable[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], Any]]:
    """The feeds that onnxruntime takes for this file, and what it gives."""
    results = []
    for feeds in all_feeds:
        with suppress(RunError):
            results.append((feeds, outputs(model.SerializeToString(), feeds)))
    return results


def in_a_function(model: onnx.ModelProto) -> onnx.ModelProto:
    """All nodes in a function, whose values have the names that the main graph has for others."""
    changed, graph = copied(model), model.graph
    inputs = [*(value.name for value in graph.input), *(tensor.name for tensor in graph.initializer)]
    given = [value.name for value in graph.output]
    changed.functions.append(
        helper.make_function("own", "Net", inputs, given, list(graph.node), list(model.opset_import))
    )
    del changed.graph.node[:]
    changed.graph.node.append(helper.make_node("Net", inputs, given, domain="own"))
    changed.opset_import.append(helper.make_opsetid("own", 1))
    return changed


def in_a_branch(model: onnx.ModelProto) -> onnx.ModelProto:
    """All nodes in a branch of an If that is taken, with all that is stored."""
    changed = copied(model)
    body, made = changed.graph, [value.name for value in model.graph.output]
    branch = onnx.GraphProto(name="branch", initializer=body.initializer, node=body.node)
    for node in branch.node:  # names in a branch must not be those of the outputs outside
        node.output[:] = [f"{name}/inner" if name in made else name for name in node.output]
        node.input[:] = [f"{name}/inner" if name in made else name for name in node.input]
    branch.output.extend(helper.make_empty_tensor_value_info(f"{name}/inner") for name in made)
    del body.node[:], body.initializer[:]
    body.initializer.append(numpy_helper.from_array(np.array(True), "always"))
    body.node.append(helper.make_node("If", ["always"], made, then_branch=branch, else_branch=branch))
    return changed


def spelled_out(model: onnx.ModelProto) -> onnx.ModelProto:
    """The standard domain by its name; onnxruntime knows it so in the main graph alone."""
    changed = copied(model)
    for opset in changed.opset_import:
        opset.domain = opset.domain or "ai.onnx"
    for node in changed.graph.node:
        node.domain = node.domain or "ai.onnx"
    return changed


def listed_as_inputs(model: onnx.ModelProto) -> onnx.ModelProto:
    """Stored tensors listed among the inputs, as the first IR versions ask for."""
    changed = copied(model)
    for tensor in model.graph.initializer:
        changed.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    return changed


def stored_by_nodes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Stored tensors as Constant nodes, behind all that reads them."""
    changed = copied(model)
    changed.graph.node.extend(helper.make_node("Constant", [], [t.name], value=t) for t in model.graph.initializer)
    del changed.graph.initializer[:]
    return changed


FORMS_OF_FILES: dict[str, Callable[[onnx.ModelProto], onnx.ModelProto]] = {
    "as it is": lambda model: model,
    "function": in_a_function,
    "branch": in_a_branch,
    "branch in a function": lambda model: in_a_function(in_a_branch(model)),
    "spelled out": spelled_out,
    "branch spelled out": lambda model: spelled_out(in_a_branch(model)),
    "listed as inputs": listed_as_inputs,
    "stored by nodes": stored_by_nodes,
}


def copied(model: onnx.ModelProto) -> onnx.ModelProto:
    return onnx.ModelProto.FromString(model.SerializeToString())


def graphs() -> Iterator[tuple[str, onnx.ModelProto, Mapping[str, Any]]]:
    for case in (*CASES, *MOVING, *FORMS):
        yield case.name, case.model(), case.probe()
    for maker in (make, make_recurrent, make_few_bits, make_dynamic):
        for seed in range(SEED, SEED + GRAPHS):
            made = maker(seed)
            yield f"{maker.__name__}({seed})", made.model, made.probe
    for module in (test_branches, test_loops):
        for seed in range(SEED, SEED + GRAPHS):
            nested = module.Made(seed)
            yield f"{module.__name__}.Made({seed})", nested.model, nested.feeds


@pytest.mark.parametrize("form", FORMS_OF_FILES)
def test_the_loaded_form_gives_what_the_file_gives(form: str) -> None:
    held = 0
    for name, given, feeds in graphs():
        model = FORMS_OF_FILES[form](given)
        sizes = ({n: a[:size] if a.ndim else a for n, a in feeds.items()} for size in BATCHES)
        results = taken(model, sizes)
        if not results:
            continue  # not every graph is one in this form
        try:
            loaded = with_confirmed_lengths(load_model(model), None, 1)
            for batch, expected in results:
                for what in (loaded, as_given(loaded), serialize(loaded)):
                    assert same(expected, outputs(what, batch))
        except (AssertionError, DeadunitsError) as error:
            error.add_note(name)
            raise
        held += len(results)
    assert held > 4 * GRAPHS + len(CASES)


def test_the_loaded_form_of_onnx_s_own_cases_gives_what_they_give() -> None:
    cases = [case for _, some in sorted(node_cases().items()) for case in some if fed(case)]
    held = 0
    for case in random.Random(SEED).sample(cases, min(NODES, len(cases))):
        feeds = fed(case) or {}
        for form in (case.model, spelled_out(case.model)):
            raw = form.SerializeToString()
            try:
                drawn = not same(outputs(raw, feeds), outputs(raw, feeds))
                loaded = load_model(form)
            except DeadunitsError:
                continue  # too old or too new
            if not drawn:
                assert same(outputs(raw, feeds), outputs(loaded, feeds)), case.name
                held += 1
    assert held > min(NODES, len(cases))
