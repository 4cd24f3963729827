"""`deadunits compare`: which units died or revived between models, or between data sets."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from analyzer import api
from analyzer.cli.audit import JsonOption
from analyzer.cli.console import ReportConsole
from analyzer.cli.exits import writing_to_stdout
from analyzer.cli.groups import with_groups
from analyzer.cli.options import ImageFlags, JudgeOptions, RunOptions
from analyzer.cli.outputs import STDOUT
from analyzer.cli.progress import ProgressLine
from analyzer.errors import InputError
from analyzer.report.compare import render, to_text
from analyzer.report.output_files import check_output

ModelsArgument = Annotated[
    list[str], typer.Argument(metavar="MODEL...", help="The ONNX files, in the order of the course; or just one.")
]
ProbeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--probe",
        metavar="DATA",
        help="What the models are run on. For a single model give it twice or more: the data sets to compare.",
        show_default=False,
    ),
]
LimitOption = Annotated[
    int | None,
    typer.Option("--limit", min=1, metavar="N", help="Use at most N samples of each.", show_default=False),
]
ConstantOption = Annotated[
    list[str] | None,
    typer.Option(
        "--constant",
        metavar="NAME",
        help="Feed this input unchanged with every sample (repeatable).",
        show_default=False,
    ),
]
AllOption = Annotated[bool, typer.Option("--all", help="Show every layer, unit and run.")]


@with_groups
def compare(
    models: ModelsArgument,
    images: ImageFlags,
    judging: JudgeOptions,
    running: RunOptions,
    probe: ProbeOption = None,
    limit: LimitOption = None,
    constant: ConstantOption = None,
    json: JsonOption = None,
    show_all: AllOption = False,
) -> None:
    """Say which units died or revived from one MODEL to the next on one probe, or between two probes of one MODEL."""
    with running.clean_exit():
        probes = probe or []
        if len(models) > 1 and len(probes) > 1:
            raise InputError("Give several models and one --probe, or one model and several --probe, not both.")
        if json is not None and json != STDOUT:
            check_output(json, api.guarded_files(*models, *probes))
        with ProgressLine(quiet=running.quiet) as progress:
            found = api.compare(
                models,
                None if len(probes) != 1 else probes[0],
                probes=probes if len(probes) > 1 else None,
                limit=limit,
                batch_size=running.batch_size,
                constants=constant or (),
                images=images.chosen(),
                thresholds=judging.thresholds(),
                threads=running.threads,
                progress=progress,
            )
        if json is not None and json != STDOUT:
            found.to_json(json)
        with writing_to_stdout():
            if json == STDOUT:
                sys.stdout.write(to_text(found.facts))
            elif not running.quiet:
                render(found.facts, ReportConsole(), show_all=show_all)
