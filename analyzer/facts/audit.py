"""The result of an audit, as plain values that every report reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from analyzer.facts.causes import LayerDiagnosis
from analyzer.facts.model_io import ConstantOutput, UnusedInput
from analyzer.facts.statistics import UnitStatistics
from analyzer.facts.units import AuditedValue, Shape


class Evidence(StrEnum):
    """How sure a verdict is: decided by the weights, seen on samples, or shown by bounds."""

    STRUCTURAL = "structural"
    OBSERVED = "observed"
    PROVEN = "proven"


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """The audited file. `bytes` includes external data; multiply_adds are for one sample."""

    path: str
    sha256: str
    producer: str
    opset: int
    nodes: int
    parameters: int
    multiply_adds: int
    bytes: int


@dataclass(frozen=True, slots=True)
class ProbeSummary:
    """The data the model was run on. `random` marks probes that were drawn, not given."""

    source: str
    samples: int
    fingerprint: str
    random: bool = False


@dataclass(frozen=True, slots=True)
class LayerVerdicts:
    """Verdicts of one audited value; every list holds unit indices in order.

    `dead` are all units that are constant, `constant` those of them whose value is not zero, `structural` those
    whose constancy the weights alone decide. `near_dead`, `saturated` and `always_on` never overlap `dead`.
    `firing_bound` is the one-sided 95 % Clopper-Pearson bound on the share of samples on which an observed dead
    unit may fire. `revived` are units dead on the probe and alive on the holdout (None without one).
    `nonfinite` are units that showed a NaN or an infinity.
    """

    audited: AuditedValue
    dead: tuple[int, ...]
    constant: tuple[int, ...]
    near_dead: tuple[int, ...]
    saturated: tuple[int, ...]
    always_on: tuple[int, ...]
    structural: tuple[int, ...]
    nonfinite: tuple[int, ...]
    samples: int
    firing_bound: float | None
    statistics: UnitStatistics | None = None
    values: tuple[float, ...] = ()  # the constant of each unit in `dead`, in the same order
    revived: tuple[int, ...] | None = None
    covered_by: str | None = None  # a later value that shows the same units (not counted twice)
    distances: tuple[float | None, ...] = ()  # per unit, as in LayerDiagnosis; empty where not measured

    @property
    def value(self) -> str:
        """Tensor name of the audited activation."""
        return self.audited.value

    @property
    def units(self) -> int:
        """Number of units."""
        return self.audited.units

    @property
    def dead_share(self) -> float:
        """Dead units as a share of all."""
        return len(self.dead) / self.units if self.units else 0.0


@dataclass(frozen=True, slots=True)
class TensorPlan:
    """What goes of one stored tensor: per axis the indices that go; `removable` counts elements."""

    name: str
    shape: Shape
    kept: Shape
    removable: int
    removed: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Removable:
    """What can be removed exactly: totals, shares of the whole model, and per tensor."""

    parameters: int
    parameters_share: float
    multiply_adds: int
    multiply_adds_share: float
    tensors: tuple[TensorPlan, ...]


@dataclass(frozen=True, slots=True)
class Locked:
    """Dead units of one value that stay, with the reason code and where it comes from."""

    value: str
    units: tuple[int, ...]
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class OperatorWithoutRule:
    """An operator treated as a barrier: its type, how many nodes, and why (no rule, subgraph, custom domain)."""

    op: str
    nodes: int
    why: str


@dataclass(frozen=True, slots=True)
class AuditWarning:
    """One warning: a stable code, the sentence, and the value it is about (empty: the whole model)."""

    code: str
    message: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When a unit is called near-dead, saturated or dead; `preset` names the field's definition it follows.

    near_dead: share of samples on which it fires at most. saturated: share of samples in the flat region at least.
    flat_gradient: gradient of a sigmoid or tanh below which its input counts as flat. apoz: share of zero
    positions above which a unit is near-dead (None: not used). apoz_deviations: the same cut, stated as standard
    deviations above the layer's mean share (None). dormant: tau of the tau-dormant score (None). Where apoz,
    apoz_deviations or dormant is given it replaces near_dead.
    ulps: spread, in units in the last place, up to which a smooth activation counts as constant.
    """

    preset: str = "default"
    near_dead: float = 0.01
    saturated: float = 0.99
    flat_gradient: float = 1e-3
    apoz: float | None = None
    dormant: float | None = None
    ulps: int = 4
    apoz_deviations: float | None = None

    @property
    def needs_positions(self) -> bool:
        """Whether these thresholds need positions counted and magnitudes summed, which costs time."""
        return not (self.apoz is None and self.apoz_deviations is None and self.dormant is None)


@dataclass(frozen=True, slots=True)
class AuditFacts:
    """Everything an audit found; reports read this and nothing else."""

    model: ModelSummary
    probe: ProbeSummary | None
    holdout: ProbeSummary | None
    thresholds: Thresholds
    layers: tuple[LayerVerdicts, ...]
    removable: Removable
    locked: tuple[Locked, ...]
    operators_without_rule: tuple[OperatorWithoutRule, ...]
    warnings: tuple[AuditWarning, ...]
    seconds: dict[str, float] = field(default_factory=dict)
    unused_inputs: tuple[UnusedInput, ...] = ()
    constant_outputs: tuple[ConstantOutput, ...] = ()
    diagnoses: tuple[LayerDiagnosis, ...] = ()  # layers with dead or saturated units, where causes were asked for

    @property
    def units(self) -> int:
        """Units of all layers, values that show the same units counted once."""
        return sum(layer.units for layer in self.counted_layers)

    @property
    def dead(self) -> int:
        """Dead units of all layers, counted once."""
        return sum(len(layer.dead) for layer in self.counted_layers)

    @property
    def counted_layers(self) -> Sequence[LayerVerdicts]:
        """Layers whose units no later audited value shows again."""
        return [layer for layer in self.layers if layer.covered_by is None]
