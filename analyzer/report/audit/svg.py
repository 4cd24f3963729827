"""An audit as one picture: the headline, and how often the units of each layer are active, from first layer to last."""

from __future__ import annotations

from analyzer.facts.audit import AuditFacts, LayerVerdicts
from analyzer.facts.health import health_of
from analyzer.facts.model_report import AuditReport
from analyzer.facts.wording import counted, number, share
from analyzer.report.html.packed import BINS, activity, histogram
from analyzer.report.phrases import full_name, largest
from analyzer.report.svg.grid import Cell, Grid, to_svg

LAYERS_SHOWN = 160


def to_text(report: AuditReport) -> str:
    """The picture as SVG."""
    facts = report.audit
    health, probe = health_of(facts), facts.probe
    headline = f"{number(facts.dead)} of {counted(facts.units, 'unit')} {'is' if facts.dead == 1 else 'are'} dead"
    seen = "weights alone" if probe is None else counted(probe.samples, "sample")
    seen += " of RANDOM DATA" if probe is not None and probe.random else ""
    lines = [
        f"{facts.model.path.rpartition('/')[2]} · {seen} · judged {facts.judged.least_shown}",
        f"{share(facts.removable.parameters_share)} of {counted(facts.model.parameters, 'parameter')} can go",
    ]
    layers = largest(facts.layers, LAYERS_SHOWN, lambda layer: layer.dead_share)
    left_out = (
        f"; {counted(len(facts.layers) - len(layers), 'layer')} not shown" if len(layers) < len(facts.layers) else ""
    )
    caption = f"share of samples on which units are active, by layer from first to last{left_out}"
    return to_svg(
        f"{headline} ({share(facts.dead, facts.units)})",
        str(health.verdict),
        lines,
        _grid(facts, layers),
        caption,
        "#1f57c8",
    )


def _grid(facts: AuditFacts, layers: list[LayerVerdicts]) -> Grid:
    names = tuple(layer.audited.module or layer.value for layer in layers)
    columns = [_column(layer) for layer in layers]
    rows = ("dead", *BINS[::-1])
    cells = tuple(tuple(column[row] for column in columns) for row in range(len(rows)))
    return Grid(rows, names, cells, cell_height=14)


def _column(layer: LayerVerdicts) -> list[Cell]:
    """How many units are dead, then those of each bin of activity, most active first."""
    name, units = full_name(layer.value, layer.audited.module), max(layer.units, 1)
    shares = activity(layer)
    counts = [None] * len(BINS) if shares is None else histogram(shares)[::-1]
    cells = [Cell(layer.dead_share, f"{name}: {len(layer.dead)} of {counted(layer.units, 'unit')} dead")]
    for label, count in zip(BINS[::-1], counts, strict=True):
        shade = None if count is None else (count / units) ** 0.5
        cells.append(Cell(shade, f"{name}: {count} of {counted(layer.units, 'unit')} active on {label} of samples"))
    return cells
