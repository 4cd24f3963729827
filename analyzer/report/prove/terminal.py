"""A proof for a person at a terminal: how many claims of the probe hold, layer by layer, and what is open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.text import Text

from analyzer.facts.proof import Claim, Method, Outcome, ProofFacts, UnitProof
from analyzer.facts.wording import counted, number, unit_ranges
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
from analyzer.report.phrases import domain_stated, full_name, largest, printable, remarks, shortened

LAYERS_SHOWN = 12
OPEN_SHOWN = 6
PROOFS = (Method.WEIGHTS, Method.INTERVALS, Method.SPLITTING)
_WORDS = {Claim.DEAD: "dead", Claim.ALWAYS_ON: "always on"}
_HOW = {
    Method.WEIGHTS: "the weights decide it, for every input that stays finite on the way",
    Method.INTERVALS: "bounds of all that can be computed",
    Method.SPLITTING: "the same over parts of the domain",
    Method.CORNERS: "a corner of the domain",
    Method.UNIFORM: "an input drawn from the domain",
    Method.MIXES: "a mix of two samples",
    Method.GRADIENT: "an input found along gradients",
}


def to_text(facts: ProofFacts) -> str:
    """The report without colours, for a file."""
    return plain(lambda console: render(facts, console))


def render(facts: ProofFacts, console: Console, *, written: str = "", show_all: bool = False) -> None:
    """Print the report; `written` says which files there are now, `show_all` lists every layer and open unit."""
    put(console, *_View(facts, console.width, show_all).sections(), written=written)


@dataclass(frozen=True)
class _View:
    """One report being laid out, `width` in columns."""

    facts: ProofFacts
    width: int
    show_all: bool

    def sections(self) -> Iterator[RenderableType]:
        """The parts of the report that have something to say, in order."""
        yield self._answer()
        yield from self._layers()
        yield from self._methods()
        yield from self._open()
        for note in remarks(self.facts):
            yield Text(f"\n{printable(note)}", "yellow")
        yield self._meaning()

    def _answer(self) -> RenderableType:
        lines = (
            [*map(self._claim, Claim)]
            if self.facts.units
            else [Text("Nothing to prove: no unit is dead or always on", "bold")]
        )
        where = f"{counted(self.facts.drawn, 'point')} of the domain" if self.facts.probe is None else (
            f"{counted(self.facts.probe.samples, 'sample')} of {printable(self.facts.probe.source)}"
        )  # fmt: skip
        lines.append(Text(f"Claims of {where}, held against every input of the domain", QUIET))
        lines.append(Text(f"Domain: {domain_stated(self.facts.domain)}", QUIET))
        if self.facts.domain.conditional:
            lines.append(
                Text(
                    "CONDITIONAL: the domain is the range of the probe, and nobody said that inputs lie in it",
                    "bold yellow",
                )
            )
        return Group(*[line for line in lines if line.plain])

    def _claim(self, claim: Claim) -> Text:
        counts = self.facts.counts(claim)
        if not counts:
            return Text()
        seen = "the probe" if self.facts.probe is not None else "points of the domain"
        how = "dead on" if claim is Claim.DEAD else "always on for"
        line = Text(f"Of {counted(counts.total(), 'unit')} {how} {seen}: ", "bold")
        parts = [
            (f"{number(counts[Outcome.PROVEN])} proven", "bold green"),
            (f"{number(counts[Outcome.REFUTED])} refuted", "bold red"),
            (f"{number(counts[Outcome.OPEN])} open", "bold yellow"),
        ]
        for place, (text, style) in enumerate(parts):
            line.append(", " if place else "", "bold").append(text, style)
        return line

    def _layers(self) -> Iterator[RenderableType]:
        rows = list(Counter((unit.value, unit.claim) for unit in self.facts.units))
        if not rows:
            return
        by_row = {row: Counter[Outcome]() for row in rows}
        for unit in self.facts.units:
            by_row[unit.value, unit.claim][unit.outcome] += 1
        shown = rows if self.show_all else largest(rows, LAYERS_SHOWN, lambda row: by_row[row].total())
        columns = [
            Column("claim", [_WORDS[claim] for _, claim in shown], right=False),
            Column("units", [number(by_row[row].total()) for row in shown]),
            *(Column(outcome.value, [number(by_row[row][outcome]) for row in shown]) for outcome in Outcome),
        ]
        names = [(value, self.facts.modules.get(value, "")) for value, _ in shown]
        yield heading("Layer by layer")
        yield table_of("layer", layer_cells(names, room_for_names(columns, self.width)), columns)
        if len(shown) < len(rows):
            yield Text(f"  {counted(len(rows) - len(shown), 'more row')} (--all)", QUIET)

    def _methods(self) -> Iterator[RenderableType]:
        methods = Counter(unit.method for unit in self.facts.units if unit.method is not None)
        if not methods:
            return
        yield heading("How they were settled")
        for method in Method:
            if methods[method]:
                word = "proven" if method in PROOFS else "refuted"
                yield indented(f"{number(methods[method]):>6}  {word}: {_HOW[method]}")
        if self.facts.witnesses:
            tried = f"of {counted(self.facts.tried, 'input')} that were tried, "
            yield indented(f"{tried}{number(self.facts.witnesses)} refute something (seed {self.facts.seed})", QUIET)

    def _open(self) -> Iterator[RenderableType]:
        """Open units by layer, with what bounds them."""
        groups: dict[tuple[str, Claim], list[UnitProof]] = {}
        for unit in self.facts.units:
            if unit.outcome is Outcome.OPEN:
                groups.setdefault((unit.value, unit.claim), []).append(unit)
        if not groups:
            return
        yield heading("Open: neither proven nor refuted")
        shown = list(groups.items())[: None if self.show_all else OPEN_SHOWN]
        for (value, claim), units in shown:
            name = shortened(full_name(value, self.facts.modules.get(value, "")), max(self.width - 40, 24))
            numbers = unit_ranges(tuple(unit.unit for unit in units), 4 if not self.show_all else len(units))
            yield indented(f"{name}: {numbers} ({_WORDS[claim]}; {_bound(units)})")
        if len(shown) < len(groups):
            yield Text(f"  {counted(len(groups) - len(shown), 'more layer')} (--all)", QUIET)

    def _meaning(self) -> RenderableType:
        return Text(
            f"\nProven: for every input of the domain, computed in {self.facts.arithmetic} in any order of summation, "
            "with plain convolutions, as long as nothing overflows. Refuted: an input of the domain shows it, run by "
            "itself.",
            QUIET,
        )


def _bound(units: list[UnitProof]) -> str:
    """The widest of what the units can be."""
    if any(unit.low is None or unit.high is None for unit in units):
        return "not bounded"
    low, high = min(unit.low or 0.0 for unit in units), max(unit.high or 0.0 for unit in units)
    return f"between {low:.3g} and {high:.3g}"
