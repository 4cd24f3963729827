"""A check as JUnit XML: one test case per rule, failed by errors; warnings and notes stand in its output.

By the schema of Jenkins' xUnit plugin (junit-10), which GitLab, Azure and CircleCI read as well.
"""

from __future__ import annotations

from xml.etree import ElementTree as Xml

from analyzer.facts.checked import CheckFacts
from analyzer.facts.findings import Finding, Severity
from analyzer.facts.model_report import CheckReport
from analyzer.report.check.headline import data, totals, verdict
from analyzer.report.phrases import printable, sentence


def to_text(report: CheckReport) -> str:
    """The report as an XML document that ends in a newline."""
    facts = report.checked
    errors = {finding.code for finding in facts.findings if finding.severity is Severity.ERROR}
    off = [card for card in facts.kinds if card.severity is Severity.OFF]
    counts = {"tests": str(len(facts.kinds)), "failures": str(len(errors)), "errors": "0"}
    root = Xml.Element("testsuites", {"name": "deadunits check", **counts})
    suite = Xml.SubElement(
        root, "testsuite", {"name": _legal(facts.audit.model.path), **counts, "skipped": str(len(off))}
    )
    _properties(suite, facts)
    for card in facts.kinds:
        case = Xml.SubElement(
            suite, "testcase", {"name": f"{card.code} {card.name}: {card.title}", "classname": "deadunits.check"}
        )
        if card.severity is Severity.OFF:
            Xml.SubElement(case, "skipped", {"message": "turned off"})
            continue
        _outcome(case, [finding for finding in facts.findings if finding.code == card.code])
    Xml.indent(root)
    text = Xml.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _properties(suite: Xml.Element, facts: CheckFacts) -> None:
    properties = Xml.SubElement(suite, "properties")
    model = facts.audit.model
    shown = {
        "verdict": verdict(facts),
        "totals": totals(facts),
        "probe": data(facts),
        "model.sha256": model.sha256,
    }
    for name, value in shown.items():
        Xml.SubElement(properties, "property", {"name": name, "value": _legal(value)})


def _outcome(case: Xml.Element, findings: list[Finding]) -> None:
    failing = [finding for finding in findings if finding.severity is Severity.ERROR]
    others = [finding for finding in findings if finding.severity is not Severity.ERROR]
    if failing:
        others_failing = f" (and {len(failing) - 1} more)" if len(failing) > 1 else ""
        message = _legal(sentence(failing[0])) + others_failing
        failure = Xml.SubElement(case, "failure", {"type": failing[0].code, "message": message})
        failure.text = _legal_lines(failing)
    if others:
        Xml.SubElement(case, "system-out").text = _legal_lines(others)


def _legal_lines(findings: list[Finding]) -> str:
    return "\n".join(f"{finding.severity}: {_legal(sentence(finding))}" for finding in findings)


def _legal(text: str) -> str:
    """Without what XML 1.0 forbids even as a character reference: control characters, surrogates, U+FFFE/F."""
    return printable(text)
