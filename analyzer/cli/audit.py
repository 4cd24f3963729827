"""`deadunits audit`: find the dead units of a model and what can go with them."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from analyzer import api
from analyzer.cli.console import ReportConsole
from analyzer.cli.exits import writing_to_stdout
from analyzer.cli.groups import with_groups
from analyzer.cli.options import (
    DataOptions,
    HoldoutOption,
    ImageFlags,
    JudgeOptions,
    ModelArgument,
    RunOptions,
    arguments_again,
    audit_of,
)
from analyzer.cli.outputs import STDOUT, check_outputs
from analyzer.report.json import to_text
from analyzer.report.terminal import render

JsonOption = Annotated[
    str | None,
    typer.Option(
        "--json", metavar="FILE", help="Write the result as JSON (- for standard output).", show_default=False
    ),
]
HtmlOption = Annotated[
    str | None,
    typer.Option(
        "--html", metavar="FILE", help="Write the report as one HTML page that works offline.", show_default=False
    ),
]
CausesOption = Annotated[
    bool,
    typer.Option(
        "--causes/--no-causes",
        help="Ask why units are dead and how near they are to waking: a second pass over the data for suspects.",
    ),
]
AllOption = Annotated[bool, typer.Option("--all", help="Show every layer, tensor and reason.")]


@with_groups
def audit(
    model: ModelArgument,
    data: DataOptions,
    images: ImageFlags,
    judging: JudgeOptions,
    running: RunOptions,
    holdout: HoldoutOption = None,
    json: JsonOption = None,
    html: HtmlOption = None,
    causes: CausesOption = True,
    show_all: AllOption = False,
) -> None:
    """Find the dead units of MODEL, how sure that is, and the parameters that can go with them."""
    with running.clean_exit():
        check_outputs([None if json == STDOUT else json, html], api.guarded_files(model, data.probe, holdout))
        found = audit_of(model, data, images, judging, running, holdout, causes=causes)
        if json is not None and json != STDOUT:
            found.to_json(json)
        if html is not None:
            found.to_html(html)
        with writing_to_stdout():
            if json == STDOUT:
                sys.stdout.write(to_text(found.facts))
            elif not running.quiet:
                render(found.facts, ReportConsole(), show_all=show_all, arguments=arguments_again(model, data))
