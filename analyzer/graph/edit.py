"""Edit a loaded model in place: nodes by their index in the view, values by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from analyzer.algebra.pattern import Array
from analyzer.graph.deferred import Deferred, stored_as
from analyzer.graph.load import LoadedModel
from analyzer.graph.names import Names, names_of
from analyzer.graph.subgraphs import COPY, Role, bodies_of, placed_nodes

_PER_STACK = ("scan_output_axes", "scan_output_directions")  # an entry for each output of a Scan that is stacked
FREE_BATCH = "deadunits_batch"  # the name of a first dim that was made free
INITIALIZERS_ALONE = 4  # the first IR version in which a stored tensor need not be listed among the inputs
GATHER = "Gather"


class Editor:
    """Changes to one model; the view of the loaded model is out of date once an edit was made.

    Whoever wants to keep the model as it is edits a copy of it, which shares the weights.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        self.loaded = loaded
        self.opset = loaded.model.opset_imports.get("", 1)
        self._graph = loaded.model.graph
        placed = [*placed_nodes(self._graph)]
        self._nodes: list[ir.Node | None] = [None if p.role is Role.ENTRY else p.node for p in placed]
        bodies = {body: p.node for p in placed for body in p.bodies}
        self._around_body = bodies
        self._values = {str(v.name): v for v in (*self._graph.inputs, *self._graph.initializers.values())}
        self._values |= {str(v.name): v for body in bodies for v in body.inputs}
        for node in filter(None, self._nodes):
            self._values.update({str(o.name): o for o in node.outputs if o.name})
        self._names = Names(names_of(self._graph))

    def set_tensor(self, name: str, array: Array | Deferred) -> None:
        """Store another array under an existing name."""
        value = self._graph.initializers[name]
        value.const_value = stored_as(array, name)
        value.shape = ir.Shape(array.shape)

    def add_tensor(self, stem: str, array: Array | Deferred, ending: str = "") -> str:
        """Store a new array; returns its name (the stem, or the stem with a number, then the ending)."""
        name = self._names.fresh(stem, ending)
        tensor = stored_as(array, name)
        value = ir.Value(name=name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
        self._graph.register_initializer(value)
        self._values[name] = value
        return name

    def constant(self, array: Array) -> str:
        """Store a new array; returns its name."""
        return self.add_tensor("deadunits/const", array)

    def add(self, op_type: str, inputs: Sequence[str], *, outputs: int = 1, domain: str = "", **attributes: Any) -> str:
        """Append a node, in the innermost body that makes one of its inputs; returns the name of its first output.

        That is the node's name, too.
        """
        node = self._new(f"deadunits/{op_type}", op_type, inputs, attributes, outputs=outputs, domain=domain)
        scopes = [value.graph or self._graph for value in node.inputs if value is not None]
        max(scopes, key=self._depth, default=self._graph).append(node)
        return str(node.name)

    def siblings(self, name: str) -> tuple[str, ...]:
        """All outputs of the node that makes a value."""
        node = self._values[name].producer()
        return (name,) if node is None else tuple(str(output.name) for output in node.outputs)

    def empty(self, opset: int) -> None:
        """Take all nodes, inputs and outputs away; stored tensors stay. `opset` is the least that will do."""
        self._graph.outputs.clear()
        for index in reversed(range(len(self._nodes))):  # those of bodies before the nodes around them
            self.drop_node(index)
        self._graph.inputs.clear()
        self._nodes.clear()
        self.opset = self.loaded.model.opset_imports[""] = max(self.opset, opset)
        self.loaded.model.ir_version = max(self.loaded.model.ir_version or 0, INITIALIZERS_ALONE)

    def stacked(self, name: str) -> str:
        """Carry a value out of the loops around it, one entry per step of each in front; returns the new name."""
        value = self._values[self.again(name)]
        while (body := value.graph) is not None and body is not self._graph:
            node, stem = self._around_body[body], f"{name}/steps"
            body.outputs.append(value)
            node.resize_outputs(len(node.outputs) + 1)
            value = node.outputs[-1]
            value.name = self._names.fresh(stem)
            self._values[str(value.name)] = value
            for attribute in _PER_STACK:
                if attribute in node.attributes:
                    listed = [*node.attributes[attribute].as_ints(), 0]
                    node.attributes[attribute] = ir.AttrInt64s(attribute, listed)
        return str(value.name)

    def _depth(self, graph: ir.Graph) -> int:
        return 0 if graph is self._graph else 1 + self._depth(_around(self._around_body[graph]))

    def again(self, name: str) -> str:
        """Append a node that gives a value a second name; returns it."""
        return self.add(COPY, [name])

    def cast(self, name: str, dtype: str) -> str:
        """Append a Cast to the element type of this NumPy name; returns the new value's name."""
        return self.add("Cast", [name], to=int(_element_type(dtype)))

    def input(self, stem: str, dtype: str, shape: Sequence[int | None] | None) -> str:
        """Add an input of the graph, of these lengths as far as they are known; returns its name."""
        name, lengths = self._names.fresh(f"deadunits/{stem}"), None if shape is None else ir.Shape(shape)
        value = ir.Value(name=name, shape=lengths, type=ir.TensorType(_element_type(dtype)))
        self._graph.inputs.append(value)
        self._values[name] = value
        return name

    def drop_unread_inputs(self, *, but: Sequence[str] = ()) -> None:
        """Take away inputs of the graph that nothing reads, except these."""
        for value in [*self._graph.inputs]:
            if not value.uses() and not value.is_graph_output() and value.name not in but:
                self._graph.inputs.remove(value)

    def fix_stored(self) -> None:
        """Let no stored tensor be an input as well: then a runtime may compute with it beforehand."""
        for value in {*self._graph.inputs}.intersection(self._graph.initializers.values()):
            self._graph.inputs.remove(value)

    def output(self, *names: str) -> None:
        """Make values outputs of the graph, where they are not."""
        self._graph.outputs.extend(v for v in map(self._values.__getitem__, names) if not v.is_graph_output())

    def clear_outputs(self) -> None:
        """Let nothing be an output of the graph."""
        self._graph.outputs.clear()

    def free_batch(self, inputs: Sequence[str]) -> None:
        """Make axis 0 of these inputs free and forget all declared inner and output shapes."""
        for value in self._graph.inputs:
            if value.name in inputs and value.shape:
                value.shape = ir.Shape([FREE_BATCH, *value.shape[1:]])
        for node in filter(None, self._nodes):
            for value in node.outputs:
                value.shape = None

    def set_input(self, index: int, position: int, name: str) -> None:
        """Feed a node from another value; missing inputs before the position become empty."""
        node = self._node(index)
        if position >= len(node.inputs):
            node.resize_inputs(position + 1)
        node.replace_input_with(position, self._values[name])

    def set_attributes(self, index: int, attributes: Mapping[str, Any]) -> None:
        """Set attributes; None removes one."""
        node = self._node(index)
        for name, value in attributes.items():
            if value is None:
                node.attributes.pop(name, None)
            else:
                node.attributes[name] = ir.convenience.convert_attribute(name, value)

    def set_operator(self, index: int, op_type: str) -> None:
        """Make another standard operator of a node."""
        self._node(index).op_type = op_type

    def drop_inputs(self, index: int, positions: tuple[int, ...]) -> None:
        """Take inputs away; those behind them move up."""
        node = self._node(index)
        keep = [value for position, value in enumerate(node.inputs) if position not in positions]
        for position, value in enumerate(keep):
            node.replace_input_with(position, value)
        node.resize_inputs(len(keep))

    def leave_out(self, index: int, positions: tuple[int, ...]) -> None:
        """Take optional inputs away; the others keep their positions."""
        node = self._node(index)
        for position in positions:
            node.replace_input_with(position, None)
        given = [position for position, value in enumerate(node.inputs) if value is not None]
        node.resize_inputs(given[-1] + 1)

    def drop_outputs(self, index: int, positions: tuple[int, ...]) -> None:
        """Take outputs away that nothing reads."""
        node = self._node(index)
        keep = [o for p, o in enumerate(node.outputs) if p not in positions]
        fresh = _like(node, str(node.name), len(keep))
        _around(node).insert_after(node, fresh)
        for old, new in zip(keep, fresh.outputs, strict=True):
            self._take_over(old, new)
        _around(node).remove(node, safe=False)
        self._nodes[index] = fresh

    def add_behind(self, index: int, name: str) -> None:
        """Add another value to a node's output, behind it; readers see the sum under the old name."""
        self.insert_behind(index, "Add", name)

    def name_nodes(self, names: Mapping[int, str]) -> None:
        """Give nodes that have no name of their own these, which no longer change with their place."""
        for index, name in names.items():
            node = self._nodes[index]
            if node is not None and not node.name and name not in self._names:
                node.name = self._names.fresh(name)

    def gather_behind(self, index: int, indices: Array, axis: int) -> str:
        """Gather from a node's output, behind it; readers see what was gathered. Returns the output's new name."""
        stored = self.add_tensor(f"{self._node(index).outputs[0].name}/places", indices)
        return self.insert_behind(index, GATHER, stored, axis=axis)

    def insert_behind(
        self, index: int, op_type: str, operand: str, *, output: int = 0, at: int = 0, **attributes: int
    ) -> str:
        """Put an operator of two inputs behind a node: an output of the node becomes its input `at`.

        Readers see the result, under the output's name. Returns the output's new name.
        """
        node = self._node(index)
        old = node.outputs[output]
        behind = self._names.fresh(f"{old.name}/before_{op_type}")
        new = self._new(f"{node.name}/{op_type}", op_type, [operand, operand], attributes)
        _around(node).insert_after(node, new)
        shape, kind = old.shape, old.type
        self._take_over(old, new.outputs[0])
        old.name, old.shape, old.type, self._values[behind] = behind, shape, kind, old
        new.replace_input_with(at, old)
        return behind

    def add_before(
        self, index: int, op_type: str, inputs: Sequence[str], *, outputs: int = 1, **attributes: Any
    ) -> str:
        """Add a node in front of another one; returns the name of its last output."""
        node = self._node(index)
        new = self._new(f"{node.name}/{op_type}", op_type, inputs, attributes, outputs=outputs)
        _around(node).insert_before(node, new)
        return str(new.outputs[-1].name)

    def insert_before(
        self, index: int, position: int, op_type: str, operands: list[str], attributes: Mapping[str, Any], name: str,
        *, at: int = 0,
    ) -> str:  # fmt: skip
        """Insert an operator on one input edge of a node: what came along it becomes its input `at`, among operands.

        Returns the name of the new node. The result has the element type of its first input.
        """
        node = self._node(index)
        source = node.inputs[position]
        new = self._new(name, op_type, [*operands[:at], "", *operands[at:]], attributes)
        new.replace_input_with(at, source)
        _around(node).insert_before(node, new)
        if new.inputs[0] is not None:
            new.outputs[0].type = new.inputs[0].type
        node.replace_input_with(position, new.outputs[0])
        return str(new.name)

    def copy_producer(self, index: int, position: int) -> int:
        """Feed a node from a copy of the node that computes its input, for itself alone; returns the copy's index."""
        node = self._node(index)
        source = node.inputs[position]
        producer = None if source is None else source.producer()
        assert source is not None and producer is not None
        copy = _like(producer, self._names.fresh(str(producer.name or producer.op_type)), len(producer.outputs))
        _around(node).insert_before(node, copy)
        for old, new in zip(producer.outputs, copy.outputs, strict=True):
            new.name, new.shape, new.type = self._names.fresh(str(old.name)), old.shape, old.type
        node.replace_input_with(position, copy.outputs[producer.outputs.index(source)])
        self._nodes.append(copy)
        return len(self._nodes) - 1

    def replace_value(self, name: str, tensor: str) -> None:
        """Let every node that reads a value read another one instead, such as a stored tensor."""
        for use in list(self._values[name].uses()):
            use.node.replace_input_with(use.idx, self._values[tensor])

    def fill_value(self, name: str, tensor: str, lengths: Sequence[int | tuple[str, int]]) -> None:
        """Compute a value by expanding a stored tensor; lengths are numbers, or axes of inputs of the graph."""
        value, parts = self._values[name], list[str]()
        node = value.producer()
        assert node is not None  # inputs of the graph are never replaced

        def add(op_type: str, inputs: list[str], **attributes: int) -> str:
            new = self._new(f"{name}/{op_type}", op_type, inputs, attributes)
            _around(node).insert_before(node, new)
            return str(new.name)

        for length in lengths:
            if isinstance(length, int):
                parts.append(self.add_tensor(f"{name}/length", np.array([length], np.int64)))
            else:
                axis = self.add_tensor(f"{name}/axis", np.array([length[1]], np.int64))
                parts.append(add("Gather", [add("Shape", [length[0]]), axis]))
        shape = parts[0] if len(parts) == 1 else add("Concat", parts, axis=0)
        self._take_over(value, self._values[add("Expand", [tensor, shape])])

    def drop_node(self, index: int) -> None:
        """Remove a node; its outputs must have no reader left once all edits are made."""
        node = self._nodes[index]
        if node is not None:
            _around(node).remove(node, safe=False)
            for body in bodies_of(node):
                body.outputs.clear()
            for position in range(len(node.inputs)):
                node.replace_input_with(position, None)
            self._nodes[index] = None

    def take_branch(self, index: int, branch: int, *, named: bool = False) -> None:
        """Compute one branch of a choice where the choice stands, and leave the others out.

        What the branch gives out takes the names of the choice's outputs; `named`: it keeps its own beside them.
        """
        node = self._node(index)
        body, around = bodies_of(node)[branch], _around(node)
        given = [*body.outputs]
        body.outputs.clear()
        inner = [*body]
        body.remove(inner)
        around.insert_before(node, inner)
        for old, new in zip(node.outputs, given, strict=True):
            if named and old.name:
                copy = self._new(f"{old.name}/taken", COPY, [str(new.name)])
                around.insert_before(node, copy)
                new = copy.outputs[0]
            if old.name:
                self._take_over(old, new)
        self.drop_node(index)

    def set_shape(self, name: str, lengths: Mapping[int, int]) -> None:
        """Declare new lengths on some axes of a value (where a number was declared)."""
        value = self._values.get(name)
        if value is not None and value.shape is not None:
            dims = list(value.shape)
            for axis, length in lengths.items():
                if axis < len(dims) and isinstance(dims[axis], int):
                    dims[axis] = length
            value.shape = ir.Shape(dims)

    def finish(self) -> None:
        """Remove nodes and stored tensors that nothing reads any more, the latter also from the graph's inputs."""
        for index in reversed(range(len(self._nodes))):
            node = self._nodes[index]
            if node is not None and not any(o.uses() or o.is_graph_output() for o in node.outputs):
                self.drop_node(index)
        used = {str(o.name) for o in self._graph.outputs}
        for name, value in list(self._graph.initializers.items()):
            if value.uses() or name in used:
                continue
            self._graph.initializers.pop(name)
            if value in self._graph.inputs:
                self._graph.inputs.remove(value)
        if self.loaded.model.ir_version < INITIALIZERS_ALONE:
            listed = {str(v.name) for v in self._graph.inputs}
            self._graph.inputs.extend(v for n, v in self._graph.initializers.items() if n not in listed)

    def _new(
        self, stem: str, op_type: str, inputs: Sequence[str], attributes: Mapping[str, Any] | None = None,
        *, outputs: int = 1, domain: str = "",
    ) -> ir.Node:  # fmt: skip
        """A node that is in no graph yet; its name, of this stem, is that of its first output."""
        values = [self._values[name] if name else None for name in inputs]
        settings = ir.convenience.convert_attributes(attributes or {})
        names = [self._names.fresh(stem) for _ in range(outputs)]
        node = ir.Node(domain, op_type, values, settings, num_outputs=outputs, name=names[0])
        for name, value in zip(names, node.outputs, strict=True):
            value.name, self._values[name] = name, value
        return node

    def _node(self, index: int) -> ir.Node:
        node = self._nodes[index]
        if node is None:
            raise LookupError(f"node {index} was removed")
        return node

    def _take_over(self, old: ir.Value, new: ir.Value) -> None:
        """Let a value take another's place, name and description."""
        old.replace_all_uses_with(new, replace_graph_outputs=True)
        new.shape, new.type = old.shape, old.type
        new.metadata_props.update(old.metadata_props)
        text, old.name = str(old.name), None
        new.name = text
        self._values[text] = new


def _like(node: ir.Node, name: str, outputs: int) -> ir.Node:
    """Another node that computes the same."""
    inputs, attributes = list(node.inputs), list(node.attributes.values())
    return ir.Node(node.domain, node.op_type, inputs, attributes, num_outputs=outputs, name=name)


def _element_type(dtype: str) -> ir.DataType:
    return ir.DataType.from_numpy(np.dtype(dtype))


def _around(node: ir.Node) -> ir.Graph:
    """The graph in which a node stands."""
    assert node.graph is not None
    return node.graph
