"""Findings about the data itself: verdicts on numbers that mean nothing mean nothing."""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.facts.bound import firing_bound_of
from analyzer.facts.findings import About, Finding, Severity
from analyzer.facts.probe_condition import InputCondition, ProbeCondition
from analyzer.facts.wording import counted, share
from analyzer.gate.finding_kind import FindingKind, finding_kind
from analyzer.gate.situation import Situation

# A spread this many times that of training, or so small a part of it, is no other data but another scale: pixels up to
# 255 instead of 1 are 255, instead of normalised ones 50 to 130 times as much; other pictures at most 3 times.
LARGER, SMALLER = 16.0, 1 / 32
MOSTLY_DISTINCT = 0.9
NAMED = 8  # of what was left out


@finding_kind("DU032", "data-not-finite", Severity.WARNING, "The data holds NaN or infinity", in_audit=True)
def data_not_finite(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """One finding per input and data set."""
    for name, data in (("probe", situation.audit.probe), ("holdout", situation.audit.holdout)):
        if data is None or data.condition is None:
            continue
        for entry in data.condition.inputs:
            if entry.nonfinite:
                everywhere = entry.nonfinite == data.condition.samples
                worthless = entry.empty or (everywhere and situation.budgets.any_limit)
                yield kind.finding(
                    _not_finite(entry, data.condition.samples, name),
                    About.INPUT,
                    value=entry.name,
                    severity=Severity.ERROR if worthless else kind.severity,
                    measured=entry.nonfinite / data.condition.samples,
                )


def _not_finite(entry: InputCondition, samples: int, name: str) -> str:
    which = "all" if entry.nonfinite == samples else f"{entry.nonfinite:,} of"
    holds = "holds" if entry.nonfinite == 1 else "hold"
    what = "nothing but NaN or infinity" if entry.empty else "NaN or infinity"
    advice = (
        "no verdict on it means anything."
        if entry.empty
        else "units that showed it get no verdict. Mend the preprocessing (a division by zero, a missing value), "
        "unless the model is made for it, as one that fills in missing values."
    )
    return f"In the {name} {which} {counted(samples, 'sample')} {holds} {what} here: {advice}"


@finding_kind("DU033", "input-constant", Severity.WARNING, "An input, or part of one, never varies", in_audit=True)
def input_constant(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """One finding per input; whole numbers that stay (masks, token types), and single numbers, are only noted."""
    condition = _condition(situation)
    for entry in condition.inputs if condition is not None and condition.compared > 1 else ():
        if entry.constant:
            yield kind.finding(
                "Every sample holds the same in this input: what depends on it alone looks dead. If it is the same in "
                "deployment too, it may be given with --constant.",
                About.INPUT,
                value=entry.name,
                severity=kind.severity if entry.floats else Severity.NOTE,
                measured=1.0,
            )
        elif entry.still:
            noun = "channel" if entry.layered else "feature"
            verb = "never varies" if len(entry.still) == 1 else "never vary"
            yield kind.finding(
                f"{len(entry.still):,} of {counted(entry.features, noun)} {verb}: units that need them to move look "
                "dead.",
                About.INPUT,
                value=entry.name,
                units=entry.still,
                severity=kind.severity if entry.layered and entry.floats else Severity.NOTE,
                measured=len(entry.still) / entry.features,
            )


@finding_kind("DU034", "input-scale", Severity.WARNING, "The data has another scale than in training", in_audit=True)
def input_scale(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """At most one finding, about the first normalisation that shows it."""
    condition = _condition(situation)
    for scale in condition.scales if condition is not None else ():
        if SMALLER < scale.ratio < LARGER:
            continue
        more = scale.ratio >= LARGER
        times = f"{scale.ratio:.3g} times" if more else f"1/{1 / scale.ratio:.3g}"
        yield kind.finding(
            f"What enters the first normalisation varies {times} as much as its stored statistics say it did in "
            f"training (median over {counted(scale.channels, 'channel')}): check the scale of the data, such as "
            + ("pixels of 0 to 255 where 0 to 1 were meant." if more else "a division by 255 too many."),
            About.LAYER,
            value=scale.value,
            node=scale.node,
            measured=scale.ratio,
            allowed=LARGER if more else SMALLER,
        )
        return


@finding_kind(
    "DU035", "labels-in-data", Severity.NOTE, "The data holds labels, or what else is no input", in_audit=True
)
def labels_in_data(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """One finding per array or column that looks like labels, and one for all others."""
    condition = _condition(situation)
    beside = condition.labels if condition is not None else ()
    others = [entry.name for entry in beside if not entry.alike]
    for labels in (entry for entry in beside if entry.alike):
        what = "column" if labels.column else "array"
        yield kind.finding(
            f"This {what} looks like labels, and the model was given it as a feature: leave it out, unless it is one."
            if labels.fed
            else f"This {what} looks like labels and is no input of the model: it was left out.",
            About.PROBE,
            value=labels.name,
            severity=Severity.WARNING if labels.fed else kind.severity,
        )
    if others:
        names = ", ".join(others[:NAMED]) + (f" and {len(others) - NAMED:,} more" if len(others) > NAMED else "")
        yield kind.finding(f"Left out, as the model has no such inputs: {names}.", About.PROBE, measured=len(others))


@finding_kind(
    "DU036", "samples-repeat", Severity.WARNING, "Samples of the probe are there more than once", in_audit=True
)
def samples_repeat(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """At most one finding; a few repetitions are only noted, too few distinct samples for the budget are an error."""
    condition, asked = _condition(situation), situation.budgets.min_samples
    if condition is None or condition.distinct == condition.compared or situation.audit.conditions.inseparable > 1:
        return
    capped = condition.compared < condition.samples
    too_few = asked is not None and condition.distinct < asked and not capped
    few = condition.distinct < MOSTLY_DISTINCT * condition.compared
    first = "the first " if capped else ""
    yield kind.finding(
        f"Only {condition.distinct:,} of {first}{counted(condition.compared, 'sample')} "
        f"{'is' if condition.distinct == 1 else 'are'} distinct ({share(condition.distinct, condition.compared)}): by "
        "those alone, a unit that was silent may still fire on up to "
        f"{share(firing_bound_of(condition.distinct))} of inputs"
        + (f"; the budget asks for {asked:,}." if too_few else "."),
        About.PROBE,
        severity=Severity.ERROR if too_few else kind.severity if few else Severity.NOTE,
        measured=condition.distinct,
        allowed=asked if too_few else None,
    )


def _condition(situation: Situation) -> ProbeCondition | None:
    return situation.audit.probe.condition if situation.audit.probe is not None else None
