"""From an audit and a proof of its claims to an audit that knows what the proof shows."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyzer.api.default_cut import planned
from analyzer.api.domains import samples_within
from analyzer.api.expert_counts import counted_again
from analyzer.api.options import Data, Progress
from analyzer.api.rewritten import Source
from analyzer.errors import InputError, ProofContradicted
from analyzer.facts.audit import AuditFacts, LayerVerdicts
from analyzer.facts.choice import Choice
from analyzer.facts.domain import Domain
from analyzer.facts.domain_words import ANY, is_no_file, no_such_domain
from analyzer.facts.evidence import Evidence
from analyzer.facts.proof import REAL, ProofFacts, UnitProof, with_proofs
from analyzer.gate import audit_findings
from analyzer.shapes.shape_run import measure_shapes
from analyzer.walk import Walk, walk

if TYPE_CHECKING:
    from analyzer.api.audit_result import Audit


NOT_OF_STATISTICS = (
    "Statistics do not say whether their data lies in a domain: hold the data itself against it (--probe DATA, without "
    "--statistics)."
)


def check_claims(data: Data, domain: Any) -> None:
    """Refuse, before the long work, to hold nothing against a domain, or something against none.

    Raises:
        InputError: there is no probe, or no such domain.
    """
    if domain is not None and data.statistics is not None:
        raise InputError(NOT_OF_STATISTICS)
    if isinstance(domain, str) and not (is_no_file(domain) or Path(domain).exists()):
        raise no_such_domain(domain)
    if domain is not None and data.probe is None and data.random is None:
        raise InputError(
            "What a probe shows is held against the domain, and there is no probe: give one (--probe DATA), or ask "
            "`deadunits prove`, for which points of the domain stand in."
        )


def domain_for(choice: Choice, domain: Any) -> Any:
    """The domain that is stated; where none is and the choice goes by proofs, every input."""
    return ANY if domain is None and choice.evidence is Evidence.PROVEN else domain


def over_domain(audited: Audit, domain: Any, budget: float, progress: Progress | None) -> Audit:
    """The audit with what holds over a domain, where one is stated."""
    if domain is None:
        return audited
    return audited.with_proof(audited.prove(domain=domain, budget=budget, progress=progress))


def with_evidence(
    source: Source, walked: Walk, audit: AuditFacts, proof: ProofFacts, domain: Domain
) -> tuple[Walk, AuditFacts]:
    """The walk and the facts with the proof's outcomes as evidence; units that an input moves no longer go.

    Raises:
        InputError: the holdout leaves the domain, or the proof is about real numbers.
        ProofContradicted: the holdout, which lies in the domain, moves a unit that is proven dead.
    """
    if proof.arithmetic == REAL:
        raise InputError(
            "A proof in real numbers is none for what a runtime computes, so nothing can rest on it: make one with "
            'another arithmetic ("float32").'
        )
    units: dict[str, list[UnitProof]] = {}
    for unit in proof.units:
        units.setdefault(unit.value, []).append(unit)
    layers = tuple(with_proofs(layer, units.get(layer.value, ())) for layer in audit.layers)
    if source.holdout is not None and not domain.conditional:
        samples_within(domain, source.holdout, source.shapes)
        for layer in layers:
            _check_holdout(layer)
    facts = replace(audit, layers=layers, proof=proof)
    if facts.dead_by(Evidence.REFUTED):
        measure = partial(measure_shapes, probe=source.first, threads=source.run.threads, varying=source.shapes.varying)
        fresh = walk(source.loaded.graph, source.shapes, layers)
        walked = planned(source.loaded, source.shapes, fresh, measure)
        facts = replace(
            facts,
            removable=walked.removable,
            locked=walked.locked,
            unused_inputs=walked.unused_inputs,
            constant_outputs=walked.constant_outputs,
            experts=counted_again(facts.experts, source.loaded, source.shapes, walked, measure),
        )
    else:
        walked = replace(walked, layers=layers)
    return walked, replace(facts, warnings=audit_findings(facts))


def _check_holdout(layer: LayerVerdicts) -> None:
    moved = sorted({*layer.proven}.intersection(layer.revived or ()))
    if moved:
        raise ProofContradicted(
            f"Unit {moved[0]} of {layer.value} is proven to be dead, and a sample of the holdout moves it: a bug of "
            "deadunits; please report it."
        )
