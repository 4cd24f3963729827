"""A check as GitHub workflow commands: annotations on the model file, then the verdict in plain text.

GitHub shows ten annotations of a kind per step; the most severe come first.
"""

from __future__ import annotations

from analyzer.facts.checked import CheckFacts
from analyzer.facts.findings import Finding, Severity
from analyzer.report.check.headline import totals, verdict
from analyzer.report.phrases import printable, sentence

_COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}


def to_text(facts: CheckFacts) -> str:
    """One workflow command per finding, and a last line for the log; ends in a newline."""
    lines = [_command(finding, facts.audit.model.path) for finding in facts.findings]
    # The log is read for commands as well: a line of our own words never starts with `::`.
    lines.append(f"deadunits check {verdict(facts)}. {totals(facts)}.")
    return "\n".join(lines) + "\n"


def _command(finding: Finding, path: str) -> str:
    title = _property(f"{finding.code} {finding.name}")
    return (
        f"::{_COMMANDS[finding.severity]} file={_property(printable(path))},title={title}::{_data(sentence(finding))}"
    )


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
