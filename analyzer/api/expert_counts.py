"""Which experts of mixtures the data is routed to: the routers from the walk, the counts from a pass over the data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from analyzer.algebra.pattern import Array, Shape
from analyzer.api.cutting import cut
from analyzer.api.options import Run
from analyzer.errors import InputError
from analyzer.facts.audit import AuditFacts
from analyzer.facts.choice import Choice
from analyzer.facts.experts import RoutedExperts
from analyzer.facts.units import ShapeTable
from analyzer.graph import LoadedModel
from analyzer.observe.gathered_rows import gathered_rows
from analyzer.ops.context import Context
from analyzer.probes.probe import Probe
from analyzer.rewrite.fewer_experts import SCATTERS, Routed, numbers_alone
from analyzer.walk import Walk
from analyzer.walk.parameters import count_parameters
from analyzer.walk.routers import Router, routers


def routed_experts(
    loaded: LoadedModel, context: Context, probe: Probe, holdout: Probe | None, run: Run
) -> list[Routed]:
    """The routers, and how many tokens go to each of their experts."""
    found = routers(context)
    if not found:
        return []
    seen, held = _counts(loaded, found, run, probe), holdout and _counts(loaded, found, run, holdout)

    def facts(router: Router) -> RoutedExperts:
        counts, stacked = seen[router.name], router.stacked
        chosen = np.flatnonzero(counts).tolist()
        settled = stacked.settled if stacked is not None and loaded.graph.opsets.get("", 1) >= SCATTERS else ()
        constant = [expert for expert in chosen if expert in settled]
        return RoutedExperts(
            router=router.name,
            counts=counts,
            chosen=router.chosen,
            names=router.names,
            module=router.module,
            tensors=router.tensors,
            holdout=held[router.name] if held else None,
            settled=tuple(constant[len(constant) == len(chosen) :]),  # one stays, as a node without experts is none
        )

    return [(router, facts(router)) for router in found]


def with_removable(
    routed: Sequence[Routed],
    loaded: LoadedModel,
    shapes: ShapeTable,
    walked: Walk,
    measure: Callable[[LoadedModel], ShapeTable],
) -> tuple[RoutedExperts, ...]:
    """The experts with how many numbers can go beyond those of dead units.

    Where marks say which expert is meant, a cut of the router is made, in memory.
    """
    left, keeps = walked.parameters - walked.removable.parameters, walked.closure.keeps

    def shape(name: str) -> Shape:
        return keeps.shape(name) if name in keeps else loaded.graph.initializer_shape(name)

    def removable(router: Router, facts: RoutedExperts) -> int:
        if not facts.gone:
            return 0
        if not router.marks:
            return max(numbers_alone(loaded.graph, shape, router, facts), 0)
        (smaller,) = cut(loaded, shapes, walked.layers, Choice(experts=True), measure, routed=[(router, facts)])
        return max(left - count_parameters(smaller.smaller.graph), 0) if smaller.removed_experts else 0

    return tuple(replace(facts, removable=removable(router, facts)) for router, facts in routed)


def counted_again(
    experts: Sequence[RoutedExperts] | None,
    loaded: LoadedModel,
    shapes: ShapeTable,
    walked: Walk,
    measure: Callable[[LoadedModel], ShapeTable],
) -> tuple[RoutedExperts, ...] | None:
    """The same counts, with what can go once other units do (None: nothing was counted)."""
    if experts is None:
        return None
    by_name = {facts.router: facts for facts in experts}
    routed = [(router, by_name[router.name]) for router in routers(walked.context) if router.name in by_name]
    return with_removable(routed, loaded, shapes, walked, measure)


def experts_that_may_go(audit: AuditFacts, context: Context, choice: Choice) -> list[Routed]:
    """The routers that lose experts.

    Raises:
        InputError: the experts were not counted, or the holdout needs others.
    """
    if not choice.experts:
        return []
    if audit.experts is None:
        raise InputError("The audit did not count which experts are chosen: audit with experts=True.")
    samples = audit.probe.samples if audit.probe else 0
    by_name = {facts.router: facts for facts in audit.experts if choice.takes_experts(facts, samples)}
    for facts in by_name.values():
        if facts.new_on_holdout and choice.unseen_expert == "refused":
            raise InputError(
                f"The holdout is routed to experts of {facts.router} that the probe never is "
                f"({facts.new_on_holdout} times): give a probe that is, or let the next best ones take their place "
                "(--unseen-expert next). Nothing was written."
            )
    return [(router, by_name[router.name]) for router in routers(context) if router.name in by_name]


def _counts(loaded: LoadedModel, found: Sequence[Router], run: Run, probe: Probe) -> dict[str, Array]:
    """Sample by sample, as any model takes them; only what leads to the choices is run."""
    ids = {router.name: (router.experts, (router.looked_at,)) for router in found}
    largest = {router.name: router.chosen for router in found if router.stacked is not None}
    return gathered_rows(loaded, ids, (batch.feeds for batch in probe.batches(probe.step)), run.threads, largest)
