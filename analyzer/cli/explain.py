"""`deadunits explain`: the chain from one unit, or one parameter, to what it frees or to why it stays."""

from __future__ import annotations

import re
from functools import partial
from typing import Annotated

import typer

import analyzer
from analyzer.api.options import Data, Run
from analyzer.cli.exits import clean_exit, writing_to_stdout
from analyzer.cli.flags import Debug, ModelArgument, Quiet, command
from analyzer.cli.groups import Without
from analyzer.cli.over_domain import (
    BudgetOption,
    DomainOption,
    WitnessesOption,
    end_as_asked,
    over_domain,
    saved_witnesses,
)
from analyzer.cli.values import unit_of
from analyzer.errors import InputError
from analyzer.facts.thresholds import Thresholds
from analyzer.facts.wording import INDEPENDENCE_STATED

UnitOption = Annotated[
    str | None,
    typer.Option(
        "--unit",
        metavar="VALUE:INDEX",
        help="One unit of an activation. The name of its module will do, too: classifier.2:0.",
        show_default=False,
    ),
]
ParameterOption = Annotated[
    str | None, typer.Option("--parameter", metavar="NAME", help="One stored tensor.", show_default=False)
]


@command
def explain(
    model: ModelArgument,
    data: Annotated[partial[Data], Without(["holdout"])],
    thresholds: partial[Thresholds],
    run: partial[Run],
    unit: UnitOption = None,
    parameter: ParameterOption = None,
    domain: DomainOption = None,
    budget: BudgetOption = None,
    witnesses: WitnessesOption = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Say why a unit of MODEL is dead and what it frees, why a parameter can go or stays, or what a finding means.

    For a finding, MODEL is its code: `deadunits explain DU003`.
    """
    with clean_exit(debug=debug, batch_size=run.keywords["batch_size"]):
        if unit is None and parameter is None and re.fullmatch("DU[0-9]+", model, re.IGNORECASE):
            from analyzer.api.explaining import show_finding

            with writing_to_stdout():
                show_finding(model)
            return
        if (unit is None) == (parameter is None):
            raise InputError("Say what to explain: either --unit VALUE:INDEX or --parameter NAME.")
        if witnesses is not None and domain is None:
            raise InputError("--witnesses are inputs of a domain that move units: give --domain, or leave it out.")
        wanted, held = None if unit is None else unit_of(unit), over_domain(domain, budget)
        from analyzer.api.outputs import written_together
        from analyzer.cli.progress import ProgressLine

        with ProgressLine(quiet=quiet) as progress:
            audited = analyzer.audit(model, data(), run=run(), thresholds=thresholds(), **held, progress=progress)
        stated = [f"{INDEPENDENCE_STATED}."] if audited.facts.conditions.stated else []
        lines = audited.explain_parameter(str(parameter)) if wanted is None else audited.explain_unit(*wanted)
        written = ""
        if witnesses is not None and audited.proof is not None:
            with written_together():
                written = saved_witnesses(audited.proof, witnesses)
        from analyzer.api.explaining import show_explanation

        with writing_to_stdout():
            show_explanation([*lines, *stated], written=written)
    end_as_asked(audited.proof)
