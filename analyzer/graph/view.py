"""A read-only view of an ONNX graph: nodes in topological order, values by name, links both ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property, wraps
from typing import Any, TypeVar

import numpy as np
import onnx_ir as ir

from analyzer.algebra.pattern import Array
from analyzer.graph.mapped_pages import on_disk
from analyzer.graph.scopes import scopes_of
from analyzer.graph.static import StaticPart, part_of, static_nodes
from analyzer.graph.subgraphs import SUBGRAPHS, Place, Placed, Role, key_of, placed_nodes

Dim = int | str | None
Fold = Callable[[StaticPart], Mapping[str, Array]]
LIFTED = "deadunits.lifted"  # key of the names of tensors that were Constant nodes in the file
STACKS_SINCE = 9  # the opset from which a Scan has no batches of its own
MEASURED = "deadunits.measured"  # key of the names of stored lengths that the model measured in the file
SPELLED_OUT = "deadunits.spelled_out"  # key that says that lists of tensors in the file became single operators
READ_BACK = "deadunits.read_back"  # key that says that channels lie in blocks in the file
DEFAULTS_SINCE = 4  # the IR version from which an input with a stored tensor is a default; before, all are listed


@dataclass(frozen=True, slots=True)
class TensorType:
    """Element type and declared dims of a value; a dim is a number, a name, or None when unknown."""

    dtype: np.dtype[Any] | None
    shape: tuple[Dim, ...] | None

    def __str__(self) -> str:
        dims = "?" if self.shape is None else "x".join("?" if d is None else str(d) for d in self.shape)
        return f"{self.dtype.name if self.dtype is not None else 'unknown'}[{dims}]"


def element_type(number: int) -> str:
    """ONNX's name of the element type that an attribute gives by its number, such as `FLOAT`."""
    return ir.DataType(number).name


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One operator call. Missing optional inputs are empty names; `attributes` are those that are no graphs.

    Nodes of subgraphs are nodes like any other; `place` says in which bodies of which nodes they stand, and `sealed`
    that nobody knows what becomes of them there. `stacks`: what else its body gave out would come out stacked, one
    entry per step. A choice between branches (an If) reads, behind its condition, what each branch gives out. Of other
    nodes with subgraphs there are two: the entry, before them, makes the inputs of the bodies, and the node itself,
    behind them, reads what they give out; these links are `captured`, as they say nothing about which input becomes
    what. `scope` is the path of the module in whose code it was written, empty for the model itself (None: nothing
    tells).
    """

    index: int
    name: str
    op_type: str
    domain: str
    version: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    captured: tuple[str, ...] = ()
    scope: str | None = None
    role: Role = Role.PLAIN
    place: Place = ()
    sealed: bool = False
    stacks: bool = False

    @property
    def key(self) -> str:
        """What a choice between branches is called by: its first named output; empty for other nodes."""
        return key_of(self.outputs, self.name) if self.role is Role.BRANCHES else ""

    @property
    def qualified_type(self) -> str:
        """`Conv` for the standard domain, `com.microsoft::FusedConv` for others."""
        return f"{self.domain}::{self.op_type}" if self.domain else self.op_type

    def attr(self, name: str, default: Any = None) -> Any:
        """The attribute as a Python value (numbers, str, lists, arrays), or the default."""
        return self.attributes.get(name, default)


T = TypeVar("T")


@dataclass(eq=False)
class Graph:
    """The graph of a model with its subgraphs, functions inlined and Constant nodes lifted to initializers.

    `inputs` are what every run needs; `defaults` are the shapes of further inputs, with a stored value that a run may
    override, so they are no constants. `measured` are lengths, and what follows from them, that are stored instead.
    """

    nodes: tuple[Node, ...]
    inputs: dict[str, TensorType]
    outputs: tuple[str, ...]
    types: dict[str, TensorType]
    opsets: dict[str, int]
    _static: StaticPart = field(repr=False)
    _fold: Fold = field(repr=False)
    defaults: dict[str, tuple[int, ...]] = field(default_factory=dict)
    measured: frozenset[str] = frozenset()
    _read: dict[str, Array] = field(default_factory=dict, repr=False)
    #: What others found out about the graph and keep with it: it never changes.
    derived: dict[object, Any] = field(default_factory=dict, init=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """For another process, which reads stored tensors, folds and derives anew."""
        return {part.name: getattr(self, part.name) for part in fields(self)} | {"_read": {}, "derived": {}}

    @cached_property
    def producer(self) -> dict[str, Node]:
        """Value name -> the node that computes it."""
        return {name: node for node in self.nodes for name in node.outputs if name}

    @cached_property
    def consumers(self) -> dict[str, list[tuple[Node, int]]]:
        """Value name -> (node, input position); what goes into a body or comes out of it has position -1."""
        links: dict[str, list[tuple[Node, int]]] = {}
        for node in self.nodes:
            for position, name in enumerate(node.inputs):
                if name:
                    links.setdefault(name, []).append((node, position))
            for name in node.captured:
                links.setdefault(name, []).append((node, -1))
        return links

    @cached_property
    def decided(self) -> dict[str, int]:
        """Choices whose condition stored tensors alone decide: the branch that is always taken, 0 for true."""
        choices = [(node.key, self.constant(node.inputs[0])) for node in self.nodes if node.key]
        return {key: int(not flag.reshape(-1)[0]) for key, flag in choices if flag is not None and flag.size == 1}

    @cached_property
    def inside(self) -> frozenset[str]:
        """Values that are made within subgraphs: nothing outside of these can read them."""
        return frozenset(name for node in self.nodes if node.place for name in node.outputs if name)

    @cached_property
    def stepped(self) -> dict[str, tuple[str, ...]]:
        """Values of bodies that a run can show, stacked over the steps: the loops around them, outermost first."""
        loops = {key_of(node.outputs, node.name) for node in self.nodes if node.stacks}
        around = {node: tuple(key for key, _ in node.place) for node in self.nodes if node.place}
        return {o: keys for node, keys in around.items() if loops.issuperset(keys) for o in node.outputs if o}

    @cached_property
    def initializer_names(self) -> frozenset[str]:
        """Names of all weights and constants stored in the file."""
        return frozenset(self._static.tensors)

    def initializer_shape(self, name: str) -> tuple[int, ...]:
        """Shape of a stored tensor, without reading it."""
        return self._stored_shapes[name]

    @cached_property
    def _stored_shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: _lengths(tensor) for name, tensor in self._static.tensors.items()}

    def initializer_dtype(self, name: str) -> np.dtype[Any]:
        """Element type of a stored tensor, without reading it."""
        return np.dtype(self._static.tensors[name].dtype.numpy())

    def constant(self, name: str) -> Array | None:
        """The value's array when the file alone decides it (stored, or computed from stored ones), else None."""
        if name not in self._static.tensors:
            return self._computed.get(name)
        if name not in self._read:
            tensor = self._static.tensors[name]
            array = np.asarray(tensor.numpy())
            self._read[name] = on_disk(array) if isinstance(tensor, ir.LazyTensor) else array
        return self._read[name]

    def stored_input(self, node: Node, position: int) -> Array | None:
        """The array of a node's input, where there is such an input and the file alone decides it."""
        name = node.inputs[position] if position < len(node.inputs) else ""
        return self.constant(name) if name else None

    @cached_property
    def _computed(self) -> Mapping[str, Array]:
        return self._fold(self._static) if self._static.nodes else {}

    @cached_property
    def static_values(self) -> frozenset[str]:
        """Names of values that depend on stored tensors alone; `constant` may not know all of them."""
        computed = (name for node in self._static.nodes for name in node.output if name)
        return frozenset((*self._static.tensors, *computed))


