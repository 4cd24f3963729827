"""A comparison of audits as JSON, by the schema `deadunits.compare/1` (schema/compare.schema.json)."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from analyzer.facts import history
from analyzer.facts.audit import ModelSummary, ProbeSummary
from analyzer.facts.evidence import Evidence
from analyzer.facts.history import Change, Course, Descent, LayerCourse
from analyzer.facts.units import Units
from analyzer.report.audit.json import Judged, Proof, proof_shown
from analyzer.report.compare.sentences import by_evidence
from analyzer.report.documents import Tool, shown_as, text_of


class RunSummary(Struct, frozen=True):
    """One audit of the course: a model on a probe. `units` and `dead` are counted over all layers.

    `independence_stated`: samples shared runs because they are said to be independent; nothing proves it. `proof` is
    what became of what the probe shows over a domain (null: none was stated).
    """

    label: str
    model: ModelSummary
    probe: ProbeSummary | None
    units: int
    dead: int
    judged: Judged
    independence_stated: bool = False
    proof: Proof | None = None


class Counts(Struct, frozen=True):
    """Units from one run to another, over the layers that both have."""

    died: int
    revived: int
    stayed: int


class ByEvidence(Struct, frozen=True):
    """Units that are dead in a run, by what shows it: the weights, a proof, the probe alone (open), or, refuted, the
    probe alone while inputs of the domain move them.
    """

    structural: int
    proven: int
    observed: int
    refuted: int


class OverDomain(Struct, frozen=True):
    """What changed from the first run to the last over the domain, over the layers that both have.

    `died` and `stayed_now` are units by their evidence in the last run, `revived` and `stayed_then` in the first.
    `died_for_certain` are moved by an input in the first run and by none of the domain in the last, and those that
    `revived_for_certain` the other way round.
    """

    died: ByEvidence
    revived: ByEvidence
    stayed_then: ByEvidence
    stayed_now: ByEvidence
    died_for_certain: int
    revived_for_certain: int


class Layer(Struct, frozen=True):
    """One layer over all runs, named as in the last run that has it; null stands for a run that lacks it.

    `module` is its name in the training code (empty: not known).
    `names` and `dead` have an entry per run; `change` is from the first run to the last. With a domain `evidence` has
    an entry per run, too: its dead units by what shows it; and `for_certain` is what changed over the domain.
    """

    value: str
    op: str
    units: int
    names: tuple[str | None, ...]
    dead: tuple[Units | None, ...]
    change: Change | None
    module: str
    evidence: tuple[Mapping[Evidence, Units] | None, ...] = ()
    for_certain: Change | None = None


class Document(Struct, frozen=True, tag_field="schema", tag="deadunits.compare/1"):
    """The report that `deadunits compare --json` writes.

    `totals` are from the first run to the last, `steps` from each to the next. `descents` are models that were
    pruned or revived from another run's. `over_domain` is null where no domain was stated.
    """

    tool: Tool
    runs: tuple[RunSummary, ...]
    totals: Counts
    steps: tuple[Counts, ...]
    layers: tuple[Layer, ...]
    descents: tuple[Descent, ...]
    over_domain: OverDomain | None = None


def to_text(course: Course) -> str:
    """The report as a JSON document that ends in a newline."""
    steps = range(len(course.runs) - 1)
    document = Document(
        tool=Tool(),
        runs=tuple(_run(run) for run in course.runs),
        totals=Counts(*course.total()),
        steps=tuple(Counts(*course.total(step, step + 1)) for step in steps),
        layers=tuple(_layer(layer) for layer in course.layers),
        descents=course.descents,
        over_domain=_over_domain(course) if course.over_domain else None,
    )
    return text_of(document)


def _layer(layer: LayerCourse) -> Layer:
    certain = layer.for_every_input() if layer.evidence else None
    same = layer.value, layer.op, layer.units, layer.names, layer.dead
    return Layer(*same, layer.change(), layer.module, layer.evidence, certain)


def _run(run: history.RunSummary) -> RunSummary:
    same = {name: getattr(run, name) for name in ("label", "model", "probe", "units", "dead", "independence_stated")}
    proof = None if run.proof is None else proof_shown(run.proof)
    return RunSummary(**same, judged=shown_as(Judged, run.judged), proof=proof)


def _over_domain(course: Course) -> OverDomain:
    died, revived, then, now = (ByEvidence(*counts) for _, counts in by_evidence(course))
    return OverDomain(died, revived, then, now, *course.for_every_input())
