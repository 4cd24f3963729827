"""An earlier audit to hold a new one against, and what became of its units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from analyzer.errors import InputError
from analyzer.facts.pairing import LayerKey

SCHEMA = "deadunits.audit/1"


@dataclass(frozen=True, slots=True)
class BaselineLayer:
    """One layer as it was: `dead` and `unknown` (NaN or infinity: no verdict) are unit indices."""

    key: LayerKey
    dead: frozenset[int]
    unknown: frozenset[int]
    samples: int

    def alive(self, unit: int) -> bool:
        """Whether the unit was seen to be alive."""
        return self.samples > 0 and 0 <= unit < self.key.units and unit not in self.dead | self.unknown


@dataclass(frozen=True, slots=True)
class Baseline:
    """An earlier audit: where it was read from, on what data it was made, its layers in the order of the graph."""

    source: str
    fingerprint: str
    samples: int
    layers: tuple[BaselineLayer, ...]

    @property
    def units(self) -> int:
        """Units of all layers."""
        return sum(layer.key.units for layer in self.layers)

    @property
    def dead(self) -> int:
        """Dead units of all layers."""
        return sum(len(layer.dead) for layer in self.layers)


@dataclass(frozen=True, slots=True)
class LayerChange:
    """What became of one layer's units; `was` is its name in the baseline, `module` that in the training code."""

    value: str
    was: str
    units: tuple[int, ...]
    module: str = ""


@dataclass(frozen=True, slots=True)
class BaselineComparison:
    """An audit held against a baseline.

    `newly_dead` were alive then, `revived` were dead then. `by_order` are layers matched by their place because
    the name changed. `only_now` and `only_then` have no partner; `resized` have one of another width.
    `same_probe`: both were made on the same data.
    """

    source: str
    same_probe: bool
    units_then: int
    dead_then: int
    newly_dead: tuple[LayerChange, ...] = ()
    revived: tuple[LayerChange, ...] = ()
    by_order: tuple[tuple[str, str], ...] = ()
    only_now: tuple[str, ...] = ()
    only_then: tuple[str, ...] = ()
    resized: tuple[str, ...] = ()
    matched: int = 0


def baseline_of(report: Any, source: str) -> Baseline:
    """The baseline that a JSON report (`audit --json`) holds.

    Raises:
        InputError: it is not such a report.
    """
    if not isinstance(report, Mapping) or report.get("schema") != SCHEMA:
        raise InputError(f"{source} is not an audit report ({SCHEMA}): make one with `deadunits audit … --json FILE`.")
    try:
        probe = report["probe"] or {}
        layers = tuple(_layer(entry) for entry in report["layers"])
        return Baseline(source, str(probe.get("fingerprint", "")), int(probe.get("samples", 0)), layers)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{source} is damaged ({type(error).__name__}: {error}): "
            "make it again with `deadunits audit … --json FILE`."
        ) from error


def _layer(entry: Mapping[str, Any]) -> BaselineLayer:
    return BaselineLayer(
        key=LayerKey(
            str(entry["value"]), str(entry.get("kind", "")), int(entry["units"]), str(entry.get("module", ""))
        ),
        dead=frozenset(int(unit) for unit in entry["dead"]),
        unknown=frozenset(int(unit) for unit in entry.get("nonfinite", ())),
        samples=int(entry["evidence"]["samples"]),
    )
