"""What came of checking a certificate, for a person at a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, RenderableType
from rich.text import Text

from analyzer.facts.proof import ARITHMETICS, VerifiedFacts
from analyzer.facts.thresholds import Thresholds
from analyzer.facts.wording import counted, number
from analyzer.report.console import QUIET, heading, indented, plain, put
from analyzer.report.phrases import printable

FAILED_SHOWN = 12


def to_text(facts: VerifiedFacts) -> str:
    """The report without colours, for a file."""
    return plain(lambda console: render(facts, console))


def render(facts: VerifiedFacts, console: Console, *, show_all: bool = False) -> None:
    """Print the report; `show_all` lists every claim that did not come out again."""
    put(console, *_sections(facts, show_all))


def _sections(facts: VerifiedFacts, show_all: bool) -> Iterator[RenderableType]:
    many = len(facts.failed)
    answer = (
        "The certificate holds" if facts.holds else f"The certificate does not hold: {counted(many, 'claim')} failed"
    )
    yield Text(answer, "bold green" if facts.holds else "bold red")
    again = f"{number(facts.negligible)} negligible again, " if facts.negligible else ""
    yield Text(f"{number(facts.proven)} proven again, {number(facts.refuted)} refuted again by their witnesses, {again}"
               f"{number(facts.open)} were open")  # fmt: skip
    domain = f"Domain: {printable(facts.domain.source)}; {ARITHMETICS[facts.arithmetic]}"
    yield Text(domain + ("; CONDITIONAL: the range of a probe" if facts.domain.conditional else ""), QUIET)
    if facts.ulps > Thresholds().ulps:
        yield Text(
            f"Smooth activations count as constant where they vary by {number(facts.ulps)} units in the last place",
            "yellow",
        )
    if facts.failed:
        yield heading("Failed")
        for failed in facts.failed[: None if show_all else FAILED_SHOWN]:
            yield indented(f"{printable(failed.value)}:{failed.unit} ({failed.outcome}): {printable(failed.why)}")
        if many > FAILED_SHOWN and not show_all:
            yield Text(f"  {counted(many - FAILED_SHOWN, 'more claim')} (--all)", QUIET)
