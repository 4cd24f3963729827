"""Files that onnxruntime saved after its full optimisation, read back: channels in order, standard operators.

Its convolutions (com.microsoft.nchwc) keep channels in blocks of as many as suit one processor, filled up with zeros:
X [N, C/b, H, W, b], weights [O/b, I/b, kH, kW, b, b], or [O/b, I, kH, kW, b] where I is less than a block, as in
depthwise ones and in the first, which reads X as it is. How long a block is here, onnxruntime is asked: that is how it
runs the file. A run has to confirm what was read (`shapes/confirmed_lengths.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
import onnx_ir as ir

from analyzer.algebra.pattern import Array
from analyzer.graph.lend import is_read
from analyzer.graph.names import Names, names_of
from analyzer.graph.static import StaticPart
from analyzer.graph.subgraphs import COPY, bodies_of
from analyzer.graph.tracing import stored
from analyzer.graph.view import LIFTED, READ_BACK, SPELLED_OUT, Fold

BLOCKED = "com.microsoft.nchwc"
_LONGEST = 64  # no processor has longer blocks
_ALIGNED = 4  # channels that a convolution reads in blocks are multiples of this
_POOLS = ("AveragePool", "GlobalAveragePool", "GlobalMaxPool", "MaxPool")
_NEAREST_MODE_SINCE = 11  # the opset of Resize as it is written here
_BOUNDS_ARE_INPUTS = 11  # of Clip
#: Activations that are fused into convolutions, with what their parameters are called.
_FUSED = {
    "Relu": (),
    "Sigmoid": (),
    "Tanh": (),
    "HardSwish": (),
    "LeakyRelu": ("alpha",),
    "HardSigmoid": ("alpha", "beta"),
    "Clip": ("min", "max"),
}
#: What onnxruntime lets read values in blocks, element by element.
_ELEMENTWISE = {*_FUSED, "Add", "Sum", "Mul", "Gelu", "QuickGelu"}


class _NotAsWritten(Exception):
    """What onnxruntime does not write: the file stays as it is."""


def read_blocks_back(model: ir.Model, fold: Fold) -> None:
    """Put standard operators and weights in order in the place of those in blocks, if that is known of all of them."""
    if BLOCKED not in model.opset_imports or not any(node.domain == BLOCKED for node in model.graph):
        return
    try:
        reading = _Reading(model, _block_length(model, fold))
        reading.check()
    except _NotAsWritten:
        return
    reading.write()
    model.meta[SPELLED_OUT] = model.meta[READ_BACK] = True


def _block_length(model: ir.Model, fold: Fold) -> int:
    """Where the second place of the first channel lies: a block of channels is in front of it."""
    places = np.arange(2 * _LONGEST, dtype=np.float32).reshape(1, _LONGEST, 1, 2)
    node = onnx.helper.make_node("ReorderInput", ["places"], ["blocks"], name="static/0", domain=BLOCKED)
    part = StaticPart((node,), {"places": ir.tensor(places)}, dict(model.opset_imports), model.ir_version)
    laid = fold(part).get("blocks")
    if laid is None or not (laid == 1).any():
        raise _NotAsWritten
    return int(np.argmax(laid.ravel() == 1))


@dataclass(eq=False)
class _Channels:
    """Channels that are the same in several values in blocks: how many there are room for, and how many there are."""

    room: int = 0
    told: int = 0  # by what leaves the blocks, or enters them
    used: int = 0  # up to the last weight that is not 0
    members: set[ir.Value] = field(default_factory=set)

    @property
    def count(self) -> int:
        return self.told or min(self.room, -(-self.used // _ALIGNED) * _ALIGNED)


class _Reading:
    """The nodes of one model, before and while they are replaced."""

    def __init__(self, model: ir.Model, block: int) -> None:
        self._model, self._block = model, block
        self._graph, self._opset = model.graph, model.opset_imports.get("", 1)
        self._channels: dict[ir.Value, _Channels] = {}
        self._filters: dict[ir.Node, Array] = {}  # weights of convolutions, [O, I, kH, kW]
        self._stored: dict[tuple[str, tuple[int, ...]], ir.Value] = {}
        self._views = set[ir.Node]()
        self._names = Names(names_of(model.graph))

    def check(self) -> None:
        """Find out how many channels every value in blocks has.

        Raises:
            _NotAsWritten: something is not as onnxruntime writes it.
        """
        for node in self._graph:
            self._visit(node)
        nodes = [node for value in self._channels for node, _ in value.uses()]
        if any(node.graph is not self._graph for node in nodes) or any(n.domain == BLOCKED for n in self._inner()):
            raise _NotAsWritten
        groups = {id(channels): channels for channels in self._channels.values()}.values()
        for channels in groups:
            channels.room = channels.room or -(-channels.told // self._block) * self._block
            if not channels.count or not channels.room - self._block < channels.count <= channels.room:
                raise _NotAsWritten

    def _inner(self) -> Iterator[ir.Node]:
        return (node for body in self._graph.subgraphs() for node in body)

    def _visit(self, node: ir.Node) -> None:
        blocked = [value for value in node.inputs if value in self._channels]
        kind = node.op_type if node.domain == BLOCKED else ""
        if kind == "Conv":
            self._convolution(node)
        elif kind == "ReorderInput":
            self._enters(node)
        elif kind == "ReorderOutput" and blocked:
            channels = self._channels[blocked[0]]
            told = node.attributes.get_int("channels", 0)
            if channels.told not in (0, told):
                raise _NotAsWritten
            channels.told = told
        elif (kind in _POOLS or kind == "Upsample") and blocked:
            if len(node.outputs) > 1 or (kind == "Upsample" and self._opset < _NEAREST_MODE_SINCE):
                raise _NotAsWritten
            self._join([*blocked, node.outputs[0]])
        elif kind:
            raise _NotAsWritten
        elif blocked:
            self._standard(node, blocked)
        if any(value.is_graph_output() and value in self._channels for value in node.outputs):
            raise _NotAsWritten

    def _standard(self, node: ir.Node, blocked: Sequence[ir.Value]) -> None:
        if node.op_type == "Reshape":
            self._view(node, blocked[0])
            return
        numbers = [value for value in node.inputs if value is not None and value not in self._channels]
        if bodies_of(node) or any((tensor := stored(value)) is None or tensor.size != 1 for value in numbers):
            raise _NotAsWritten
        if node.op_type == "Concat" and node.attributes.get_int("axis", 0) == 1:
            for value in blocked:  # none of them was filled up
                self._fix(value, self._channels[value].room)
            self._start(node.outputs[0], sum(self._channels[value].room for value in blocked), whole=True)
        elif node.op_type in _ELEMENTWISE and node.domain in ("", "com.microsoft") and len(node.outputs) == 1:
            self._join([*blocked, node.outputs[0]])
        else:
            raise _NotAsWritten

    def _view(self, node: ir.Node, value: ir.Value) -> None:
        """Blocks as an axis of their own: so values are joined that do not have all of their lengths in common."""
        room, target = self._channels[value].room, stored(node.inputs[1])
        views = [0, room // self._block, 0, 0, self._block], [0, room, 0, 0]
        if target is None or not room or target.numpy().tolist() not in views:
            raise _NotAsWritten
        self._join([value, node.outputs[0]])
        self._views.add(node)

    def _enters(self, node: ir.Node) -> None:
        value, last = node.inputs[0], node.attributes.get_int("channels_last", 0)
        dims = None if value is None or value.shape is None or len(value.shape) != 4 else value.shape
        count = dims[3 if last else 1] if dims is not None else None
        self._start(node.outputs[0], 0)
        if isinstance(count, int):
            channels = self._channels[node.outputs[0]]
            channels.told, channels.room = count, -(-count // self._block) * self._block

    def _convolution(self, node: ir.Node) -> None:
        data, weight, bias, summand = [*node.inputs, None, None][:4]
        packed, tensor = stored(weight), stored(bias)
        if packed is None or (bias is not None and tensor is None) or len(packed.shape) != 4 or data is None:
            raise _NotAsWritten
        if self._activation(node) is None:
            raise _NotAsWritten
        kernels = self._filters[node] = _in_order(packed.numpy(), self._block)
        added = np.zeros(len(kernels)) if tensor is None else tensor.numpy()
        made, group = len(kernels), node.attributes.get_int("group", 1)
        self._start(node.outputs[0], made)
        used = (kernels != 0).any((1, 2, 3)) | (added != 0)
        if group > 1 and group == made:  # depthwise
            self._use(data, made, used)
            self._join([data, node.outputs[0]])
        elif group > 1:
            self._fix(data, group * kernels.shape[1])
            self._fix(node.outputs[0], made)
        elif kernels.shape[1] >= self._block:
            self._use(data, kernels.shape[1], (kernels != 0).any((0, 2, 3)))
        elif data in self._channels:
            raise _NotAsWritten
        self._use(node.outputs[0], made, used)
        if summand is not None:
            if summand not in self._channels:
                raise _NotAsWritten
            self._join([summand, node.outputs[0]])

    def _start(self, value: ir.Value, room: int, whole: bool = False) -> None:
        self._channels[value] = _Channels(room, room if whole else 0, members={value})

    def _join(self, values: Sequence[ir.Value]) -> None:
        first = self._channels.get(values[0])
        for value in values[1:]:
            if first is None:
                raise _NotAsWritten
            other = self._channels.setdefault(value, first)
            first.members.add(value)
            if other is first:
                continue
            for name in ("room", "told"):
                known = {number for number in (getattr(first, name), getattr(other, name)) if number}
                if len(known) > 1:
                    raise _NotAsWritten
                setattr(first, name, max(known, default=0))
            first.used = max(first.used, other.used)
            first.members |= other.members
            self._channels.update(dict.fromkeys(other.members, first))

    def _use(self, value: ir.Value, room: int, used: Array) -> None:
        channels = self._channels.get(value)
        if channels is None or channels.room not in (0, room):
            raise _NotAsWritten
        channels.room = room
        channels.used = max(channels.used, 1 + int(np.flatnonzero(used).max(initial=0)))

    def _fix(self, value: ir.Value, count: int) -> None:
        channels = self._channels.get(value)
        if channels is None or channels.room not in (0, count) or channels.told not in (0, count):
            raise _NotAsWritten
        channels.room = channels.told = count

    def write(self) -> None:
        """Replace all nodes in blocks."""
        counts = {str(value.name): channels.count for value, channels in self._channels.items()}
        copies: dict[ir.Node, bool] = {}
        for value in self._channels:
            value.shape = None  # that of the blocks, filled up
        for node in [node for node in self._graph if node.domain == BLOCKED or node in self._views]:
            new = self._convolved(node, counts) if node.op_type == "Conv" else self._moved(node)
            new[-1].name = node.name
            for made in new:
                made.metadata_props.update(node.metadata_props)
            ir.convenience.replace_nodes_and_values(self._graph, node, [node], new, node.outputs, new[-1].outputs)
            if new[-1].op_type == COPY:
                copies[new[-1]] = node.op_type == "ReorderOutput"
        for copy, leaves in copies.items():
            self._drop(copy, leaves)
        for name in {name for name, _ in self._stored if not is_read(self._graph.initializers[name])}:
            del self._graph.initializers[name]
        self._model.meta[LIFTED] &= self._graph.initializers.keys()
        del self._model.opset_imports[BLOCKED]

    def _drop(self, copy: ir.Node, leaves: bool) -> None:
        """Let readers of a copy read what it copies; of what leaves the blocks the name is from before."""
        source, result = copy.inputs[0], copy.outputs[0]
        if leaves and source is not None and not source.is_graph_output():
            ir.convenience.replace_nodes_and_values(self._graph, copy, [copy], [], [result], [source])
        elif source is not None and not result.is_graph_output():
            result.replace_all_uses_with(source)
            self._graph.remove(copy, safe=True)

    def _convolved(self, node: ir.Node, counts: Mapping[str, int]) -> list[ir.Node]:
        data, weight, bias, summand = [*node.inputs, None, None][:4]
        kernels, made = self._filters[node], counts[str(node.outputs[0].name)]
        group = node.attributes.get_int("group", 1)
        depthwise = group > 1 and group == len(kernels)
        read = kernels.shape[1] if group > 1 or data is None else counts.get(str(data.name), kernels.shape[1])
        inputs = [data, self._store(weight, kernels[:made, :read], _weight_name(bias))]
        if bias is not None and bias.const_value is not None:
            inputs.append(self._store(bias, bias.const_value.numpy()[:made]))
        kept = [a for a in node.attributes.values() if a.name not in ("activation", "activation_params", "group")]
        nodes = [ir.Node("", "Conv", inputs, [*kept, ir.AttrInt64("group", made if depthwise else group)])]
        if summand is not None:
            nodes.append(ir.Node("", "Add", [nodes[-1].outputs[0], summand]))
        name, numbers = self._activation(node) or ("", {})
        if name == "Clip" and self._opset >= _BOUNDS_ARE_INPUTS:
            bounds = [self._number(node, number) for number in numbers.values()]
            nodes.append(ir.Node("", name, [nodes[-1].outputs[0], *bounds]))
        elif name:
            attributes = [ir.AttrFloat32(key, number) for key, number in numbers.items()]
            nodes.append(ir.Node("", name, nodes[-1].outputs, attributes))
        for inner in nodes[:-1]:
            inner.name = inner.outputs[0].name = self._names.fresh(f"{node.outputs[0].name}/{inner.op_type}")
        return nodes

    def _moved(self, node: ir.Node) -> list[ir.Node]:
        if node.op_type in _POOLS:
            known = onnx.defs.get_schema(node.op_type, self._opset, "").attributes
            return [ir.Node("", node.op_type, node.inputs, [a for a in node.attributes.values() if a.name in known])]
        if node.op_type == "Upsample":
            scales = np.array(node.attributes.get_ints("scales"), np.float32)
            taken = [
                node.attributes[key] for key in ("mode", "coordinate_transformation_mode") if key in node.attributes
            ]
            inputs = [node.inputs[0], None, self._new(f"{node.outputs[0].name}/scales", scales)]
            return [ir.Node("", "Resize", inputs, [*taken, ir.AttrString("nearest_mode", "floor")])]
        if not node.attributes.get_int("channels_last", 0):
            return [ir.Node("", COPY, node.inputs[:1])]
        perm = (0, 3, 1, 2) if node.op_type == "ReorderInput" else (0, 2, 3, 1)
        return [ir.Node("", "Transpose", node.inputs[:1], [ir.AttrInt64s("perm", perm)])]

    def _activation(self, node: ir.Node) -> tuple[str, dict[str, float]] | None:
        """The activation fused into a convolution (none: an empty name), with its parameters; None if not known."""
        name = node.attributes.get_string("activation", "")
        numbers = node.attributes.get_floats("activation_params", ())
        if not name:
            return "", {}
        if name not in _FUSED or len(numbers) != len(_FUSED[name]):
            return None
        if name == "HardSwish" and not onnx.defs.has(name, self._opset):
            return None
        return name, dict(zip(_FUSED[name], numbers, strict=True))

    def _number(self, node: ir.Node, number: float) -> ir.Value:
        return self._new(f"{node.outputs[0].name}/bound", np.array(number, np.float32))

    def _store(self, value: ir.Value | None, array: Array, name: str = "") -> ir.Value:
        assert value is not None and value.const_value is not None  # `check` has seen it
        key = str(value.name), array.shape
        if key not in self._stored:
            stem = name if name and name not in self._names else f"{value.name}/in_order"
            same = np.array_equal(array, value.const_value.numpy())
            self._stored[key] = value if same else self._new(stem, np.ascontiguousarray(array))
        return self._stored[key]

    def _new(self, stem: str, array: Array) -> ir.Value:
        tensor = ir.tensor(array, name=self._names.fresh(stem))
        shape = ir.Shape(array.shape)
        new = ir.Value(name=tensor.name, type=ir.TensorType(tensor.dtype), shape=shape, const_value=tensor)
        self._graph.register_initializer(new)
        return new


def _in_order(packed: Array, block: int) -> Array:
    """Weights [O, I, kH, kW], from those whose bytes lie in blocks."""
    made, read, *kernel = packed.shape
    if made % block or (read > block and read % block):
        raise _NotAsWritten
    if read < block:
        return packed.reshape(made // block, read, *kernel, block).transpose(0, 4, 1, 2, 3).reshape(packed.shape)
    laid = packed.reshape(made // block, read // block, *kernel, block, block)
    return laid.transpose(0, 5, 1, 4, 2, 3).reshape(packed.shape)


def _weight_name(bias: ir.Value | None) -> str:
    """The name that a weight had before, as its bias tells, which kept its own."""
    match = re.fullmatch(r"(.+)\.bias", (bias is not None and bias.name) or "")
    return f"{match[1]}.weight" if match else ""
