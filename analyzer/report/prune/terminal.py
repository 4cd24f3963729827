"""A prune for a person at a terminal: what was saved and what it is worth, then whether both models agree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.text import Text

from analyzer.facts.audit import AuditFacts
from analyzer.facts.model_report import PruneReport
from analyzer.facts.pruned import Comparison, PrunedFacts
from analyzer.facts.wording import INDEPENDENCE_STATED, counted, number, share, size, unit_ranges
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
from analyzer.report.phrases import cut_names, largest, samples_fed
from analyzer.report.prune.worth import holds_for, loss, relative, staying, top1, unaligned, verdict

LAYERS_SHOWN = 12
LOCKED_SHOWN = 5


def to_text(report: PruneReport) -> str:
    """The report without colours, for a file."""
    return plain(lambda console: render(report.audit, report.pruned, console))


def render(
    audit: AuditFacts, pruned: PrunedFacts, console: Console, *, written: str = "", show_all: bool = False
) -> None:
    """Print the report; `written` says what became of the model, `show_all` lists every layer."""
    view = _View(audit, pruned, console.width, show_all)
    put(console, *view.sections(), written=written)


@dataclass(frozen=True)
class _View:
    """One report being laid out, `width` in columns."""

    audit: AuditFacts
    pruned: PrunedFacts
    width: int
    show_all: bool

    def sections(self) -> Iterator[RenderableType]:
        """The parts of the report that have something to say, in order."""
        if said := loss(self.pruned):
            yield Text(said, "bold red")
        yield self._answer()
        yield from self._sizes()
        yield from self._compared()
        yield from self._removed()
        yield from self._refused()
        yield from self._locked()
        yield from self._notes()

    def _answer(self) -> RenderableType:
        pruned, probe = self.pruned, self.audit.probe
        lines = [Text(verdict(self.audit, pruned), "bold green" if pruned.changed else "bold")]
        if said := holds_for(self.audit, pruned):
            lines.append(Text(said, "bold yellow" if probe is not None and probe.random else QUIET))
        lines.append(Text(f"judged: {self.audit.judged.shares}", "yellow" if self.audit.judged.little else QUIET))
        if probe is not None and probe.skipped:
            lines.append(Text(f"the probe: {samples_fed(probe)}", "yellow"))
        if self.audit.conditions.stated:
            lines.append(Text(INDEPENDENCE_STATED, QUIET))
        lost = unaligned(self.audit, pruned)
        if lost is not None and pruned.latency is not None and pruned.latency.verdict != "faster":
            layers, multiple = lost
            lines.append(Text(
                f"{counted(layers, 'layer')} lost a width that is a multiple of {multiple}, which may be why: "
                f"try --round-to {multiple}", "yellow",
            ))  # fmt: skip
        return Group(*lines)

    def _sizes(self) -> Iterator[RenderableType]:
        before, after, latency = self.pruned.before, self.pruned.after, self.pruned.latency
        if not self.pruned.changed:
            return
        lines: list[tuple[str, str, str, Text]] = []
        for what, shown, a, b in (
            ("parameters", number, before.parameters, after.parameters),
            *([("multiply-adds", number, before.multiply_adds, after.multiply_adds)] if before.multiply_adds else []),
            ("file", size, before.bytes, after.bytes),
            ("peak activation", size, before.peak_activation, after.peak_activation),
        ):
            lines.append((what, shown(a), shown(b), Text(_change(a, b), QUIET)))
        if latency is not None:
            quartiles = f"{latency.ratio_low:.2f}-{latency.ratio_high:.2f}"
            spread = Text(f"{latency.ratio:.2f} of it, half of {latency.runs} runs in {quartiles}", QUIET)
            name = f"latency, batch {latency.batch}"
            lines.append((name, _seconds(latency.before), _seconds(latency.after), spread))
        names, first, last, changes = (tuple(cells) for cells in zip(*lines, strict=True))
        columns = [Column("before", first), Column("after", last), Column("", changes, right=False, wraps=True)]
        yield Text()
        yield table_of("", names, columns)

    def _compared(self) -> Iterator[RenderableType]:
        pruned = self.pruned
        if pruned.comparison is None:
            if pruned.changed:
                yield Text("Not compared: without data the model's inputs could not be drawn", "yellow")
            return
        yield heading("Outputs of both models")
        noisy = ("probe + noise", pruned.perturbed)
        of_domain = ("domain", pruned.domain)
        for name, comparison in (("probe", pruned.comparison), ("holdout", pruned.holdout), noisy, of_domain):
            if comparison is not None:
                label = "random data" if name == "probe" and self.audit.probe is None else name
                yield self._difference(label, comparison, judged=name != "probe + noise" and not pruned.lossy)
        yield from self._revived()

    def _difference(self, name: str, comparison: Comparison, *, judged: bool) -> RenderableType:
        line = Text(f"{name:<14}", QUIET)
        line.append(f"{counted(comparison.samples, 'sample')}: differ by at most {relative(comparison)} of their scale")
        line.append(f" ({comparison.max_abs_difference:.2g})", QUIET)
        agreeing = top1(comparison)
        line.append(f", {agreeing}" if agreeing else "")
        if not judged:
            line.append("; for information", QUIET)
        elif comparison.within:
            line.append(f"; within {comparison.tolerance:.0e}", "green")
        else:
            line.append(f"; more than the {comparison.tolerance:.0e} of rounding", "bold yellow")
        return indented(line, hang=14)

    def _revived(self) -> Iterator[RenderableType]:
        removed = self.pruned.removed_units
        alive = [
            (
                (layer.value, layer.audited.module),
                tuple(u for u in layer.revived or () if u in removed.get(layer.value, ())),
            )
            for layer in self.audit.layers
        ]
        alive = [(name, units) for name, units in alive if units]
        if not alive:
            if self.pruned.removed_units and self.audit.holdout is not None:
                yield Text("  The holdout revives no removed unit", QUIET)
            return
        many = sum(len(units) for _, units in alive)
        yield Text(f"  The holdout revives {counted(many, 'removed unit')}:", "bold yellow")
        shown = alive if self.show_all else alive[:LOCKED_SHOWN]
        names = cut_names((name for name, _ in shown), self.width - 8)
        for name, units in shown:
            yield indented(f"{names[name]}: {unit_ranges(units)}", by=4)

    def _removed(self) -> Iterator[RenderableType]:
        layers = [layer for layer in self.audit.layers if layer.value in self.pruned.removed_units]
        if not layers:
            return
        gone = {value: len(units) for value, units in self.pruned.removed_units.items()}
        shown = layers if self.show_all else largest(layers, LAYERS_SHOWN, lambda layer: gone[layer.value])
        columns = [
            Column("units", [number(layer.units) for layer in shown]),
            Column("removed", [number(gone[layer.value]) for layer in shown]),
            Column("left", [number(layer.units - gone[layer.value]) for layer in shown]),
        ]
        yield heading("Removed units")
        names = [(layer.value, layer.audited.module) for layer in shown]
        yield table_of("layer", layer_cells(names, room_for_names(columns, self.width)), columns)
        if len(shown) < len(layers):
            yield Text(f"  {counted(len(layers) - len(shown), 'more layer')} (--all)", QUIET)

    def _refused(self) -> Iterator[RenderableType]:
        if self.pruned.refused:
            yield heading("Left whole")
            for refused in self.pruned.refused:
                detail = f" ({refused.detail})" if refused.detail else ""
                yield indented(f"{refused.node}: {refused.reason}{detail}")

    def _locked(self) -> Iterator[RenderableType]:
        reasons = staying(self.audit, self.pruned)
        if reasons:
            yield heading("Dead, but stays")
            for reason, units in sorted(reasons.items(), key=lambda item: -sum(item[1])):
                yield indented(f"{counted(sum(units), 'unit')}  {reason}  in {counted(len(units), 'layer')}")

    def _notes(self) -> Iterator[RenderableType]:
        if self.pruned.notes:
            yield Text()
            for note in self.pruned.notes:
                yield indented(note, "yellow", by=0)


def _change(before: int, after: int) -> str:
    if not before or before == after:
        return "unchanged"
    return f"{'-' if after < before else '+'}{share(abs(before - after), before)}"


def _seconds(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} µs"
