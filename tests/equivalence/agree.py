"""Prune, write, and hold the written file against the original in every way that a user of the file could."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.reference
import onnxruntime as ort

import analyzer
from analyzer import Pruned
from tests.models import Array

TOLERANCE = {"float16": 2e-2, "float32": 2e-5, "float64": 1e-9}
LEVELS = (
    ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
)


def fresh_like(feeds: Mapping[str, Array], seed: int = 99) -> dict[str, Array]:
    """Other inputs of the same kind."""
    rng = np.random.default_rng(seed)

    def drawn(a: Array) -> Array:
        if a.dtype.kind == "f":
            return np.asarray(rng.standard_normal(a.shape) * 2, a.dtype)
        return rng.permutation(a.reshape(-1)).reshape(a.shape)

    return {name: drawn(a) for name, a in feeds.items()}


def run(model: onnx.ModelProto | str | Path, feeds: Mapping[str, Array], level: Any = LEVELS[0]) -> list[Array]:
    """The outputs of a model or a file."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = level
    source = model.SerializeToString() if isinstance(model, onnx.ModelProto) else str(model)
    session = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    return list(session.run(None, dict(feeds)))


def same(one: list[Array], two: list[Array], tolerance: float | None = None) -> None:
    """Equal up to the rounding of another order of summation."""
    assert len(one) == len(two)
    for a, b in zip(one, two, strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        if a.dtype.kind == "f":
            allowed = (tolerance or TOLERANCE[a.dtype.name]) * max(float(np.abs(a).max(initial=0)), 1e-3)
            assert float(np.abs(a.astype(np.float64) - b).max(initial=0)) <= allowed
        else:
            assert np.array_equal(a, b)


def pruned_and_checked(
    model: onnx.ModelProto,
    probe: Mapping[str, Array],
    folder: Path,
    *,
    reference: bool = True,
    tolerance: float | None = None,
    structural: bool = False,
    fresh: Mapping[str, Array] | None = None,
) -> Pruned:
    """Prune (on the probe, or by the weights alone), write, and check the written file."""
    before = model.SerializeToString(deterministic=True)
    result = analyzer.prune(model, None if structural else dict(probe), latency=False)
    repeated = analyzer.prune(model, None if structural else dict(probe), latency=False)
    assert model.SerializeToString(deterministic=True) == before, "the input was changed"
    assert repeated.data == result.data, "not deterministic"
    promise_is_kept(result)
    target = folder / "small.onnx"
    result.save(target)
    written = onnx.load(str(target))
    if not result.changed:
        assert target.read_bytes() == before
        return result
    onnx.checker.check_model(written, full_check=True)
    feeds = [dict(probe), dict(fresh) if fresh is not None else fresh_like(probe)]
    for data in feeds:
        expected = run(model, data)
        for level in LEVELS:
            same(expected, run(target, data, level), tolerance)
    if reference:
        try:
            known: Any = onnx.reference.ReferenceEvaluator(model).run(None, feeds[0])
        except Exception:  # noqa: BLE001 - it does not know every operator of every opset
            known = None
        if known is not None:
            again: Any = onnx.reference.ReferenceEvaluator(written).run(None, feeds[0])
            same(known, again, tolerance or 1e-4)
    untouched(model, written)
    assert result.facts.after.parameters <= result.facts.before.parameters
    twice = analyzer.prune(result.data, None if structural else dict(probe), latency=False)
    assert not twice.changed, "a second prune removes more"
    assert twice.data == result.data
    return result


def promise_is_kept(pruned: Pruned) -> None:
    """What the audit says can go is what the cut took, net of what it added."""
    before, after = pruned.facts.before, pruned.facts.after
    assert pruned.audit.removable.parameters == before.parameters - after.parameters
    assert pruned.audit.removable.multiply_adds == before.multiply_adds - after.multiply_adds


def untouched(model: onnx.ModelProto, written: onnx.ModelProto) -> None:
    """Names and types of inputs and outputs, versions and metadata stay."""
    assert written.ir_version == model.ir_version
    assert {(o.domain, o.version) for o in model.opset_import} == {(o.domain, o.version) for o in written.opset_import}
    initializers = {i.name for i in model.graph.initializer}
    kept = {i.name for i in written.graph.initializer}
    inputs = [i for i in model.graph.input if i.name not in initializers]
    assert inputs == [i for i in written.graph.input if i.name not in kept]
    assert [o.name for o in model.graph.output] == [o.name for o in written.graph.output]
    assert [o.type.tensor_type.elem_type for o in model.graph.output if o.type.HasField("tensor_type")] == [
        o.type.tensor_type.elem_type for o in written.graph.output
    ][: len([o for o in model.graph.output if o.type.HasField("tensor_type")])]
    metadata = {p.key: p.value for p in written.metadata_props}
    assert {p.key: p.value for p in model.metadata_props}.items() <= metadata.items()
    assert metadata["deadunits.source_sha256"]
    new = {o for n in written.graph.node for o in n.output} - {o for n in model.graph.node for o in n.output}
    for name in new:
        assert "/" in name, f"{name} is a new value that looks like an old one"
