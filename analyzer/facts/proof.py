"""What became of the claims of a probe over a whole domain: unit by unit proven, refuted, negligible or open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from analyzer.facts.audit import LayerVerdicts, ModelSummary, ProbeSummary
from analyzer.facts.evidence import Evidence
from analyzer.facts.frozen import FrozenDict
from analyzer.facts.thresholds import Thresholds

_COMPUTED = "computed in {} in any order of summation, with plain convolutions, as long as nothing "
#: What bounds can hold for, and in words what that is.
ARITHMETICS = {
    "float32": _COMPUTED.format("float32") + "overflows",
    "tf32": _COMPUTED.format("tf32") + "overflows",
    "float16": _COMPUTED.format("float16") + "passes 65,504",
    "real": "by the formulas in real numbers: what a runtime computes may differ, so no cut rests on it",
}
REAL = "real"


class Claim(StrEnum):
    """What a probe says of a unit."""

    DEAD = "dead"  # one constant
    ALWAYS_ON = "always_on"  # a rectifier that is never flat


class Outcome(StrEnum):
    """What is known of a claim for every input of a domain."""

    PROVEN = "proven"  # it holds for all
    REFUTED = "refuted"  # an input of the domain is known for which it does not hold
    NEGLIGIBLE = "negligible"  # neither, and without the unit no output changes by more than a bound that is small
    OPEN = "open"  # none of these


class Method(StrEnum):
    """How a claim was settled."""

    WEIGHTS = "weights"  # they decide it, for every input that stays finite on the way
    INTERVALS = "intervals"  # bounds of what can be computed
    LINEAR = "linear"  # bounds that are linear in the inputs
    SLOPES = "slopes"  # the same, with slopes that were sought
    SPLITTING = "splitting"  # linear bounds over parts of the domain
    CORNERS = "corners"  # inputs at the ends of their bounds
    UNIFORM = "uniform"  # drawn evenly from the domain
    MIXES = "mixes"  # of samples of the probe, beyond them
    STEEPEST = "steepest"  # where a linear bound is largest
    CHANGED = "changed"  # inputs that came near, with some elements drawn anew
    GRADIENT = "gradient"  # steps towards where a unit moves


#: What settles claims before linear bounds are asked for: of what these leave, and of nothing else.
_FIRST = frozenset((Method.WEIGHTS, Method.INTERVALS, Method.CORNERS, Method.UNIFORM, Method.MIXES))


@dataclass(frozen=True, slots=True)
class UnitProof:
    """One claim about one unit of a value, and what became of it.

    `low` and `high` bound what the unit can give anywhere in the domain (None: nothing bounds it). `stays_at` is the
    constant of a dead unit. `method` settled it (None: open). `witness` is the index of the input that refutes it.
    `change`: by how much any number of an output changes at most, rounding aside, where a negligible unit gives its
    constant instead.
    """

    value: str
    unit: int
    claim: Claim
    outcome: Outcome
    method: Method | None = None
    stays_at: float | None = None
    low: float | None = None
    high: float | None = None
    witness: int | None = None
    change: float | None = None

    @property
    def asked_of_lines(self) -> bool:
        """Whether the claim was open when linear bounds were asked for."""
        return self.outcome in (Outcome.OPEN, Outcome.NEGLIGIBLE) or self.method not in _FIRST


@dataclass(frozen=True, slots=True)
class DomainSummary:
    """The domain: where it comes from, its hash, of how many boxes; `conditional`: the range of a probe.

    `ranges` are, by input, the lowest and the highest number that it may hold anywhere.
    """

    source: str
    digest: str
    boxes: int
    conditional: bool
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """The mapping is read-only from here on."""
        object.__setattr__(self, "ranges", FrozenDict(self.ranges))


@dataclass(frozen=True, slots=True)
class ProofFacts:
    """Everything that a proof found; reports read this and nothing else.

    `probe` is None where no data was given: claims are then what points of the domain showed, `drawn` so many. `seed`
    decides which inputs were tried, `tried` of them; `ended_by` is "budget" or "interrupted" where the search was ended
    before it was through, else empty. `arithmetic`: what the bounds hold for. `modules` are the names of values in the
    training code. `notes` say, each in a sentence, what was not looked at, and what to know.
    """

    model: ModelSummary
    probe: ProbeSummary | None
    domain: DomainSummary
    arithmetic: str
    seed: int
    budget: float
    tried: int
    witnesses: int
    ended_by: str
    units: tuple[UnitProof, ...]
    modules: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    drawn: int = 0

    def __post_init__(self) -> None:
        """The mappings are read-only from here on."""
        object.__setattr__(self, "modules", FrozenDict(self.modules))
        object.__setattr__(self, "seconds", FrozenDict(self.seconds))

    def counts(self, claim: Claim | None = None, value: str | None = None) -> Counter[Outcome]:
        """How many claims came out how; of one kind, of one value."""
        return Counter(u.outcome for u in self.units if claim in (None, u.claim) and value in (None, u.value))

    @property
    def layers(self) -> tuple[str, ...]:
        """The values with claims, in the order of the graph."""
        return tuple(dict.fromkeys(unit.value for unit in self.units))


_EVIDENCE = {Outcome.PROVEN: Evidence.PROVEN, Outcome.REFUTED: Evidence.REFUTED}


def with_proofs(layer: LayerVerdicts, proofs: Iterable[UnitProof]) -> LayerVerdicts:
    """The verdicts with what a proof shows of the layer's units; what is settled neither way stays observed.

    Claims that the layer does not make are left out.
    """
    evidence, on = layer.evidence.copy(), dict[Outcome, set[int]]()
    for unit in proofs:
        if unit.claim is Claim.ALWAYS_ON:
            on.setdefault(unit.outcome, set()).add(unit.unit)
        elif (
            unit.outcome in _EVIDENCE
            and unit.stays_at == layer.stays_at[unit.unit]
            and evidence[unit.unit] != Evidence.STRUCTURAL.code
        ):
            evidence[unit.unit] = _EVIDENCE[unit.outcome].code
    proven_on, refuted_on = (
        tuple(unit for unit in layer.always_on if unit in on.get(outcome, ()))
        for outcome in (Outcome.PROVEN, Outcome.REFUTED)
    )
    return replace(layer, evidence=evidence, proven_on=proven_on, refuted_on=refuted_on)


@dataclass(frozen=True, slots=True)
class Failed:
    """A claim of a certificate that did not come out again, and why in a sentence."""

    value: str
    unit: int
    claim: Claim
    outcome: Outcome
    why: str


@dataclass(frozen=True, slots=True)
class VerifiedFacts:
    """What came of checking a certificate: how many claims came out again as what they are, and which did not.

    `open` claims say nothing that could be checked. `ulps`: the spread, in units in the last place, up to which the
    certificate counts a smooth activation as constant.
    """

    model: ModelSummary
    certificate: str
    domain: DomainSummary
    arithmetic: str
    proven: int
    refuted: int
    open: int
    failed: tuple[Failed, ...]
    negligible: int = 0
    ulps: int = Thresholds().ulps

    @property
    def holds(self) -> bool:
        """Whether everything came out again."""
        return not self.failed
