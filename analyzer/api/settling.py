"""From an audit and a domain to a proof: bounds, then a search for inputs that refute what bounds leave open."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from analyzer import unfinished
from analyzer.api.bounding import Bounding, LinearBounding, bounding, bounds_over
from analyzer.api.domains import EVERYTHING, samples_within, stated_domain, summary_of
from analyzer.api.options import Progress
from analyzer.api.proof_result import Proof
from analyzer.api.rewritten import Source
from analyzer.api.settlement import Settlement
from analyzer.bounds.arithmetic import ARITHMETIC
from analyzer.errors import InputError, ProofContradicted, RunError
from analyzer.facts.domain import Box, Domain
from analyzer.facts.given import is_number
from analyzer.facts.proof import ARITHMETICS, REAL, Claim, Method, ProofFacts
from analyzer.facts.wording import counted
from analyzer.witness.claims import Claims, claims_of
from analyzer.witness.clock import Clock
from analyzer.witness.points import Points, joined
from analyzer.witness.removal import Removals, negligible, output_sizes
from analyzer.witness.search import Search, together
from analyzer.witness.sight import Feeding
from analyzer.witness.snapping import Grid, pictures
from analyzer.witness.splitting import ROUNDS, worth_splitting
from analyzer.witness.wanted_bounds import nearly_shown, steepest

if TYPE_CHECKING:
    from analyzer.api.audit_result import Audit
    from analyzer.walk import Walk

#: Shares of the budget after which a stage ends at the latest; the search sooner where parts of the domain are tried.
LINEAR_UNTIL, SLOPES_UNTIL, SEARCH_UNTIL = 0.35, 0.42, 0.92
SEARCH_UNTIL_FEW, SPLIT_UNTIL = 0.25, 0.9  # where few numbers vary


def settle(
    source: Source,
    walk: Walk,
    audit: Audit,
    stated: Any,
    *,
    budget: float,
    seed: int,
    arithmetic: str,
    progress: Progress | None,
) -> Proof:
    """What becomes of the audit's claims over a domain.

    Raises:
        InputError: the domain is not understood or does not fit, or a sample lies outside of it.
        ProofContradicted: an input does what was proven to be impossible.
    """
    if not is_number(budget, 0):
        raise InputError(f"budget is {budget!r}: give a number of seconds, at least 0.")
    if arithmetic not in ARITHMETICS:
        raise InputError(f"arithmetic is {arithmetic!r}: give one of {', '.join(ARITHMETICS)}.")
    seconds, begin = dict[str, float](), time.perf_counter()

    def lap(stage: str) -> None:
        nonlocal begin
        seconds[stage], begin = time.perf_counter() - begin, time.perf_counter()

    domain = stated_domain(source, stated, source.images)
    if source.probe is None:
        raise InputError("This audit has no probe, and claims come from one: give one, or call analyzer.prove().")
    samples, others = samples_within(domain, source.probe, source.shapes)
    claims, stopped = claims_of(walk.context, audit.layers, audit.facts.thresholds), list[bool]()
    lap("domain")
    with unfinished.stopping(lambda: stopped.append(True)):
        clock = Clock(float(budget), lambda: bool(stopped), _ticks(progress, float(budget)))
        with bounding(source, {layer.value for layer in audit.layers}, domain, arithmetic) as (bound, notes):
            settled = Settlement(audit.layers, claims, bounds_over(bound, domain, progress), arithmetic=arithmetic)
            lap("bounds")
            settled.finished = bool(budget) or not settled.open.any()
            if budget and domain.bounded and domain.varying and settled.open.any():
                few = worth_splitting(domain)
                until = clock.until(SEARCH_UNTIL_FEW if few else SEARCH_UNTIL)
                settled.search = _search(source, settled, domain, samples, seed, until, audit.model.multiply_adds)
                try:
                    settled.finished = settled.search.cheap()
                    lap("points")
                    with LinearBounding(source, claims, settled.open, domain, arithmetic) as linear:
                        _narrow(settled, linear, domain, clock)
                        lap("linear")
                        settled.finished = settled.search.climb(settled.proven, _hints(settled, linear, domain))
                        lap("search")
                        if few:
                            _split(settled, linear, bound, clock.until(SPLIT_UNTIL))
                            lap("splitting")
                        notes = [*notes, *linear.notes]
                finally:
                    settled.search.close()
                notes = [*notes, *_check_search(claims, settled.search, arithmetic)]
                try:
                    _remove(source, settled, domain, samples, clock, arithmetic)
                except RunError as error:
                    notes = [*notes, f"What removing units changes was not bounded: {error}"]
                lap("removal")
    search, ended = settled.search, not settled.finished and settled.open.any()
    facts = ProofFacts(
        model=audit.model,
        probe=audit.probe,
        domain=summary_of(domain),
        arithmetic=arithmetic,
        seed=seed,
        budget=float(budget),
        tried=0 if search is None else search.tried,
        witnesses=0 if search is None else len(search.witnesses),
        ended_by="" if not ended else "interrupted" if stopped else "budget",
        units=tuple(settled.units()),
        modules=audit.facts.modules,
        notes=(
            *_sizes(source, domain, others),
            *notes,
            *_overflows(settled.bounds, arithmetic),
            *([] if search is None else _search_notes(search)),
        ),
        seconds=seconds,
    )
    witnesses = {} if search is None else joined([w.point for w in search.witnesses])
    return Proof(facts, audit, domain, witnesses, settled.large, source)


def _narrow(settled: Settlement, linear: LinearBounding, domain: Domain, clock: Clock) -> None:
    """By bounds that are linear in the inputs, as far as the time goes; for what they nearly show slopes are sought."""
    if linear.bounds is None:
        return
    bounds = bounds_over(linear.around(clock.until(LINEAR_UNTIL).goes_on), domain)
    settled.check(bounds)
    settled.narrow(bounds, Method.LINEAR)
    chosen, until = nearly_shown(settled.claims, settled.open, bounds), clock.until(SLOPES_UNTIL)
    if chosen.any() and until.goes_on():
        bounds = bounds_over(linear.with_slopes(chosen, until.goes_on), domain)
        settled.check(bounds)
        settled.narrow(bounds, Method.SLOPES)


def _search(
    source: Source,
    settled: Settlement,
    domain: Domain,
    samples: Points,
    seed: int,
    clock: Clock,
    multiply_adds: int,
) -> Search:
    size = min(source.run.batch_size, together(multiply_adds))
    return Search(
        source.shown,
        settled.claims,
        domain,
        Feeding(source.shapes, size, frozenset(domain.varying)),
        samples=samples,
        proven=settled.proven,
        seed=seed,
        threads=source.run.threads,
        clock=clock,
        grid=Grid(pictures(domain)),
        multiply_adds=multiply_adds,
    )


def _hints(settled: Settlement, linear: LinearBounding, domain: Domain) -> Iterator[Points]:
    """Where linear bounds of what is open are largest."""
    if linear.bounds is not None and len(domain.boxes) == 1:
        try:
            yield from steepest(linear.bounds, settled.claims, settled.open, domain.boxes[0])
        except RunError as error:
            linear.give_up(error)


def _split(settled: Settlement, linear: LinearBounding, bound: Bounding, clock: Clock) -> None:
    """Part by part, as far as the time goes; where linear bounds over parts are highest is tried on the way."""
    search = settled.search
    assert search is not None  # it comes before
    splitter = linear.splitter(bound, lambda points: search.further(points, settled.proven, clock))
    for most in ROUNDS:  # what few parts show comes first
        for claim in np.flatnonzero(settled.open).tolist():

            def goes_on(claim: int = claim) -> bool:
                return clock.goes_on() and bool(settled.open[claim])

            try:
                if goes_on() and splitter.proves(claim, goes_on, most):
                    settled.prove(claim, Method.SPLITTING)
            except RunError as error:  # the way back from a value, if it was not reached before
                linear.give_up(error)
                return
    settled.finished = settled.finished and clock.goes_on()


def _remove(
    source: Source, settled: Settlement, domain: Domain, samples: Points, clock: Clock, arithmetic: str
) -> None:
    """Find out which of the units that are left are as good as dead."""
    claims, threads, left = settled.claims, source.run.threads, settled.open
    if not any(layer.claim is Claim.DEAD and left[start : start + len(layer.units)].any()
               for start, layer in zip(claims.starts, claims.layers, strict=False)) or not clock.goes_on():  # fmt: skip
        return
    with bounding(source, (), domain, arithmetic) as (bound, _):
        bounds = bounds_over(bound, domain)
    sizes, settled.large = output_sizes(source.computed, samples, threads=threads)
    removals = Removals(source.computed, source.shapes, bounds, settled.bounds, threads=threads)
    for start, layer in zip(claims.starts, claims.layers, strict=False):
        places = np.flatnonzero(left[start : start + len(layer.units)]).tolist()
        changes = negligible(removals, layer, places, sizes, clock.goes_on)
        settled.changes.update({start + place: change for place, change in changes.items()})


def _check_search(claims: Claims, search: Search, arithmetic: str) -> list[str]:
    """What inputs show of what is proven: nothing else, but where formulas alone are spoken of."""
    if arithmetic == REAL:
        many = len({claim for claim, _ in search.contradicted})
        moved = f"{counted(many, 'claim')} proven in real numbers, and refuted in single precision by its rounding."
        return [moved] if many else []
    for claim, _ in search.contradicted:
        layer, place = claims.place(claim)
        raise ProofContradicted(
            f"Unit {layer.units[place]} of {layer.audited.value} is proven to be {_said(layer.claim)}, and an input of "
            "the domain shows otherwise: a bug of deadunits; please report it."
        )
    assert claims.count == len(search.open)
    return []


def _said(claim: Claim) -> str:
    return "dead" if claim is Claim.DEAD else "always on"


def _search_notes(search: Search) -> list[str]:
    if search.tried or not search.refused:
        return search.notes
    return [*search.notes, "The model ran on none of the inputs that were tried, or takes other branches there."]


def _overflows(bounds: Mapping[str, Box], arithmetic: str) -> list[str]:
    """Which of the bounded values may pass what halves can hold, where these are spoken of."""
    largest = ARITHMETIC[arithmetic].large
    if not ARITHMETIC[arithmetic].narrow:
        return []
    passing = [name for name, box in bounds.items() if max(-box.low.min(initial=0), box.high.max(initial=0)) > largest]
    if not passing:
        return []
    said = f"{counted(len(passing), 'value')} may pass {largest:,.0f} by the bounds, first {passing[0]}"
    return [f"{said}: where a half overflows, nothing here holds."]


def _sizes(source: Source, domain: Domain, others: int) -> list[str]:
    """What to know where inputs may have other sizes than those that were looked at, or be anything."""
    if not domain.bounded:
        return [EVERYTHING]
    if others:
        return [f"{others} samples have other sizes than the first: proofs and witnesses are for inputs of its size."]
    if any(source.shapes.dynamic.get(name) for name in domain.boxes[0]):
        return ["Inputs may have other sizes than the probe's: proofs and witnesses are for its sizes."]
    return []


def _ticks(progress: Progress | None, budget: float) -> Callable[[float], None]:
    return lambda passed: None if progress is None else progress("search", int(passed), int(budget))
