"""Mixtures without the experts that the data is never routed to; all others are chosen and weighed as before.

Where nodes choose (places of the largest scores), a token that would go to an expert that went is refused: its place is
looked up in a map, then in what that leads to, and has no entry there. With `next_best` the scores of these experts are
left out before the choice. What is made of the places (`marks`) is set to zero for experts that went, so that what
hangs on them is computed from zeros, which the walk cuts; a Scatter of nothing goes by what it is put on.

A node that chooses inside, scores [t, e], gets the scores and the weights of the experts that stay:

    next best   scores' = Gather(scores, kept)
    refused     scores' + MatMul(Gather(zeros [kept], Gather(map [e], TopK(scores))), zeros [k, kept])

The softmax over all scores gives an expert less than one over those kept: unless the shares of the chosen are made to
add up to 1, the output takes the factor Sum(Gather(Softmax(scores), kept)).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from analyzer.algebra.keeps import Keeps
from analyzer.algebra.pattern import Array, Shape
from analyzer.facts.experts import RoutedExperts
from analyzer.facts.units import ShapeTable
from analyzer.facts.vocabulary import GatheredRows
from analyzer.graph import Editor, Graph, LoadedModel, Node
from analyzer.ops.context import Context
from analyzer.rewrite.fewer_rows import looking_up
from analyzer.walk.flow import constants_forward
from analyzer.walk.parameters import numbers_in
from analyzer.walk.routers import Router

Routed = tuple[Router, RoutedExperts]
SINGLE, HALF = 1, 10  # element types, as a Cast names them
LOW, LOW_HALF = -1e30, -65504.0  # scores that weigh 0 beside 0
LOWEST = np.finfo(np.float32).min
LISTED, SCATTERS = 10, 11  # the first operator sets in which TopK reads k, and that have ScatterElements


def without_marks(
    loaded: LoadedModel, table: ShapeTable, routed: Sequence[Routed], *, next_best: bool
) -> tuple[LoadedModel, ShapeTable]:
    """The model in which what is made of the places of idle experts is zero, and the shapes of the new values."""
    editor, new = Editor(loaded.copy()), dict[str, tuple[str, Shape]]()

    def behind(index: int, op_type: str, value: str, stored: str, *, at: int, output: int = 0) -> None:
        attributes = {"axis": 0} if op_type == "Gather" else {}
        before = editor.insert_behind(index, op_type, stored, output=output, at=at, **attributes)
        new[before] = value, table.shapes[value]

    for router, facts in routed:
        call, name, kept = router.call, router.name, _kept(facts)
        picks, index = call.rule.picks(call.op), call.op.node.index
        if picks is None or not (next_best or router.marks):
            continue
        behind(index, "Gather", name, editor.add_tensor(f"{name}/experts", kept), at=1, output=picks[0])
        if next_best:
            which, (scores, axis) = editor.add_tensor(f"{name}/kept", kept), (call.inputs[0], router.axis)
            fewer = editor.insert_before(index, 0, "Gather", [which], {"axis": axis}, f"{name}/scores")
            shape = table.shapes[scores]
            new[fewer] = scores, (*shape[:axis], len(kept), *shape[axis + 1 :])
        else:
            rows = editor.add_tensor(f"{name}/row_of_expert", _rows(facts))
            behind(index, "Gather", name, rows, at=1, output=picks[0])
        for marking, numbers in router.marks:
            marked, stays = marking.outputs[0], ~np.isin(numbers, facts.idle)
            if not stays.all():
                mask = editor.add_tensor(f"{marked}/stays", stays.astype(marking.op.y_dtype))
                operator = "And" if marking.op.y_dtype == "bool" else "Mul"
                behind(marking.op.node.index, operator, marked, mask, at=0)
    return editor.loaded, table.with_values(new)


def without_empty(loaded: LoadedModel, context: Context) -> LoadedModel:
    """The model in which what is put at no place is not put."""
    editor, facts, instead = Editor(loaded.copy()), constants_forward(context, {}), dict[str, str]()

    def empty(name: str) -> bool:
        node = context.graph.producer.get(name)
        call = None if node is None else context.by_node[node.index]
        if call is None or not call.inputs:
            return False
        listed = call.known_rule.lists_nonzero and call.inputs[0] in facts and facts[call.inputs[0]].zero.all()
        return bool(listed) or (call.known_rule.keeps_empty and empty(call.inputs[0]))

    for call in context.calls:
        places = call.known_rule.puts_at
        if places is not None and call.outputs[0] not in context.outputs and empty(call.inputs[places]):
            onto = call.inputs[0]  # which may be gone itself
            instead[call.outputs[0]] = instead.get(onto, onto)
            editor.replace_value(call.outputs[0], instead[call.outputs[0]])
    return editor.loaded


def numbers_alone(graph: Graph, shape: Callable[[str], Shape], router: Router, facts: RoutedExperts) -> int:
    """How many numbers go with the idle experts of stacked weights, tables too; `shape` is that of a stored tensor.

    What hangs on marks only a cut shows.
    """
    lost = sum(table.removable for table in tables_of(graph, shape, [(router, facts)]) if looking_up(graph, table))
    if router.stacked is None:
        return lost
    kept = len(facts.left)
    for name in router.stacked.stored(router.call.op.node).values():
        numbers = prod(shape(name)[1:]) * numbers_in(graph, name)
        lost += numbers * len(facts.gone) if _has_one_reader(graph, name) else -numbers * kept
    if facts.settled:  # what `_with_constants` stores
        width = shape(router.call.outputs[0])[-1]
        return lost - kept - len(facts.settled) * width - bool(facts.idle)
    return lost - kept * (1 + router.chosen) - kept * (not router.stacked.renormalised)  # what `_with_scores` stores


def tables_of(graph: Graph, shape: Callable[[str], Shape], routed: Sequence[Routed]) -> list[GatheredRows]:
    """The tables that still have a row for each expert, with how often it was chosen."""
    return [
        GatheredRows(table, outputs, facts.counts, prod(shape(table)[1:]))
        for router, facts in routed
        for table, outputs in router.tables
        if table in graph.initializer_names
    ]


def _has_one_reader(graph: Graph, name: str) -> bool:
    """Whether a stored tensor can be cut where it is: nothing else needs it."""
    return name in graph.initializer_names and name not in graph.outputs and len(graph.consumers[name]) == 1


def without_stacked(loaded: LoadedModel, routed: Sequence[Routed], keeps: Keeps, *, next_best: bool) -> LoadedModel:
    """The model whose nodes that choose inside hold fewer experts; `keeps` of the cut that was made before."""
    editor, graph = Editor(loaded.copy()), loaded.graph
    for router, facts in routed:
        node, stacked = graph.producer.get(router.call.outputs[0]), router.stacked
        if stacked is None or node is None:
            continue
        for position, name in stacked.stored(node).items():
            array = graph.constant(name)
            assert array is not None  # else its rule would not speak for it
            if _has_one_reader(graph, name):
                editor.set_tensor(name, array[list(facts.left)])
            else:
                editor.set_input(node.index, position, editor.add_tensor(f"{name}/kept", array[list(facts.left)]))
        if facts.settled:
            value = router.call.outputs[0]
            kept = keeps.get((value, len(router.call.op.y_shape()) - 1))
            constants = np.stack([stacked.settled[expert][kept] for expert in facts.settled]).astype(np.float32)
            _with_constants(editor, node, router, facts, constants, next_best=next_best)
        else:
            _with_scores(editor, node, router, facts, next_best=next_best)
    editor.finish()
    return editor.loaded


@dataclass(frozen=True, eq=False)
class _Writer:
    """Writes what is computed in front of a node that chooses inside, in single precision."""

    editor: Editor
    node: Node
    router: Router

    def add(self, op_type: str, *inputs: str | Array, outputs: int = 1, **attributes: Any) -> str:
        named = [i if isinstance(i, str) else self.editor.constant(i) for i in inputs]
        return self.editor.add_before(self.node.index, op_type, named, outputs=outputs, **attributes)

    @property
    def half(self) -> bool:
        return self.router.call.op.x_dtype == "float16"

    def scores(self) -> str:
        assert self.router.stacked is not None
        name = self.node.inputs[self.router.stacked.scores]
        return self.add("Cast", name, to=SINGLE) if self.half else name

    def best(self, scores: str, experts: int) -> str:
        """The experts that are chosen, counted from the last: of equal scores TopK takes the first."""
        backwards, k = np.arange(experts)[::-1], self.router.chosen
        turned = self.add("Gather", scores, backwards, axis=1)
        listed = self.editor.loaded.graph.opsets.get("", 1) < LISTED  # k became an input
        number, attribute = ([], {"k": k}) if listed else ([np.array([k])], {})
        return self.add("TopK", turned, *number, outputs=2, axis=1, **attribute)

    def as_given(self, value: str) -> str:
        """Back to the node's element type."""
        return self.add("Cast", value, to=HALF) if self.half else value

    def by_token(self, value: str, width: int) -> str:
        """What has a row for each token, with the axes of tokens that the node's input has."""
        lengths = self.add(
            "Gather", self.add("Shape", self.node.inputs[0]), np.arange(len(self.router.call.op.x_shape()) - 1), axis=0
        )
        return self.as_given(self.add("Reshape", value, self.add("Concat", lengths, np.array([width]), axis=0)))

    def reads(self, scores: str) -> None:
        assert self.router.stacked is not None
        self.editor.set_input(self.node.index, self.router.stacked.scores, self.as_given(scores))


