"""A check as SARIF 2.1.0, for code-scanning dashboards: rules with their pages, results at the model file."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

from analyzer.facts.checked import CheckFacts, FindingCard
from analyzer.facts.findings import Finding, Severity
from analyzer.facts.model_report import CheckReport
from analyzer.report.audit.json import Judged
from analyzer.report.documents import escaped, plain
from analyzer.report.phrases import printable, sentence
from analyzer.version import __version__

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "note", Severity.OFF: "none"}


def to_text(report: CheckReport) -> str:
    """The report as a JSON document that ends in a newline."""
    return escaped(json.dumps(to_dict(report.checked), indent=1, ensure_ascii=False, allow_nan=False)) + "\n"


def to_dict(facts: CheckFacts) -> dict[str, Any]:
    """The report as plain dicts and lists."""
    places = {card.code: index for index, card in enumerate(facts.kinds)}
    uri = _uri(facts.audit.model.path)
    run = {
        "tool": {
            "driver": {
                "name": "deadunits",
                "version": __version__,
                "semanticVersion": __version__,
                "rules": [_rule(card) for card in facts.kinds],
            }
        },
        "invocations": [{"executionSuccessful": True, "exitCode": 0 if facts.passed else 1}],
        "artifacts": [
            {
                "location": {"uri": uri},
                "roles": ["analysisTarget"],
                "length": facts.audit.model.bytes,
                "hashes": {"sha-256": facts.audit.model.sha256},
            }
        ],
        "columnKind": "unicodeCodePoints",
        "properties": {"judged": plain(Judged, facts.audit.judged)},
        "results": [_result(finding, places[finding.code], uri) for finding in facts.findings],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(card: FindingCard) -> dict[str, Any]:
    on = card.severity is not Severity.OFF
    return {
        "id": card.code,
        "name": "".join(word.capitalize() for word in card.name.split("-")),
        "shortDescription": {"text": f"{card.title}."},
        "fullDescription": {"text": f"{card.title}."},
        "help": {"text": card.page, "markdown": card.page},
        "defaultConfiguration": {"enabled": on, "level": _LEVELS[card.severity]},
        "properties": {"tags": ["model-health"]},
    }


def _result(finding: Finding, place: int, uri: str) -> dict[str, Any]:
    location: dict[str, Any] = {
        "physicalLocation": {"artifactLocation": {"uri": uri, "index": 0}, "region": {"startLine": 1}}
    }
    if finding.value:
        location["logicalLocations"] = [{"fullyQualifiedName": printable(finding.value), "kind": str(finding.about)}]
    identity = f"{finding.code}\0{finding.about}\0{finding.value}"
    return {
        "ruleId": finding.code,
        "ruleIndex": place,
        "level": _LEVELS[finding.severity],
        "message": {"text": _message(sentence(finding))},
        "locations": [location],
        "partialFingerprints": {"deadunits/v1": hashlib.sha256(identity.encode("utf-8", "replace")).hexdigest()},
        "properties": {
            "units": list(finding.units),
            "measured": finding.measured,
            "allowed": finding.allowed,
            **({"module": printable(finding.module)} if finding.module else {}),
        },
    }


def _message(text: str) -> str:
    """Braces doubled and brackets escaped: SARIF takes `{0}` for a placeholder and `[a](b)` for a link."""
    return re.sub(r"([\\\[\]])", r"\\\1", text).replace("{", "{{").replace("}", "}}")


def _uri(path: str) -> str:
    """A relative reference where the path is relative, so that a dashboard finds the file in its checkout."""
    given = Path(path)
    quoted = quote(given.as_posix(), errors="replace")
    return f"file:///{quoted.lstrip('/')}" if given.is_absolute() else quoted
