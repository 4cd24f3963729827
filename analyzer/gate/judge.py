"""All kinds of findings on one audit, in order of severity."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from analyzer.facts.audit import AuditFacts
from analyzer.facts.baseline import Baseline
from analyzer.facts.budgets import Budgets
from analyzer.facts.checked import CheckFacts, FindingCard
from analyzer.facts.findings import About, Finding, Severity
from analyzer.gate.against_baseline import compare_baseline
from analyzer.gate.budget_use import budget_uses
from analyzer.gate.catalogue import all_kinds, kind_named
from analyzer.gate.finding_kind import FindingKind
from analyzer.gate.situation import Situation

_ORDER = list(Severity)


def judge(audit: AuditFacts, budgets: Budgets | None = None, baseline: Baseline | None = None) -> CheckFacts:
    """What is wrong with a model, as far as its audit, its budgets and an earlier audit can tell.

    Raises:
        InputError: `ignore` or `severity` names a code that does not exist.
    """
    allowed = budgets or Budgets()
    check_codes(allowed)
    comparison = None if baseline is None else compare_baseline(audit, baseline)
    situation = Situation(audit, allowed, comparison)
    cards, findings = [], list[Finding]()
    for kind in all_kinds():
        severity = _severity(kind, allowed)
        cards.append(FindingCard(kind.code, kind.name, kind.title, severity, kind.page()))
        if severity is not Severity.OFF:
            findings += (_leveled(finding, kind, severity, allowed) for finding in kind.find(situation, kind))
    return CheckFacts(audit, allowed, _sorted(findings, audit), tuple(cards), comparison, budget_uses(situation))


def check_codes(budgets: Budgets) -> None:
    """Refuse budgets about findings that there are not.

    Raises:
        InputError: `ignore` or `severity` names a code that does not exist.
    """
    for code in (*budgets.ignore, *budgets.severity):
        kind_named(code)


def audit_findings(audit: AuditFacts) -> tuple[Finding, ...]:
    """What to know before trusting an audit: the findings that belong to it, judged without budgets."""
    situation = Situation(audit, Budgets())
    return _sorted((finding for kind in all_kinds() if kind.in_audit for finding in kind.find(situation, kind)), audit)


def _sorted(findings: Iterable[Finding], audit: AuditFacts) -> tuple[Finding, ...]:
    """The most severe first, those of one code together and in the order of the graph, with the modules of layers."""
    modules = audit.modules
    named = (replace(f, module=modules.get(f.value, "")) if f.about is About.LAYER else f for f in findings)
    return tuple(sorted(named, key=lambda finding: (_ORDER.index(finding.severity), finding.code)))


def _severity(kind: FindingKind, budgets: Budgets) -> Severity:
    if kind.code in budgets.ignore:
        return Severity.OFF
    return Severity(budgets.severity.get(kind.code, _severest(kind.severity, budgets.severity.get(kind.at_least))))


def _severest(severity: Severity, other: Severity | None) -> Severity:
    return severity if other is None else min(severity, Severity(other), key=_ORDER.index)


def _leveled(finding: Finding, kind: FindingKind, severity: Severity, budgets: Budgets) -> Finding:
    """With the severity that the budgets ask for; a finding that raised its own keeps that unless they do."""
    asked = (
        severity if kind.code in budgets.severity else _severest(finding.severity, budgets.severity.get(kind.at_least))
    )
    return replace(finding, severity=asked)
