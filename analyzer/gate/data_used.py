"""Findings about the data that the model was run on, and how it was run."""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.facts.bound import firing_bound_of
from analyzer.facts.findings import About, Finding, Severity
from analyzer.facts.sample_ranges import number_in
from analyzer.facts.wording import INDEPENDENCE_STATED, counted, number
from analyzer.gate.finding_kind import FindingKind, finding_kind
from analyzer.gate.situation import Situation


@finding_kind("DU007", "probe-too-small", Severity.WARNING, "The probe is too small", in_audit=True)
def probe_too_small(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """At most one finding."""
    samples, enough = situation.samples, situation.enough_samples
    if situation.audit.probe is None or samples >= enough:
        return
    asked = situation.budgets.min_samples is not None
    bound = 100 * firing_bound_of(samples)
    wanted = f", and the budget asks for {enough:,}" if asked else f"; give at least {enough:,}"
    yield kind.finding(
        f"The probe has {counted(samples, 'sample')}{wanted}: a unit that was silent on it may still fire "
        f"on up to {bound:.0f} % of inputs.",
        About.PROBE,
        severity=Severity.ERROR if asked else kind.severity,
        measured=samples,
        allowed=enough,
    )


@finding_kind("DU012", "random-probe", Severity.WARNING, "The probe is random data", in_audit=True)
def random_probe(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """At most one finding."""
    probe = situation.audit.probe
    if probe is not None and probe.random:
        yield kind.finding("The model was run on random data: units may well be alive on real inputs.", About.PROBE)


@finding_kind("DU013", "no-probe", Severity.WARNING, "No probe was given", in_audit=True)
def no_probe(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """At most one finding."""
    if situation.audit.probe is None:
        asked = situation.budgets.any_limit or situation.budgets.min_samples is not None
        yield kind.finding(
            "Without a probe only units that the weights alone decide are seen"
            + (", so the budgets could not be checked." if asked else "."),
            About.PROBE,
            severity=Severity.ERROR if asked else kind.severity,
        )


@finding_kind("DU024", "one-by-one", Severity.NOTE, "Samples were run one by one", in_audit=True)
def one_by_one(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """At most one finding."""
    conditions = situation.audit.conditions
    if conditions.inseparable > 1:
        why = (
            f"nothing proves that they do not influence each other ({conditions.may_mix}); if you know that they do "
            "not, --independent counts each of them."
            if conditions.may_mix
            else "they influence each other, or which part of a value belongs to which of them is not known; a model "
            "exported with a dynamic batch axis counts each of them where they do not."
        )
        yield kind.finding(
            f"The model takes {conditions.inseparable} samples at once, which count as one: {why}", About.PROBE
        )
    elif conditions.one_by_one and situation.samples > 1:
        why = (
            "as they influence each other where the model takes several at once."
            if conditions.mixed or conditions.scaled_together
            else f"as nothing proves that they do not influence each other ({conditions.may_mix}); if you know that "
            "they do not, --independent runs them together."
            if conditions.may_mix
            else "as the model (or the data) does not take several at once; a model exported with a dynamic batch axis "
            "is audited faster."
        )
        yield kind.finding(f"Samples were run one by one, {why}", About.PROBE)


@finding_kind("DU028", "causes-not-measured", Severity.NOTE, "Causes of death could not be measured", in_audit=True)
def causes_not_measured(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """One finding where nothing was measured, one where units were not asked about."""
    failed = situation.audit.conditions.causes_failed
    if failed:
        yield kind.finding(
            "Causes come from the weights alone, and how far units are from firing is not known, because the data "
            f"could not be run a second time: {failed}",
            About.PROBE,
        )
    suspects = {layer.value: len(layer.dead) + len(layer.saturated) for layer in situation.audit.layers}
    asked = {diagnosis.value: len(diagnosis.causes) for diagnosis in situation.audit.diagnoses}
    if asked and any(asked.get(value, 0) < suspected for value, suspected in suspects.items()):
        left = len([value for value, suspected in suspects.items() if suspected and value not in asked])
        none = f", none in {counted(left, 'layer')}" if left else ""
        yield kind.finding(
            f"Causes were asked for {number(sum(asked.values()))} of {number(sum(suspects.values()))} dead and "
            f"saturated units, the first of each layer{none}"
            + ("." if failed else ": for all of them that would take longer than the observation."),
            About.PROBE,
        )


@finding_kind("DU038", "samples-missing", Severity.WARNING, "Statistics lack samples of the data", in_audit=True)
def samples_missing(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """At most one finding."""
    missing = situation.audit.conditions.missing
    if missing:
        start, stop = missing[0]
        yield kind.finding(
            f"The statistics lack {counted(number_in(missing), 'sample')} of the data, the first from {start} to "
            f"{stop - 1}: units may fire on these; merge the statistics of all shards.",
            About.PROBE,
            measured=number_in(missing),
        )


@finding_kind(
    "DU030",
    "independence-stated",
    Severity.NOTE,
    "Samples shared runs because they are said to be independent",
    in_audit=True,
)
def independence_stated(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """At most one finding."""
    conditions = situation.audit.conditions
    if conditions.stated:
        yield kind.finding(
            f"{INDEPENDENCE_STATED} ({conditions.may_mix}).",
            About.PROBE,
        )
