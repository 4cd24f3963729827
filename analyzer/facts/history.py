"""Several audits held against each other: which units died, revived or stayed dead from one run to the next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from analyzer.facts.audit import AuditFacts, LayerVerdicts, ModelSummary, ProbeSummary
from analyzer.facts.evidence import Evidence
from analyzer.facts.frozen import FrozenDict
from analyzer.facts.judged import Judged
from analyzer.facts.pairing import LayerKey, match_layers
from analyzer.facts.proof import ProofFacts
from analyzer.facts.units import Units


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One audit of the course: a model on a probe. `units` and `dead` are counted over all layers.

    `independence_stated`: samples shared runs because they are said to be independent; nothing proves it. `proof` is
    what became of what the probe shows over a domain (None: none was stated).
    """

    label: str
    model: ModelSummary
    probe: ProbeSummary | None
    units: int
    dead: int
    independence_stated: bool = False
    judged: Judged = field(default_factory=Judged)
    proof: ProofFacts | None = None

    @property
    def dead_share(self) -> float:
        """Dead units as a share of all."""
        return self.dead / self.units if self.units else 0.0


@dataclass(frozen=True, slots=True)
class Change:
    """Units of one layer from one run to another; each list holds unit indices in order."""

    died: Units
    revived: Units
    stayed: Units

    @property
    def any(self) -> bool:
        """Whether anything changed."""
        return bool(self.died or self.revived)


@dataclass(frozen=True, slots=True)
class LayerCourse:
    """One layer over all runs: its tensor name and its dead units in each, None in a run without it.

    `value`, `module` (its name in the training code) and `op` are those of the last run that has it. `evidence`, where
    a domain was stated: in each run its dead units by what shows that they are dead.
    """

    value: str
    module: str
    op: str
    units: int
    names: tuple[str | None, ...]
    dead: tuple[Units | None, ...]
    evidence: tuple[Mapping[Evidence, Units] | None, ...] = ()

    @property
    def dead_in_some(self) -> bool:
        """Whether it can be followed, being in two runs at least, and has a dead unit in one."""
        return len(self.names) - self.names.count(None) > 1 and any(self.dead)

    def change(self, before: int = 0, after: int = -1) -> Change | None:
        """What changed from one run to another; None where either lacks the layer."""
        old, new = self.dead[before], self.dead[after]
        if old is None or new is None:
            return None
        was, now = set(old), set(new)
        return Change(tuple(sorted(now - was)), tuple(sorted(was - now)), tuple(sorted(was & now)))

    def shown_by(self, units: Iterable[int], run: int) -> dict[Evidence, Units]:
        """Which of these units are dead in a run by what; nothing where no domain was stated."""
        wanted, found = set(units), (self.evidence[run] if self.evidence else None) or {}
        parts = {kind: tuple(unit for unit in found.get(kind, ()) if unit in wanted) for kind in Evidence}
        return {kind: part for kind, part in parts.items() if part}

    def for_every_input(self, before: int = 0, after: int = -1) -> Change | None:
        """What changed for certain over the domain from one run to another; None where either lacks the layer.

        A unit died where an input moves it in the one run, of the probe or of the domain, and none does in the other.
        It stayed where no input moves it in either.
        """
        if self.change(before, after) is None:
            return None
        (none_then, some_then), (none_now, some_now) = map(self._moved, (before, after))
        pairs = (some_then & none_now, none_then & some_now, none_then & none_now)
        return Change(*(tuple(sorted(units)) for units in pairs))

    def _moved(self, run: int) -> tuple[set[int], set[int]]:
        """The units that no input of the domain moves, and those that one does."""
        shown = self.shown_by(range(self.units), run)
        none = {*shown.get(Evidence.STRUCTURAL, ()), *shown.get(Evidence.PROVEN, ())}
        return none, {*range(self.units)} - {*(self.dead[run] or ())} | {*shown.get(Evidence.REFUTED, ())}

    def shares(self) -> tuple[float | None, ...]:
        """Share of dead units in each run."""
        return tuple(None if dead is None else len(dead) / self.units if self.units else 0.0 for dead in self.dead)


@dataclass(frozen=True, slots=True)
class Narrowed:
    """A layer that has fewer units than in the model it was cut from."""

    value: str
    module: str
    units_then: int
    units_now: int


@dataclass(frozen=True, slots=True)
class Descent:
    """A run's model says that it was made from the model of another run: both by their places, from 0.

    `narrowed` are layers that lost units; layers that went as a whole are not listed.
    """

    original: int
    made: int
    narrowed: tuple[Narrowed, ...]


