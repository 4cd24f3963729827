"""A prune as JSON, by the schema `deadunits.prune/1`: the audit's document, and what was cut, compared and measured."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field
from msgspec.structs import replace

from analyzer.facts.model_report import PruneReport
from analyzer.facts.pruned import PrunedFacts, Refused, Size
from analyzer.facts.units import Units
from analyzer.report.audit.json import Document as AuditDocument
from analyzer.report.audit.json import fields_of
from analyzer.report.documents import shown_as, text_of


class Output(Struct, frozen=True):
    """One output of both models; null stands for what is not finite, or for outputs of unequal shapes.

    `scale` is the original output's largest entry, to which the relative difference and the `tolerance` (by element
    type) refer. `top1_agreement`: share of samples with the same largest entry (null: not a classifier's output).
    """

    name: str
    absolute: float | None = field(name="max_abs_difference")
    relative: float | None = field(name="max_relative_difference")
    scale: float | None
    tolerance: float
    top1: float | None = field(name="top1_agreement")


class Compared(Struct, frozen=True):
    """Both models on one data set, over all outputs; null stands for what is not finite."""

    source: str
    samples: int
    max_abs_difference: float | None
    max_relative_difference: float | None
    tolerance: float
    within: bool
    outputs: tuple[Output, ...]


class ComparedOnAll(Compared, frozen=True):
    """Both models on the probe (on random data without one), the holdout, the probe with noise, and the domain.

    Units that are alive on the holdout make the models differ there. `domain` are witnesses, corners and other inputs
    of a stated domain (null: none was, or what went rests on what the data showed).
    """

    holdout: Compared | None = None
    perturbed: Compared | None = None
    domain: Compared | None = None


class Timed(Struct, frozen=True):
    """Median seconds per run, the median ratio after / before over alternating runs, and its quartiles."""

    before: float
    after: float
    ratio: float
    ratio_low: float
    ratio_high: float
    runs: int
    batch: int
    verdict: str


class Document(AuditDocument, frozen=True, tag_field="schema", tag="deadunits.prune/1"):
    """What `deadunits prune --json` writes: everything in an audit's report, and what the prune did.

    `comparison` is null where nothing changed. `removed_units` are, per audited value, the units that went, by
    their index in the original; `lossy_units` those of them that were named although they are not dead, so that
    their removal is not exact. `removed_relus` were always on in the data and went when the layers around them were
    merged. `removed_rows`: how many rows of which embedding went, as the data never gathers them; `removed_experts`
    which experts of which router, as no token is routed to them, or each became its constant. `observed`: the same
    outputs rest on what the data showed; else they hold for every input that stays finite on the way (unless units are
    lossy), or, where they are `proven`, for every such input of the domain.
    """

    changed: bool
    before: Size
    after: Size
    comparison: ComparedOnAll | None
    latency: Timed | None
    refused: tuple[Refused, ...]
    removed_units: Mapping[str, Units]
    lossy_units: Mapping[str, Units]
    removed_relus: tuple[str, ...]
    observed: bool
    notes: tuple[str, ...]
    removed_rows: Mapping[str, int]
    removed_experts: Mapping[str, Units]
    proven: bool


def to_text(report: PruneReport) -> str:
    """The report as a JSON document that ends in a newline."""
    pruned = report.pruned
    same = (
        "changed",
        "before",
        "after",
        "refused",
        "removed_units",
        "lossy_units",
        "removed_relus",
        "observed",
        "removed_rows",
        "removed_experts",
        "proven",
    )
    document = Document(
        **fields_of(report.audit),
        **{name: getattr(pruned, name) for name in (*same, "observed", "notes")},
        comparison=_comparison(pruned),
        latency=None if pruned.latency is None else shown_as(Timed, pruned.latency),
    )
    return text_of(document)


def _comparison(pruned: PrunedFacts) -> ComparedOnAll | None:
    if pruned.comparison is None:
        return None
    others = {
        name: None if (other := getattr(pruned, name)) is None else shown_as(Compared, other)
        for name in ("holdout", "perturbed", "domain")
    }
    return replace(shown_as(ComparedOnAll, pruned.comparison), **others)
