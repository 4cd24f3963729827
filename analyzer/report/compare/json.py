"""A comparison of audits as JSON, by the schema `deadunits.compare/1` (schema/compare.schema.json)."""

from __future__ import annotations

from msgspec import Struct

from analyzer.facts.audit import ModelSummary, ProbeSummary
from analyzer.facts.history import Change, Course, Descent, LayerCourse
from analyzer.facts.units import Units
from analyzer.report.audit.json import Judged
from analyzer.report.documents import Tool, shown_as, text_of


class RunSummary(Struct, frozen=True):
    """One audit of the course: a model on a probe. `units` and `dead` are counted over all layers.

    `independence_stated`: samples shared runs because they are said to be independent; nothing proves it.
    """

    label: str
    model: ModelSummary
    probe: ProbeSummary | None
    units: int
    dead: int
    judged: Judged
    independence_stated: bool = False


class Counts(Struct, frozen=True):
    """Units from one run to another, over the layers that both have."""

    died: int
    revived: int
    stayed: int


class Layer(Struct, frozen=True):
    """One layer over all runs, named as in the last run that has it; null stands for a run that lacks it.

    `module` is its name in the training code (empty: not known).
    `names` and `dead` have an entry per run; `change` is from the first run to the last.
    """

    value: str
    op: str
    units: int
    names: tuple[str | None, ...]
    dead: tuple[Units | None, ...]
    change: Change | None
    module: str


class Document(Struct, frozen=True, tag_field="schema", tag="deadunits.compare/1"):
    """The report that `deadunits compare --json` writes.

    `totals` are from the first run to the last, `steps` from each to the next. `descents` are models that were
    pruned or revived from another run's.
    """

    tool: Tool
    runs: tuple[RunSummary, ...]
    totals: Counts
    steps: tuple[Counts, ...]
    layers: tuple[Layer, ...]
    descents: tuple[Descent, ...]


def to_text(course: Course) -> str:
    """The report as a JSON document that ends in a newline."""
    steps = range(len(course.runs) - 1)
    document = Document(
        tool=Tool(),
        runs=tuple(shown_as(RunSummary, run) for run in course.runs),
        totals=Counts(*course.total()),
        steps=tuple(Counts(*course.total(step, step + 1)) for step in steps),
        layers=tuple(_layer(layer) for layer in course.layers),
        descents=course.descents,
    )
    return text_of(document)


def _layer(layer: LayerCourse) -> Layer:
    return Layer(layer.value, layer.op, layer.units, layer.names, layer.dead, layer.change(), layer.module)
