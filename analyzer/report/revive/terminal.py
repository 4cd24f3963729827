"""A revival for a person at a terminal: how many units can learn again, where, and whether the outputs are the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.text import Text

from analyzer.facts.audit import AuditFacts
from analyzer.facts.evidence import Evidence
from analyzer.facts.model_report import ReviveReport
from analyzer.facts.revived import RevivedFacts
from analyzer.facts.wording import counted, number
from analyzer.report.console import (
    QUIET,
    Column,
    heading,
    indented,
    layer_cells,
    plain,
    put,
    room_for_names,
    table_of,
)
from analyzer.report.phrases import domain_stated, largest, printable, remarks

LAYERS_SHOWN = 12
_FRESH = {
    Evidence.STRUCTURAL: "dead by the weights alone",
    Evidence.PROVEN: "proven dead for every input of the domain",
    Evidence.OBSERVED: "open: dead on the probe, and neither proven nor refuted",
}


def to_text(report: ReviveReport) -> str:
    """The report without colours, for a file."""
    return plain(lambda console: render(report, console))


def render(report: ReviveReport, console: Console, *, written: str = "", show_all: bool = False) -> None:
    """Print the report; `written` says what became of the model, `show_all` lists every layer."""
    put(console, *_View(report.audit, report.revived, console.width, show_all).sections(), written=written)


@dataclass(frozen=True)
class _View:
    """One report being laid out, `width` in columns."""

    audit: AuditFacts
    revived: RevivedFacts
    width: int
    show_all: bool

    def sections(self) -> Iterator[RenderableType]:
        """The parts of the report that have something to say, in order."""
        yield self._answer()
        yield from self._layers()
        yield from self._compared()
        yield from self._left()
        for note in dict.fromkeys((*remarks(self.audit.proof), *self.revived.notes)):
            yield indented(printable(note), "yellow", by=0)

    def _answer(self) -> RenderableType:
        asleep = _many(self.revived.asleep)
        if not self.revived.changed:
            why = "the dead units stay, see below" if self.audit.dead else "no unit is dead"
            return Group(Text(f"Nothing to revive: {why}.", "bold"), *self._over_domain())
        dead = {layer.value: set(layer.dead) for layer in self.audit.layers}
        moving = sum(len(dead[value].intersection(units)) for value, units in self.revived.units.items())
        head = f"{number(moving)} of {counted(self.audit.dead, 'dead unit')} can learn again"
        lines = [Text(head, "bold green" if moving else "bold")]
        if others := _many(self.revived.units) - moving:
            lines.append(Text(f"{number(others)} more are fresh that no output reads, or that equal another", "yellow"))
        if asleep:
            lines.append(Text(f"{number(asleep)} with fresh weights do not move on this data yet", "yellow"))
        fresh = "Their incoming weights are fresh, their outgoing weights 0: the same outputs, up to rounding"
        lines.append(Text(f"{fresh} (seed {self.revived.seed})", QUIET))
        return Group(*lines, *self._over_domain())

    def _over_domain(self) -> Iterator[RenderableType]:
        """What shows over a domain that the units were dead, where one was stated."""
        proof = self.audit.proof
        if proof is None:
            return
        yield Text(f"Domain: {domain_stated(proof.domain)}", QUIET)
        if proof.domain.conditional:
            yield Text("CONDITIONAL: the domain is the range of the probe", "bold yellow")
        if self.revived.proven:
            yield Text("The same outputs, up to rounding, for every input of the domain", QUIET)
        fresh = {value: {*self.revived.units.get(value, ()), *self.revived.asleep.get(value, ())}
                 for value in {*self.revived.units, *self.revived.asleep}}  # fmt: skip
        for evidence, said in _FRESH.items():
            if many := sum(len(fresh.get(a.value, set()).intersection(a.dead_by(evidence))) for a in self.audit.layers):
                yield Text(f"{counted(many, 'fresh unit')} {said}", QUIET)
        if refuted := self.audit.dead_by(Evidence.REFUTED):
            yield Text(f"{counted(refuted, 'unit')} left, as inputs of the domain move them", "yellow")

    def _layers(self) -> Iterator[RenderableType]:
        layers = [a for a in self.audit.layers if a.value in self.revived.units or a.value in self.revived.asleep]
        if not layers:
            return
        units = self.revived.units
        shown = layers if self.show_all else largest(layers, LAYERS_SHOWN, lambda a: len(units.get(a.value, ())))
        asleep = [len(self.revived.asleep.get(layer.value, ())) for layer in shown]
        left = [len(self.revived.left.get(layer.value, ())) for layer in shown]
        fresh = [len(units.get(layer.value, ())) for layer in shown]
        evidence = () if self.audit.proof is None else (Evidence.PROVEN, Evidence.REFUTED)
        columns = [
            Column("units", [number(layer.units) for layer in shown]),
            Column("dead", [number(len(layer.dead)) for layer in shown]),
            *(Column(kind.value, [number(len(layer.dead_by(kind))) for layer in shown]) for kind in evidence),
            Column("fresh", [number(awake + still) for awake, still in zip(fresh, asleep, strict=True)]),
            Column("dead now", [number(stays + still) for stays, still in zip(left, asleep, strict=True)]),
        ]
        yield heading("Fresh units")
        names = [(layer.value, layer.audited.module) for layer in shown]
        yield table_of("layer", layer_cells(names, room_for_names(columns, self.width)), columns)
        if len(shown) < len(layers):
            yield Text(f"  {counted(len(layers) - len(shown), 'more layer')} (--all)", QUIET)

    def _compared(self) -> Iterator[RenderableType]:
        if self.revived.comparison is None:
            return
        yield heading("Outputs of both models")
        of_domain = ("domain", self.revived.domain)
        for name, comparison in (("probe", self.revived.comparison), ("holdout", self.revived.holdout), of_domain):
            if comparison is not None:
                much = f"differ by at most {comparison.max_relative_difference:.2g} of their scale"
                style = "" if comparison.within else "bold yellow"
                yield indented(f"{comparison.source if self.audit.probe is None else name}: "
                               f"{counted(comparison.samples, 'sample')} {much}", style)  # fmt: skip

    def _left(self) -> Iterator[RenderableType]:
        left = _many(self.revived.left)
        if not left:
            return
        yield heading("Dead as before")
        reasons: dict[str, int] = {}
        for locked in self.audit.locked:
            stay = set(locked.units) & set(self.revived.left.get(locked.value, ()))
            if stay:
                reasons[locked.reason] = reasons.get(locked.reason, 0) + len(stay)
        for reason, many in sorted(reasons.items(), key=lambda item: -item[1]):
            yield indented(f"{counted(many, 'unit')}  {reason}")
        if (rest := left - sum(reasons.values())) > 0:
            yield indented(f"{counted(rest, 'unit')}  not chosen, or dead with the whole layer")
        for refused in self.revived.refused:
            yield indented(f"{printable(refused.node)}: {refused.reason} ({printable(refused.detail)})", QUIET)


def _many(units: Mapping[str, tuple[int, ...]]) -> int:
    return sum(map(len, units.values()))
