"""From an audit and a domain to a proof: bounds first, then a search for inputs that refute what bounds leave open."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from analyzer import unfinished
from analyzer.api.domains import samples_within, stated_domain
from analyzer.api.options import Progress
from analyzer.api.proof_result import Proof
from analyzer.api.rewritten import Source
from analyzer.bounds import IntervalGraph
from analyzer.errors import InputError, ProofContradicted, RunError
from analyzer.facts.domain import Box, Domain, hull_of
from analyzer.facts.given import is_number
from analyzer.facts.proof import Claim, DomainSummary, Method, Outcome, ProofFacts, UnitProof
from analyzer.facts.statistics import Bools
from analyzer.units.decomposed import find_decomposed
from analyzer.units.pre_activation import entry_of
from analyzer.witness.claims import Claims, claims_of
from analyzer.witness.points import Points, joined
from analyzer.witness.proofs import check_samples, proven, unit_bounds
from analyzer.witness.removal import Removals, negligible, output_sizes
from analyzer.witness.search import Clock, Search, together
from analyzer.witness.sight import Feeding
from analyzer.witness.snapping import Grid, pictures
from analyzer.witness.splitting import Splitter, worth_splitting

if TYPE_CHECKING:
    from analyzer.api.audit_result import Audit
    from analyzer.walk import Walk

Bounding = Callable[[Mapping[str, Box]], Mapping[str, Box]]
MOST_BOXES = 64  # that are bounded one by one
ARITHMETIC = "float32"  # what bounds hold for: single precision, sums in any order


def settle(
    source: Source,
    walk: Walk,
    audit: Audit,
    stated: Any,
    *,
    budget: float,
    seed: int,
    progress: Progress | None,
) -> Proof:
    """What becomes of the audit's claims over a domain.

    Raises:
        InputError: the domain is not understood or does not fit, or a sample lies outside of it.
        ProofContradicted: an input does what was proven to be impossible.
    """
    if not is_number(budget, 0):
        raise InputError(f"budget is {budget!r}: give a number of seconds, at least 0.")
    seconds, begin = dict[str, float](), time.perf_counter()

    def lap(stage: str) -> None:
        nonlocal begin
        seconds[stage], begin = time.perf_counter() - begin, time.perf_counter()

    domain = stated_domain(source, stated, source.images)
    if source.probe is None:
        raise InputError("This audit has no probe, and claims come from one: give one, or call analyzer.prove().")
    samples, others = samples_within(domain, source.probe, source.shapes)
    claims = _claims(walk, audit)
    lap("domain")
    with bounding(source, (), domain) as (bound, unbounded):
        bounds = bounds_over(bound, domain, progress)
        check_samples(audit.layers, bounds)
        settled, search, stopped = proven(claims, bounds), None, list[bool]()
        split, finished = np.zeros_like(settled), bool(budget) or bool(settled.all())
        lap("bounds")
        if budget and domain.varying and not settled.all():
            with unfinished.stopping(lambda: stopped.append(True)):
                clock = Clock(float(budget), lambda: bool(stopped), _ticks(progress, float(budget)))
                search = _search(source, claims, domain, samples, settled, seed, clock, audit.model.multiply_adds)
                try:
                    finished = search.run()
                finally:
                    search.close()
                if finished and worth_splitting(domain):
                    splitter = Splitter(bound, claims, domain)
                    for claim in np.flatnonzero(search.open).tolist():
                        split[claim] = clock.goes_on() and splitter.proves(claim, clock.goes_on)
                    finished = clock.goes_on()
            _check_search(claims, search)
        lap("search")
        left = ~settled & ~split if search is None else search.open & ~split
        changes = _changes(source, claims, samples, bounds, left, float(budget), domain)
        lap("removal")
    facts = ProofFacts(
        model=audit.model,
        probe=audit.probe,
        domain=_summary(domain),
        arithmetic=ARITHMETIC,
        seed=seed,
        budget=float(budget),
        tried=0 if search is None else search.tried,
        witnesses=0 if search is None else len(search.witnesses),
        ended_by="" if finished else "interrupted" if stopped else "budget",
        units=tuple(_units(audit, claims, bounds, settled, split, search, changes)),
        modules=audit.facts.modules,
        notes=(*_sizes(source, domain, others), *unbounded, *([] if search is None else _search_notes(search))),
        seconds=seconds,
    )
    return Proof(facts, audit, domain, {} if search is None else joined([w.point for w in search.witnesses]), source)


@contextmanager
def bounding(source: Source, values: Collection[str], domain: Domain) -> Iterator[tuple[Bounding, list[str]]]:
    """What bounds these values (none: all) for inputs of a part of the domain, and what to know of it.

    Of a value that is absent nothing is known.
    """
    widest = hull_of(domain.boxes)
    try:
        graph = IntervalGraph(
            source.computed,
            source.shapes,
            widest,
            arithmetic=ARITHMETIC,
            values=values,
            threads=source.run.threads,
        )
    except RunError as error:
        yield lambda _: {}, [f"Nothing was bounded: {error}"]
        return
    with graph:
        yield graph.bounds, []


def bounds_over(bound: Bounding, domain: Domain, progress: Progress | None = None) -> Mapping[str, Box]:
    """What lies around all that values can be, over all boxes of the domain; of very many, neighbours together."""
    step, found = -(-len(domain.boxes) // MOST_BOXES), list[Mapping[str, Box]]()
    for place in range(0, len(domain.boxes), step):
        found.append(bound(hull_of(domain.boxes[place : place + step])))
        if progress is not None:
            progress("bounds", min(place + step, len(domain.boxes)), len(domain.boxes))
    return hull_of(found)


def _claims(walk: Walk, audit: Audit) -> Claims:
    context, suspects = walk.context, [layer for layer in audit.layers if layer.dead or layer.always_on]
    decomposed = {found.node.outputs[0]: found for found in find_decomposed(context.graph)}
    entries = {layer.value: entry_of(context, layer.audited, decomposed) for layer in suspects}
    return claims_of(suspects, entries, audit.facts.thresholds)


def _search(
    source: Source,
    claims: Claims,
    domain: Domain,
    samples: Points,
    settled: Bools,
    seed: int,
    clock: Clock,
    multiply_adds: int,
) -> Search:
    size = min(source.run.batch_size, together(multiply_adds))
    feeding = Feeding(source.shapes, size, frozenset(domain.varying))
    return Search(
        source.shown,
        claims,
        domain,
        feeding,
        samples=samples,
        proven=settled,
        seed=seed,
        threads=source.run.threads,
        clock=clock,
        grid=Grid(pictures(domain)),
        multiply_adds=multiply_adds,
    )


def _changes(
    source: Source,
    claims: Claims,
    samples: Points,
    bounds: Mapping[str, Box],
    left: Bools,
    budget: float,
    domain: Domain,
) -> dict[int, float]:
    """By claim that is left by how much outputs change at most without the unit, where that is negligible."""
    found, clock, threads = dict[int, float](), Clock(budget, lambda: False, lambda _: None), source.run.threads
    if not budget or not left.any():
        return found
    feeding = Feeding(source.shapes, source.run.batch_size, frozenset(domain.varying))
    sizes = output_sizes(source.computed, feeding, samples, threads=threads)
    removals = Removals(source.computed, source.shapes, bounds, bounds, threads=threads)
    for start, layer in zip(claims.starts, claims.layers, strict=False):
        places = np.flatnonzero(left[start : start + len(layer.units)]).tolist()
        changes = negligible(removals, layer, places, sizes, clock.goes_on)
        found.update({start + place: change for place, change in changes.items()})
    return found


def _check_search(claims: Claims, search: Search) -> None:
    for claim, _ in search.contradicted:
        layer, place = search.place(claim)
        raise ProofContradicted(
            f"Unit {layer.units[place]} of {layer.audited.value} is proven to be {_said(layer.claim)}, and an input of "
            "the domain shows otherwise: a bug of deadunits; please report it."
        )
    assert claims.count == len(search.open)


def _said(claim: Claim) -> str:
    return "dead" if claim is Claim.DEAD else "always on"


def _units(
    audit: Audit,
    claims: Claims,
    bounds: Mapping[str, Box],
    settled: Bools,
    split: Bools,
    search: Search | None,
    changes: Mapping[int, float],
) -> Iterator[UnitProof]:
    """One entry for each claim, layer by layer, dead units first."""
    witness = {claim: i for i, w in enumerate([] if search is None else search.witnesses) for claim in w.claims}
    by_layer = {(layer.audited.value, layer.claim): (start, layer)
                for start, layer in zip(claims.starts, claims.layers, strict=False)}  # fmt: skip
    for layer in audit.layers:
        low, high = unit_bounds(layer.audited, bounds)

        def entry(
            unit: int,
            claim: Claim,
            outcome: Outcome,
            method: Method | None,
            found: int | None = None,
            change: float | None = None,
        ) -> UnitProof:
            ends = (float(low[unit]), float(high[unit]))  # noqa: B023  used before the next layer
            least, most = (end if np.isfinite(end) else None for end in ends)
            stays_at = float(layer.stays_at[unit]) if claim is Claim.DEAD else None  # noqa: B023
            return UnitProof(layer.value, unit, claim, outcome, method, stays_at, least, most, found, change)  # noqa: B023

        for unit in layer.structural:
            yield entry(unit, Claim.DEAD, Outcome.PROVEN, Method.WEIGHTS)
        for claim in Claim:
            start, asked = by_layer.get((layer.value, claim), (0, None))
            for place, unit in enumerate([] if asked is None else asked.units.tolist()):
                if settled[start + place]:
                    yield entry(unit, claim, Outcome.PROVEN, Method.INTERVALS)
                elif split[start + place]:
                    yield entry(unit, claim, Outcome.PROVEN, Method.SPLITTING)
                elif search is not None and start + place in witness:
                    number = witness[start + place]
                    yield entry(unit, claim, Outcome.REFUTED, search.witnesses[number].method, number)
                elif (change := changes.get(start + place)) is not None:
                    yield entry(unit, claim, Outcome.NEGLIGIBLE, Method.INTERVALS, change=change)
                else:
                    yield entry(unit, claim, Outcome.OPEN, None)


def _summary(domain: Domain) -> DomainSummary:
    ranges = {n: (float(b.low.min()), float(b.high.max())) for n, b in hull_of(domain.boxes).items() if b.low.size}
    return DomainSummary(domain.source, domain.digest, len(domain.boxes), domain.conditional, ranges)


def _search_notes(search: Search) -> list[str]:
    if search.tried or not search.refused:
        return search.notes
    return [*search.notes, "The model ran on none of the inputs that were tried, or takes other branches there."]


def _sizes(source: Source, domain: Domain, others: int) -> list[str]:
    """What to know where inputs may have other sizes than those that were looked at."""
    if others:
        return [f"{others} samples have other sizes than the first: proofs and witnesses are for inputs of its size."]
    if any(source.shapes.dynamic.get(name) for name in domain.boxes[0]):
        return ["Inputs may have other sizes than the probe's: proofs and witnesses are for its sizes."]
    return []


def _ticks(progress: Progress | None, budget: float) -> Callable[[float], None]:
    return lambda passed: None if progress is None else progress("search", int(passed), int(budget))
