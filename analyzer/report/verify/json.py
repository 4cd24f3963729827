"""What came of checking a certificate, as JSON, by the schema `deadunits.verify/1` (schema/verify.schema.json)."""

from __future__ import annotations

from msgspec import Struct

from analyzer.facts.audit import ModelSummary
from analyzer.facts.proof import DomainSummary, Failed, VerifiedFacts
from analyzer.report.documents import Tool, text_of


class Document(Struct, frozen=True, tag_field="schema", tag="deadunits.verify/1"):
    """What `deadunits verify --json` writes: `holds`, how many claims came out again, and which did not, with why."""

    tool: Tool
    model: ModelSummary
    certificate: str
    domain: DomainSummary
    arithmetic: str
    holds: bool
    proven: int
    refuted: int
    open: int
    negligible: int
    failed: tuple[Failed, ...]
    ulps: int


def to_text(facts: VerifiedFacts) -> str:
    """The report as a JSON document that ends in a newline."""
    same = (
        "model",
        "certificate",
        "domain",
        "arithmetic",
        "holds",
        "proven",
        "refuted",
        "open",
        "negligible",
        "failed",
        "ulps",
    )
    return text_of(Document(tool=Tool(), **{name: getattr(facts, name) for name in same}))
