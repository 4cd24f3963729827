"""An audit as JSON, by the schema `deadunits.audit/1` (schema/audit.schema.json)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from analyzer.facts.audit import (
    AuditFacts,
    LayerVerdicts,
    Locked,
    ModelSummary,
    OperatorWithoutRule,
    ProbeSummary,
    Removable,
)
from analyzer.facts.bound import CONFIDENCE
from analyzer.facts.causes import CauseCode, LayerDiagnosis, UnitCause
from analyzer.facts.evidence import Evidence
from analyzer.facts.findings import About, Finding, Severity
from analyzer.facts.health import Verdict, health_of
from analyzer.facts.judged import LeftOut
from analyzer.facts.model_io import ConstantOutput, UnusedInput
from analyzer.facts.model_report import AuditReport
from analyzer.facts.proof import DomainSummary, ProofFacts
from analyzer.facts.thresholds import Thresholds
from analyzer.facts.units import Kind, Units
from analyzer.report.documents import Tool, shown_as, text_of
from analyzer.report.prove.json import Counts, totals_of


class Totals(Struct, frozen=True):
    """Over all layers."""

    units: int
    dead: int


class LayerEvidence(Struct, frozen=True):
    """What shows that dead units are dead: `structural`, the weights alone decide it; `observed`, they were seen to be.

    `samples`: on which the layer was counted: all, or the first ones where its verdicts could not change any more.
    With a domain: `proven`, for every input of it; `refuted`, they were seen to be dead, and an input of it moves them;
    `observed` are then those of which neither is known. `proven_on` and `refuted_on` are the same of `always_on`.
    `firing_bound`: one-sided Clopper-Pearson bound on the share of samples on which an observed dead unit may fire.
    """

    structural: Units
    observed: Units
    samples: int
    firing_bound: float | None
    confidence: float = CONFIDENCE
    proven: Units = ()
    refuted: Units = ()
    proven_on: Units = ()
    refuted_on: Units = ()


class Root(Struct, frozen=True):
    """One unit of a layer."""

    value: str
    unit: int


class Cause(Struct, frozen=True):
    """Why one unit is dead or saturated; see docs/causes.md for the codes.

    `distance` is as in the layer's distances; `root`, of a starved unit, the first dead unit upstream that is not
    starved itself.
    """

    unit: int
    code: CauseCode
    detail: str
    distance: float | None
    root: Root | None


class Layer(Struct, frozen=True):
    """The verdicts of one audited value, named by its tensor; lists hold unit indices in order.

    `axis` is the unit axis. `dead` are all units that are constant, `constant` those of them whose value is not 0,
    and `values` the constant of each dead unit in the order of `dead`. `nonfinite` showed NaN or an infinity and
    get no other verdict. `revived` are dead on the probe and alive on the holdout (null: no holdout). `causes` say
    why units are dead or saturated, empty where that was not asked. `distances`, per unit: how far its largest
    pre-activation is from firing, in standard deviations of the pre-activation (negative: it fires; null: not
    measured or not varying; an empty list: a layer without suspects). `remedy` is what may help, most fitting
    first. `covered_by` is always null. `module` is the layer's name in the training code, no other layer's (empty: not
    known).
    """

    value: str
    node: str
    op: str
    kind: Kind
    axis: int
    units: int
    dead: Units
    constant: Units
    values: tuple[float | int, ...]
    near_dead: Units
    saturated: Units
    always_on: Units
    nonfinite: Units
    revived: Units | None
    evidence: LayerEvidence
    causes: tuple[Cause, ...]
    distances: tuple[float | None, ...]
    remedy: tuple[str, ...]
    covered_by: None = None
    module: str = ""


class Warning(Struct, frozen=True):
    """What to know before trusting the audit: a finding that needs no budget.

    `code` is its name and `finding` its code, for `deadunits explain`; `value` is what it is about (empty: the whole
    audit), `about` what that names, `module` the layer's name in the
    training code, `units` are of the layer, or features of the input or output.
    """

    code: str
    message: str
    value: str
    finding: str
    severity: Severity
    about: About
    units: Units
    module: str = ""


class Health(Struct, frozen=True):
    """What the audit comes to: the verdict, what it rests on, and what to do now.

    `finding` is the code of the finding behind it (null: none), about `value` or `module`, with `more` of its kind;
    `command` is what to type (null: nothing), where `MODEL --probe DATA` stands for the model and what it is run on.
    """

    verdict: Verdict
    reason: str
    finding: str | None
    value: str
    module: str
    more: int
    next: str
    command: str | None


class Judged(Struct, frozen=True):
    """How much of the model was looked at; multiply-adds are those of one sample.

    Shares are null where there is nothing, or nothing that is counted; with operators that are `not_counted` the share
    of multiply-adds is one of those that are. `activations` are the values whose units there are to judge. `left_out`
    says for each reason what got no verdict: operators that cost something (`multiply_adds` null: not counted).
    """

    multiply_adds_share: float | None
    parameters_share: float | None
    activations: int
    activations_judged: int
    multiply_adds: int
    multiply_adds_judged: int
    parameters: int
    parameters_judged: int
    not_counted: int
    left_out: tuple[LeftOut, ...]


class Rows(Struct, frozen=True):
    """A table of which rows are looked up by ids that the model is fed: an embedding.

    `seen` are the rows that the probe gathers, in `gathered` look-ups. `unseen_share` is Good and Turing's estimate of
    the share of further look-ups that gather other rows, `unseen_bound` what it is at most, with 95 % confidence, if
    look-ups are independent (null: nothing was looked up). `new_on_holdout`: so many look-ups of the holdout do (null:
    no holdout). `removable` numbers can go with `--vocabulary`; `stays` says why none do.
    """

    table: str
    rows: int
    seen: Units
    gathered: int
    unseen_share: float | None
    unseen_bound: float | None
    new_on_holdout: int | None
    removable: int
    stays: str


class Router(Struct, frozen=True):
    """A node that sends each token through `chosen` of its experts.

    `tokens` says for how many of the probe each expert was chosen, `idle` which for none. `unseen_share` is an
    estimate of the share of further tokens that are routed to an idle one, `unseen_bound` what it is at most, with 95 %
    confidence, if tokens are independent (null: there were no tokens). `new_on_holdout`: so often the holdout is (null:
    no holdout). `removable` numbers can go with `--experts`; `stays` says why none do. `module` is its place in the
    training code (empty: not known). `settled` experts are chosen, and give one constant whatever they read.
    """

    router: str
    experts: int
    chosen: int
    tokens: tuple[int, ...]
    idle: Units
    unseen_share: float | None
    unseen_bound: float | None
    new_on_holdout: int | None
    removable: int
    stays: str
    module: str
    settled: Units


class Proof(Struct, frozen=True):
    """What became of the probe's claims over a domain; fields are those of `deadunits.prove/1`."""

    domain: DomainSummary
    arithmetic: str
    seed: int
    budget: float
    tried: int
    witnesses: int
    ended_by: str
    totals: Mapping[str, Counts]
    notes: tuple[str, ...]


