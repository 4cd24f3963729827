"""All rules on one audit: findings in order of severity, those that were turned off left out."""

from __future__ import annotations

from dataclasses import replace

from analyzer.facts.audit import AuditFacts
from analyzer.facts.baseline import Baseline
from analyzer.facts.budgets import Budgets
from analyzer.facts.findings import CheckFacts, Finding, RuleCard, Severity
from analyzer.gate.against_baseline import compare_baseline
from analyzer.gate.catalogue import RULES, rule_named
from analyzer.gate.rule import Rule
from analyzer.gate.rule_page import page
from analyzer.gate.situation import Situation

_ORDER = list(Severity)


def judge(audit: AuditFacts, budgets: Budgets | None = None, baseline: Baseline | None = None) -> CheckFacts:
    """What is wrong with a model, as far as its audit, its budgets and an earlier audit can tell.

    Raises:
        InputError: `ignore` or `severity` names a code that does not exist.
    """
    allowed = budgets or Budgets()
    _check_codes(allowed)
    comparison = None if baseline is None else compare_baseline(audit, baseline)
    situation = Situation(audit, allowed, comparison)
    cards, findings = [], list[Finding]()
    for rule in RULES:
        severity = _severity(rule, allowed)
        cards.append(RuleCard(rule.code, rule.name, rule.title, severity, page(rule)))
        if severity is not Severity.OFF:
            findings += (_leveled(found, rule, severity, allowed) for found in rule.find(situation, rule))
    findings.sort(key=lambda finding: (_ORDER.index(finding.severity), finding.code))  # stable: layers stay in order
    return CheckFacts(audit, allowed, tuple(findings), tuple(cards), comparison)


def _severity(rule: Rule, budgets: Budgets) -> Severity:
    if rule.code in budgets.ignore:
        return Severity.OFF
    return Severity(budgets.severity.get(rule.code, rule.severity))


def _leveled(found: Finding, rule: Rule, severity: Severity, budgets: Budgets) -> Finding:
    """With the severity that the budgets ask for; a finding that raised its own keeps that unless they do."""
    return replace(found, severity=severity) if rule.code in budgets.severity else found


def _check_codes(budgets: Budgets) -> None:
    for code in (*budgets.ignore, *budgets.severity):
        rule_named(code)
