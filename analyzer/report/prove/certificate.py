"""What a certificate says in words, by the schema `deadunits.certificate/1`; bounds and witnesses lie beside it."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from analyzer.errors import InputError
from analyzer.facts.proof import DomainSummary, UnitProof
from analyzer.report.documents import Tool, text_of


class Statement(Struct, frozen=True, tag_field="schema", tag="deadunits.certificate/1"):
    """What is claimed of a model, by its hash: `units` as in a proof. `ulps` is what counts as one constant."""

    tool: Tool
    model_sha256: str
    domain: DomainSummary
    arithmetic: str
    ulps: int
    units: tuple[UnitProof, ...]


def to_text(statement: Statement) -> str:
    """The statement as JSON."""
    return text_of(statement)


def from_text(text: bytes, name: str) -> Statement:
    """The statement that a file holds.

    Raises:
        InputError: it is none.
    """
    try:
        return msgspec.json.decode(text, type=Statement)
    except msgspec.DecodeError as error:
        raise InputError(f"{name} is no certificate of this version of deadunits: {error}.") from error
