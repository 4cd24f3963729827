"""`deadunits check`: the gate. Exit code 0 within budget, 1 found too much, 2 wrong input."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

import analyzer
from analyzer.api.options import Data, Run
from analyzer.cli.exits import clean_exit
from analyzer.cli.flags import BUDGETS, Debug, ModelArgument, Quiet, command
from analyzer.cli.over_domain import BudgetOption, DomainOption, end_as_asked, over_domain
from analyzer.cli.reports import CheckReports
from analyzer.cli.settings import Settings, read_settings
from analyzer.errors import InputError
from analyzer.facts.budgets import Budgets
from analyzer.facts.thresholds import Thresholds

TOO_MUCH = 1
_option = partial(typer.Option, rich_help_panel=BUDGETS, show_default=False)

BaselineOption = Annotated[
    str | None,
    _option(
        "--baseline",
        metavar="FILE",
        help="An earlier `audit --json`: fail on units that were alive in it and are dead now.",
    ),
]
UpdateOption = Annotated[
    bool,
    _option(
        "--update-baseline",
        help="Hold nothing against the baseline: if all else passes, this audit takes its place.",
    ),
]
ConfigOption = Annotated[
    str | None,
    _option(
        "--config",
        metavar="FILE",
        help=r"Settings; else deadunits.toml or \[tool.deadunits] in pyproject.toml, searched upward from here.",
    ),
]
NoConfigOption = Annotated[bool, _option("--no-config", help="Read no settings file.")]


@command
def check(
    model: ModelArgument,
    data: partial[Data],
    thresholds: partial[Thresholds],
    run: partial[Run],
    budgets: partial[Budgets],
    reports: partial[CheckReports],
    baseline: BaselineOption = None,
    update_baseline: UpdateOption = False,
    domain: DomainOption = None,
    budget: BudgetOption = None,
    config: ConfigOption = None,
    no_config: NoConfigOption = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Say whether MODEL is fit to be deployed: exit code 0 within budget, 1 found too much, 2 wrong input."""
    with clean_exit(debug=debug, batch_size=run.keywords["batch_size"]):
        from analyzer.api.checking import check_replaceable
        from analyzer.api.outputs import guarded_files, written_together
        from analyzer.cli.progress import ProgressLine

        reporting, settings = reports(), _settings(config, no_config=no_config)
        source = _with_settings(data, settings)
        earlier = baseline or settings.sources.get("baseline")
        replaced, earlier = (earlier, None) if update_baseline else (None, earlier)
        if update_baseline:
            check_replaceable(replaced, source)
        domain = domain or settings.sources.get("domain")
        guarded = guarded_files(model, *source.sources, earlier, settings.path, domain)
        reporting.check(guarded, replaced)
        with ProgressLine(quiet=quiet) as progress:
            checked = analyzer.check(
                model,
                source,
                budgets=settings.budgets.overridden_by(budgets()),
                baseline=earlier,
                run=run(),
                thresholds=thresholds(),
                **over_domain(domain, budget),
                progress=progress,
            )
        with written_together():
            if replaced is not None and checked.passed:
                checked.save_baseline(replaced)
            reporting.save(checked)
        reporting.print(checked, checked.show, quiet=quiet)
    end_as_asked(checked.audit.proof)
    if not checked.passed:
        raise SystemExit(TOO_MUCH)


def _settings(config: str | None, *, no_config: bool) -> Settings:
    if no_config and config is not None:
        raise InputError("Give either --config or --no-config, not both.")
    return Settings(Budgets(), {}) if no_config else read_settings(config)


def _with_settings(data: partial[Data], settings: Settings) -> Data:
    """The data that the flags name, and else the settings file."""
    given = data.keywords
    elsewhere = "random" in given or "statistics" in given
    probe = given.get("probe") or (None if elsewhere else settings.sources.get("probe"))
    holdout = given.get("holdout") or (None if probe is None else settings.sources.get("holdout"))
    return data(probe=probe, holdout=holdout)
