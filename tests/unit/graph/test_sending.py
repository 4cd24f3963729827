"""What is loaded and opened here can be sent to another process: files travel as paths, memory as bytes."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from analyzer.errors import ModelError, ProbeError
from analyzer.facts.units import ShapeTable
from analyzer.graph import Editor, LoadedModel
from analyzer.graph.open_branches import with_branches
from analyzer.graph.stored import StoredTensor
from analyzer.observe.observation import Observation, observe
from analyzer.ops.context import Context
from analyzer.probes.probe import open_probe, random_probe
from analyzer.runtime.loading import load_model
from analyzer.runtime.session import Session
from analyzer.shapes.shape_run import measure_shapes
from analyzer.units import select_units
from analyzer.walk import walk
from tests.models import parse

W = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
X = np.random.default_rng(1).standard_normal((12, 64)).astype(np.float32)
TEXT = """g (float[n,64] x) => (float[n,64] y, float[n,64] z)
    { u = Transpose(w) m = MatMul(x, u) h = Relu(m) y = Mul(h, s) c = Cast<to=1>(t)
      z = If<then_branch = a () => (float[n,64] p) { p = Mul(m, c) },
             else_branch = b () => (float[n,64] q) { q = Neg(m) }>(f) }"""


def model() -> onnx.ModelProto:
    return parse(TEXT, {"w": W, "s": np.ones(64, np.float32), "t": np.array(["2"], object), "f": np.array(True)})


@pytest.fixture(params=["file", "beside", "bytes"])
def loaded(request: pytest.FixtureRequest, tmp_path: Path) -> LoadedModel:
    if request.param == "bytes":
        return load_model(model())
    path, beside = tmp_path / "model.onnx", request.param == "beside"
    onnx.save(model(), path, save_as_external_data=beside, location="weights.bin", size_threshold=1024)
    return load_model(path)


def sent(thing: Any) -> bytes:
    return bytes(ForkingPickler.dumps(thing))


def received(thing: Any) -> Any:
    return ForkingPickler.loads(sent(thing))


def in_another_process(work: Any, *given: Any) -> Any:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, given)


def test_another_process_observes_the_same(loaded: LoadedModel) -> None:
    probe = open_probe({"x": X}, loaded.graph.inputs)
    shapes = measure_shapes(loaded, probe)
    audited = select_units(loaded.graph, shapes)
    here, there = observe(loaded, probe, audited, shapes), in_another_process(observe, loaded, probe, audited, shapes)
    assert isinstance(there, Observation)
    assert there.samples == here.samples == 12
    for value, statistics in here.statistics.items():
        assert np.array_equal(there.statistics[value].maximum, statistics.maximum)
        assert np.array_equal(there.statistics[value].fired, statistics.fired)


def test_another_process_shows_the_same_shapes(loaded: LoadedModel) -> None:
    probe = random_probe(loaded.graph.inputs, samples=3)
    there = in_another_process(measure_shapes, loaded, probe)
    assert isinstance(there, ShapeTable)
    assert there == measure_shapes(loaded, probe)


def test_a_received_model_is_the_same(loaded: LoadedModel) -> None:
    other = received(loaded)
    assert other.sha256 == loaded.sha256
    assert other.raw == loaded.raw
    assert other.graph.constant("u").tobytes() == W.T.tobytes()
    with Session(loaded) as here, Session(other) as there:
        assert np.array_equal(here.run({"x": X})["y"], there.run({"x": X})["y"])


def test_a_received_graph_and_context_are_the_same(loaded: LoadedModel) -> None:
    loaded.graph.constant("u")
    graph = received(loaded.graph)
    assert [(n.name, n.inputs, n.captured) for n in graph.nodes] == [
        (n.name, n.inputs, n.captured) for n in loaded.graph.nodes
    ]
    assert graph.types == loaded.graph.types
    for name in ("w", "s", "u", "c", "f"):
        there, here = graph.constant(name), loaded.graph.constant(name)
        assert here is not None
        assert np.array_equal(there, here)
    context = received(Context(loaded.graph, measure_shapes(loaded, None)))
    assert context.shapes == Context(loaded.graph, measure_shapes(loaded, None)).shapes
    assert walk(context.graph, context.table, ()).parameters == 64 * 64 + 64


def test_large_weights_of_a_file_are_not_sent(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(model(), path)
    loaded = load_model(path)
    loaded.graph.constant("u")
    assert len(sent(loaded)) < 1000
    assert len(sent(loaded.graph)) < W.nbytes / 2
    other = received((loaded, loaded.graph))
    stored = other[0].model.graph.initializers["w"].const_value
    assert isinstance(stored, StoredTensor)
    assert not other[1].constant("w").flags.writeable


def test_an_edited_copy_is_sent_with_its_edits(loaded: LoadedModel) -> None:
    editor = Editor(loaded.copy())
    editor.set_tensor("s", np.zeros(64, np.float32))
    editor.output(editor.add("Neg", ["m"]))
    other = received(editor.loaded)
    assert not other.graph.constant("s").any()
    assert len(other.graph.outputs) == 3


def test_what_a_copy_assumes_is_sent_with_it(loaded: LoadedModel) -> None:
    """Which branches were taken, which loops are not entered: without it a feed that takes others would not be seen."""
    table = measure_shapes(loaded, open_probe({"x": X}, loaded.graph.inputs))
    opened = with_branches(loaded, table.taken)
    for thing in (
        opened,
        replace(opened, shut=frozenset({"k"}), steps={"s": ("k",)}),
        replace(loaded, shut=frozenset({"k"})),
    ):
        other = received(thing)
        assert (other.assumed, other.shut, other.steps) == (thing.assumed, thing.shut, thing.steps)
        assert (other.closed is None) == (thing.closed is None)
    assert received(opened).closed.sha256 == loaded.sha256


@pytest.mark.parametrize("thing", ["model", "graph"])
def test_a_file_that_has_changed_is_refused(tmp_path: Path, thing: str) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(model(), path)
    loaded = load_model(path)
    content = sent(loaded if thing == "model" else loaded.graph)
    other = model()
    other.doc_string = "another"
    onnx.save(other, path)
    with pytest.raises(ModelError, match="has changed since it was loaded"):
        ForkingPickler.loads(content)


def test_a_received_probe_gives_the_same_samples(tmp_path: Path) -> None:
    inputs = load_model(model()).graph.inputs
    np.savez(tmp_path / "probe.npz", x=X)
    for probe in (
        open_probe(tmp_path / "probe.npz", inputs, limit=7),
        open_probe({"x": X}, inputs, limit=7),
        open_probe([{"x": row} for row in X], inputs, limit=7),
        random_probe(inputs, samples=7),
    ):
        other = received(probe)
        assert other.source == probe.source
        assert other.random == probe.random
        assert other.fingerprint == probe.fingerprint
        assert other.samples == probe.samples == 7


def test_data_that_can_be_read_only_once_says_so() -> None:
    probe = open_probe(({"x": row} for row in X), load_model(model()).graph.inputs)
    with pytest.raises(ProbeError, match="can be read once"):
        sent(probe)
