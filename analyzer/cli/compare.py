"""`deadunits compare`: which units died or revived between models, or between data sets."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

import analyzer
from analyzer.api.options import Data, Run
from analyzer.cli.exits import clean_exit
from analyzer.cli.flags import Debug, Quiet, command
from analyzer.cli.groups import Without
from analyzer.cli.over_domain import BudgetOption, DomainOption, end_as_asked, over_domain
from analyzer.cli.reports import CompareReports
from analyzer.errors import InputError
from analyzer.facts.thresholds import Thresholds

ModelsArgument = Annotated[
    list[str], typer.Argument(metavar="MODEL...", help="The ONNX files, in the order of the course; or just one.")
]
ProbesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--probe",
        metavar="DATA",
        help="What the models are run on. For a single model give it twice or more: the data sets to compare.",
        show_default=False,
        rich_help_panel="Data",
    ),
]
ProviderOption = Annotated[
    str | None,
    typer.Option(
        "--provider-b",
        metavar="NAME",
        help="Hold the one MODEL on --provider against itself on this one: which units die on the device.",
        show_default=False,
        rich_help_panel="Running",
    ),
]

StatisticsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--statistics",
        metavar="FILE",
        help="Statistics in place of data: one for each model, in their order; or two and more for a single model.",
        show_default=False,
        rich_help_panel="Data",
    ),
]


@command
def compare(
    models: ModelsArgument,
    data: Annotated[partial[Data], Without(["probe", "holdout", "statistics"])],
    thresholds: partial[Thresholds],
    run: partial[Run],
    reports: partial[CompareReports],
    probe: ProbesOption = None,
    statistics: StatisticsOption = None,
    provider_b: ProviderOption = None,
    domain: DomainOption = None,
    budget: BudgetOption = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Say which units died or revived from one MODEL to the next on one probe.

    Or between two probes of one MODEL, or between two providers on one probe.
    """
    with clean_exit(debug=debug, batch_size=run.keywords["batch_size"]):
        from analyzer.api.outputs import guarded_files
        from analyzer.cli.progress import ProgressLine

        if len(models) > 1 and len(probe or ()) > 1:
            raise InputError("Give several models and one --probe, or one model and several --probe, not both.")
        if probe and statistics:
            raise InputError("Give either --probe or --statistics, not both.")
        chosen = run()
        sources = [data(statistics=path) for path in statistics or ()] or [data(probe=path) for path in probe or ()]
        sources, reporting = sources or [data()], reports()
        reporting.check(guarded_files(*models, *(path for source in sources for path in source.sources), domain))
        with ProgressLine(quiet=quiet) as progress:
            compared = analyzer.compare(
                models,
                sources[0] if len(sources) == 1 else None,
                probes=sources if len(sources) > 1 else None,
                providers=None if provider_b is None else [chosen.provider, provider_b],
                run=chosen,
                thresholds=thresholds(),
                **over_domain(domain, budget),
                progress=progress,
            )
        reporting.write(compared, compared.show, quiet=quiet)
    end_as_asked(*(audited.proof for audited in compared.audits))
