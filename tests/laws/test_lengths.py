"""Targets computed from measured lengths: what is cut through them changes nothing, and wrong lists are seen."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import onnx
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import Fail

from analyzer.ops import lengths
from tests.audits import pruned
from tests.laws.nets import OPSET, Net
from tests.models import Array, build

TRIES = 60
Patch = Callable[[pytest.MonkeyPatch], None]


def length(net: Net, shapes: dict[str, tuple[int, ...]], size: int) -> str:
    """A length of some value, computed in the model in one of the ways that exporters take, as a list of one."""
    where = [(name, axis) for name, shape in shapes.items() for axis, n in enumerate(shape) if n == size]
    name, axis = net.random.choice(where)
    measured = net.add("Shape", name)
    if net.random.random() < 0.5:
        first, last = (axis, axis + 1) if axis < len(shapes[name]) - 1 else (-1, 2**63 - 1)
        one = net.add("Slice", measured, *(net.keep([n], np.int64) for n in (first, last, 0)))
    else:
        one = net.add("Gather", measured, net.keep(axis, np.int64), axis=0)
        one = net.add("Unsqueeze", one, net.keep([0], np.int64))
    for to in net.random.choice([(), (), (onnx.TensorProto.INT64,), (onnx.TensorProto.INT8, onnx.TensorProto.INT64)]):
        one = net.add("Cast", one, to=to)
    return one


def viewed(random: Random) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """Two hidden layers of one size with units that are dead in different places; one, or its transpose, is viewed."""
    net = Net(random)
    samples, steps, units = 3, random.choice([4, 6]), random.choice([4, 6])
    x = net.arrays.normal(0, 1, (samples, steps, 5)).astype(np.float32)
    shapes = {"x": x.shape}
    for _ in range(2):
        dense = net.add("Add", net.add("MatMul", "x", net.keep(net.arrays.normal(0, 1, (5, units)))),
                        net.keep(np.where(net.arrays.random(units) < 0.4, -50, 0.5)))  # fmt: skip
        shapes[net.add("Relu", dense)] = samples, steps, units
    source = list(shapes)[1]
    if random.random() < 0.3:
        turned = net.add("Transpose", source, perm=[0, 2, 1])
        source, shapes[turned] = turned, (samples, units, steps)
    rows, last = shapes[source][1:]
    target = [-1, last] if random.random() < 0.6 else random.choice([[-1, rows, last], [samples, rows, last]])
    spelled = [
        length(net, shapes, n) if n == samples or (n > 0 and random.random() < 0.7) else net.keep([n], np.int64)
        for n in target
    ]
    view = net.add("Reshape", source, net.add("Concat", *spelled, axis=0))
    outputs = [net.add("MatMul", view, net.keep(net.arrays.normal(0, 1, (last, 2))))]
    outputs.append(net.add("MatMul", list(shapes)[2], net.keep(net.arrays.normal(0, 1, (units, 2)))))
    return build(net.nodes, {"x": x}, net.stored, outputs, OPSET, free=(0,)), {"x": x}


def saved(seed: int) -> int:
    """How many stored numbers go; what stays gives the same."""
    model, feeds = viewed(Random(seed))
    found = pruned(model, feeds)
    assert found.difference < 1e-4
    return sum(int(np.prod(t.dims)) for t in model.graph.initializer) - sum(
        int(np.prod(t.dims)) for t in found.model.graph.initializer
    )


def test_what_is_cut_through_a_computed_target_changes_nothing() -> None:
    taken = [saved(seed) for seed in range(TRIES)]
    assert sum(n > 0 for n in taken) > TRIES / 2


def _whatever_is_measured_adapts(monkeypatch: pytest.MonkeyPatch) -> None:
    def pieces(self: Any, node: Any) -> Any:
        items = self._lists.get(node.inputs[1]) if node.op_type == "Reshape" else None
        return items and tuple(lengths.ADAPTS if isinstance(i, lengths.Measured) else i for i in items)

    monkeypatch.setattr(lengths.Lengths, "pieces", pieces)


def _targets_look_at_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = lengths.Lengths._looked_at

    def looked_at(self: Any, name: str) -> Any:
        readers = self._graph.consumers.get(name, ())
        return iter(()) if any(n.op_type == "Reshape" for n, _ in readers) else honest(self, name)

    monkeypatch.setattr(lengths.Lengths, "_looked_at", looked_at)


@pytest.mark.parametrize("patch", [_whatever_is_measured_adapts, _targets_look_at_nothing])
def test_a_wrong_list_is_seen(patch: Patch, monkeypatch: pytest.MonkeyPatch) -> None:
    patch(monkeypatch)
    with pytest.raises(Fail):
        for seed in range(TRIES):
            saved(seed)
