"""Findings about what a probe shows, held against every input of a domain."""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.facts.evidence import Evidence
from analyzer.facts.findings import Finding, Severity
from analyzer.facts.wording import counted, number, share
from analyzer.gate.finding_kind import FindingKind, finding_kind
from analyzer.gate.situation import Situation


@finding_kind("DU039", "dead-on-probe-only", Severity.WARNING, "Inputs of the domain move dead units", in_audit=True)
def dead_on_probe_only(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """One finding per layer."""
    for layer in situation.layers:
        if layer.refuted:
            moved = len(layer.refuted)
            move = "moves" if moved == 1 else "move"
            yield kind.of_layer(
                layer,
                f"{number(moved)} of {counted(len(layer.dead), 'unit')} that {'is' if len(layer.dead) == 1 else 'are'} "
                f"dead on the probe {move} for some input of the domain.",
                layer.refuted,
                measured=moved,
            )


@finding_kind("DU040", "little-proven", Severity.ERROR, "Fewer dead units are proven than the budget asks for")
def little_proven(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """At most one finding."""
    audit, asked = situation.audit, situation.budgets.min_proven
    proven, enough = proven_share(situation)
    if asked is None or enough:
        return
    open_, refuted = audit.dead_by(Evidence.OBSERVED), audit.dead_by(Evidence.REFUTED)
    why = f"inputs of it move {number(refuted)}, and {number(open_)} {'is' if open_ == 1 else 'are'} open"
    why = "no domain was stated (--domain)" if audit.proof is None else why
    yield kind.finding(
        f"{number(proven)} of {counted(audit.dead, 'dead unit')} ({share(proven, audit.dead)}) are proven for every "
        f"input of the domain, and the budget asks for {asked}: {why}.",
        measured=proven / audit.dead,
        allowed=asked.share,
    )


def proven_share(situation: Situation) -> tuple[int, bool]:
    """How many dead units are so for every input of the domain, and whether that is as many as the budget asks for."""
    audit, asked = situation.audit, situation.budgets.min_proven
    proven = audit.dead_by(Evidence.STRUCTURAL, Evidence.PROVEN)
    wanted = 0.0 if asked is None else asked.share or 0.0
    return proven, proven >= wanted * audit.dead * (1 - 1e-12)
