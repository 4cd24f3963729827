"""The graph as the rules see it: every node with concrete shapes, stored arrays and its rule."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.algebra.keeps import Ref
from analyzer.algebra.pattern import Shape
from analyzer.facts.tolerances import REORDERED
from analyzer.facts.units import SampleAxis, ShapeTable
from analyzer.graph import Graph, Node
from analyzer.graph.coarsest import coarsest_types
from analyzer.graph.view import Dim
from analyzer.ops.correspondence import Correspondence
from analyzer.ops.decided import decided_branches
from analyzer.ops.fitting_shapes import fit_together
from analyzer.ops.fixed_numbers import fixed_numbers
from analyzer.ops.lengths import Lengths
from analyzer.ops.node import OpNode
from analyzer.ops.operator import BARRIER, Operator, described_axes, rule_for, traits_of, why_no_rule
from analyzer.ops.regrouping import regroups
from analyzer.ops.traits import SINGLE_OR_DOUBLE
from analyzer.ops.weighted_sum import WeightedSum

IDLE = "in a branch that no run took"
NEVER = "in a branch that nothing can take"
HIDDEN = "within a branch or a loop of which the run shows nothing"
FROZEN = "it stays as it is, since its last digit decides a jump behind it"
_AS_SAID = (*SINGLE_OR_DOUBLE, "int32", "int64")  # types in which a small number is not rounded to 0
_NOWHERE = SampleAxis(None)


@dataclass(frozen=True, slots=True, eq=False)
class Copy:
    """A stored tensor that several nodes read, as one of them sees it: cut for that reader alone."""

    name: str
    source: str
    node: Node
    position: int


@dataclass(frozen=True, eq=False)
class Call:
    """A node, the rule that speaks for it, why it is a barrier when it is one, and whether a run showed its shapes."""

    op: OpNode
    rule: Operator
    barrier: str | None
    shown: bool = True
    times: int = 1  # how often it is computed in one run, within loops

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Input names."""
        return self.op.inputs

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """Output names."""
        return self.op.outputs

    @cached_property
    def axes(self) -> Correspondence:
        """How the axes of its values correspond."""
        axes = self.rule.axes(self.op)
        return replace(axes, follows=self.op.follows) if self.op.follows else axes

    @property
    def known_rule(self) -> Operator:
        """The operator's rule, whether it speaks for this call or not."""
        return rule_for(self.op.node.domain, self.op.op_type)

    @cached_property
    def described(self) -> Correspondence:
        """The same as far as it is known of a barrier, too: no facts come through, but what it costs can be told."""
        if self.barrier == FROZEN:
            return self.known_rule.axes(self.op)
        return described_axes(self.op) if self.barrier is not None and self.shown else self.axes

    @cached_property
    def opaque(self) -> str | None:
        """Why nothing inside of it is looked at; None where its rule says what it does, or which units it makes."""
        known = self.barrier in (None, FROZEN, NEVER) or self.makes_units
        return self.known_rule.conceals if known else self.barrier

    @cached_property
    def makes_units(self) -> bool:
        """Whether units of the first output are sums of products that are made here, by a rule that says of what."""
        summing = self.known_rule is not BARRIER and bool(self.outputs) and traits_of(self.op.node).sums_products
        return summing and bool(self.described.units({}).get(self.outputs[0]))

    def multiply_adds(self, shape: Callable[[str], Shape]) -> int | None:
        """Multiply-adds for the shapes that `shape` gives; None where they are not known."""
        if self.barrier in (IDLE, NEVER):
            return 0
        once = self.described.multiply_adds(shape) if traits_of(self.op.node).sums_products else 0
        return None if once is None else once * self.times

    @cached_property
    def whole(self) -> frozenset[Ref]:
        """Axes that stay whole because the node needs that."""
        return frozenset(self.axes.held())

    @cached_property
    def weighted_sum(self) -> WeightedSum | None:
        """Where each unit is a sum of input units, weighted by stored numbers: what it is made of."""
        return self.rule.weighted_sum(self.op)

    @cached_property
    def sums(self) -> bool:
        """Whether products are summed over an axis of some input."""
        return any(self.rule.summed_axes(self.op, p) for p, name in enumerate(self.inputs) if name)


