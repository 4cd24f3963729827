"""The result of a check, as plain values that every report reads."""

from __future__ import annotations

from dataclasses import dataclass

from analyzer.facts.audit import AuditFacts
from analyzer.facts.baseline import BaselineComparison
from analyzer.facts.budgets import Budgets
from analyzer.facts.findings import Finding, Severity


@dataclass(frozen=True, slots=True)
class FindingCard:
    """A kind of finding as reports show it: code, name, one-line title, severity in this check, page in Markdown."""

    code: str
    name: str
    title: str
    severity: Severity
    page: str


@dataclass(frozen=True, slots=True)
class BudgetUse:
    """One budget, and how much of it is used: over the model, or where `pattern` names layers or tensors.

    `setting` is its name in a settings file, `allowed` and `found` are in words. Of layers or tensors, `value` and
    `module` name the one that uses most of it, and `over` is how many of `among` use more than all. `within` is None
    where it could not be held against anything.
    """

    setting: str
    allowed: str
    found: str
    within: bool | None
    pattern: str = ""
    value: str = ""
    module: str = ""
    over: int = 0
    among: int = 0


@dataclass(frozen=True, slots=True)
class CheckFacts:
    """Everything a check found; reports read this and nothing else."""

    audit: AuditFacts
    budgets: Budgets
    findings: tuple[Finding, ...]  # most severe first
    kinds: tuple[FindingCard, ...]  # all that was looked for, and what was turned off
    comparison: BaselineComparison | None = None
    uses: tuple[BudgetUse, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing was found that fails the check."""
        return not any(finding.severity is Severity.ERROR for finding in self.findings)

    def count(self, severity: Severity) -> int:
        """Findings of one severity."""
        return sum(finding.severity is severity for finding in self.findings)
