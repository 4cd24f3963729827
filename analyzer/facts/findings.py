"""What the gate says about an audit: findings, the rules they come from, and the whole result of a check."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from analyzer.facts.audit import AuditFacts
from analyzer.facts.baseline import BaselineComparison
from analyzer.facts.budgets import Budgets


class Severity(StrEnum):
    """What a finding does: an error fails the check, a warning is shown, a note is only told, off is not looked for."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"
    OFF = "off"


class About(StrEnum):
    """What the name in a finding names."""

    MODEL = "model"
    LAYER = "layer"
    TENSOR = "tensor"
    INPUT = "input"
    OUTPUT = "output"
    PROBE = "probe"
    BASELINE = "baseline"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found.

    `message` is in our own words and numbers only: names from files stand in `value` and `node`, so that every
    format can escape them in its own way. `measured` and `allowed` are comparable numbers where there is a budget
    (a share if `allowed` was given as one). `units` are indices: of units, or of features of an input or output.
    """

    code: str
    name: str
    severity: Severity
    message: str
    about: About = About.MODEL
    value: str = ""
    node: str = ""
    units: tuple[int, ...] = ()
    measured: float | None = None
    allowed: float | None = None


@dataclass(frozen=True, slots=True)
class RuleCard:
    """A rule as reports show it: code, slug, one-line title, severity in this check, and its page in Markdown."""

    code: str
    name: str
    title: str
    severity: Severity
    page: str


@dataclass(frozen=True, slots=True)
class CheckFacts:
    """Everything a check found; reports read this and nothing else."""

    audit: AuditFacts
    budgets: Budgets
    findings: tuple[Finding, ...]  # most severe first
    rules: tuple[RuleCard, ...]  # every rule, also those turned off
    comparison: BaselineComparison | None = None

    @property
    def passed(self) -> bool:
        """Whether nothing was found that fails the check."""
        return not any(finding.severity is Severity.ERROR for finding in self.findings)

    def count(self, severity: Severity) -> int:
        """Findings of one severity."""
        return sum(finding.severity is severity for finding in self.findings)
