"""A check as JSON, by the schema `deadunits.check/1` (schema/check.schema.json)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from msgspec import Struct

from analyzer.facts.audit import ModelSummary, ProbeSummary
from analyzer.facts.baseline import BaselineComparison, LayerChange
from analyzer.facts.budgets import Budgets, LayerLimits, Limit
from analyzer.facts.findings import Finding, Severity
from analyzer.facts.model_report import CheckReport
from analyzer.facts.proof import DomainSummary
from analyzer.report.audit.json import Judged
from analyzer.report.documents import Tool, shown_as, text_of


class Counts(Struct, frozen=True):
    """Findings by severity."""

    error: int
    warning: int
    note: int


class Totals(Struct, frozen=True):
    """Over the whole model."""

    units: int
    dead: int
    removable_parameters: int


class Rule(Struct, frozen=True):
    """What was looked for, and what a finding of it does."""

    code: str
    name: str
    title: str
    severity: Severity


class Renamed(Struct, frozen=True):
    """A layer that was matched by its place."""

    value: str
    was: str


class Baseline(Struct, frozen=True):
    """What became of the units of an earlier audit."""

    source: str
    same_probe: bool
    units_then: int
    dead_then: int
    matched: int
    newly_dead: tuple[LayerChange, ...]
    revived: tuple[LayerChange, ...]
    matched_by_order: tuple[Renamed, ...]
    only_now: tuple[str, ...]
    only_then: tuple[str, ...]
    resized: tuple[str, ...]


class Document(Struct, frozen=True, tag_field="schema", tag="deadunits.check/1"):
    """The report that `deadunits check --format json` writes.

    `passed`: no finding of severity error; false is exit code 1. `budgets` are the settings in force, spelled as in a
    configuration file. `domain` is what the probe's claims were held against (null: none was stated).
    """

    tool: Tool
    model: ModelSummary
    probe: ProbeSummary | None
    holdout: ProbeSummary | None
    passed: bool
    counts: Counts
    totals: Totals
    budgets: Mapping[str, Any]
    findings: tuple[Finding, ...]
    rules: tuple[Rule, ...]
    judged: Judged
    baseline: Baseline | None
    domain: DomainSummary | None


def to_text(report: CheckReport) -> str:
    """The report as a JSON document that ends in a newline."""
    facts, audit = report.checked, report.audit
    document = Document(
        tool=Tool(),
        model=audit.model,
        probe=audit.probe,
        holdout=audit.holdout,
        passed=facts.passed,
        counts=Counts(*(facts.count(level) for level in (Severity.ERROR, Severity.WARNING, Severity.NOTE))),
        totals=Totals(audit.units, audit.dead, audit.removable.parameters),
        budgets=_budgets(facts.budgets),
        findings=facts.findings,
        rules=tuple(shown_as(Rule, card) for card in facts.kinds),
        judged=shown_as(Judged, audit.judged),
        baseline=None if facts.comparison is None else _baseline(facts.comparison),
        domain=None if audit.proof is None else audit.proof.domain,
    )
    return text_of(document)


def _baseline(comparison: BaselineComparison) -> Baseline:
    same = [field.name for field in fields(comparison) if field.name != "by_order"]
    renamed = tuple(Renamed(value, was) for value, was in comparison.by_order)
    return Baseline(**{name: getattr(comparison, name) for name in same}, matched_by_order=renamed)


def _budgets(budgets: Budgets) -> dict[str, Any]:
    """As they would stand in a configuration file; what is not limited is left out."""
    settings: dict[str, Any] = {}
    for name in (field.name for field in fields(budgets)):
        value = getattr(budgets, name)
        if value in (None, (), {}, LayerLimits()):
            continue
        settings[name.replace("_", "-")] = _setting(name, value)
    return settings


def _setting(name: str, value: Any) -> Any:
    if isinstance(value, Limit):
        return _limit(value)
    if isinstance(value, LayerLimits):
        return {pattern: _limit(limit) for pattern, limit in value.patterns}
    if name == "expect_dead":
        return [
            f"{entry.pattern}:{'*' if entry.units is None else ','.join(map(str, sorted(entry.units)))}"
            for entry in value
        ]
    return dict(value) if name == "severity" else list(value) if isinstance(value, tuple) else value


def _limit(limit: Limit) -> int | str:
    return limit.count if limit.count is not None else str(limit).replace(" ", "")
