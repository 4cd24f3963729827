"""A check as JSON, by the schema `deadunits.check/1` (schema/check.schema.json); only ever added to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, fields
from importlib.resources import files
from typing import Any

from analyzer.facts.baseline import BaselineComparison, LayerChange
from analyzer.facts.budgets import Budgets, LayerLimits, Limit
from analyzer.facts.checked import CheckFacts
from analyzer.facts.findings import Finding, Severity
from analyzer.version import __version__

SCHEMA = "deadunits.check/1"


def schema() -> dict[str, Any]:
    """The JSON Schema that every report of this version satisfies."""
    text = files("analyzer.report").joinpath("schema", "check.schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def to_text(facts: CheckFacts) -> str:
    """The report as a JSON document that ends in a newline."""
    text = json.dumps(to_dict(facts), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    # Half a character, as in the name of a file that is not UTF-8, can only be written as an escape.
    return re.sub("[\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text)


def to_dict(facts: CheckFacts) -> dict[str, Any]:
    """The report as plain dicts, lists, numbers and strings."""
    audit = facts.audit
    return {
        "schema": SCHEMA,
        "tool": {"name": "deadunits", "version": __version__},
        "model": asdict(audit.model),
        "probe": None if audit.probe is None else asdict(audit.probe),
        "holdout": None if audit.holdout is None else asdict(audit.holdout),
        "passed": facts.passed,
        "counts": {str(level): facts.count(level) for level in Severity if level is not Severity.OFF},
        "totals": {
            "units": audit.units,
            "dead": audit.dead,
            "removable_parameters": audit.removable.parameters,
        },
        "budgets": _budgets(facts.budgets),
        "findings": [_finding(finding) for finding in facts.findings],
        "rules": [
            {"code": card.code, "name": card.name, "title": card.title, "severity": str(card.severity)}
            for card in facts.kinds
        ],
        "baseline": None if facts.comparison is None else _comparison(facts.comparison),
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.code,
        "name": finding.name,
        "severity": str(finding.severity),
        "about": str(finding.about),
        "value": finding.value,
        "node": finding.node,
        "units": list(finding.units),
        "message": finding.message,
        "measured": finding.measured,
        "allowed": finding.allowed,
    }


def _budgets(budgets: Budgets) -> dict[str, Any]:
    """As they would stand in a configuration file; what is not limited is left out."""
    made: dict[str, Any] = {}
    for name in (field.name for field in fields(budgets)):
        value = getattr(budgets, name)
        if value in (None, (), {}, LayerLimits()):
            continue
        made[name.replace("_", "-")] = _setting(name, value)
    return made


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


def _comparison(comparison: BaselineComparison) -> dict[str, Any]:
    return {
        "source": comparison.source,
        "same_probe": comparison.same_probe,
        "units_then": comparison.units_then,
        "dead_then": comparison.dead_then,
        "matched": comparison.matched,
        "newly_dead": _changes(comparison.newly_dead),
        "revived": _changes(comparison.revived),
        "matched_by_order": [{"value": value, "was": was} for value, was in comparison.by_order],
        "only_now": list(comparison.only_now),
        "only_then": list(comparison.only_then),
        "resized": list(comparison.resized),
    }


def _changes(changes: Iterable[LayerChange]) -> list[dict[str, Any]]:
    return [{"value": change.value, "was": change.was, "units": list(change.units)} for change in changes]
