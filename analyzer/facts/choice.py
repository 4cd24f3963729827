"""What a user lets a prune take away."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal

from analyzer.facts.audit import Evidence, LayerVerdicts


@dataclass(frozen=True, slots=True)
class Choice:
    """Which dead units may go.

    evidence: `structural` takes only what the weights alone decide, `observed` also what was seen. only / skip:
    shell patterns on value, node or operator names; other layers stay whole. min_samples: observed units of smaller
    probes stay. max_firing_bound: observed units whose 95 % bound on firing is larger stay. round_to: widths of
    layers stay multiples of it. units: per value the only observed units that may go (an edited plan). lossy: per
    value units that go although they are not dead, each with the constant that takes its place; not exact. residual:
    let units go that are dead on one side of a join only, by gathers where that saves parameters, or where it is
    measured to be no slower than without.
    merge_duplicates: units that compute the same are merged. merge_linear: dense layers around a ReLU that is always
    on are merged where that is smaller.
    """

    evidence: Evidence = Evidence.OBSERVED
    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    min_samples: int = 0
    max_firing_bound: float = 1.0
    round_to: int = 1
    units: dict[str, tuple[int, ...]] | None = None
    min_distance: float = 0.0
    lossy: dict[str, dict[int, float]] | None = None
    residual: Literal["off", "params", "latency"] = "off"
    merge_duplicates: bool = False
    merge_linear: bool = False

    def covers(self, layer: LayerVerdicts) -> bool:
        """Whether the layer may lose units at all."""
        names = (layer.value, layer.audited.node, layer.audited.op)
        if self.only and not _matches(names, self.only):
            return False
        return not _matches(names, self.skip)

    @property
    def exact(self) -> Choice:
        """The same choice without its lossy part."""
        return replace(self, lossy=None)

    def constants(self, layer: LayerVerdicts) -> dict[int, float]:
        """The units that are taken for constants, and what they are taken for."""
        values = dict(zip(layer.dead, layer.values, strict=True))
        return {unit: values[unit] for unit in self.allowed(layer)} | (self.lossy or {}).get(layer.value, {})

    def allowed(self, layer: LayerVerdicts) -> list[int]:
        """The dead units that may be taken for constants."""
        if not self.covers(layer):
            return []
        structural, trusted = set(layer.structural), self.trusts(layer)
        wanted = None if self.units is None else set(self.units.get(layer.value, ()))
        return [
            unit
            for unit in layer.dead
            if unit in structural or (trusted and (wanted is None or unit in wanted) and self._far(layer, unit))
        ]

    def trusts(self, layer: LayerVerdicts) -> bool:
        """Whether what only the probe shows of the layer may be relied on."""
        bound = layer.firing_bound if layer.firing_bound is not None else 1.0
        return (
            self.evidence is Evidence.OBSERVED and layer.samples >= self.min_samples and bound <= self.max_firing_bound
        )

    def takes_for_identity(self, layer: LayerVerdicts, units: Iterable[int]) -> bool:
        """Whether a layer whose remaining units were always on in the data may be taken for one that always is."""
        return self.trusts(layer) and all(self._far(layer, unit) for unit in units)

    def _far(self, layer: LayerVerdicts, unit: int) -> bool:
        if self.min_distance <= 0:
            return True
        distance = layer.distances[unit] if layer.distances else None
        return distance is not None and distance >= self.min_distance


def _matches(names: Sequence[str], patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)
