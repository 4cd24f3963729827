"""Facts made by hand, for tests of what is done with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analyzer.facts.audit import (
    AuditFacts,
    LayerVerdicts,
    Locked,
    ModelSummary,
    OperatorWithoutRule,
    ProbeSummary,
    Removable,
    TensorPlan,
)
from analyzer.facts.checked import CheckFacts
from analyzer.facts.evidence import Evidence
from analyzer.facts.judged import Judged
from analyzer.facts.model_report import AuditReport, CheckReport, PruneReport
from analyzer.facts.picture import GraphPicture
from analyzer.facts.proof import Claim, DomainSummary, Outcome, ProofFacts, UnitProof
from analyzer.facts.pruned import PrunedFacts
from analyzer.facts.statistics import UnitStatistics
from analyzer.facts.thresholds import Thresholds
from analyzer.facts.units import AuditedValue, Kind
from analyzer.facts.verdicts import verdicts_of
from analyzer.gate import audit_findings


def relu(units: int, value: str = "/net/relu/Relu_output_0", module: str = "") -> AuditedValue:
    """A ReLU's output with units along axis 1."""
    return AuditedValue(
        value, "/net/relu/Relu", "Relu", Kind.RECTIFIER, axis=1, units=units, rank=2, low=0.0, module=module
    )


def of_module(layer: LayerVerdicts, module: str) -> LayerVerdicts:
    """The layer with this name in the training code."""
    return replace(layer, audited=replace(layer.audited, module=module))


def tanh(units: int, value: str = "tanh") -> AuditedValue:
    """A Tanh's output."""
    return AuditedValue(value, "tanh_node", "Tanh", Kind.SATURATING, 1, units, 2, low=-1.0, high=1.0)


def gelu(units: int, value: str = "gelu") -> AuditedValue:
    """A Gelu's output."""
    return AuditedValue(value, "gelu_node", "Gelu", Kind.SMOOTH, 1, units, 2)


def linear(units: int, value: str = "gemm") -> AuditedValue:
    """The output of a Gemm that feeds no activation."""
    return AuditedValue(value, "gemm_node", "Gemm", Kind.LINEAR, 1, units, 2)


def seen(minimum: Sequence[float], maximum: Sequence[float], samples: int = 100, **others: object) -> UnitStatistics:
    """Statistics of these extremes; a unit fired on all samples if its maximum is above 0, unless told."""
    low, high = np.array(minimum, np.float64), np.array(maximum, np.float64)
    made = replace(
        UnitStatistics.empty(len(low)),
        samples=samples,
        minimum=low,
        maximum=high,
        fired=np.where(high > 0, samples, 0).astype(np.int64),
        flat_samples=np.full(len(low), samples, np.int64),
    )
    return replace(made, **{name: np.asarray(value) for name, value in others.items()})  # type: ignore[arg-type]


def layer(audited: AuditedValue, statistics: UnitStatistics, thresholds: Thresholds | None = None) -> LayerVerdicts:
    """Verdicts by the default thresholds."""
    return verdicts_of(audited, statistics, thresholds or Thresholds())


def by_weights(layer: LayerVerdicts, *units: int) -> LayerVerdicts:
    """The layer, were these units decided by the weights alone (at what they stay at, or 0)."""
    known = np.isin(np.arange(layer.units), units)
    return layer.decided(known, np.zeros(layer.units))


def with_evidence(layer: LayerVerdicts, **evidence: tuple[int, ...]) -> LayerVerdicts:
    """The layer, were these dead units shown to be so by other evidence."""
    codes = layer.evidence.copy()
    for name, units in evidence.items():
        codes[[*units]] = Evidence(name).code
    return replace(layer, evidence=codes)


def proof(source: str = "pixels", *, conditional: bool = False, outcomes: Sequence[Outcome] = ()) -> ProofFacts:
    """What became of the claims of an audit over a domain, in short; `outcomes` are those of the first dead units."""
    made = facts()
    units = tuple(UnitProof("relu", unit, Claim.DEAD, outcome) for unit, outcome in enumerate(outcomes))
    domain = DomainSummary(source, "sha256:" + "0" * 64, 1, conditional, {"x": (0.0, 1.0)})
    return ProofFacts(made.model, made.probe, domain, "float32", 0, 60.0, 200, 3, "", units)


def first_dead(units: int, dead: int, value: str, samples: int = 360) -> LayerVerdicts:
    """A ReLU layer whose first `dead` units never fire."""
    maximum = [0.0] * dead + [1.0] * (units - dead)
    return layer(relu(units, value), seen([0.0] * units, maximum, samples))


def facts(layers: Sequence[LayerVerdicts] | None = None, **others: object) -> AuditFacts:
    """A small audit in which something of everything was found."""
    chosen = tuple(layers or (first_dead(64, 60, "/net/0/Relu_output_0"), first_dead(32, 3, "/net/2/Relu_output_0")))
    probe = ProbeSummary("probe.npz", 360, "xxh3:" + "0" * 32)
    made = AuditFacts(
        model=ModelSummary("models/mlp.onnx", "ab" * 32, "pytorch 2.9.0", 18, 5, 6474, 6368, 27_000),
        probe=probe,
        holdout=None,
        thresholds=Thresholds(),
        layers=chosen,
        removable=Removable(
            parameters=5874,
            parameters_share=5874 / 6474,
            multiply_adds=5790,
            multiply_adds_share=5790 / 6368,
            tensors=(
                TensorPlan("net.0.weight", (64, 64), (4, 64), 3840, (tuple(range(60)), ())),
                TensorPlan("net.2.weight", (32, 64), (29, 4), 1932, ((0, 1, 2), tuple(range(60)))),
            ),
        ),
        locked=(
            Locked("/net/2/Relu_output_0", (0,), "graph-output", "the value is an output of the model"),
            Locked("/net/0/Relu_output_0", (1, 2, 3, 9), "residual-partner-alive", "Add_7 also reads /stem/Relu"),
        ),
        operators_without_rule=(OperatorWithoutRule("com.example::Odd", 2, "custom domain", 0, 30),),
        judged=Judged(6368, 6368, 6474, 6474, len(chosen), len(chosen)),
    )
    made = replace(made, **others)  # type: ignore[arg-type]
    return made if "warnings" in others else replace(made, warnings=audit_findings(made))


def reported(audit: AuditFacts) -> AuditReport:
    """What the renderers of an audit take; the network is an empty picture."""
    return AuditReport(audit, lambda: GraphPicture((), ()))


def reported_check(checked: CheckFacts) -> CheckReport:
    """What the renderers of a check take; the network is an empty picture."""
    return CheckReport(checked.audit, lambda: GraphPicture((), ()), checked=checked)


def reported_prune(audit: AuditFacts, pruned: PrunedFacts) -> PruneReport:
    """What the renderers of a prune take; the network is an empty picture."""
    return PruneReport(audit, lambda: GraphPicture((), ()), pruned=pruned)
