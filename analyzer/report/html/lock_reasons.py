"""The reasons why a dead unit stays, in a sentence each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

from analyzer.facts.audit import AuditFacts, Locked
from analyzer.report.phrases import by_reason, printable, units_per_value

REASONS = MappingProxyType(
    {
        "refuted": "An input of the domain is known that moves it: it is dead on the data only.",
        "graph-output": "The unit is part of an output of the model; removing it would change the output's shape.",
        "interface": "It is cut together with a part of an input or output of the model, whose shape would change.",
        "residual-partner-alive": "A skip connection adds it to a unit that is alive, so the index is still needed.",
        "elementwise-partner-alive": "A gate, or another operator of several values, combines it with a unit that is "
        "alive, so the index is still needed.",
        "kept-as-carrier": "One constant channel is kept to stand in for all constant channels, as zero padding "
        "makes their effect different at the border.",
        "group-balance": "A grouped convolution needs equally many channels in every group.",
        "normalisation-statistics": "A normalisation takes its mean over this axis; without the unit it would change.",
        "unsupported-operator": "An operator that is not known reads it, so nothing is assumed about what it needs.",
        "shared-parameter": "Its weight is used in several places, and not all of them can do without.",
        "subgraph-capture": "A subgraph (a loop or a branch) reads it.",
        "shape-computed-at-runtime": "Shapes that are computed while the model runs depend on this axis.",
        "packed-in-blocks": "It shares the scale of a block of weights with units that are alive, and blocks go as a "
        "whole: cut the model before it is quantised, or use --residual.",
        "constant-not-zero": "It is a constant other than 0, and what reads it is quantised while the model runs: its "
        "range would be another one without.",
        "tied-to-kept-index": "It is cut together with another index that stays.",
    }
)


@dataclass(frozen=True, slots=True)
class ReasonGroup:
    """All dead units that stay for one reason; `layers` are positions and names, the layer with most units first."""

    code: str
    meaning: str
    units: int
    layers: tuple[tuple[int, str, int], ...]
    example: str


def reasons_of(facts: AuditFacts) -> list[ReasonGroup]:
    """The reasons, the one that locks most units first."""
    position = {layer.value: index for index, layer in enumerate(facts.layers)}
    reasons = by_reason([entry for entry in facts.locked if entry.value in position])
    groups = [_group(code, entries, position) for code, entries in reasons]
    return sorted(groups, key=lambda group: (-group.units, group.code))


def _group(code: str, entries: Sequence[Locked], position: dict[str, int]) -> ReasonGroup:
    per_layer = units_per_value(entries)
    layers = sorted(per_layer.items(), key=lambda item: (-item[1], position[item[0]]))
    largest = max(entries, key=lambda entry: len(entry.units))
    return ReasonGroup(
        code,
        REASONS.get(code, ""),
        sum(per_layer.values()),
        tuple((position[value], printable(value), units) for value, units in layers),
        printable(largest.detail),
    )
