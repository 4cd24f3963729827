"""Folding gives what onnxruntime gives, to the bit, over ONNX's own cases in every opset; and it raises nothing."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper, version_converter
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from analyzer.graph.load import OLDEST_OPSET
from analyzer.runtime.loading import load_model
from tests.conformance.node_cases import NEWEST_OPSET, node_cases
from tests.models import Array, session

PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "dev")
CASES = {"dev": 60, "ci": 100}.get(PROFILE, 1 << 20)
SEED = int(time.time()) if PROFILE == "nightly" else 0
#: Operators that are left alone in some of their cases: they draw numbers or hold graphs; how much they give is not
#: known before they run; their result is no array; or onnxruntime spells them out (in old opsets) without shapes.
LEFT = {
    *("AffineGrid", "Bernoulli", "Dropout", "If", "Loop", "Scan"),
    *("Compress", "MaxUnpool", "NonMaxSuppression", "NonZero", "OneHot", "Range", "Unique"),
    *("Cast", "Constant", "OptionalGetElement", "OptionalHasElement", "StringSplit"),
    *("Concat", "GreaterOrEqual", "LessOrEqual", "MeanVarianceNormalization"),
}
NOT_RUN = (
    RuntimeError, ValueError, ort_errors.Fail, ort_errors.InvalidArgument, ort_errors.InvalidGraph,
    ort_errors.NotImplemented, ort_errors.RuntimeException,
)  # fmt: skip


def relabelled(case: Any) -> Iterator[onnx.ModelProto]:
    """The case in each opset in which its operator means something else, relabelled and converted."""
    (node,) = case.model.graph.node
    versions = {s.since_version for s in onnx.defs.get_all_schemas_with_history() if s.name == node.op_type}
    given = next((o.version for o in case.model.opset_import if o.domain == ""), NEWEST_OPSET)
    for version in sorted({max(v, OLDEST_OPSET) for v in versions} | {max(min(given, NEWEST_OPSET), OLDEST_OPSET), 12}):
        model = onnx.ModelProto()
        model.CopyFrom(case.model)
        for opset in model.opset_import:
            opset.version = version if not opset.domain else opset.version
        yield model
        try:
            converted = version_converter.convert_version(case.model, version)
        except Exception:  # noqa: BLE001 - the converter raises many kinds
            continue
        if converted.graph != model.graph:
            yield converted


def computed(model: onnx.ModelProto, feeds: dict[str, Any]) -> dict[str, Any] | None:
    """What onnxruntime gives for the inputs as inputs; None where it does not run them."""
    try:
        open_session = session(model)
        names = [o.name for o in model.graph.output if o.name]
        return dict(zip(names, open_session.run(names, feeds), strict=True))
    except NOT_RUN:
        return None


def stored(model: onnx.ModelProto, feeds: dict[str, Any]) -> onnx.ModelProto:
    """The same with its inputs stored."""
    constant = onnx.ModelProto()
    constant.CopyFrom(model)
    del constant.graph.input[:]
    constant.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in feeds.items())
    return constant


def fed(case: Any) -> dict[str, Any] | None:
    """The case's inputs by name; None where some are no tensors, or there are none."""
    names = [i.name for i in case.model.graph.input]
    arrays = [numpy_helper.to_array(v) if isinstance(v, onnx.TensorProto) else v for v in case.data_sets[0][0]]
    if not names or not all(isinstance(a, np.ndarray | np.generic) for a in arrays):
        return None
    return {n: np.asarray(a) for n, a in zip(names, arrays, strict=True)}


def same(a: Array, b: Array) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def test_folded_is_what_onnxruntime_computes() -> None:
    cases = [case for op_type, cases in sorted(node_cases().items()) if op_type for case in cases]
    folded, wrong, left = 0, [], set()
    for case in random.Random(SEED).sample(cases, min(CASES, len(cases))):
        feeds = fed(case)
        for model in relabelled(case) if feeds is not None else ():
            results = computed(model, feeds or {})
            graph = load_model(stored(model, feeds or {})).graph
            for output in model.graph.output:
                array, value = graph.constant(output.name), (results or {}).get(output.name)
                if array is not None and value is not None:
                    folded += 1
                    if not same(array, value):
                        wrong.append(f"{case.name} in opset {model.opset_import[0].version}: {output.name}")
                elif isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
                    left.add(model.graph.node[0].op_type)
    assert not wrong
    assert left <= LEFT
    assert folded > min(CASES, len(cases))
