"""The result of an audit, as plain values that every report reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from analyzer.algebra.pattern import Shape
from analyzer.facts.causes import LayerDiagnosis
from analyzer.facts.evidence import Evidence
from analyzer.facts.experts import RoutedExperts
from analyzer.facts.findings import Finding
from analyzer.facts.frozen import FrozenDict, read_only
from analyzer.facts.judged import Judged, cost_of
from analyzer.facts.model_io import ConstantOutput, UnusedInput
from analyzer.facts.probe_condition import ProbeCondition
from analyzer.facts.sample_ranges import Ranges
from analyzer.facts.statistics import Bools, Floats, UnitStatistics
from analyzer.facts.thresholds import Thresholds
from analyzer.facts.units import AuditedValue
from analyzer.facts.vocabulary import GatheredRows

if TYPE_CHECKING:
    from analyzer.facts.proof import ProofFacts

Codes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """The audited file. `bytes` includes external data; multiply_adds are for one sample.

    `made_from` is the sha256 of the model that it was pruned or revived from, as its metadata say (empty: they do not).
    """

    path: str
    sha256: str
    producer: str
    opset: int
    nodes: int
    parameters: int
    multiply_adds: int
    bytes: int
    made_from: str = ""


@dataclass(frozen=True, slots=True)
class ProviderShare:
    """An execution provider other than the CPU, and how many of the model's operators it computed, of how many.

    The others were computed by the CPU; None where onnxruntime does not tell.
    """

    name: str
    operators: int | None = None
    operators_in_all: int | None = None


@dataclass(frozen=True, slots=True)
class ProbeSummary:
    """The data the model was run on. `random` marks probes that were drawn, not given: they have no `condition`.

    `preprocessing` says how files became numbers, by what was set (empty: arrays, fed as they came). `provider`
    computed the model (None: the CPU). `skipped` are files, lines and rows that were broken and left out, as was asked
    for, each with its reason.
    """

    source: str
    samples: int
    fingerprint: str
    random: bool = False
    condition: ProbeCondition | None = None
    preprocessing: Mapping[str, str] = field(default_factory=dict)
    provider: ProviderShare | None = None
    skipped: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """The mappings are read-only from here on."""
        object.__setattr__(self, "preprocessing", FrozenDict(self.preprocessing))
        object.__setattr__(self, "skipped", FrozenDict(self.skipped))


@dataclass(frozen=True, eq=False, repr=False)
class LayerVerdicts:
    """Verdicts of one audited value's units; every list holds unit indices in order.

    `evidence` has an entry per unit: what shows that it is dead (`Evidence.code`), 0 where it is not. `stays_at` is the
    constant that each dead unit stays at (NaN for the others). `near_dead`, `saturated` and `always_on` never overlap
    `dead`. `nonfinite` are units that showed a NaN or an infinity. `firing_bound` is the one-sided 95 % Clopper-Pearson
    bound on the share of samples on which an observed dead unit may fire (None: no samples). `revived` are units dead
    on the probe and alive on the holdout (None without one). `distances`, per unit, tell how far its largest
    pre-activation lies below firing, in standard deviations of the pre-activation (negative: above; None, or no entry
    at all: not measured). `proven_on` and `refuted_on` are those of `always_on` that are so for every input of a stated
    domain, and for which an input of it is known on which they are not.
    """

    audited: AuditedValue
    evidence: Codes
    stays_at: Floats
    near_dead: tuple[int, ...] = ()
    saturated: tuple[int, ...] = ()
    always_on: tuple[int, ...] = ()
    nonfinite: tuple[int, ...] = ()
    samples: int = 0
    firing_bound: float | None = None
    statistics: UnitStatistics | None = None
    revived: tuple[int, ...] | None = None
    distances: tuple[float | None, ...] = ()
    proven_on: tuple[int, ...] = ()
    refuted_on: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Arrays are read-only from here on."""
        object.__setattr__(self, "evidence", read_only(np.asarray(self.evidence, np.uint8)))
        object.__setattr__(self, "stays_at", read_only(np.asarray(self.stays_at, np.float64)))

    def __repr__(self) -> str:
        name = f"{self.audited.module} ({self.value})" if self.audited.module else self.value
        return f"<LayerVerdicts of {name}: {len(self.dead)} of {self.units} units dead on {self.samples} samples>"

    @classmethod
    def unseen(cls, audited: AuditedValue) -> LayerVerdicts:
        """The verdicts of a value that was not run: nothing is known yet."""
        return cls(audited, np.zeros(audited.units, np.uint8), np.full(audited.units, np.nan))

    @property
    def value(self) -> str:
        """Tensor name of the audited activation."""
        return self.audited.value

    @property
    def units(self) -> int:
        """Number of units."""
        return self.audited.units

    @cached_property
    def is_dead(self) -> Bools:
        """Per unit whether it is dead, by whatever evidence."""
        return read_only(self.evidence != 0)

    @cached_property
    def dead(self) -> tuple[int, ...]:
        """All units that are one and the same constant."""
        return indices_of(self.is_dead)

    @cached_property
    def constant(self) -> tuple[int, ...]:
        """The dead units whose constant is not zero."""
        return indices_of(self.is_dead & (self.stays_at != self.audited.zero))

    @cached_property
    def structural(self) -> tuple[int, ...]:
        """The dead units that the weights alone decide."""
        return self.dead_by(Evidence.STRUCTURAL)

    @cached_property
    def proven(self) -> tuple[int, ...]:
        """The others that are dead for every input of the domain that the audit was held against."""
        return self.dead_by(Evidence.PROVEN)

    @cached_property
    def refuted(self) -> tuple[int, ...]:
        """The units that are dead on the probe only: an input of the domain is known that moves them."""
        return self.dead_by(Evidence.REFUTED)

    def dead_by(self, *evidence: Evidence) -> tuple[int, ...]:
        """The dead units that one of these shows to be dead."""
        codes = bytes(kind.code for kind in evidence)
        if len(self.evidence.tobytes().translate(None, codes)) == self.units:  # most layers have none
            return ()
        return indices_of(np.isin(self.evidence, [*codes]))

    def evidence_of(self, unit: int) -> Evidence | None:
        """What shows that the unit is dead; None for a unit that is not."""
        code = int(self.evidence[unit])
        return Evidence.of_code(code)

    @property
    def dead_share(self) -> float:
        """Dead units as a share of all."""
        return len(self.dead) / self.units if self.units else 0.0

    def undecided(self) -> LayerVerdicts:
        """The same verdicts without what the weights were said to decide."""
        seen = self.evidence != Evidence.STRUCTURAL.code
        return replace(self, evidence=self.evidence * seen, stays_at=np.where(seen, self.stays_at, np.nan))

    def decided(self, known: Bools, value: Floats) -> LayerVerdicts:
        """The same verdicts once the weights alone decide the `known` units (and no others).

        Such a unit is dead and stays at its `value`, unless the run showed what it stays at.
        """
        dead = self.is_dead | known

        def alive(units: tuple[int, ...]) -> tuple[int, ...]:
            return tuple(unit for unit in units if not dead[unit])

        return replace(
            self,
            evidence=np.where(known, Evidence.STRUCTURAL.code, self.evidence),
            stays_at=np.where(known & ~self.is_dead, value, self.stays_at),
            near_dead=alive(self.near_dead),
            saturated=alive(self.saturated),
            always_on=alive(self.always_on),
        )


