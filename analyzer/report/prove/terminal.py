"""A proof for a person at a terminal: how many claims of the probe hold, layer by layer, and what is open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.text import Text

from analyzer.facts.proof import ARITHMETICS, Claim, Method, Outcome, ProofFacts, UnitProof
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
from analyzer.report.prove.outcomes_in_words import HOW, WORDS, bound

LAYERS_SHOWN = 12
OPEN_SHOWN = 6
PROOFS = (Method.WEIGHTS, Method.INTERVALS, Method.LINEAR, Method.SLOPES, Method.SPLITTING)


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
        yield from self._negligible()
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
            (f"{number(counts[Outcome.NEGLIGIBLE])} negligible", "bold cyan"),
            (f"{number(counts[Outcome.OPEN])} open", "bold yellow"),
        ]
        if not counts[Outcome.NEGLIGIBLE]:
            del parts[2]
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
            Column("claim", [WORDS[claim] for _, claim in shown], right=False),
            Column("units", [number(by_row[row].total()) for row in shown]),
            *(Column(outcome.value, [number(by_row[row][outcome]) for row in shown]) for outcome in self._outcomes),
        ]
        names = [(value, self.facts.modules.get(value, "")) for value, _ in shown]
        yield heading("Layer by layer")
        yield table_of("layer", layer_cells(names, room_for_names(columns, self.width)), columns)
        if len(shown) < len(rows):
            yield Text(f"  {counted(len(rows) - len(shown), 'more row')} (--all)", QUIET)

    @property
    def _outcomes(self) -> list[Outcome]:
        """All but one that is rare and does not occur."""
        return [o for o in Outcome if o is not Outcome.NEGLIGIBLE or self.facts.counts()[o]]

    def _methods(self) -> Iterator[RenderableType]:
        settled = [unit for unit in self.facts.units if unit.method is not None]
        methods = Counter(unit.method for unit in settled if unit.outcome is not Outcome.NEGLIGIBLE)
        if not settled:
            return
        yield heading("How they were settled")
        for method in Method:
            if methods[method]:
                word = "proven" if method in PROOFS else "refuted"
                yield indented(f"{number(methods[method]):>6}  {word}: {HOW[method]}")
        changes = [u.change for u in self.facts.units if u.change is not None]
        if changes:
            how = f"without one of them no output changes by more than {max(changes):.2g}, rounding aside"
            yield indented(f"{number(len(changes)):>6}  negligible: {how}")
        if self.facts.witnesses:
            tried = f"of {counted(self.facts.tried, 'input')} that were tried, "
            yield indented(f"{tried}{number(self.facts.witnesses)} refute something (seed {self.facts.seed})", QUIET)

    def _negligible(self) -> Iterator[RenderableType]:
        title = "Negligible: they may move, and outputs change by no more than this without one of them"
        yield from self._listed(Outcome.NEGLIGIBLE, title, lambda units: f"{max(u.change or 0.0 for u in units):.2g}")

    def _open(self) -> Iterator[RenderableType]:
        """Open units by layer, with what bounds them."""
        yield from self._listed(Outcome.OPEN, "Open: neither proven nor refuted", bound)

    def _listed(self, outcome: Outcome, title: str, said: Callable[[list[UnitProof]], str]) -> Iterator[RenderableType]:
        groups: dict[tuple[str, Claim], list[UnitProof]] = {}
        for unit in self.facts.units:
            if unit.outcome is outcome:
                groups.setdefault((unit.value, unit.claim), []).append(unit)
        if not groups:
            return
        yield heading(title)
        shown = list(groups.items())[: None if self.show_all else OPEN_SHOWN]
        for (value, claim), units in shown:
            name = shortened(full_name(value, self.facts.modules.get(value, "")), max(self.width - 40, 24))
            numbers = unit_ranges(tuple(unit.unit for unit in units), 4 if not self.show_all else len(units))
            yield indented(f"{name}: {numbers} ({WORDS[claim]}; {said(units)})")
        if len(shown) < len(groups):
            yield Text(f"  {counted(len(groups) - len(shown), 'more layer')} (--all)", QUIET)

    def _meaning(self) -> RenderableType:
        return Text(
            f"\nProven: for every input of the domain, {ARITHMETICS[self.facts.arithmetic]}. Refuted: an input of the "
            "domain shows it, run by itself in single precision.",
            QUIET,
        )