def _with_scores(editor: Editor, node: Node, router: Router, facts: RoutedExperts, *, next_best: bool) -> None:
    """Give a node that chooses inside the scores of the experts that stay."""
    write, kept = _Writer(editor, node, router), _kept(facts)
    single = write.scores()
    fewer = write.add("Gather", single, kept, axis=1)
    if not next_best:
        rows = write.add("Gather", _rows(facts)[::-1], write.best(single, facts.experts), axis=0)
        zeros = write.add("Gather", np.zeros(len(kept), np.float32), rows, axis=0)
        none = write.add("MatMul", zeros, np.zeros((router.chosen, len(kept)), np.float32))
        fewer = write.add("Add", fewer, none)
    write.reads(fewer)
    if router.stacked is not None and not router.stacked.renormalised:
        shares = write.add("Gather", write.add("Softmax", single, axis=1), kept, axis=1)
        factor = write.add("MatMul", shares, np.ones((len(kept), 1), np.float32))
        editor.insert_behind(node.index, "Mul", write.by_token(factor, 1))


def _with_constants(
    editor: Editor, node: Node, router: Router, facts: RoutedExperts, constants: Array, *, next_best: bool
) -> None:
    """The same where `constants` [experts, h] stand for settled experts, which are chosen, but no longer computed.

    chosen = scores, less the largest, where they are among the k largest, else low, so that they weigh 0
    Y = MoE(Gather(chosen, left)) * Sum(Gather(shares, left)) + MatMul(Gather(shares, settled), constants)
    """
    assert router.stacked is not None
    write, left = _Writer(editor, node, router), np.array(facts.left)
    scores, low = write.scores(), np.array(LOW_HALF if write.half else LOW, np.float32)
    among = scores
    if facts.idle and next_best:
        stays = np.isin(np.arange(facts.experts), facts.seen)
        among = write.add("Where", stays, scores, np.array(-np.inf, np.float32))
    which = write.best(among, facts.experts)
    experts = write.add("Gather", np.arange(facts.experts)[::-1], which, axis=0)
    taken = write.add("GatherElements", among, experts, axis=1)
    if facts.idle and not next_best:
        refused = write.add("Gather", np.isin(np.arange(facts.experts), facts.idle).astype(np.int64), experts, axis=0)
        taken = write.add("Add", taken, write.add("Gather", np.zeros(1, np.float32), refused, axis=0))
    largest = write.add("Max", write.add("Gather", taken, np.array([0]), axis=1), np.array(LOWEST, np.float32))
    taken = write.add("Max", write.add("Sub", taken, largest), low)  # all may be lower than low, or infinitely low
    nothing = write.add("Expand", low, write.add("Shape", scores))
    chosen = write.add("ScatterElements", nothing, experts, taken, axis=1)
    weighed = write.add("Softmax", chosen if router.stacked.renormalised else scores, axis=1)
    shares = write.add("Where", write.add("Greater", chosen, low), weighed, np.zeros((), np.float32))
    write.reads(write.add("Gather", chosen, left, axis=1))
    editor.set_attributes(node.index, {"k": min(router.chosen, len(left)), "normalize_routing_weights": 1})
    given = write.add("MatMul", write.add("Gather", shares, np.array(facts.settled), axis=1), constants)
    factor = write.add("MatMul", write.add("Gather", shares, left, axis=1), np.ones((len(left), 1), np.float32))
    editor.insert_behind(node.index, "Add", write.by_token(given, constants.shape[1]))
    editor.insert_behind(node.index, "Mul", write.by_token(factor, 1))  # between the node and the Add


def _kept(facts: RoutedExperts) -> Array:
    return np.flatnonzero(facts.counts).astype(np.int64)


def _rows(facts: RoutedExperts) -> Array:
    """Per expert its number among those that stay; for others one that none of these has."""
    rows = np.full(facts.experts, len(facts.seen), np.int64)
    rows[list(facts.seen)] = np.arange(len(facts.seen))
    return rows