def once_per_graph(function: Callable[[Graph], T]) -> Callable[[Graph], T]:
    """The function, carried out once for each graph; whoever gets its answer must not change it."""

    @wraps(function)
    def answer(graph: Graph) -> T:
        if function not in graph.derived:
            graph.derived[function] = function(graph)
        found: T = graph.derived[function]
        return found

    return answer


def _lengths(tensor: ir.TensorProtocol) -> tuple[int, ...]:
    return tuple(int(d) for d in tensor.shape.numpy())


def _overridable(model: ir.Model, stored: Mapping[str, ir.TensorProtocol]) -> set[str]:
    """Stored tensors that callers may override: from IR version 4 on those that are inputs, too.

    Where most weights are, it is the habit of an exporter (PyTorch 1.2, MXNet and others went on listing them), and
    nobody means to override them.
    """
    listed = {str(v.name) for v in model.graph.inputs} & set(stored)
    weights = {name for name, tensor in stored.items() if len(tensor.shape.numpy()) > 1} - model.meta.get(LIFTED, set())
    habit = 2 * len(weights & listed) > len(weights)
    return set() if model.ir_version < DEFAULTS_SINCE or habit else listed


def view_of(model: ir.Model, fold: Fold) -> Graph:
    """The view of a normalised onnx-ir model (functions inlined, constants lifted, nodes sorted).

    `fold` computes values that stored tensors alone decide, when one of them is first asked for.
    """
    graph = model.graph
    opsets = dict(model.opset_imports)
    types: dict[str, TensorType] = {}
    stored = {n: v.const_value for n, v in graph.initializers.items() if v.const_value is not None}
    listed = _overridable(model, stored)
    tensors = {n: t for n, t in stored.items() if n not in listed}
    nodes = []
    for value in (*graph.inputs, *graph.initializers.values()):
        types[str(value.name)] = _type_of(value)
    order = [*placed_nodes(graph)]
    scopes = scopes_of([placed.node for placed in order], model.producer_name or "")
    for index, (placed, scope) in enumerate(zip(order, scopes, strict=True)):
        nodes.append(_node_of(placed, index, opsets, scope))
        made = [v for body in placed.bodies for v in body.inputs] if placed.role is Role.ENTRY else placed.node.outputs
        types.update({str(value.name): _type_of(value) for value in made if value.name})
    return Graph(
        nodes=tuple(nodes),
        inputs={str(v.name): types[str(v.name)] for v in graph.inputs if v.name not in stored},
        outputs=tuple(str(v.name) for v in graph.outputs),
        types=types,
        opsets=opsets,
        _static=part_of(model, static_nodes(nodes, tensors), tensors),
        _fold=fold,
        defaults={n: _lengths(stored[n]) for n in stored if n in listed},
        measured=frozenset(model.meta.get(MEASURED, ())),
    )


