"""A revival as JSON, by the schema `deadunits.revive/1` (schema/revive.schema.json)."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from analyzer.facts.audit import ModelSummary, ProbeSummary
from analyzer.facts.model_report import ReviveReport
from analyzer.facts.pruned import Comparison, Refused
from analyzer.facts.units import Units
from analyzer.report.audit.json import LayerEvidence, Proof, evidence_shown, proof_shown
from analyzer.report.documents import Tool, shown_as, text_of
from analyzer.report.prune.json import Compared


class Document(Struct, frozen=True, tag_field="schema", tag="deadunits.revive/1"):
    """What `deadunits revive --json` writes.

    Per audited value: `units` have fresh weights and move on the probe, `asleep` have fresh weights and do not move on
    it yet, `left` are dead as before. `evidence` says what shows that the dead units of a value are dead; with a domain
    those that are `refuted` are left. `modules` are the names of these values in the training code, `tensors` the
    stored tensors that changed, `seed` what the fresh weights were drawn from. `comparison` is null where nothing
    changed; with a `proof`, `domain` is that on inputs of its domain, where the outputs rest on no data, and `proven`
    that they are the same for every such input. `proof` is null where no domain was stated.
    """

    tool: Tool
    model: ModelSummary
    probe: ProbeSummary | None
    seed: int
    changed: bool
    units: Mapping[str, Units]
    asleep: Mapping[str, Units]
    left: Mapping[str, Units]
    modules: Mapping[str, str]
    tensors: tuple[str, ...]
    comparison: Compared | None
    holdout: Compared | None
    refused: tuple[Refused, ...]
    notes: tuple[str, ...]
    evidence: Mapping[str, LayerEvidence]
    domain: Compared | None
    proven: bool
    proof: Proof | None


def to_text(report: ReviveReport) -> str:
    """The report as a JSON document that ends in a newline."""
    revived = report.revived
    same = ("seed", "changed", "units", "asleep", "left", "modules", "tensors", "refused", "notes", "proven")
    proof = report.audit.proof
    document = Document(
        tool=Tool(),
        model=report.audit.model,
        probe=report.audit.probe,
        evidence={layer.value: evidence_shown(layer) for layer in report.audit.layers if layer.dead},
        proof=None if proof is None else proof_shown(proof),
        comparison=_compared(revived.comparison),
        holdout=_compared(revived.holdout),
        domain=_compared(revived.domain),
        **{name: getattr(revived, name) for name in same},
    )
    return text_of(document)


def _compared(comparison: Comparison | None) -> Compared | None:
    return None if comparison is None else shown_as(Compared, comparison)
