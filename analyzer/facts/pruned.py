"""The result of a prune, as plain values that every report reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from analyzer.facts.frozen import FrozenDict


@dataclass(frozen=True, slots=True)
class Size:
    """How large a model is; multiply-adds and peak activation bytes are for one sample."""

    parameters: int
    multiply_adds: int
    bytes: int
    peak_activation: int


@dataclass(frozen=True, slots=True)
class OutputDifference:
    """One output of both models over one data set. `relative` is `absolute` over `scale`, the largest entry.

    `top1` is the share of samples whose largest entry lies at the same index (None: not a classifier's output).
    """

    name: str
    absolute: float
    scale: float
    relative: float
    tolerance: float
    top1: float | None = None

    @property
    def within(self) -> bool:
        """Whether the difference is within the tolerance."""
        return self.relative <= self.tolerance


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both models on one data set: `samples` on which some output was finite, `refused` that the original did not take.

    `refused` samples were in feeds that were left out.
    """

    source: str
    samples: int
    outputs: tuple[OutputDifference, ...]
    refused: int = 0

    @property
    def max_abs_difference(self) -> float:
        """Largest absolute difference of any output."""
        return max((o.absolute for o in self.outputs), default=0.0)

    @property
    def max_relative_difference(self) -> float:
        """Largest difference relative to the output's scale."""
        return max((o.relative for o in self.outputs), default=0.0)

    @property
    def tolerance(self) -> float:
        """The relative difference that was allowed."""
        return max((o.tolerance for o in self.outputs), default=0.0)

    @property
    def within(self) -> bool:
        """Whether every output is within its tolerance."""
        return all(o.within for o in self.outputs)

    def joined(self, other: Comparison) -> Comparison:
        """Both together, with the larger differences and the smaller tolerances; the rest is that of more samples."""
        if other.samples > self.samples:
            return other.joined(self)
        outputs = []
        for mine, theirs in zip(self.outputs, other.outputs, strict=True):
            absolute, scale = max(mine.absolute, theirs.absolute), max(mine.scale, theirs.scale)
            tolerance, relative = min(mine.tolerance, theirs.tolerance), absolute / (scale or 1.0)
            joined = replace(mine, absolute=absolute, scale=scale, relative=relative, tolerance=tolerance)
            outputs.append(joined)
        return replace(self, outputs=tuple(outputs))


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds per run of both models in alternating runs: medians, the median of the pairwise ratios, its quartiles."""

    before: float
    after: float
    ratio: float
    ratio_low: float
    ratio_high: float
    runs: int
    batch: int

    @property
    def verdict(self) -> str:
        """`faster`, `slower`, or `no speed gain measured`."""
        if self.ratio_high < 0.98:
            return "faster"
        return "slower" if self.ratio_low > 1.02 else "no speed gain measured"


@dataclass(frozen=True, slots=True)
class Refused:
    """A place that could not be cut, with the reason."""

    node: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class PrunedFacts:
    """Everything a prune found out.

    `removed_units` are audited units that went, per value; `lossy_units` those of them that were not dead; `changed`
    says whether anything went; `notes` are sentences for the person who asked. `removed_relus` were always on in the
    data, and went with `merge_linear`; `observed` says that the promise rests on the data, not on the weights alone.
    `removed_rows` are how many rows of which embedding went, as the data never gathers them; `removed_experts` the
    experts that went of which router, as no token is routed to them, or each became its constant. `proven` says that
    the promise rests on a proof over a domain, on inputs of which both were compared (`domain`).
    """

    before: Size
    after: Size
    changed: bool
    comparison: Comparison | None
    holdout: Comparison | None = None
    perturbed: Comparison | None = None
    latency: Latency | None = None
    refused: tuple[Refused, ...] = ()
    removed_units: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    lossy_units: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    removed_relus: tuple[str, ...] = ()
    observed: bool = False
    removed_rows: Mapping[str, int] = field(default_factory=dict)
    removed_experts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    domain: Comparison | None = None
    proven: bool = False

    def __post_init__(self) -> None:
        """Mappings are read-only from here on."""
        object.__setattr__(self, "removed_units", FrozenDict(self.removed_units))
        object.__setattr__(self, "lossy_units", FrozenDict(self.lossy_units))
        object.__setattr__(self, "removed_rows", FrozenDict(self.removed_rows))
        object.__setattr__(self, "removed_experts", FrozenDict(self.removed_experts))

    @property
    def lossy(self) -> bool:
        """Whether units went whose removal is not exact."""
        return bool(self.lossy_units)
