"""Layers and findings as Python and notebooks show them: tuples whose `repr` is a table."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import ClassVar, TypeVar

from analyzer.facts.audit import LayerVerdicts
from analyzer.facts.findings import Finding
from analyzer.facts.wording import number, share
from analyzer.report.phrases import full_name, printable, shortened

Entry = TypeVar("Entry")
SHOWN = 40  # rows; of more, the first
NAME = 40  # characters


class Listing(tuple[Entry, ...]):
    """A tuple like any other, shown as a table: `heads`, and a row for each entry."""

    __slots__ = ()
    heads: ClassVar[tuple[str, ...]]
    numbers: ClassVar[frozenset[str]] = frozenset()  # heads whose columns end at the right

    @staticmethod
    def row(entry: Entry) -> tuple[str, ...]:
        """What stands under the heads."""
        raise NotImplementedError

    def __repr__(self) -> str:
        if not self:
            return "()"
        rows = [self.heads, *self._rows()]
        widths = [max(len(row[place]) for row in rows) for place in range(len(self.heads))]
        return "\n".join("  ".join(self._aligned(row, widths)).rstrip() for row in rows) + self._rest("\n")

    def _repr_html_(self) -> str:
        cells = [("th", self.heads), *(("td", row) for row in self._rows())]
        lines = ("".join(f"<{kind}>{escape(text)}</{kind}>" for text in row) for kind, row in cells)
        return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>{self._rest('')}"

    def _rows(self) -> Iterator[tuple[str, ...]]:
        return (tuple(printable(cell) for cell in self.row(entry)) for entry in self[:SHOWN])

    def _aligned(self, row: tuple[str, ...], widths: list[int]) -> Iterator[str]:
        for head, cell, width in zip(self.heads, row, widths, strict=True):
            yield cell.rjust(width) if head in self.numbers else cell.ljust(width)

    def _rest(self, start: str) -> str:
        return f"{start}… {number(len(self) - SHOWN)} more" if len(self) > SHOWN else ""


class Layers(Listing[LayerVerdicts]):
    """Verdicts of layers, in the order of the graph."""

    __slots__ = ()
    heads = ("layer", "op", "units", "dead", "near-dead", "saturated", "dead share")
    numbers = frozenset(heads[2:])

    @staticmethod
    def row(entry: LayerVerdicts) -> tuple[str, ...]:
        """Name, and counts of units by verdict."""
        counts = (entry.units, len(entry.dead), len(entry.near_dead), len(entry.saturated))
        name = shortened(full_name(entry.value, entry.audited.module), NAME)
        return name, entry.audited.op, *map(number, counts), share(len(entry.dead), entry.units)


class Findings(Listing[Finding]):
    """What was found, most severe first."""

    __slots__ = ()
    heads = ("severity", "code", "name", "where", "what")

    @staticmethod
    def row(entry: Finding) -> tuple[str, ...]:
        """Where it is, and what it says."""
        where = shortened(full_name(entry.value, entry.module), NAME) if entry.value else str(entry.about)
        return str(entry.severity), entry.code, entry.name, where, entry.message