def layer_named(layers: Iterable[LayerVerdicts], name: str) -> LayerVerdicts | None:
    """The layer of this value, else the layer of this module; None: there is neither."""
    named = [layer for layer in layers if name and name in (layer.value, layer.audited.module)]
    return min(named, key=lambda layer: layer.value != name, default=None)


def indices_of(mask: Bools) -> tuple[int, ...]:
    """Where the mask is true."""
    return tuple(np.flatnonzero(mask).tolist())


@dataclass(frozen=True, slots=True)
class TensorPlan:
    """What goes of one stored tensor: per axis the indices of which all goes; `removable` counts elements.

    Of the weights of paired directions more goes than `removed` says: the mask has every element.
    """

    name: str
    shape: Shape
    kept: Shape
    removable: int
    removed: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Removable:
    """What can be removed exactly: totals, shares of the whole model, and per tensor.

    The total is net of what the cut adds (biases that absorb constants, separate copies of shared tensors); the list of
    tensors is not.
    """

    parameters: int
    parameters_share: float
    multiply_adds: int
    multiply_adds_share: float
    tensors: tuple[TensorPlan, ...]

    @property
    def largest_first(self) -> list[TensorPlan]:
        """The tensors of which something goes, the one that loses most first."""
        return sorted((tensor for tensor in self.tensors if tensor.removable), key=lambda tensor: -tensor.removable)


