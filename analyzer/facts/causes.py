"""Why a unit is dead and how far it is from waking: what the diagnosis hands on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from analyzer.facts.frozen import FrozenDict

Root = tuple[str, int]
"""One unit: the tensor name of its activation, and its index."""


class CauseCode(StrEnum):
    """What keeps a unit still. `docs/causes.md` explains each."""

    BIAS_DOMINATES = "bias-dominates"
    WEIGHTS_DOMINATE = "weights-dominate"
    NONPOSITIVE_WEIGHTS = "nonpositive-weights"
    ZERO_KERNEL = "zero-kernel"
    NORM_SCALE_ZERO = "norm-scale-zero"
    NORM_SHIFT_NEGATIVE = "norm-shift-negative"
    STARVED = "starved"
    QUANTISATION = "quantisation"
    INPUT_CONSTANT = "input-constant"
    SATURATED = "saturated"
    UNKNOWN = "unknown"


SUMMARIES: Mapping[CauseCode, str] = FrozenDict(
    {
        CauseCode.BIAS_DOMINATES: "the bias holds the sum below firing; without it the unit would fire",
        CauseCode.WEIGHTS_DOMINATE: "the weighted sum stays below firing on this data, even without the bias",
        CauseCode.NONPOSITIVE_WEIGHTS: "no weight is positive and no input is negative, so the sum cannot rise",
        CauseCode.ZERO_KERNEL: "all its weights are zero, or too small to matter",
        CauseCode.NORM_SCALE_ZERO: "the scale of its normalisation is about zero",
        CauseCode.NORM_SHIFT_NEGATIVE: "the shift of its normalisation is too negative for its scale",
        CauseCode.STARVED: "everything it reads is dead",
        CauseCode.QUANTISATION: "rounding or clipping to integers flattens it",
        CauseCode.INPUT_CONSTANT: "the input features it reads do not vary in this data",
        CauseCode.SATURATED: "its input stays in a flat region of the activation",
        CauseCode.UNKNOWN: "neither weights nor statistics tell",
    }
)
"""One clause per cause, for reports."""


@dataclass(frozen=True, slots=True)
class UnitCause:
    """Why one unit is dead (or saturated).

    `detail` is a sentence with the numbers. `distance` is how far the largest pre-activation lies from leaving the
    flat region, in standard deviations of the pre-activation (None where it was not measured or does not vary).
    `root` is the first dead unit upstream that is not starved itself, for starved units.
    """

    unit: int
    code: CauseCode
    detail: str
    distance: float | None = None
    root: Root | None = None


@dataclass(frozen=True, slots=True)
class LayerDiagnosis:
    """Causes of the dead and the saturated units of one value, in order, and how far all its units are from firing.

    `distances` has one entry per unit: positive, below firing by so many standard deviations of the pre-activation;
    negative, it fires by so many; None where it was not measured (units that are not suspect need not be), does not
    vary, or the activation has no flat region. `remedy` holds what may help, most fitting first, as sentences.
    """

    value: str
    causes: tuple[UnitCause, ...]
    distances: tuple[float | None, ...] = ()
    remedy: tuple[str, ...] = ()

    def cause_of(self, unit: int) -> UnitCause | None:
        """The cause of one unit; None for a unit that is neither dead nor saturated."""
        return next((cause for cause in self.causes if cause.unit == unit), None)

    def counts(self) -> dict[CauseCode, int]:
        """Units by cause, the most frequent first."""
        return dict(Counter(cause.code for cause in self.causes).most_common())

    def sentences(self, unit: int) -> list[str]:
        """What is known of one unit, in sentences; nothing where nothing is."""
        lines = []
        cause = self.cause_of(unit)
        if cause is not None:
            lines.append(f"Why: {cause.code}, {SUMMARIES[cause.code]}. In numbers: {cause.detail}.")
            if cause.root is not None:
                lines.append(f"The root is unit {cause.root[1]} of {cause.root[0]}.")
        distance = self.distances[unit] if self.distances else None
        if distance is not None and distance >= 0:
            lines.append(
                f"At its nearest its pre-activation is {distance:.2g} of its standard deviations from leaving the "
                "flat region of the activation."
            )
        return lines

    def by_risk(self) -> tuple[UnitCause, ...]:
        """Causes with a distance, the unit nearest to waking first."""
        known = [(cause.distance, cause) for cause in self.causes if cause.distance is not None]
        return tuple(cause for _, cause in sorted(known, key=lambda pair: (pair[0], pair[1].unit)))

    def histogram(self, edges: Sequence[float] = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)) -> list[tuple[float, int]]:
        """(lower edge, units) of the diagnosed units' distances; the last bin is open, the first takes less too."""
        counts = [0] * len(edges)
        for cause in self.causes:
            if cause.distance is not None:
                counts[max(sum(cause.distance >= edge for edge in edges) - 1, 0)] += 1
        return list(zip(edges, counts, strict=True))