class Document(Struct, frozen=True, tag_field="schema", tag="deadunits.audit/1"):
    """The report that `deadunits audit --json` writes.

    `probe` is null where no data was given, `holdout` where no second data set was. `thresholds` say what counted as
    near-dead, saturated and constant; `locked` are dead units that stay. `vocabulary` and `experts` are null where they
    were not asked for, `proof` where no domain was stated.
    """

    tool: Tool
    model: ModelSummary
    probe: ProbeSummary | None
    holdout: ProbeSummary | None
    thresholds: Thresholds
    totals: Totals
    layers: tuple[Layer, ...]
    removable: Removable
    locked: tuple[Locked, ...]
    unused_inputs: tuple[UnusedInput, ...]
    constant_outputs: tuple[ConstantOutput, ...]
    operators_without_rule: tuple[OperatorWithoutRule, ...]
    warnings: tuple[Warning, ...]
    judged: Judged
    vocabulary: tuple[Rows, ...] | None
    experts: tuple[Router, ...] | None
    health: Health
    proof: Proof | None


def to_text(report: AuditReport) -> str:
    """The report as a JSON document that ends in a newline."""
    return text_of(Document(**fields_of(report.audit)))


def fields_of(facts: AuditFacts) -> dict[str, Any]:
    """The fields of the document, which a prune's document has as well."""
    causes = {diagnosis.value: diagnosis for diagnosis in facts.diagnoses}
    same = ("model", "probe", "holdout", "thresholds", "removable", "locked", "unused_inputs", "constant_outputs")
    return {
        **{name: getattr(facts, name) for name in (*same, "operators_without_rule")},
        "tool": Tool(),
        "judged": shown_as(Judged, facts.judged),
        "vocabulary": None if facts.vocabulary is None else tuple(shown_as(Rows, t) for t in facts.vocabulary),
        "experts": None if facts.experts is None else tuple(shown_as(Router, r) for r in facts.experts),
        "totals": Totals(facts.units, facts.dead),
        "warnings": tuple(_warning(finding) for finding in facts.warnings),
        "health": _health(facts),
        "proof": None if facts.proof is None else proof_shown(facts.proof),
        "layers": tuple(_layer(layer, causes.get(layer.value)) for layer in facts.layers),
    }