@dataclass(frozen=True, slots=True)
class Locked:
    """Dead units of one value that stay, with the reason code and where it comes from."""

    value: str
    units: tuple[int, ...]
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """Units of one value that should be constant by derivation, and that the run showed otherwise.

    `derived`, `low` and `high` are of the first of them: the constant, and what was seen. `sources` are the values
    that it followed from and that nothing is derived for any more.
    """

    value: str
    node: str
    op: str
    units: tuple[int, ...]
    derived: float
    low: float
    high: float
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HalfOverflow:
    """A value of half precision with an entry that no half can hold: `extreme`, as single precision has it."""

    value: str
    node: str
    extreme: float


@dataclass(frozen=True, slots=True)
class OperatorWithoutRule:
    """An operator treated as a barrier: its type, how many nodes, and why (no rule, subgraph, custom domain).

    `multiply_adds` (of one sample; None: not counted) and `parameters` are what these nodes cost.
    """

    op: str
    nodes: int
    why: str
    multiply_adds: int | None
    parameters: int

    @property
    def cost(self) -> str:
        """In words."""
        return cost_of(self.multiply_adds, self.parameters)

    @property
    def free(self) -> bool:
        """Whether they cost nothing: they only move, compare and count."""
        return self.multiply_adds == 0 and not self.parameters


@dataclass(frozen=True, slots=True)
class Conditions:
    """How the model was run, as far as it limits what could be seen.

    `one_by_one`: samples were run one by one; `may_mix` says why they might influence each other where a look at
    two did not show it (empty: proven that they do not). `stated`: they shared runs on the user's word. `mixed` are
    audited values through which samples of one batch influence each other, `scaled_together` those in which they do as
    they are rounded by one scale, `unseen` those whose units the run could not show. `overridable` are stored tensors
    that are inputs as well, taken for no constants. `withdrawn` is what the run contradicted. `overflows` would be
    infinity on a device that computes in halves. `causes_failed` says why pre-activations could not be measured
    (empty: they were, or nobody asked). `inseparable` samples share every feed and may influence each other, so that
    they count as one. `missing` are start and stop of samples of the data that statistics of it lack;
    `statistics_alone`: there was nothing else of the data.
    """

    one_by_one: bool = False
    may_mix: str = ""
    stated: bool = False
    mixed: tuple[str, ...] = ()
    scaled_together: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    overridable: tuple[str, ...] = ()
    withdrawn: tuple[Withdrawn, ...] = ()
    overflows: tuple[HalfOverflow, ...] = ()
    causes_failed: str = ""
    inseparable: int = 1
    missing: Ranges = ()
    statistics_alone: bool = False


@dataclass(frozen=True, slots=True)
class AuditFacts:
    """Everything an audit found; reports read this and nothing else.

    `warnings` are what to know before trusting it: the findings that need no budgets. `diagnoses` are those of layers
    with dead or saturated units, where causes were asked for. `proof` is what became of the probe's claims over a
    domain, where one was stated.
    """

    model: ModelSummary
    probe: ProbeSummary | None
    holdout: ProbeSummary | None
    thresholds: Thresholds
    layers: tuple[LayerVerdicts, ...]
    removable: Removable
    locked: tuple[Locked, ...]
    operators_without_rule: tuple[OperatorWithoutRule, ...]
    judged: Judged
    warnings: tuple[Finding, ...] = ()
    conditions: Conditions = Conditions()
    seconds: Mapping[str, float] = field(default_factory=dict)
    unused_inputs: tuple[UnusedInput, ...] = ()
    constant_outputs: tuple[ConstantOutput, ...] = ()
    vocabulary: tuple[GatheredRows, ...] | None = None
    experts: tuple[RoutedExperts, ...] | None = None
    diagnoses: tuple[LayerDiagnosis, ...] = ()
    proof: ProofFacts | None = None

    def __post_init__(self) -> None:
        """The mapping is read-only from here on."""
        object.__setattr__(self, "seconds", FrozenDict(self.seconds))

    @property
    def modules(self) -> dict[str, str]:
        """By value what layers are called in the training code, where that is known."""
        return {layer.value: layer.audited.module for layer in self.layers if layer.audited.module}

    @property
    def units(self) -> int:
        """Units of all layers."""
        return sum(layer.units for layer in self.layers)

    @property
    def dead(self) -> int:
        """Dead units of all layers."""
        return sum(len(layer.dead) for layer in self.layers)

    def dead_by(self, *evidence: Evidence) -> int:
        """How many units of all layers one of these shows to be dead."""
        return sum(len(layer.dead_by(*evidence)) for layer in self.layers)
