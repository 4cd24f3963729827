"""Which cut a choice asks for: checked, made, and of several the one that pays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from analyzer.api.choosing import by_value, check_choice, check_evidence
from analyzer.api.cutting import CutModel, cut
from analyzer.api.expert_counts import experts_that_may_go
from analyzer.api.rewritten import Source
from analyzer.api.row_counts import rows_that_may_go
from analyzer.errors import InputError, RunError
from analyzer.facts.audit import AuditFacts, LayerVerdicts
from analyzer.facts.bound import firing_bound_of
from analyzer.facts.choice import Choice
from analyzer.facts.evidence import Evidence
from analyzer.facts.pruned import Latency
from analyzer.facts.units import ShapeTable
from analyzer.facts.vocabulary import GatheredRows
from analyzer.graph import LoadedModel
from analyzer.rewrite.latency import measure_latency
from analyzer.runtime.compared_sessions import our_model
from analyzer.runtime.session import Session
from analyzer.shapes.shape_run import measure_shapes
from analyzer.shapes.trial_feeds import drawn_feeds
from analyzer.walk import Walk, walk

if TYPE_CHECKING:
    from analyzer.api.audit_result import Audit


@dataclass(frozen=True)
class ChosenCut:
    """A cut, the embeddings that it may take rows of, and what is said of these."""

    model: CutModel
    vocabulary: Sequence[GatheredRows]
    notes: Sequence[str]


def by_values(layers: Sequence[LayerVerdicts], choice: Choice) -> Choice:
    """The same choice, with layers named by their values."""
    return choice if choice.units is None else replace(choice, units=by_value(layers, choice.units))


def asked_for(
    source: Source, walked: Walk, choice: Choice, audit: Audit, lossy: Mapping[str, Sequence[int]]
) -> tuple[Source, Walk]:
    """What is cut, and the walk that it is cut by, once the choice was held against the model.

    Raises:
        InputError: the choice asks for what the model does not have, or for what cannot go.
    """
    check_evidence(choice, audit.proof)
    check_choice(walked.layers, choice, lossy, (*(audit.facts.vocabulary or ()), *(audit.facts.experts or ())))
    if choice.branches == "taken":
        _check_branches(choice, audit.facts)
        settled = source.shapes.taken.keys() - walked.context.decided.keys()
        source = replace(source, shapes=replace(source.shapes, settled=frozenset(settled)))
        walked = walk(source.loaded.graph, source.shapes, [layer.undecided() for layer in walked.layers])
    return source, walked


def chosen_cut(source: Source, walked: Walk, choice: Choice, audit: Audit) -> ChosenCut:
    """The cut that the choice asks for, nothing of which was run.

    Raises:
        ComparisonFailed: no consistent cut was found: a bug of ours.
    """
    vocabulary, row_notes = rows_that_may_go(audit.facts, choice)
    measure = partial(shapes_of, source)
    routed = experts_that_may_go(audit.facts, walked.context, choice)
    cuts = cut(source.loaded, source.shapes, walked.layers, choice, measure, vocabulary=vocabulary, routed=routed)
    return ChosenCut(_better(source, cuts), vocabulary, row_notes)


def _check_branches(choice: Choice, audit: AuditFacts) -> None:
    """Refuse to leave out branches where the samples do not decide that."""
    samples = 0 if audit.probe is None or audit.probe.random else audit.probe.samples
    if choice.evidence is not Evidence.OBSERVED or not samples:
        leave = f"leave out --evidence {choice.evidence}"
        raise InputError(f"--branches taken goes by the samples: give a probe, and {leave}.")
    if samples < choice.min_samples or firing_bound_of(samples) > choice.max_firing_bound:
        raise InputError(f"--branches taken goes by the samples, and {samples} are fewer than you ask for: give more.")


def _better(source: Source, cuts: Sequence[CutModel]) -> CutModel:
    """The first cut, or of those that save more the last that is measured to be no slower than the one before it."""
    best, *others = cuts
    notes: list[str] = []
    for other in others:
        with (
            our_model(),
            Session(best.smaller, threads=source.run.threads) as before,
            Session(other.smaller, threads=source.run.threads) as after,
        ):
            measured = None if before.in_parts or after.in_parts else timed(source, before, after)
        if measured is not None and round(measured.ratio, 2) <= 1.0:
            best = other
            continue
        ratio = f"{measured.ratio:.2f} times the time" if measured is not None else "not measurable"
        means = (
            "LayerNormalization written out" if other.written_norms else "Gathers at joins of unequally dead branches"
        )
        notes.append(f"{means} would save parameters but cost speed ({ratio}): left out.")
    return replace(best, notes=(*best.notes, *notes))


def shapes_of(source: Source, model: LoadedModel) -> ShapeTable:
    """Shapes of a model that was cut."""
    return measure_shapes(model, source.first, threads=source.run.threads, varying=source.shapes.varying)


def timed(source: Source, before: Session, after: Session) -> Latency | None:
    """How long runs of both take; None where they do not run on what is drawn."""
    if source.probe is not None:
        batch = source.probe.first(1)[0]
        return measure_latency(before, after, batch.feeds, batch=batch.samples)
    with suppress(RunError):
        for feeds, samples in drawn_feeds(source.loaded.graph.inputs, source.shapes):
            return measure_latency(before, after, feeds, batch=samples)
    return None
