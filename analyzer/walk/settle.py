"""The walk as a whole: verdicts in; evidence, plan, reasons and explanations out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.algebra.keeps import Ref
from analyzer.algebra.pattern import Mask
from analyzer.errors import DeadunitsError
from analyzer.facts.audit import Conditions, LayerVerdicts, Locked, OperatorWithoutRule, Removable, Withdrawn
from analyzer.facts.choice import Choice
from analyzer.facts.cut import AS_STORED, CutPlan, Reordered
from analyzer.facts.judged import Judged
from analyzer.facts.model_io import ConstantOutput, UnusedInput
from analyzer.facts.units import ShapeTable
from analyzer.graph import Graph
from analyzer.ops.context import Context
from analyzer.ops.joined_units import joined_units
from analyzer.ops.shared_context import context_of
from analyzer.walk import explanation, plan
from analyzer.walk.closure import Closure, close
from analyzer.walk.contradictions import doubts_before, first_contradiction
from analyzer.walk.flow import Needs, Seed, constants_forward, constants_within_rounding, decisive_calls, needs_backward
from analyzer.walk.interface import constant_outputs, unused_inputs
from analyzer.walk.judged_share import Costs, judged_share, operators_without_rule
from analyzer.walk.parameters import count_parameters
from analyzer.walk.reasons import Reasons

MOST_SINGLE_COPIES = 24  # shared tensors for which it is tried one by one whether copies pay


@dataclass(frozen=True, eq=False)
class Walk:
    """Everything the walk derived; the plan's promises hold for every input on which the dead units stay dead."""

    context: Context
    layers: tuple[LayerVerdicts, ...]
    facts: dict[str, Constants]
    needs: Needs
    closure: Closure
    withdrawn: tuple[Withdrawn, ...] = ()
    left: int | None = None  # parameters of the model once it is cut, where that was tried
    by_weights: dict[str, Constants] | None = None  # constants where nothing was observed, unless some are doubted
    reordered: Reordered = AS_STORED

    @property
    def cut(self) -> CutPlan:
        """The plan as a rewrite takes it."""
        return CutPlan(self.closure.keeps, self.facts, self.closure.nodes, self.needs.materialized, self.reordered)

    @property
    def contradicted(self) -> frozenset[str]:
        """Values about which nothing is derived, because a run showed otherwise."""
        return self.context.table.contradicted.union(*((w.value, *w.sources) for w in self.withdrawn))

    @cached_property
    def removable(self) -> Removable:
        """What can go."""
        return plan.removable(self.context, self.closure, self.reordered, self.left)

    @cached_property
    def parameters(self) -> int:
        """Parameters of the whole model."""
        return count_parameters(self.context.graph)

    @cached_property
    def multiply_adds(self) -> int:
        """Multiply-adds of the whole model for one sample."""
        return plan.count_macs(self.context, self.context.shapes.__getitem__)

    @cached_property
    def reasons(self) -> Reasons:
        """Why slots stay."""
        return Reasons(self.context, self.facts, self.closure)

    @cached_property
    def locked(self) -> tuple[Locked, ...]:
        """Dead units that stay, with their reasons."""
        return self.reasons.locked(self.layers)

    @cached_property
    def costs(self) -> Costs:
        """Multiply-adds and parameters of each node."""
        return Costs.of(self.context)

    @cached_property
    def operators_without_rule(self) -> tuple[OperatorWithoutRule, ...]:
        """Operators treated as barriers, and those of which nothing but the axes is known."""
        return operators_without_rule(self.context, self.costs)

    def judged(self, conditions: Conditions, *, data: bool) -> Judged:
        """How much of the model has verdicts; without `data` nothing has."""
        return judged_share(self.context, self.costs, self.layers, conditions, data=data)

    @cached_property
    def unused_inputs(self) -> tuple[UnusedInput, ...]:
        """Parts of the model's inputs that no output depends on."""
        return unused_inputs(self.context, self.needs, self.by_weights)

    @cached_property
    def constant_outputs(self) -> tuple[ConstantOutput, ...]:
        """Outputs of the model that do not change."""
        return constant_outputs(self.context, self.facts, self.layers, self.contradicted)

    def explain_unit(self, value: str, index: int) -> list[str]:
        """From the unit to the parameters it frees, or to the reason why it stays."""
        return explanation.unit(self.reasons, self.layers, self.reordered, value, index)

    def explain_parameter(self, name: str) -> list[str]:
        """Which units free which indices of a stored tensor."""
        return explanation.parameter(self.reasons, self.layers, self.removable, self.reordered, name)


