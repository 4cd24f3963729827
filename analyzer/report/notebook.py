"""Results as a notebook shows them: compact tables with small plots in their cells, without scripts."""

from __future__ import annotations

from dataclasses import dataclass

from analyzer.facts.audit import AuditFacts, LayerVerdicts
from analyzer.facts.checked import CheckFacts
from analyzer.facts.health import health_of
from analyzer.facts.history import Course
from analyzer.report.check.headline import counts, totals
from analyzer.report.compare.sentences import came_from, for_certain
from analyzer.report.html.document import environment
from analyzer.report.html.packed import BINS, activity, histogram
from analyzer.report.phrases import largest, over_domain

LAYERS_SHOWN = 24
FINDINGS_SHOWN = 16

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
            evidence=over_domain(facts),
            health=health_of(facts),
            rows=[_row(layer) for layer in shown],
            hidden=len(facts.layers) - len(shown),
            verdicts=_VERDICTS,
        )
    )


def render_check(facts: CheckFacts) -> str:
    """An HTML fragment: whether the check passed, and its gravest findings."""
    shown = facts.findings[:FINDINGS_SHOWN]
    return (
        environment()
        .get_template("notebook_check.html.j2")
        .render(
            facts=facts,
            counts=counts(facts),
            totals=totals(facts),
            shown=shown,
            hidden=len(facts.findings) - len(shown),
        )
    )


def render_course(course: Course) -> str:
    """An HTML fragment: the totals, and a line for each of the layers that changed most."""
    changes = [(layer, change) for layer in course.layers if (change := layer.change()) is not None and change.any]
    shown = largest(changes, LAYERS_SHOWN, lambda entry: len(entry[1].died) + len(entry[1].revived))
    return (
        environment()
        .get_template("notebook_course.html.j2")
        .render(
            course=course,
            total=course.total(),
            over_domain=for_certain(course) if course.over_domain else "",
            descents=[came_from(course, descent) for descent in course.descents],
            shown=shown,
            hidden=len(changes) - len(shown),
        )
    )


def _row(layer: LayerVerdicts) -> _Row:
    constant = len(layer.constant)
    units = [len(layer.dead) - constant, constant, len(layer.near_dead), len(layer.saturated)]
    units.append(layer.units - sum(units))
    parts = tuple((name, colour, n / max(layer.units, 1)) for (name, colour), n in zip(_VERDICTS, units, strict=True))
    shares = activity(layer)
    counted_bins = [] if shares is None else histogram(shares)
    bins = tuple((name, n / max(layer.units, 1)) for name, n in zip(BINS, counted_bins, strict=False))
    return _Row(layer, tuple(part for part in parts if part[2] > 0), bins)
