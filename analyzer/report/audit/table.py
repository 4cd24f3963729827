"""Dead units of activations by layer, as papers on language models print them: a Markdown table that reads as text.

As Voita et al. 2023 ("Neurons in Large Language Models: Dead, N-gram, Positional") count them per feed-forward layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from analyzer.facts.audit import LayerVerdicts
from analyzer.facts.model_report import AuditReport
from analyzer.facts.units import Kind
from analyzer.facts.wording import share
from analyzer.report.check.markdown import code
from analyzer.report.phrases import samples_fed

HEADS = ("#", "layer", "operator", "units", "dead", "share", "near-dead", "share")
TEXTS = 3  # columns that begin at the left


def to_text(report: AuditReport) -> str:
    """The table of all activations, in the order of the graph, with a row for all of them and what they were run on."""
    audit = report.audit
    layers = [layer for layer in audit.layers if layer.audited.kind is not Kind.LINEAR]
    if not layers:
        return "No activation was audited: there is no feed-forward layer to list.\n"
    rows = [_row(str(place), code(_name(layer)), layer.audited.op, [layer]) for place, layer in enumerate(layers)]
    rows.append(_row("", "all", "", layers))
    seen = "No probe: what the weights alone decide."
    if audit.probe is not None:
        seen = f"Seen on {samples_fed(audit.probe)}{' of random data' if audit.probe.random else ''}."
    return "\n".join([*_lines([HEADS, *rows]), "", seen]) + "\n"


def _name(layer: LayerVerdicts) -> str:
    return layer.audited.module or layer.value


def _row(place: str, name: str, op: str, layers: Sequence[LayerVerdicts]) -> tuple[str, ...]:
    units, dead, near = (sum(counts) for counts in zip(*map(_counts, layers), strict=True))
    return place, name, op, f"{units:,}", f"{dead:,}", share(dead, units), f"{near:,}", share(near, units)


def _counts(layer: LayerVerdicts) -> tuple[int, int, int]:
    return layer.units, len(layer.dead), len(layer.near_dead)


def _lines(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for index, row in enumerate(rows):
        cells = (
            t.ljust(w) if place < TEXTS else t.rjust(w) for place, (t, w) in enumerate(zip(row, widths, strict=True))
        )
        yield f"| {' | '.join(cells)} |"
        if not index:
            rules = ("-" * w if place < TEXTS else "-" * (w - 1) + ":" for place, w in enumerate(widths))
            yield f"| {' | '.join(rules)} |"