@np.errstate(all="ignore")  # as in the flow
def walk(
    graph: Graph,
    shapes: ShapeTable,
    layers: Sequence[LayerVerdicts],
    choice: Choice | None = None,
    pinned: Collection[str] = (),
) -> Walk:
    """Walk the graph from the observed dead units (and from what the weights alone decide).

    `choice` narrows which dead units may be taken for constants and which layers may lose units; `pinned` values
    stay whole. A derived constant that is not what the run showed is withdrawn, and what follows from it.
    """
    context = context_of(graph, shapes)
    doubted = doubts_before(context, layers, shapes.contradicted)
    chosen = Choice.of(choice)
    withdrawn: list[Withdrawn] = []
    while True:
        structural = constants_forward(context, {}, doubted)
        judged = tuple(_with_structure(layer, structural.get(layer.value)) for layer in layers)
        seeds = _seeds(context, judged, chosen.exact)
        facts = _facts(context, seeds, structural, doubted)
        contradiction = first_contradiction(context, judged, facts)
        if contradiction is None:
            break
        withdrawn.append(contradiction[0])
        known = doubted
        doubted = known | {n: mask | known.get(n, np.False_) for n, mask in contradiction[1].items()}
        if not any((mask & ~known.get(n, np.False_)).any() for n, mask in doubted.items()):
            name = contradiction[0].value
            raise DeadunitsError(
                f"What was derived of {name} is not what the run showed, and nothing is left to withdraw."
            )
    taken = judged
    if frozen := decisive_calls(context, seeds, doubted):
        context = Context(graph, shapes, frozen=frozen)
        summed = {name for index in frozen for name in context.by_node[index].outputs}
        taken = tuple(layer for layer in judged if layer.value not in summed)
        structural = constants_forward(context, {}, doubted)
        facts = _facts(context, _seeds(context, taken, chosen.exact), structural, doubted)
    if chosen.lossy:  # what follows from units that are not dead is not what the run showed
        facts = _facts(context, _seeds(context, taken, chosen), structural, doubted)
    kept = _whole(context, judged, chosen, pinned)
    round_to = chosen.round_to

    def shared(tensors: Collection[str]) -> Walk:
        whole = Context(graph, shapes, tensors, frozen) if tensors else context
        by_weights = None if doubted or whole is not context else structural
        settled = settle(whole, facts, kept, round_to)
        return Walk(whole, judged, facts, *settled, tuple(withdrawn), by_weights=by_weights)

    return _copied_where_it_pays(shared)


def _copied_where_it_pays(shared: Callable[[Collection[str]], Walk]) -> Walk:
    """Tensors that several nodes read are cut for each reader alone, but not where the copies cost more than they free.

    `shared` walks with some tensors in one piece.
    """
    best = shared(())
    grown = plan.grown_by_copies(best.context, best.closure)
    if not grown:
        return best
    tied: set[str] = set()
    for change in [grown, *([{name} for name in sorted(grown)] if 1 < len(grown) <= MOST_SINGLE_COPIES else [])]:
        option = shared(tied ^ change)
        if option.removable.parameters >= best.removable.parameters:
            best, tied = option, tied ^ change
    return best


