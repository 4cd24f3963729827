"""Targets computed from measured lengths: what is cut through them changes nothing, and wrong lists are seen."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import numpy as np
import onnx
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument

from analyzer.ops import context, lengths
from tests.audits import audited, pruned
from tests.laws.nets import OPSET, Net
from tests.models import Array, build, parse

TRIES = 60
CONTRIB = {"com.microsoft": 1}
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
    if net.random.random() < 0.3:
        one = net.add("Cast", one, to=net.random.choice([onnx.TensorProto.INT32, onnx.TensorProto.INT64]))
        one = net.add("Cast", one, to=onnx.TensorProto.INT64)
    return net.add("Abs", one) if net.random.random() < 0.3 else one


def hidden(net: Net, shapes: dict[str, tuple[int, ...]], units: int) -> None:
    """Two hidden layers of one size with units that are dead in different places.

    Of a length behind a fused product ONNX's shape inference knows nothing, so that it is measured.
    """
    samples, steps, width = shapes["x"]
    dense_by = net.random.choice([("MatMul", ""), ("FusedMatMul", "com.microsoft")])
    for _ in range(2):
        dense = net.add(dense_by[0], "x", net.keep(net.arrays.normal(0, 1, (width, units))), domain=dense_by[1])
        dense = net.add("Add", dense, net.keep(np.where(net.arrays.random(units) < 0.4, -50, 0.5)))
        shapes[net.add("Relu", dense)] = samples, steps, units


def viewed(random: Random) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """One of two hidden layers, or its transpose, is viewed in a shape that is measured somewhere."""
    net = Net(random)
    samples, steps, units = 3, random.choice([4, 6]), random.choice([4, 6])
    x = net.arrays.normal(0, 1, (samples, steps, 5)).astype(np.float32)
    shapes: dict[str, tuple[int, ...]] = {"x": x.shape}
    hidden(net, shapes, units)
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
    return build(net.nodes, {"x": x}, net.stored, outputs, OPSET, CONTRIB, free=(0,)), {"x": x}


def sent(random: Random) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """Nodes of a graph send what they hold along edges; what arrives is added to zeros of a measured shape."""
    net = Net(random)
    x = net.arrays.normal(0, 1, (3, 4, 5)).astype(np.float32)
    edges = net.arrays.integers(0, 4, (3, 7, 1))
    shapes: dict[str, tuple[int, ...]] = {"x": x.shape}
    units = random.choice([4, 6])
    hidden(net, shapes, units)
    first, second = list(shapes)[1:]
    wide = net.add("Expand", "edges", net.keep([1, 1, units], np.int64))
    read = net.add("GatherElements", first, wide, axis=1)
    if random.random() < 0.5:
        shape = net.add("Shape", random.choice([first, second]))
    else:
        shape = net.add("Concat", *(length(net, shapes, n) for n in (3, 4, units)), axis=0)
    zeros = net.add("Expand", net.keep(0.0), shape)
    arrived = net.add("ScatterElements", zeros, wide, read, axis=1, reduction="add")
    outputs = [net.add("MatMul", h, net.keep(net.arrays.normal(0, 1, (units, 2)))) for h in (arrived, second)]
    feeds: dict[str, Array] = {"x": x, "edges": edges}
    return build(net.nodes, feeds, net.stored, outputs, OPSET, CONTRIB, free=(0,)), feeds


def saved(seed: int) -> int:
    """How many stored numbers go; what stays gives the same."""
    model, feeds = (viewed if seed % 2 else sent)(Random(seed))
    found = pruned(model, feeds)
    assert found.difference < 1e-4
    return sum(int(np.prod(t.dims)) for t in model.graph.initializer) - sum(
        int(np.prod(t.dims)) for t in found.model.graph.initializer
    )


def test_what_is_cut_through_a_computed_target_changes_nothing() -> None:
    taken = [saved(seed) for seed in range(TRIES)]
    assert sum(n > 0 for n in taken) > TRIES / 2


def _followers_are_not_tied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context.Call, "axes", property(lambda self: self.rule.axes(self.op)))


def _nobody_looks_at_lengths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lengths.Lengths, "_looked_at", lambda self, name: iter(()))


@pytest.mark.parametrize("patch", [_followers_are_not_tied, _nobody_looks_at_lengths])
def test_a_wrong_list_is_seen(patch: Patch, monkeypatch: pytest.MonkeyPatch) -> None:
    patch(monkeypatch)
    with pytest.raises((Fail, InvalidArgument)):
        for seed in range(3 * TRIES):  # of lengths that the file fixes none is looked at
            saved(seed)


def test_a_type_without_room_for_a_length_computes_it() -> None:
    body = "h = MatMul(x, w) l = Shape(h) s = Cast<to = 3>(l) t = Cast<to = 7>(s) y = Reshape(h, t)"  # 255 becomes -1
    model = parse(f"g (float[N, 3] x) => (float y) {{ {body} }}", {"w": np.ones((3, 255), np.float32)})
    found = audited(model, {"x": np.ones((2, 3), np.float32)})
    assert [call.op.target for call in found.context.calls if call.op.op_type == "Reshape"] == [None]
