"""A check as GitHub workflow commands: annotations on the model file, then the verdict in plain text.

GitHub shows ten annotations of a kind per step and drops the rest in silence: the worst are shown, and the last says
how many more there are.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.facts.checked import CheckFacts
from analyzer.facts.findings import Severity
from analyzer.facts.model_report import CheckReport
from analyzer.facts.wording import counted
from analyzer.report.check.headline import totals, verdict
from analyzer.report.phrases import printable, sentence

MOST = 10  # annotations of a kind
_COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}


def to_text(report: CheckReport) -> str:
    """Workflow commands, at most ten of a severity, and a last line for the log; ends in a newline."""
    facts = report.checked
    lines = [line for severity in _COMMANDS for line in _annotations(facts, severity)]
    # The log is read for commands as well: a line of our own words never starts with `::`.
    lines.append(f"deadunits check {verdict(facts)}. {totals(facts)}.")
    return "\n".join(lines) + "\n"


def _annotations(facts: CheckFacts, severity: Severity) -> Iterator[str]:
    """The findings of a severity, the worst first: what is about the whole model, then what is about most units."""
    findings = [finding for finding in facts.findings if finding.severity is severity]
    findings.sort(key=lambda finding: (bool(finding.value), -len(finding.units)))
    shown = findings if len(findings) <= MOST else findings[: MOST - 1]
    where = f"{_COMMANDS[severity]} file={_property(printable(facts.audit.model.path))}"
    for finding in shown:
        yield f"::{where},title={_property(f'{finding.code} {finding.name}')}::{_data(sentence(finding))}"
    if more := len(findings) - len(shown):
        left_out = counted(more, f"more {severity}")
        yield f"::{where},title={left_out}::and {left_out}: every other format of the report lists them all."


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
