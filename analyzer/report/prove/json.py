"""A proof as JSON, by the schema `deadunits.prove/1` (schema/prove.schema.json)."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from analyzer.facts.audit import ModelSummary, ProbeSummary
from analyzer.facts.proof import Claim, DomainSummary, Outcome, ProofFacts, UnitProof
from analyzer.report.documents import Tool, text_of


class Counts(Struct, frozen=True):
    """How many claims came out how."""

    claims: int
    proven: int
    refuted: int
    open: int
    negligible: int


class Document(Struct, frozen=True, tag_field="schema", tag="deadunits.prove/1"):
    """What `deadunits prove --json` writes.

    `totals` are by claim, `units` has an entry for each claim. `probe` is null where no data was given: claims are then
    what `drawn` points of the domain showed. `seed` decides which inputs were tried, `tried` of them; `witnesses` were
    found and each run by itself. `ended_by` is "budget" or "interrupted" where the search was not through, else empty.
    `arithmetic` is what bounds hold for.
    """

    tool: Tool
    model: ModelSummary
    probe: ProbeSummary | None
    drawn: int
    domain: DomainSummary
    arithmetic: str
    seed: int
    budget: float
    tried: int
    witnesses: int
    ended_by: str
    totals: Mapping[str, Counts]
    units: tuple[UnitProof, ...]
    modules: Mapping[str, str]
    notes: tuple[str, ...]
    seconds: Mapping[str, float]


def to_text(facts: ProofFacts) -> str:
    """The report as a JSON document that ends in a newline."""
    same = (
        "model", "probe", "drawn", "domain", "arithmetic", "seed", "budget", "tried", "witnesses", "ended_by", "units",
        "modules", "notes", "seconds",
    )  # fmt: skip
    return text_of(Document(tool=Tool(), totals=totals_of(facts), **{name: getattr(facts, name) for name in same}))


def totals_of(facts: ProofFacts) -> dict[str, Counts]:
    """How many claims came out how, by claim."""
    return {claim.value: _counts(facts, claim) for claim in Claim}


def _counts(facts: ProofFacts, claim: Claim) -> Counts:
    counts = facts.counts(claim)
    return Counts(counts.total(), counts[Outcome.PROVEN], counts[Outcome.REFUTED], counts[Outcome.OPEN],
                  counts[Outcome.NEGLIGIBLE])  # fmt: skip
