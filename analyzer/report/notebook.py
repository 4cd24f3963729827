"""An audit as a notebook shows it: a compact table with small plots in its cells, without scripts."""

from __future__ import annotations

from dataclasses import dataclass

from analyzer.facts.audit import AuditFacts, LayerVerdicts
from analyzer.facts.health import health_of
from analyzer.report.html.packed import BINS, activity, histogram
from analyzer.report.html.page import environment
from analyzer.report.phrases import largest

LAYERS_SHOWN = 24

#: Colours that differ visibly on a light and on a dark page.
_VERDICTS = (
    ("dead (zero)", "#c62f26"),
    ("dead (constant)", "#8d3f9e"),
    ("near-dead", "#e59a1c"),
    ("saturated", "#c9679b"),
    ("in use", "#8fb3d1"),
)


@dataclass(frozen=True, slots=True)
class _Row:
    """One layer: the parts of its bar as (name, colour, share), and the shares of its units per bin of activity."""

    layer: LayerVerdicts
    parts: tuple[tuple[str, str, float], ...]
    bins: tuple[tuple[str, float], ...]


def render_snippet(facts: AuditFacts) -> str:
    """An HTML fragment: the totals, and a line for each of the layers that tell most."""
    shown = largest(facts.layers, LAYERS_SHOWN, lambda layer: layer.dead_share)
    return (
        environment()
        .get_template("notebook.html.j2")
        .render(
            facts=facts,
            health=health_of(facts),
            rows=[_row(layer) for layer in shown],
            hidden=len(facts.layers) - len(shown),
            verdicts=_VERDICTS,
        )
    )


def _row(layer: LayerVerdicts) -> _Row:
    constant = len(layer.constant)
    counts = [len(layer.dead) - constant, constant, len(layer.near_dead), len(layer.saturated)]
    counts.append(layer.units - sum(counts))
    parts = tuple((name, colour, n / max(layer.units, 1)) for (name, colour), n in zip(_VERDICTS, counts, strict=True))
    shares = activity(layer)
    counted_bins = [] if shares is None else histogram(shares)
    bins = tuple((name, n / max(layer.units, 1)) for name, n in zip(BINS, counted_bins, strict=False))
    return _Row(layer, tuple(part for part in parts if part[2] > 0), bins)