@dataclass(frozen=True, slots=True)
class Course:
    """All runs, and every layer that any of them has, in the order of the last."""

    runs: tuple[RunSummary, ...]
    layers: tuple[LayerCourse, ...]
    descents: tuple[Descent, ...] = ()

    def total(self, before: int = 0, after: int = -1) -> tuple[int, int, int]:
        """Units that died, revived and stayed dead from one run to another, over the layers that both have."""
        changes = [change for layer in self.layers if (change := layer.change(before, after)) is not None]
        return (
            sum(len(change.died) for change in changes),
            sum(len(change.revived) for change in changes),
            sum(len(change.stayed) for change in changes),
        )

    @property
    def over_domain(self) -> bool:
        """Whether a domain was stated."""
        return any(run.proof is not None for run in self.runs)

    def shown_by(self, which: Callable[[Change], Units], run: int) -> Counter[Evidence]:
        """How many of the units that died, revived or stayed from first to last are dead in a run, by what."""
        counts = Counter[Evidence]()
        for layer in self.layers:
            if (change := layer.change()) is not None:
                counts.update({kind: len(units) for kind, units in layer.shown_by(which(change), run).items()})
        return counts

    def for_every_input(self) -> tuple[int, int]:
        """Units that died and that revived for certain over the domain, from first to last."""
        changes = [change for layer in self.layers if (change := layer.for_every_input()) is not None]
        return sum(len(change.died) for change in changes), sum(len(change.revived) for change in changes)

    @property
    def unmatched(self) -> tuple[LayerCourse, ...]:
        """Layers that some run lacks, but for those that became narrower in a model that was made of another."""
        cut = {(n.value, units) for d in self.descents for n in d.narrowed for units in (n.units_then, n.units_now)}
        return tuple(a for a in self.layers if None in a.names and (a.value, a.units) not in cut)


@dataclass(frozen=True, slots=True)
class _Link:
    """A layer so far: what it was in the last run that has it, and its verdicts in each run that has it."""

    key: LayerKey
    op: str
    found: tuple[tuple[int, LayerVerdicts], ...]


def course_of(audits: Sequence[AuditFacts], labels: Sequence[str]) -> Course:
    """Hold audits against each other, each against all before it.

    Layers match by name, and by order where names changed, as `match_layers` says; a layer of one name but
    another number of units is another layer.
    """
    links: list[_Link] = []
    for position, facts in enumerate(audits):
        here = [_Link(LayerKey.of(layer), layer.audited.op, ((position, layer),)) for layer in facts.layers]
        links = _joined(links, here)
    runs = [
        RunSummary(
            label, facts.model, facts.probe, facts.units, facts.dead, facts.conditions.stated, facts.judged, facts.proof
        )
        for facts, label in zip(audits, labels, strict=True)
    ]
    held = any(facts.proof is not None for facts in audits)
    return Course(tuple(runs), tuple(_layer(link, len(runs), held) for link in links), tuple(_descents(audits)))


def _descents(audits: Sequence[AuditFacts]) -> Iterator[Descent]:
    """Names of values stay when a model is cut, so that widths can be held against each other by them."""
    place_of = {facts.model.sha256: place for place, facts in enumerate(audits)}
    for made, facts in enumerate(audits):
        original = place_of.get(facts.model.made_from)
        if original is None or original == made:
            continue
        then = {layer.value: layer for layer in audits[original].layers}
        pairs = [(then[layer.value], layer) for layer in facts.layers if layer.value in then]
        yield Descent(
            original,
            made,
            tuple(
                Narrowed(before.value, before.audited.module, before.units, now.units)
                for before, now in pairs
                if now.units < before.units
            ),
        )


def _joined(before: Sequence[_Link], here: Sequence[_Link]) -> list[_Link]:
    """The layers of a run with what they were before; layers that only earlier runs have stand where they stood."""
    matches = match_layers([link.key for link in before], [link.key for link in here])
    partner = {m.now: m.then for m in matches if before[m.then].key.units == here[m.now].key.units}
    lost = [index for index in range(len(before)) if index not in partner.values()]
    joined: list[_Link] = []
    for index, link in enumerate(here):
        then = partner.get(index)
        while then is not None and lost and lost[0] < then:
            joined.append(before[lost.pop(0)])
        earlier = before[then].found if then is not None else ()
        joined.append(_Link(link.key, link.op, (*earlier, *link.found)))
    return joined + [before[index] for index in lost]


def _layer(link: _Link, runs: int, held: bool) -> LayerCourse:
    verdicts = dict(link.found)
    every = [verdicts.get(position) for position in range(runs)]
    names = tuple(None if layer is None else layer.value for layer in every)
    dead = tuple(None if layer is None else layer.dead for layer in every)
    evidence = tuple(None if layer is None else _by_evidence(layer) for layer in every) if held else ()
    return LayerCourse(link.key.value, link.key.module, link.op, link.key.units, names, dead, evidence)


def _by_evidence(layer: LayerVerdicts) -> FrozenDict[Evidence, Units]:
    return FrozenDict({kind: units for kind in Evidence if (units := layer.dead_by(kind))})
