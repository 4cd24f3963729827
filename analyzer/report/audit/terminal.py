"""An audit for a person at a terminal: the answer first, then layers, what goes, what stays, what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from analyzer.facts.audit import AuditFacts, LayerVerdicts, Locked, ProbeSummary
from analyzer.facts.bound import CONFIDENCE
from analyzer.facts.evidence import Evidence
from analyzer.facts.experts import RoutedExperts
from analyzer.facts.findings import Finding
from analyzer.facts.health import Health, Verdict, health_of
from analyzer.facts.thresholds import Thresholds
from analyzer.facts.vocabulary import GatheredRows
from analyzer.facts.wording import counted, number, share, size, unit_ranges
from analyzer.report.audit.layer_table import layer_table
from analyzer.report.cause_phrases import why
from analyzer.report.console import (
    HEAD,
    QUIET,
    Column,
    fitting,
    heading,
    indented,
    layer_cells,
    plain,
    put,
    room_for_names,
    table_of,
)
from analyzer.report.phrases import (
    because,
    by_reason,
    computed_by,
    counted_early,
    cut_names,
    dims,
    domain_stated,
    largest,
    named,
    not_finite,
    preprocessed,
    printable,
    remarks,
    samples_fed,
    shortened,
    unchanged,
)

if TYPE_CHECKING:
    from analyzer.facts.model_report import AuditReport

LAYERS_SHOWN = 12
TENSORS_SHOWN = 5
REASONS_SHOWN = 3  # why something was not judged
WARNINGS_SHOWN = 3  # of one code
_STYLES = {
    Verdict.HEALTHY: "bold green",
    Verdict.WASTEFUL: "bold cyan",
    Verdict.SUSPICIOUS: "bold yellow",
    Verdict.BROKEN: "bold red",
}


@dataclass(frozen=True)
class _Counts:
    """Words of a section on what the data chooses: `others` is what it takes where the holdout chooses others."""

    title: str
    command: str
    others: str
    choice: str
    nothing: str


_VOCABULARY = _Counts(
    "Rows of embeddings",
    "deadunits prune --vocabulary",
    "--unseen-id: the holdout gathers other rows",
    "look-up",
    "no stored table is looked up by ids that the model is fed",
)
_EXPERTS = _Counts(
    "Experts",
    "deadunits prune --experts",
    "--unseen-expert next: the holdout is routed to others",
    "choice",
    "no node chooses among stored experts",
)


def to_text(report: AuditReport) -> str:
    """The report without colours, for a file."""
    return plain(lambda console: render(report.audit, console))


def render(facts: AuditFacts, console: Console, *, show_all: bool = False, arguments: str | None = None) -> None:
    """Print the report; `show_all` lists every layer and tensor, `arguments` go into the next command."""
    health = health_of(facts)
    view = _View(facts, health, console.width, (console.encoding or "").lower().startswith("utf"), show_all)
    put(console, *view.sections())
    command = health.next_step.command(arguments)
    put(
        console,
        Text(),
        indented(Text.assemble(("Next  ", HEAD), health.next_step.advice, ":" if command else ""), by=0),
    )
    if command:  # never folded, so that it can be copied
        console.print(Text(f"  {printable(command)}", "cyan"), soft_wrap=True)


@dataclass(frozen=True)
class _View:
    """One report being laid out: `width` in columns, `blocks` whether the terminal can show them."""

    facts: AuditFacts
    health: Health
    width: int
    blocks: bool
    show_all: bool

    def sections(self) -> Iterator[RenderableType]:
        """The parts of the report that have something to say, in order."""
        yield self._verdict()
        yield self._title()
        yield self._answer()
        yield from self._layers()
        yield from why(self.facts, show_all=self.show_all)
        yield from self._tensors()
        yield from self._locked()
        yield from self._counts(_VOCABULARY, self.facts.vocabulary)
        yield from self._counts(_EXPERTS, self.facts.experts)
        yield from self._barriers()
        yield from self._warnings()

    def _verdict(self) -> RenderableType:
        verdict = self.health.verdict
        return Group(Text.assemble((str(verdict), _STYLES[verdict]), f": {because(self.health)}"), Text())

    def _title(self) -> RenderableType:
        facts, model = self.facts, self.facts.model
        grid = _grid()
        grid.add_row(
            Text("model", QUIET),
            _joined(
                shortened(model.path, max(self.width - 10, 24)),
                model.producer,
                f"opset {model.opset}",
                counted(model.parameters, "parameter"),
                facts.judged.cost,
                size(model.bytes),
            ),
        )
        grid.add_row(Text("probe", QUIET), _data(facts.probe, self.width - 10, counted_early(facts)))
        self._add_skipped(grid, facts.probe)
        if facts.holdout is not None:
            grid.add_row(Text("holdout", QUIET), _data(facts.holdout, self.width - 10))
            self._add_skipped(grid, facts.holdout)
        if facts.proof is not None:
            conditional = ("  CONDITIONAL", "bold yellow") if facts.proof.domain.conditional else ""
            grid.add_row(Text("domain", QUIET), Text.assemble(domain_stated(facts.proof.domain), conditional))
        if facts.probe is not None:
            grid.add_row(Text("preset", QUIET), Text(_preset(facts.thresholds), QUIET))
        return grid

    def _add_skipped(self, grid: Table, probe: ProbeSummary | None) -> None:
        skipped = () if probe is None else [*probe.skipped.items()]
        for name, reason in skipped if self.show_all else skipped[:REASONS_SHOWN]:
            grid.add_row(Text("skipped", QUIET), Text(printable(f"{name}: {reason}"), "yellow"))
        if len(skipped) > REASONS_SHOWN and not self.show_all:
            grid.add_row(Text(), Text(f"{number(len(skipped) - REASONS_SHOWN)} more (--all)", QUIET))

    def _answer(self) -> RenderableType:
        facts, removable = self.facts, self.facts.removable
        constant = sum(len(layer.constant) for layer in facts.layers)
        lines: list[RenderableType] = [Text()]
        headline = Text()
        doubt = not_finite(facts)
        unsure = "bold yellow" if facts.judged.little else "bold green"
        style = "bold red" if facts.dead or doubt else unsure
        headline.append(f"{number(facts.dead)} of {counted(facts.units, 'unit')}", style)
        headline.append(f" {'is' if facts.dead == 1 else 'are'} dead ({share(facts.dead, facts.units)})", style)
        if refuted := facts.dead_by(Evidence.REFUTED):
            headline.append(f", {number(refuted)} of them on the probe only", style)
        headline.append(" in what was judged" if facts.judged.little and facts.probe else "", style)
        if constant:
            which = "all" if constant == facts.dead else number(constant)
            headline.append(f", {which} of them constant but not zero")
        if doubt:
            headline.append(f"; {doubt}", style)
        lines.append(headline)
        lines.append(Text(f"judged: {facts.judged.shares}", "bold yellow" if facts.judged.little else ""))
        lines.extend(indented(f"left out: {line}", QUIET) for line in self._left_out())
        if removable.parameters or removable.multiply_adds:
            can_go = Text()
            can_go.append(
                f"{counted(removable.parameters, 'parameter')} can go ({share(removable.parameters_share)})",
                "bold",
            )
            can_go.append(
                f", with {counted(removable.multiply_adds, 'multiply-add')} "
                f"({share(removable.multiply_adds_share)}) and {unchanged(facts)}"
            )
            lines.append(can_go)
        lines.extend(Text(line, QUIET) for line in _evidence(facts))
        lines.extend(Text(printable(remark), "yellow") for remark in remarks(facts.proof))
        if facts.holdout is not None and facts.dead and not any(layer.revived for layer in facts.layers):
            lines.append(Text(f"the holdout ({counted(facts.holdout.samples, 'sample')}) revives none of them", QUIET))
        return Group(*lines)

    def _left_out(self) -> Iterator[str]:
        """What was not judged, and why; without data that is all, and the line of the probe says it."""
        entries = () if self.facts.probe is None else self.facts.judged.left_out
        for entry in entries if self.show_all else entries[:REASONS_SHOWN]:
            yield printable(f"{entry.who} ({entry.cost}): {entry.reason}")
        if len(entries) > REASONS_SHOWN and not self.show_all:
            yield f"{counted(len(entries) - REASONS_SHOWN, 'other reason')} (--all)"

    def _layers(self) -> Iterator[RenderableType]:
        layers = self.facts.layers
        telling = [layer for layer in layers if _has_news(layer)]
        shown: Sequence[LayerVerdicts] = layers if self.show_all else largest(telling, LAYERS_SHOWN, _news)
        if not shown:
            return
        yield heading("Layers")
        yield from layer_table(self.facts.layers, shown, self.width, blocks=self.blocks)
        if len(shown) < len(layers):
            quiet = len(layers) - len(telling)
            parts = [f"{number(len(telling) - len(shown))} more"] if len(telling) > len(shown) else []
            parts += [f"{number(quiet)} without dead units"] if quiet else []
            yield indented(f"{' and '.join(parts)} not shown (--all shows every layer)", QUIET)

    def _tensors(self) -> Iterator[RenderableType]:
        tensors = self.facts.removable.largest_first
        if not tensors:
            return
        shown = tensors if self.show_all else tensors[:TENSORS_SHOWN]
        columns = fitting(
            [
                Column("shape", [Text(dims(tensor.shape), QUIET) for tensor in shown], 2, right=False),
                Column("can become", [dims(tensor.kept) for tensor in shown], 1, right=False),
                Column("goes", [number(tensor.removable) for tensor in shown]),
            ],
            self.width,
        )
        yield heading("What can go")
        names = layer_cells([(tensor.name, "") for tensor in shown], room_for_names(columns, self.width))
        yield table_of("parameter", names, columns)
        if len(shown) < len(tensors):
            yield indented(f"{counted(len(tensors) - len(shown), 'more tensor')} (--all)", QUIET)

    def _locked(self) -> Iterator[RenderableType]:
        reasons = by_reason(self.facts.locked)
        if not reasons:
            return
        yield heading("Dead, but stays")
        for position, (reason, entries) in enumerate(reasons):
            yield self._reason(reason, entries, unlocks_most=position == 0 and len(reasons) > 1)
            if self.show_all:
                for locked in entries:
                    yield indented(f"{locked.value}: {unit_ranges(locked.units)} ({locked.detail})", QUIET, by=4)

    def _reason(self, reason: str, entries: Sequence[Locked], *, unlocks_most: bool) -> RenderableType:
        units = sum(len(locked.units) for locked in entries)
        line = Text()
        line.append(f"{counted(units, 'unit')}  ", "bold")
        line.append(reason, "yellow")
        values = len({locked.value for locked in entries})
        line.append(f"  in {counted(values, 'layer')}", QUIET)
        largest = max(entries, key=lambda locked: len(locked.units))
        if largest.detail and not self.show_all:
            line.append(f"  {'e.g. ' if len(entries) > 1 else ''}{printable(largest.detail)}", QUIET)
        if unlocks_most:
            line.append("  — solving this would unlock most", QUIET)
        return indented(line)

    def _counts(
        self, words: _Counts, counts: Sequence[GatheredRows | RoutedExperts] | None
    ) -> Iterator[RenderableType]:
        if counts is None:
            return
        yield heading(words.title)
        for those in counts:
            yield indented(f"{printable(those.label)}: {those.sentence}")
            if those.tokens:
                yield indented(f"tokens of each: {', '.join(map(number, those.tokens))}", QUIET, by=4)
            if those.also:
                yield indented(those.also, QUIET, by=4)
            if those.stays:
                yield indented(f"its {those.words[0]}s stay: {printable(those.stays)}", QUIET, by=4)
            elif those.new_on_holdout:
                only = f"can go only with {words.others} ({counted(those.new_on_holdout, words.choice)})"
                yield indented(f"{number(those.removable)} numbers {only}", "yellow", by=4)
            else:
                yield indented(f"{number(those.removable)} numbers can go: {words.command}", QUIET, by=4)
        if not counts:
            yield indented(words.nothing, QUIET)

    def _barriers(self) -> Iterator[RenderableType]:
        operators = self.facts.operators_without_rule
        shown = [operator for operator in operators if self.show_all or not operator.free]
        if not shown:
            return
        yield heading("Operators without a rule")
        for operator in shown:
            yield indented(f"{operator.op} ({counted(operator.nodes, 'node')}, {operator.cost}): {operator.why}", QUIET)
        if len(shown) < len(operators):
            yield indented(f"{number(len(operators) - len(shown))} that cost nothing not shown (--all)", QUIET)

    def _warnings(self) -> Iterator[RenderableType]:
        warnings = self.facts.warnings
        if not warnings:
            return
        yield heading("Warnings")
        grid = _grid()
        names = cut_names(((warning.value, warning.module) for warning in warnings), self.width - 12)
        for code in dict.fromkeys(warning.code for warning in warnings):
            alike = [warning for warning in warnings if warning.code == code]
            many = len(alike) > WARNINGS_SHOWN and not self.show_all
            if many:
                count = f"{number(len(alike))} of these, the worst (--all):"
                grid.add_row(Text(f"  {code}", "bold yellow"), Text(count))
            for warning in largest(alike, WARNINGS_SHOWN, _badness) if many else alike:
                text = named(warning, names[warning.value, warning.module])
                label = Text("" if many else f"  {code}", "bold yellow")
                grid.add_row(label, indented(f"{'- ' if many else ''}{text}", by=0, hang=2 if many else 0))
        yield grid


def _evidence(facts: AuditFacts) -> Iterator[str]:
    """How sure the dead units are, in one line per kind of evidence."""
    structural, proven, observed, refuted = map(facts.dead_by, Evidence)
    bound = max((layer.firing_bound or 0.0 for layer in facts.layers), default=0.0)
    if structural:
        yield f"{counted(structural, 'unit')} dead by the weights alone, for every input that stays finite on the way"
    if proven:
        yield f"{counted(proven, 'unit')} proven dead for every input of the domain"
    if refuted:
        yield f"{counted(refuted, 'unit')} dead on the probe only: inputs of the domain move them"
    if observed and facts.probe is not None:
        seen = f"{counted(observed, 'unit')} {'open, ' if facts.proof else ''}dead on"
        yield (
            f"{seen} all {counted(facts.probe.samples, 'sample')}: with "
            f"{share(CONFIDENCE)} confidence, each is alive on less than {share(bound)} of inputs like these"
        )


def _badness(warning: Finding) -> tuple[float, int]:
    return warning.measured or 0.0, len(warning.units)


def _has_news(layer: LayerVerdicts) -> bool:
    return bool(layer.dead or layer.near_dead or layer.saturated or layer.revived or layer.nonfinite)


def _news(layer: LayerVerdicts) -> tuple[int, int]:
    return len(layer.dead), len(layer.near_dead)


def _preset(thresholds: Thresholds) -> str:
    """What near-dead and saturated mean in this report."""
    if thresholds.dormant is not None:
        near = f"mean magnitude ≤ {thresholds.dormant:g} of the layer's"
    elif thresholds.needs_positions:
        cuts = [] if thresholds.apoz is None else [f"{share(thresholds.apoz)}"]
        cuts += [] if thresholds.apoz_deviations is None else [f"the layer's mean + {thresholds.apoz_deviations:g} sd"]
        near = f"zero at more than {' or '.join(cuts)} of positions"
    else:
        near = f"fires on ≤ {share(thresholds.near_dead)} of samples"
    flat = f"flat on ≥ {share(thresholds.saturated)} of samples"
    return f"{thresholds.preset}: near-dead {near}, saturated {flat}"


def _data(probe: ProbeSummary | None, width: int, counted_on: str = "") -> Text:
    if probe is None:
        return Text("none: only the weights were looked at", "yellow")
    source = shortened(probe.source, max(width, 24))
    text = _joined(source, samples_fed(probe), counted_on, preprocessed(probe), computed_by(probe))
    if probe.random:
        text.append("  RANDOM DATA", "bold yellow")
    return text


def _joined(*parts: str) -> Text:
    return Text(" · ".join(printable(part) for part in parts if part))


def _grid() -> Table:
    return Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