class Context:
    """All calls of a graph in topological order, and the shapes of all values."""

    def __init__(
        self, graph: Graph, table: ShapeTable, tied: Collection[str] = (), frozen: Collection[int] = ()
    ) -> None:
        """Tensors that several nodes read are cut for each reader alone, except those in `tied`.

        Nodes in `frozen`, by index, are barriers: they must go on computing what they compute, to the last digit.
        """
        self._frozen = frozen
        self.graph = graph
        self.table = table
        self._tied = tuple(tied)
        self.shapes: dict[str, Shape] = dict(table.shapes)
        for name in graph.initializer_names:
            self.shapes[name] = graph.initializer_shape(name)
        self.copies: dict[str, Copy] = {}
        for name in sorted(graph.initializer_names - set(tied)):
            self._separate(name)
        self.lists = Lengths(graph, self.shapes)
        #: Choices between branches that no input changes, by their first output: the branch that is taken, 0 for true.
        self.decided = decided_branches(graph, table, self.lists)
        # of first outputs a number that they are never below, and which numbers of short lists the file decides
        self._lowest, self._partly = dict[str, float | None](), dict[str, Constants | None]()
        #: Node index -> its call.
        self.by_node: dict[int, Call] = {}
        for node in graph.nodes:
            self.by_node[node.index] = self._call(node)
        self._level()
        self.calls = tuple(self.by_node.values())

    def __reduce__(self) -> tuple[type[Context], tuple[object, ...]]:
        """For another process, which builds it anew: operators hold functions, which cannot be sent."""
        return Context, (self.graph, self.table, self._tied, self._frozen)

    def _separate(self, name: str) -> None:
        readers = self.graph.consumers.get(name, ())
        floats = self.graph.initializer_dtype(name).kind in "fV"
        inner = name in self.graph.outputs or any(position < 0 for _, position in readers)
        if len(readers) < 2 or inner or not floats or max(self.shapes[name], default=1) < 2:
            return
        for node, position in readers:
            copy = Copy(f"{name} (input {position} of {node.name})", name, node, position)
            self.copies[copy.name] = copy
            self.shapes[copy.name] = self.shapes[name]

    @cached_property
    def _copy_at(self) -> dict[tuple[int, int], str]:
        return {(copy.node.index, copy.position): copy.name for copy in self.copies.values()}

    def readers(self, name: str) -> Sequence[tuple[Node, int]]:
        """Nodes that read a value, with the input position; -1 where it goes into a body or comes out of one."""
        copy = self.copies.get(name)
        return self.graph.consumers.get(name, ()) if copy is None else [(copy.node, copy.position)]

    def around(self, name: str) -> list[Node]:
        """The nodes that read a value, follow its lengths or make it: by which others are cut together with it."""
        nodes = [*(node for node, _ in self.readers(name)), *self.lists.followers.get(name, ())]
        return [*nodes, self.graph.producer[name]] if name in self.graph.producer else nodes

    def stored(self, name: str) -> str | None:
        """The stored tensor behind a name: itself, or the one that it is a reader's copy of; None for other values."""
        copy = self.copies.get(name)
        return copy.source if copy is not None else name if name in self.graph.initializer_names else None

    def lengths(self, name: str) -> tuple[int | tuple[str, int], ...] | None:
        """Per axis of a value its length, as a number or as an axis of a graph input; None when not all are known."""
        declared = self.graph.types[name].shape if name in self.graph.types else None
        samples = self.sample_axis(name)
        found: list[int | tuple[str, int]] = []
        for axis, length in enumerate(self.shapes[name]):
            dim = declared[axis] if declared is not None and len(declared) == len(self.shapes[name]) else None
            source: int | tuple[str, int] | None = length if dim == length else None
            if axis == samples.axis:
                sampled = (i for i in self._input_axes if self.sample_axis(i[0]) == SampleAxis(i[1], samples.rows))
                source = next(sampled, None)
            elif isinstance(dim, str):
                source = next((i for i, declared_there in self._input_axes.items() if declared_there == dim), None)
            if source is None or not (axis == samples.axis or self._follows(name, axis, source)):
                return None
            found.append(source)
        return tuple(found)

    def _follows(self, name: str, axis: int, source: int | tuple[str, int]) -> bool:
        """Whether a length is what its declaration says, as far as runs of other sizes show: nobody checks names."""
        shown = [shapes for shapes in self.table.resized if len(shapes.get(name, ())) > axis]
        if isinstance(source, int):
            return all(shapes[name][axis] == source for shapes in shown)
        table, place = [self.shapes, *shown], source[1]
        return bool(shown) and all(shapes[name][axis] == shapes[source[0]][place] for shapes in table)

    @cached_property
    def _input_axes(self) -> dict[tuple[str, int], Dim]:
        """Every axis of every graph input, and how it is declared."""
        declared = self.graph.inputs.items()
        return {(name, axis): dim for name, kind in declared for axis, dim in enumerate(kind.shape or ())}

    @cached_property
    def outputs(self) -> frozenset[str]:
        """Names of the graph's outputs."""
        return frozenset(self.graph.outputs)

    def rank(self, name: str) -> int:
        """How many axes a value has; 0 where its shape is not known."""
        return len(self.shapes.get(name, ()))

    def constants(self, facts: Mapping[str, Constants], names: Sequence[str]) -> list[Constants]:
        """What is known of each of these values."""
        return [facts.get(name) or Constants.unknown(self.rank(name)) for name in names]

    def sample_axis(self, name: str) -> SampleAxis:
        """Where samples lie in a value."""
        return self.table.sample_axes.get(name, _NOWHERE)

    def free_axes(self, name: str) -> frozenset[int]:
        """Axes whose length another feed may change: the number of samples and lengths that the inputs leave free."""
        axis = self.sample_axis(name).axis
        return self.table.dynamic.get(name, frozenset()) | ({axis} if axis is not None else frozenset())

    def folded_axes(self, name: str) -> tuple[int, ...]:
        """Axes on which no fact may vary: samples times something else, and lengths that other inputs change."""
        where = self.sample_axis(name)
        folded = set(self.table.dynamic.get(name, ()))
        if where.axis is not None and where.rows != 1:
            folded.add(where.axis)
        return tuple(sorted(folded))

    def _call(self, node: Node) -> Call:
        statics = tuple(self.graph.constant(n) if n else None for n in node.inputs)
        for name, array in zip(node.inputs, statics, strict=True):
            if array is not None:
                self.shapes.setdefault(name, array.shape)
        reads = tuple(self._copy_at.get((node.index, p), n) for p, n in enumerate(node.inputs))
        op = OpNode(
            node=node,
            reads=reads,
            in_shapes=tuple(self.shapes.get(n) if n else None for n in node.inputs),
            out_shapes=tuple(self.shapes.get(n) if n else None for n in node.outputs),
            statics=statics,
            sole_user=tuple(n in self.copies or self._sole_user(n) for n in reads),
            in_free=tuple(self.free_axes(n) for n in node.inputs),
            x_dtype=self.dtype(node.inputs[0]) if node.inputs else None,
            y_dtype=self.dtype(node.outputs[0]) if node.outputs else None,
            target=self.lists.pieces(node),
            partly=tuple(self._partly.get(n) for n in node.inputs),
            lowest=tuple(self._lowest.get(n) for n in node.inputs),
            averages=tuple(self._sums_to_one(n) for n in node.inputs),
            follows=tuple(((node.outputs[0], axis), ref) for axis, ref in self.lists.follows(node).items()),
            used_outputs=tuple(n in self.graph.consumers or n in self.outputs for n in node.outputs),
            used_axes=self.lists.used_axes(node) if traits_of(node).lists_lengths else None,
        )
        rule = rule_for(node.domain, node.op_type)
        optional = (p for p in rule.zero_if_missing if op.has(p) and op.static(p) is None)
        if (branch := self.decided.get(node.key)) is not None:  # what the others give out is never read
            given = range(1 + branch * len(op.outputs), 1 + (branch + 1) * len(op.outputs))
            op = replace(op, branch=branch).without(frozenset(range(1, len(op.inputs))).difference(given))
        if zeros := frozenset(p for p in optional if self._is_zero(op.inputs[p])):
            op = replace(op, zeros=zeros)
        why = self._barrier(op, rule)
        if why is None and self.dtype(op.outputs[0]) in _AS_SAID:
            lowest = rule.lowest(op, op.lowest)  # as the run rounds it, which keeps the order of numbers
            self._lowest[op.outputs[0]] = None if lowest is None else _rounded(lowest, self.dtype(op.outputs[0]))
        if why is None and not self.folded_axes(op.outputs[0]):
            self._partly[op.outputs[0]] = fixed_numbers(op, rule, self.dtype)
        times = prod(self.table.steps.get(key, 1) for key, _ in node.place)
        return Call(op, rule if why is None else BARRIER, why, self.table.measured, times)

    def _level(self) -> None:
        """Tell every call along which axis a common summand in its output changes nothing: a softmax takes it off."""
        levelled: dict[str, int] = {}
        for index, call in reversed(self.by_node.items()):
            axis = levelled.get(call.outputs[0]) if call.outputs else None
            if axis is not None:
                self.by_node[index] = replace(call, op=replace(call.op, level=axis))
            for position, name in enumerate(call.inputs if call.barrier is None else ()):
                found = call.rule.levels(call.op) if position == 0 else None
                found = axis if found is None and axis is not None and _adds(call, position, axis) else found
                exact = self.dtype(name) in SINGLE_OR_DOUBLE  # a summand shifts digits that a half has no room for
                read_once = len(self.graph.consumers.get(name, ())) == 1 and name not in self.outputs
                if found is not None and exact and read_once:
                    levelled[name] = found

    def _sums_to_one(self, name: str) -> int | None:
        producer = self.graph.producer.get(name)
        call = None if producer is None else self.by_node.get(producer.index)
        return call.rule.sums_to_one(call.op) if call is not None and call.outputs.index(name) == 0 else None

    def _is_zero(self, name: str) -> bool:
        """Whether a value is zero whatever the model is fed: a state that is made to fit the number of samples."""
        array = self.graph.constant(name)
        if array is not None:
            return not array.any()
        producer = self.graph.producer.get(name)
        call = None if producer is None else self.by_node.get(producer.index)
        if call is None or call.barrier is not None:
            return False
        xs = [self._zeros_of(call, position) for position in range(len(call.inputs))]
        found = call.rule.constants(call.op, xs)[call.outputs.index(name)]
        return found.all and bool(found.zero.all())

    def _zeros_of(self, call: Call, position: int) -> Constants:
        """An input as it is stored, or as the zeros that it is where the call moves them."""
        array, name = call.op.static(position), call.inputs[position]
        if array is not None:
            return Constants.exactly(array)
        rank = len(call.op.in_shapes[position] or ())
        known = bool(name) and call.rule.moves and self._is_zero(name)
        return Constants(pattern.uniform(rank, known), np.zeros((1,) * rank))

    def dtype(self, name: str) -> str | None:
        """NumPy name of a value's element type; None where neither the file nor the run tells."""
        declared = self.graph.types[name].dtype if name in self.graph.types else None
        return pattern.type_name(declared) if declared is not None else self.table.dtypes.get(name)

    def coarsest(self, name: str) -> str:
        """The coarsest float type on the way to a value of floats; the type itself of all others."""
        own = self.dtype(name) or "float32"
        return self._coarsest.get(name, own) if own in REORDERED else own

    @cached_property
    def _coarsest(self) -> dict[str, str]:
        named = {name: self.dtype(name) or "" for name in self.graph.producer}
        return coarsest_types(self.graph, named)

    def _barrier(self, op: OpNode, rule: Operator) -> str | None:
        if op.node.index in self._frozen:
            return FROZEN
        if op.node.sealed:
            return "within an operator of a foreign domain"
        if any(self.decided.get(key, branch) != branch for key, branch in op.node.place):
            return NEVER
        if any(self.table.taken.get(key, branch) != branch for key, branch in op.node.place):
            return IDLE
        if not any(op.outputs):
            return "no outputs"
        if rule is BARRIER:
            return why_no_rule(op.node)
        named = [*zip(op.inputs, op.in_shapes, strict=True)]
        made = zip(op.outputs, op.out_shapes, op.used_outputs, strict=True)
        named += [(name, shape) for name, shape, used in made if used]
        if any(name and shape is None for name, shape in named):
            return HIDDEN if op.node.place else "a shape that the run did not show"
        computed = [s for s, static in zip(op.in_shapes, op.statics, strict=True) if static is None]
        if not rule.takes_empty and any(0 in shape for shape in (*computed, *op.out_shapes) if shape):
            return "an empty value"
        if not (self.table.measured or fit_together(rule, op)):
            return "shapes that do not fit together"
        if any(self.table.scrambled.get(n, 0) is None for n in (*op.inputs, *op.outputs)):
            return "a value in which samples lie in no known order"
        if traits_of(op.node).regroups and regroups(self.table, op):
            return "which axes it joins depends on lengths that the inputs leave free"
        return rule.unsupported(op)

    def _sole_user(self, name: str) -> bool:
        """Whether a stored tensor may be written anew: one node reads it, and nobody outside."""
        alone = len(self.graph.consumers.get(name, ())) == 1 and name not in self.outputs
        return alone and name in self.graph.initializer_names


def _rounded(number: float, dtype: str | None) -> float:
    """A number as a value of this type holds it; whole numbers stay what they are."""
    return float(np.asarray(number, dtype)) if dtype in SINGLE_OR_DOUBLE else number


def _adds(call: Call, position: int, axis: int) -> bool:
    """Whether a summand that is one along an axis of an input is one in the output, too."""
    affine = call.rule.affine(call.op)
    if affine is None or affine.integers or position not in affine.factors:
        return False
    return call.op.in_shapes[position] == call.op.y_shape() and affine.factors[position].shape[axis] == 1