def _health(facts: AuditFacts) -> Health:
    health = health_of(facts)
    about = health.finding
    return Health(
        verdict=health.verdict,
        reason=health.reason,
        finding=None if about is None else about.code,
        value="" if about is None else about.value,
        module="" if about is None else about.module,
        more=health.more,
        next=health.next_step.advice,
        command=health.next_step.command() or None,
    )


def proof_shown(facts: ProofFacts) -> Proof:
    """What became of the probe's claims over a domain."""
    same = ("domain", "arithmetic", "seed", "budget", "tried", "witnesses", "ended_by", "notes")
    return Proof(totals=totals_of(facts), **{name: getattr(facts, name) for name in same})


def _warning(finding: Finding) -> Warning:
    return Warning(
        code=finding.name,
        message=finding.message,
        value=finding.value,
        finding=finding.code,
        severity=finding.severity,
        about=finding.about,
        units=finding.units,
        module=finding.module,
    )


def _layer(layer: LayerVerdicts, diagnosis: LayerDiagnosis | None) -> Layer:
    audited = layer.audited
    return Layer(
        value=audited.value,
        node=audited.node,
        op=audited.op,
        kind=audited.kind,
        axis=audited.axis,
        units=audited.units,
        dead=layer.dead,
        constant=layer.constant,
        values=tuple(layer.stays_at[list(layer.dead)].tolist()),
        near_dead=layer.near_dead,
        saturated=layer.saturated,
        always_on=layer.always_on,
        nonfinite=layer.nonfinite,
        revived=layer.revived,
        evidence=evidence_shown(layer),
        causes=() if diagnosis is None else tuple(_cause(cause) for cause in diagnosis.causes),
        distances=() if diagnosis is None else diagnosis.distances,
        remedy=() if diagnosis is None else diagnosis.remedy,
        module=audited.module,
    )


def evidence_shown(layer: LayerVerdicts) -> LayerEvidence:
    """What shows that the units of a layer are dead."""
    return LayerEvidence(
        layer.structural,
        layer.dead_by(Evidence.OBSERVED),
        layer.samples,
        layer.firing_bound,
        proven=layer.proven,
        refuted=layer.refuted,
        proven_on=layer.proven_on,
        refuted_on=layer.refuted_on,
    )


def _cause(cause: UnitCause) -> Cause:
    root = None if cause.root is None else Root(*cause.root)
    return Cause(cause.unit, cause.code, cause.detail, cause.distance, root)
