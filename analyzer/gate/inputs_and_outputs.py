"""Findings about the model's own inputs and outputs."""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.facts.findings import About, Finding, Severity
from analyzer.facts.wording import counted
from analyzer.gate.finding_kind import FindingKind, finding_kind
from analyzer.gate.situation import Situation


@finding_kind("DU003", "input-features-dead", Severity.WARNING, "Some input features reach no output")
def input_features_dead(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """One finding per input of which a part is unused."""
    for port in situation.audit.unused_inputs:
        if port.whole:
            continue  # DU004
        number = port.unused if port.axis is None else len(port.indices)
        whole = port.elements if port.axis is None else port.shape[port.axis]
        where = "" if port.axis is None else f" along axis {port.axis}"
        why = "by the weights alone" if port.structural else "while the units dead on the probe stay dead"
        verb = "reaches" if number == 1 else "reach"
        yield kind.finding(
            f"{number:,} of {counted(whole, 'feature')}{where} {verb} no output, {why}.",
            About.INPUT,
            value=port.name,
            units=port.indices,
            measured=number / whole,
        )


@finding_kind("DU004", "input-ignored", Severity.WARNING, "The model ignores one of its inputs", in_audit=True)
def input_ignored(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """One finding per input that nothing depends on."""
    for port in situation.audit.unused_inputs:
        if port.whole:
            why = "by the weights alone, whatever the data" if port.structural else "as long as dead units stay dead"
            yield kind.finding(f"No output depends on this input, {why}.", About.INPUT, value=port.name, measured=1.0)


@finding_kind("DU005", "output-constant", Severity.ERROR, "An output does not change", in_audit=True)
def output_constant(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """One finding per output of which something is constant."""
    for port in situation.audit.constant_outputs:
        if situation.samples < 2 and not port.structural:
            continue
        expected = situation.expected(port.name)
        units = () if expected is None else tuple(unit for unit in port.indices if unit not in expected)
        if not units:
            continue
        when = "whatever the data" if port.structural else f"on all {counted(situation.samples, 'sample')}"
        what = (
            "The whole output is constant"
            if port.axis is None and len(units) >= port.units
            else f"{len(units):,} of {counted(port.units, 'output unit')} never change{'s' if len(units) == 1 else ''}"
        )
        yield kind.finding(
            f"{what} {when}.", About.OUTPUT, value=port.name, units=units, measured=len(units) / max(port.units, 1)
        )
