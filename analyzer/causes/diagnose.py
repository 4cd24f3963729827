"""Why units are dead: what to measure of the suspects, then a cause for each, roots of starved units, and remedies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from operator import itemgetter

import numpy as np

from analyzer.causes.channels import Channels, channels_of
from analyzer.causes.gate_sums import GatedLayer, gated_calls, gated_layer
from analyzer.causes.origins import Term, trace
from analyzer.causes.verdict_rules import Case, Ruling, cause_of, sources_of
from analyzer.facts.audit import LayerVerdicts
from analyzer.facts.causes import CauseCode, LayerDiagnosis, Root
from analyzer.facts.evidence import Evidence
from analyzer.facts.remedies import remedies
from analyzer.facts.spread import Spread, Watched, along
from analyzer.facts.units import Kind
from analyzer.units.decomposed import find_decomposed
from analyzer.units.pre_activation import Entry, entry_of
from analyzer.walk.settle import Walk

# What all layers together may take, so that causes take no longer than the observation did. The unit of work is a
# multiply-add; the numbers say how many take as long.
MOST_UNITS = 1 << 12  # that are asked for a cause, one of each layer at least
LEAST_UNITS, SHARE = 1 << 10, 1 / 4  # and at most this share of all units, where they are more
MOST_LAYERS = 1 << 8
PER_ENTRY = 16  # computing and observing one entry of an activation
PER_SHOWN = 64  # having an entry shown that would be computed within another operator
PER_MEASURED = 128  # measuring one entry
PER_READ = 64  # reading one weight of a unit that is asked, which an observation does for many samples at once
LEAST_SHOWN, LEAST_MEASURED = 1 << 20, 1 << 16  # entries of a sample that are not too many in any case
LEAST_READ = 1 << 22  # weights, likewise
_SEEN = tuple(kind for kind in Evidence if kind is not Evidence.STRUCTURAL)


@dataclass(frozen=True, eq=False)
class Suspect:
    """A layer with dead, near-dead or saturated units: what enters it, and what that is made of.

    `dead` and `saturated` are the units that are asked for a cause, `near_dead` those of which only the distance from
    firing is asked; where there are very many, the first ones.
    """

    layer: LayerVerdicts
    entry: Entry
    terms: tuple[Term, ...]
    dead: tuple[int, ...]
    saturated: tuple[int, ...]
    near_dead: tuple[int, ...]

    @cached_property
    def observed(self) -> frozenset[int]:
        """Dead units that the weights alone do not explain."""
        return frozenset(self.dead) & frozenset(self.layer.dead_by(*_SEEN))

    @property
    def weights_of_a_unit(self) -> int:
        """How many weights the sums of one unit have."""
        return sum(prod(t.kernel.weights.shape[1:]) for t in self.terms if t.kernel is not None)

    def first(self, most: int) -> Suspect:
        """The same with the first of its dead units alone."""
        if most >= len(self.dead):
            return self
        asked = self.dead[:most]
        terms = (t.only(np.isin(t.units, asked)) for t in self.terms)
        return replace(self, dead=asked, terms=tuple(t for t in terms if len(t.units)))

    @property
    def watched(self) -> Iterator[Watched]:
        """The pre-activation of its suspects; that of a linear value is the value itself, which was seen already."""
        audited = self.layer.audited
        if self.entry.value is not None and audited.kind is not Kind.LINEAR:
            units = sorted({*self.observed, *self.near_dead, *self.saturated})
            yield Watched(self.entry.value, audited.axis, audited.units, audited.rank, tuple(units))


@dataclass(frozen=True, eq=False)
class Inquiry:
    """The suspects of a walk. Measure `watched`, then ask for the `diagnoses`."""

    walk: Walk
    suspects: tuple[Suspect, ...]
    inputs: Mapping[tuple[str, int], Channels]
    gated: Mapping[str, GatedLayer]

    @property
    def watched(self) -> tuple[Watched, ...]:
        """What to measure: pre-activations, inputs that no audited unit makes, and values before quantisation."""
        found = [w for suspect in self.suspects for w in suspect.watched if w.width]
        if not found and not any(suspect.observed for suspect in self.suspects):
            return ()
        found += [one for channels in self.inputs.values() if (one := channels.watched) is not None]
        terms = [t for suspect in self.suspects for t in suspect.terms]
        terms += [t for channels in self.inputs.values() for t in channels.terms]
        for name, axis, _ in (before for term in terms for before in term.quantised):
            shape = self.walk.context.shapes[name]
            found.append(Watched(name, axis, shape[axis], len(shape)))
        wanted: dict[str, Watched] = {}
        for one in found:
            known = wanted.get(one.value)
            if known is None or known.axis == one.axis:
                wanted[one.value] = one if known is None else known.joined(one)
        return tuple(wanted.values())

    def diagnoses(self, spreads: Mapping[str, Spread]) -> tuple[LayerDiagnosis, ...]:
        """One diagnosis per suspect layer, in the order of the graph; without measurements the weights must do."""
        layers = {layer.value: layer for layer in self.walk.layers}
        rulings: dict[str, dict[int, Ruling]] = {}
        for suspect in self.suspects:
            layer = suspect.layer
            case = Case(self.walk.context, layer, suspect.entry, suspect.terms, self.inputs, layers, spreads)
            own = {unit: case.ruling(unit, float(layer.stays_at[unit])) for unit in suspect.dead}
            if (gated := self.gated.get(layer.value)) is not None:
                inside = {unit: gated.ruling(unit, float(layer.stays_at[unit]), spreads) for unit in suspect.dead}
                own |= {unit: ruling for unit, ruling in inside.items() if ruling is not None}
            rulings[layer.value] = own | {u: case.saturation(u) for u in suspect.saturated}
        roots = _roots(rulings)
        return tuple(_diagnosis(s, rulings[s.layer.value], roots, spreads) for s in self.suspects)


@np.errstate(all="ignore")  # as in the walk
def inquire(walk: Walk, flat_gradient: float = 1e-3, *, every: bool = False) -> Inquiry:
    """Find the suspects of a walk and trace what they are made of; `every`: whatever that takes."""
    context = walk.context
    layers = {layer.value: layer for layer in walk.layers}
    decomposed = {found.node.outputs[0]: found for found in find_decomposed(context.graph)}
    suspects, inputs = list[Suspect](), dict[tuple[str, int], Channels]()
    for layer, most in ((layer, layer.units) for layer in _ill(walk)) if every else _most_of_each(walk):
        entry = entry_of(context, layer.audited, decomposed, flat_gradient)
        dead, saturated = layer.dead[:most], layer.saturated[:most]
        ill = np.asarray(dead, np.int64)
        terms = tuple(t for t in trace(context, entry.start, layer.audited.axis, ill) if len(t.units))
        suspects.append(Suspect(layer, entry, terms, dead, saturated, layer.near_dead[:most]))
    if not every:
        suspects = _read_less(suspects, max(_work(walk) // PER_READ, LEAST_READ))
    for suspect in suspects:
        for term in suspect.terms:
            where = (term.kernel.data, term.kernel.axis) if term.kernel is not None else (term.source, term.axis)
            if not term.ends and where not in inputs and context.shapes.get(where[0]):
                inputs[where] = channels_of(context, walk.facts, layers, *where)
    calls = gated_calls(context)
    gated = (
        gated_layer(context, *calls[suspect.layer.audited.node], suspect.layer, suspect.dead, flat_gradient)
        for suspect in suspects
        if suspect.dead and suspect.layer.audited.node in calls
    )
    return Inquiry(walk, tuple(suspects), inputs, {layer.value: layer for layer in gated if layer is not None})


def _ill(walk: Walk) -> list[LayerVerdicts]:
    """Layers with suspects."""
    return [layer for layer in walk.layers if layer.dead or layer.near_dead or layer.saturated]


def _most_of_each(walk: Walk) -> list[tuple[LayerVerdicts, int]]:
    """The layers that are looked at, and how many dead, saturated and near-dead units of each: by counted work."""
    entries, work = _entries(walk), _work(walk)
    layers, shown = list[LayerVerdicts](), max(work // PER_SHOWN, LEAST_SHOWN)
    for layer in _ill(walk):
        if len(layers) == MOST_LAYERS:
            break
        if entries[layer.value] <= shown or not layers:
            layers.append(layer)
            shown -= entries[layer.value]
    places = [max(entries[layer.value] // layer.units, 1) for layer in layers]
    kinds = ([len(units) for units in (layer.dead, layer.saturated, layer.near_dead)] for layer in layers)
    suspects = [(number, positions) for numbers, positions in zip(kinds, places, strict=True) for number in numbers]
    units = min(max(LEAST_UNITS, int(SHARE * sum(layer.units for layer in walk.layers))), MOST_UNITS)
    most = _shared([number for number, _ in suspects], units)
    measured = _shared([n * positions for n, positions in suspects], max(work // PER_MEASURED, LEAST_MEASURED))
    return [(layer, max(min(most, measured // n), 1)) for layer, n in zip(layers, places, strict=True)]


def _read_less(suspects: Sequence[Suspect], limit: int) -> list[Suspect]:
    """The same with so few dead units that no more weights are read for them than the limit, one of each at least."""
    weights = [s.weights_of_a_unit for s in suspects]
    most = _shared([len(s.dead) * size for s, size in zip(suspects, weights, strict=True)], limit)
    return [s.first(max(most // size, 1)) if size else s for s, size in zip(suspects, weights, strict=True)]


def _entries(walk: Walk) -> dict[str, int]:
    """Entries of each layer, of one sample."""
    return {layer.value: prod(walk.context.shapes.get(layer.value, ())) for layer in walk.layers}


def _work(walk: Walk) -> int:
    """What the observation computes of one sample, in multiply-adds."""
    return sum(filter(None, walk.costs.multiply_adds.values())) + PER_ENTRY * sum(_entries(walk).values())


def _shared(numbers: Sequence[int], limit: int) -> int:
    """How much of each number may be taken, so that all together are at most the limit."""
    left = limit
    for place, number in enumerate(sorted(numbers)):
        others = len(numbers) - place
        if number * others > left:
            return left // others
        left -= number
    return limit


def _diagnosis(
    suspect: Suspect, rulings: Mapping[int, Ruling], roots: Mapping[Root, Root], spreads: Mapping[str, Spread]
) -> LayerDiagnosis:
    layer, entry = suspect.layer, suspect.entry
    distances = entry.distances(along(spreads, entry.value, layer.audited.axis), layer.units)
    causes = tuple(
        cause_of(unit, ruling, distances[unit], roots.get((layer.value, unit)))
        for unit, ruling in sorted(rulings.items())
    )
    found = LayerDiagnosis(layer.value, causes, tuple(distances))
    dead = [distances[unit] for unit in suspect.dead]
    return LayerDiagnosis(layer.value, causes, tuple(distances), remedies(found.counts(), dead, len(layer.dead)))


def _roots(rulings: Mapping[str, Mapping[int, Ruling]]) -> dict[Root, Root]:
    """For each starved unit the nearest dead unit upstream that is not starved itself; layers come in graph order."""
    nearest: dict[Root, tuple[int, Root]] = {}  # steps and root
    for value, own in rulings.items():
        for unit, sources in sources_of(own):
            reached = [
                (steps + 1, root) for source in sources if (known := nearest.get(source)) for steps, root in [known]
            ]
            if reached:
                nearest[value, unit] = min(reached, key=itemgetter(0))
        nearest |= {(value, u): (0, (value, u)) for u, ruling in own.items() if ruling.code is not CauseCode.STARVED}
    return {unit: root for unit, (steps, root) in nearest.items() if steps}