def _type_of(value: ir.Value) -> TensorType:
    dtype = None
    if isinstance(value.type, ir.TensorType) and value.dtype is not None:
        try:
            dtype = np.dtype(value.dtype.numpy())
        except TypeError:
            dtype = None
    if value.shape is None:
        return TensorType(dtype, None)
    return TensorType(dtype, tuple(_dim_of(d) for d in value.shape))


def _dim_of(dim: int | ir.SymbolicDim) -> Dim:
    """A number, a name, or None; some exporters write a free length as -1."""
    if isinstance(dim, int):
        return dim if dim >= 0 else None
    return dim.value or None


def _node_of(placed: Placed, index: int, opsets: Mapping[str, int], scope: str | None) -> Node:
    node = placed.node
    inputs = tuple("" if v is None else str(v.name or "") for v in node.inputs)
    outputs = tuple(str(v.name or "") for v in node.outputs)
    name, captured = node.name or f"{node.op_type}_{index}", tuple[str, ...]()
    given = tuple(str(value.name) for body in placed.bodies for value in body.outputs)
    if placed.role is Role.BRANCHES:
        inputs += given
    elif placed.role is Role.ENTRY:
        outputs = tuple(str(value.name) for body in placed.bodies for value in body.inputs)
        name, captured, inputs = f"{name}/entry", tuple(filter(None, inputs)), ("",)
    elif placed.role is Role.EXIT:
        captured = given
    return Node(
        index=index,
        name=name,
        op_type=node.op_type,
        domain=node.domain,
        version=opsets.get(node.domain, 1),
        inputs=inputs,
        outputs=outputs,
        attributes={k: _attribute(a) for k, a in node.attributes.items() if a.type not in SUBGRAPHS},
        captured=captured,
        scope=scope,
        role=placed.role,
        place=placed.place,
        sealed=placed.sealed,
        stacks=placed.stacks and not (opsets.get("", 1) < STACKS_SINCE and "num_scan_inputs" in node.attributes),
    )


def _attribute(attribute: ir.Attr) -> Any:
    if attribute.type == ir.AttributeType.TENSOR:
        return np.asarray(attribute.value.numpy())
    if attribute.type in (ir.AttributeType.INTS, ir.AttributeType.FLOATS, ir.AttributeType.STRINGS):
        return list(attribute.value)
    return attribute.value
