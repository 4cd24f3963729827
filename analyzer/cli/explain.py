"""`deadunits explain`: the chain from one unit, or one parameter, to what it frees or to why it stays."""

from __future__ import annotations

import re
import sys
from typing import Annotated

import typer

from analyzer import api
from analyzer.cli.exits import writing_to_stdout
from analyzer.cli.groups import with_groups
from analyzer.cli.options import DataOptions, ImageFlags, JudgeOptions, ModelArgument, RunOptions, audit_of
from analyzer.cli.values import unit_of
from analyzer.errors import InputError
from analyzer.report.phrases import printable

UnitOption = Annotated[
    str | None,
    typer.Option("--unit", metavar="VALUE:INDEX", help="One unit of an activation.", show_default=False),
]
ParameterOption = Annotated[
    str | None, typer.Option("--parameter", metavar="NAME", help="One stored tensor.", show_default=False)
]


@with_groups
def explain(
    model: ModelArgument,
    data: DataOptions,
    images: ImageFlags,
    judging: JudgeOptions,
    running: RunOptions,
    unit: UnitOption = None,
    parameter: ParameterOption = None,
) -> None:
    """Say why a unit of MODEL is dead and what it frees, why a parameter can go or stays, or what a finding means.

    For a finding, MODEL is its code: `deadunits explain DU003`.
    """
    with running.clean_exit():
        if unit is None and parameter is None and re.fullmatch("DU[0-9]+", model, re.IGNORECASE):
            with writing_to_stdout():
                sys.stdout.write(api.explain_finding(model))
            return
        if (unit is None) == (parameter is None):
            raise InputError("Say what to explain: either --unit VALUE:INDEX or --parameter NAME.")
        wanted = None if unit is None else unit_of(unit)
        found = audit_of(model, data, images, judging, running)
        lines = found.explain_parameter(str(parameter)) if wanted is None else found.explain_unit(*wanted)
        with writing_to_stdout():
            sys.stdout.writelines(f"{printable(line)}\n" for line in lines)
