"""The part of a graph that stored tensors alone decide, as models of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir
from onnx import helper

from analyzer.algebra.pattern import Array
from analyzer.graph.runnable import Runnable, stored_proto
from analyzer.graph.subgraphs import Role, placed_nodes

if TYPE_CHECKING:
    from analyzer.graph.view import Node


@dataclass(frozen=True, slots=True)
class StaticPart:
    """Nodes that depend on stored tensors alone, in topological order, and the tensors.

    The nodes are copies, named by their place, and stay as they are when the model is edited.
    """

    nodes: tuple[onnx.NodeProto, ...]
    tensors: Mapping[str, ir.TensorProtocol]
    opsets: Mapping[str, int]
    ir_version: int

    def __reduce__(self) -> tuple[Callable[..., StaticPart], tuple[object, ...]]:
        """For another process; tensors of text, which onnx-ir cannot send, go as ONNX's own."""
        texts = {n: ir.to_proto(t) for n, t in self.tensors.items() if isinstance(t, ir.StringTensor)}
        others = {n: t for n, t in self.tensors.items() if n not in texts}
        return _received, (self.nodes, others, texts, self.opsets, self.ir_version)

    @property
    def stored_bytes(self) -> int:
        """Size of the tensors that the nodes read."""
        read = {name for node in self.nodes for name in node.input}
        return sum(t.nbytes for n, t in self.tensors.items() if n in read and t.dtype != ir.DataType.STRING)

    def model(
        self, nodes: Sequence[onnx.NodeProto], known: Mapping[str, Array], measured: Sequence[str] = ()
    ) -> Runnable:
        """A model of some of the nodes: every output of theirs is an output, values in `known` are stored.

        Of the values `measured` the shape is an output too, called `shape_name`.
        """
        lent: dict[str, ir.TensorProtocol] = {}
        computed = {name for node in nodes for name in node.output}
        read = dict.fromkeys(name for node in nodes for name in node.input if name and name not in computed)
        stored = [stored_proto(self.tensors[n] if n in self.tensors else ir.tensor(known[n]), n, lent) for n in read]
        shapes = [helper.make_node("Shape", [name], [shape_name(name)]) for name in measured]
        outputs = [name for node in (*nodes, *shapes) for name in node.output if name]
        declared = [helper.make_empty_tensor_value_info(name) for name in outputs]
        graph = helper.make_graph([*nodes, *shapes], "static", [], declared, stored)
        opsets = [helper.make_opsetid(domain, version) for domain, version in self.opsets.items()]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=self.ir_version)
        return Runnable(model.SerializeToString(), None, lent)


def _received(
    nodes: tuple[onnx.NodeProto, ...],
    tensors: Mapping[str, ir.TensorProtocol],
    texts: Mapping[str, onnx.TensorProto],
    opsets: Mapping[str, int],
    ir_version: int,
) -> StaticPart:
    read = {name: ir.from_proto(proto) for name, proto in texts.items()}
    return StaticPart(nodes, {**tensors, **read}, opsets, ir_version)


def shape_name(value: str) -> str:
    """The name of the output that shows a value's shape."""
    return f"deadunits/shape/{value}"


def static_nodes(nodes: Iterable[Node], stored: Iterable[str]) -> list[Node]:
    """The nodes whose inputs are stored tensors or come from such nodes; none that draws random numbers."""
    static, chosen = set(stored), []
    for node in nodes:
        plain = node.inputs and node.role is Role.PLAIN and all(i in static or not i for i in node.inputs)
        if plain and not draws(node.op_type, node.version, node.domain):
            chosen.append(node)
            static.update(o for o in node.outputs if o)
    return chosen


def draws(op_type: str, version: int, domain: str) -> bool:
    """Whether ONNX says of an operator that equal inputs may give unequal outputs."""
    if not onnx.defs.has(op_type, domain):
        return False
    try:
        schema = onnx.defs.get_schema(op_type, version, domain)
    except onnx.defs.SchemaError:
        return False
    kind = schema.node_determinism  # type: ignore[attr-defined]  # left out of onnx's own stubs
    return bool(kind == onnx.defs.OpSchema.NodeDeterminism.NonDeterministic)


def part_of(model: ir.Model, static: Sequence[Node], tensors: Mapping[str, ir.TensorProtocol]) -> StaticPart:
    """The static part of a normalised model."""
    wanted, protos = {node.index for node in static}, []
    for index, placed in enumerate(placed_nodes(model.graph) if wanted else ()):
        if index in wanted:
            proto = ir.to_proto(placed.node)
            proto.name = f"static/{index}"
            protos.append(proto)
    return StaticPart(tuple(protos), tensors, dict(model.opset_imports), model.ir_version)