def _seeds(context: Context, layers: Sequence[LayerVerdicts], choice: Choice) -> dict[str, Seed]:
    """The units that the choice takes for constants."""
    seeds: dict[str, Seed] = {}
    for layer in layers:
        if constants := choice.constants(layer):
            seeds[layer.value] = seed = Seed.of(layer, constants)
            producer = context.graph.producer.get(layer.value)
            call = None if producer is None else context.by_node[producer.index]
            if call is not None and call.op.name != layer.audited.node:  # audited behind what makes it
                named = (
                    (c, joined_units(context, c, layer.value)) for c in context.calls if c.op.name == layer.audited.node
                )
                call, joined = next(((c, j) for c, j in named if j is not None), (None, None))
                if call is not None and joined is not None:
                    seeds[call.outputs[0]] = seed = seed.before(joined)
            if call is not None and call.outputs[0] in seeds:
                ends = [call.outputs[p] for p in call.known_rule.ends if p < len(call.outputs)]
                seeds |= {name: seed.at_end() for name in ends if name}
    return seeds


def _facts(
    context: Context, seeds: Mapping[str, Seed], structural: dict[str, Constants], doubted: Mapping[str, Mask]
) -> dict[str, Constants]:
    """Constants that follow from the weights and from the units that are taken for constants."""
    return constants_within_rounding(context, seeds, doubted) if seeds else structural


def _whole(
    context: Context, layers: Sequence[LayerVerdicts], choice: Choice, pinned: Collection[str]
) -> dict[str, list[Mask]]:
    """What stays in any case: layers that the choice leaves out, what is pinned, and what an edited plan keeps."""
    names = {layer.value for layer in layers if not choice.covers(layer)} | set(pinned)
    whole = {n: [np.ones(d, np.bool_) for d in context.shapes[n]] for n in sorted(names) if context.shapes.get(n)}
    for layer in layers:
        unwanted = set(layer.structural) - set((choice.units or {}).get(layer.value, ()))
        if choice.units is not None and unwanted and context.shapes.get(layer.value) and layer.value not in whole:
            vectors = [np.ones(d, np.bool_) for d in context.shapes[layer.value]]
            vectors[layer.audited.axis] = np.isin(np.arange(layer.units), [*unwanted])
            whole[layer.value] = vectors
    return whole


def settle(
    context: Context, facts: dict[str, Constants], kept: Mapping[str, list[Mask]], round_to: int = 1
) -> tuple[Needs, Closure]:
    """Needs and keeps that agree: a constant whose index stays must really come out as that constant.

    Indices that stay for their neighbours' sake alone and are not constant may hold anything finite: nothing reads
    them with a weight other than zero.
    """
    more: dict[str, Mask] = {}
    dropped: set[str] = set()  # asked for once and then no longer; asked for again, they stay
    picks: dict[Ref, int] = {}  # one round's free choices are the next round's, or they would add up
    carriers: frozenset[tuple[str, int, int]] = frozenset()
    while True:
        needs = needs_backward(context, facts, more)
        closure = close(context, facts, needs, kept, round_to, picks)
        carriers |= closure.carriers  # in the next round they are needed, not chosen
        fresh = False
        for name, found in facts.items():
            static = name in context.copies or name in context.graph.static_values
            if not found.any or static or not closure.keeps.alive(name):
                continue
            mask = found.known
            for axis, vector in enumerate(closure.keeps.vectors(name) if found.rank else ()):
                if not vector.all():
                    mask = mask & pattern.on_axis(vector, axis, found.rank)
            if (mask & ~needs.of(name, found.rank)).any():
                more[name], fresh = mask | more.get(name, mask), True
        unread = {n for n in more.keys() - dropped if not _read(context, closure, n)}  # a constant took its place since
        if not fresh and not unread:
            return needs, replace(closure, carriers=carriers)
        if not fresh:
            dropped |= unread
            more = {name: mask for name, mask in more.items() if name not in unread}


def _read(context: Context, closure: Closure, name: str) -> bool:
    """Whether a node that stays reads the value, or the graph gives it out."""
    return name in context.outputs or any(node.index in closure.nodes for node, _ in context.readers(name))


def _with_structure(layer: LayerVerdicts, found: Constants | None) -> LayerVerdicts:
    """Add the units that the weights alone decide."""
    if found is None or not found.any:
        return layer
    return layer.decided(*found.per_index(layer.audited.axis, layer.units))
