"""Findings about what an audit could not look at, or did not believe."""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.facts.findings import About, Finding, Severity
from analyzer.facts.judged import LITTLE
from analyzer.facts.wording import counted, share
from analyzer.gate.finding_kind import FindingKind, finding_kind
from analyzer.gate.situation import Situation, and_others

MOST = 0.5  # with less, a check has not done its work


@finding_kind("DU011", "nothing-audited", Severity.WARNING, "There was nothing to audit", in_audit=True)
def nothing_audited(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """At most one finding."""
    if not situation.layers:
        asked = situation.budgets.any_limit
        yield kind.finding(
            "The model has no units to audit"
            + (", so no budget could be checked." if asked else ": nothing was checked."),
            severity=Severity.ERROR if asked else kind.severity,
        )


@finding_kind("DU031", "little-judged", Severity.WARNING, "Part of the model was not judged", in_audit=True)
def little_judged(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """At most one finding; without data and without a budget for it, that no probe was given says it all."""
    judged, budgets = situation.audit.judged, situation.budgets
    asked = None if budgets.min_judged is None else budgets.min_judged.share
    wanted = LITTLE if asked is None else asked
    if judged.least is None or (asked is None and situation.audit.probe is None):
        return
    if not judged.covers(wanted):
        first, *others = judged.left_out
        budget = "" if asked is None else f" (the budget asks for {share(asked)} of each)"
        more = f"; {counted(len(others), 'other reason')}" if others else ""
        yield kind.finding(
            f"Judged: {judged.shares}{budget}. Left out: {first.who} ({first.reason}){more}.",
            severity=Severity.ERROR if asked is not None or judged.least < MOST else kind.severity,
            measured=judged.least,
            allowed=wanted,
        )


@finding_kind("DU023", "samples-mix", Severity.WARNING, "Samples of one batch influence each other", in_audit=True)
def samples_mix(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """At most two findings, each about the first such value."""
    rounded = situation.audit.conditions.scaled_together
    if rounded:
        yield kind.finding(
            f"Samples of one batch are rounded by one scale, and influence each other in this value"
            f"{and_others(rounded, 'value')}: verdicts hold for one sample per run, as the data was run.",
            About.LAYER,
            value=rounded[0],
        )
    mixed = situation.audit.conditions.mixed
    if mixed:
        yield kind.finding(
            f"Samples of one batch influence each other in this value{and_others(mixed, 'value')}: only what the "
            "weights alone decide counts. Export the model in inference mode, or with the fixed batch size that it is "
            "used with.",
            About.LAYER,
            value=mixed[0],
        )


@finding_kind("DU025", "overridable", Severity.NOTE, "Stored tensors can be overridden from outside", in_audit=True)
def overridable(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """At most one finding, about the first such tensor."""
    overridable = situation.audit.conditions.overridable
    if overridable:
        yield kind.finding(
            f"This stored tensor{and_others(overridable, 'tensor')} can be overridden by whoever runs the model: taken "
            "for no constant, and left whole. If that is never done, export without keep_initializers_as_inputs.",
            About.TENSOR,
            value=overridable[0],
        )


@finding_kind("DU026", "not-seen", Severity.WARNING, "A layer was not looked at", in_audit=True)
def not_seen(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """One finding per value."""
    for value in situation.audit.conditions.unseen:
        yield kind.finding(
            "This value was not looked at, as its shape in the run does not show its units: only what the weights "
            "alone decide is listed for it.",
            About.LAYER,
            value=value,
        )


@finding_kind(
    "DU029",
    "derivation-withdrawn",
    Severity.WARNING,
    "A derived constant was contradicted by the run, and withdrawn",
    in_audit=True,
)
def derivation_withdrawn(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """One finding per value."""
    for withdrawn in situation.audit.conditions.withdrawn:
        yield kind.finding(
            f"{counted(len(withdrawn.units), 'unit')} should be constant by derivation (the first "
            f"{withdrawn.derived:g}), but the run showed otherwise ({withdrawn.low:g} to {withdrawn.high:g}): that is "
            "not believed, nor anything that follows from it.",
            About.LAYER,
            value=withdrawn.value,
            node=withdrawn.node,
            units=withdrawn.units,
        )
