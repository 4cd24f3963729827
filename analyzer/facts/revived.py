"""The result of a revival, as plain values that every report reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from analyzer.facts.frozen import FrozenDict
from analyzer.facts.pruned import Comparison, Refused


@dataclass(frozen=True, slots=True)
class RevivedFacts:
    """What became of the dead units of a model, per audited value.

    Fresh are dead units, those that no output reads, and all but one of equal ones where they were merged. `units` have
    fresh weights and move on the probe; `asleep` have fresh weights and do not move on it yet; `left` are as they were:
    something else than stored weights stands in the way, or an input of the domain moves them. `modules` are the names
    of layers in the training code, `tensors` the stored tensors that changed, `seed` what the fresh weights were drawn
    from. `proven`: the outputs are the same for every input of a domain, by a proof. There, and where the weights
    decide, both models were compared on inputs of a stated `domain`.
    """

    seed: int
    units: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    asleep: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    left: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    modules: Mapping[str, str] = field(default_factory=dict)
    tensors: tuple[str, ...] = ()
    comparison: Comparison | None = None
    holdout: Comparison | None = None
    domain: Comparison | None = None
    proven: bool = False
    refused: tuple[Refused, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Mappings are read-only from here on."""
        for name in ("units", "asleep", "left", "modules"):
            object.__setattr__(self, name, FrozenDict(getattr(self, name)))

    @property
    def changed(self) -> bool:
        """Whether any unit has fresh weights."""
        return bool(self.units or self.asleep)
