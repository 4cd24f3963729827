"""`deadunits check`: the gate. Exit code 0 within budget, 1 found too much, 2 wrong input."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import Annotated, Any

import typer

from analyzer import api
from analyzer.cli.console import ReportConsole
from analyzer.cli.exits import writing_to_stdout
from analyzer.cli.groups import with_groups
from analyzer.cli.options import DataOptions, HoldoutOption, ImageFlags, JudgeOptions, ModelArgument, RunOptions
from analyzer.cli.outputs import check_outputs
from analyzer.cli.progress import ProgressLine
from analyzer.cli.settings import Settings, read_settings
from analyzer.cli.values import dims_of
from analyzer.errors import InputError
from analyzer.facts.budgets import Budgets, budgets_of
from analyzer.report.check import FORMATS
from analyzer.report.check.terminal import render

TOO_MUCH = 1
TERMINAL = "terminal"
_BUDGETS, _REPORTS = "Budgets: a count (5) or a share (5%); per layer also PATTERN=LIMIT, repeatable", "Reports"


def _option(*names: str, panel: str, **settings: Any) -> Any:
    return typer.Option(*names, rich_help_panel=panel, **{"show_default": False, **settings})


def _limit(flag: str, what: str) -> Any:
    return _option(flag, metavar="LIMIT", help=f"{what} in the whole model.", panel=_BUDGETS)


def _layer_limit(flag: str, what: str) -> Any:
    return _option(flag, metavar="[PATTERN=]LIMIT", help=f"{what}.", panel=_BUDGETS)


@dataclass(frozen=True)
class BudgetOptions:
    """What is allowed; every flag wins over the settings file."""

    max_dead: Annotated[str | None, _limit("--max-dead", "Dead units")] = None
    max_dead_layer: Annotated[list[str] | None, _layer_limit("--max-dead-layer", "Dead units of one layer")] = None
    max_constant: Annotated[str | None, _limit("--max-constant", "Units stuck at a constant other than 0")] = None
    max_constant_layer: Annotated[list[str] | None, _layer_limit("--max-constant-layer", "The same of one layer")] = (
        None
    )
    max_near_dead: Annotated[str | None, _limit("--max-near-dead", "Near-dead units")] = None
    max_near_dead_layer: Annotated[list[str] | None, _layer_limit("--max-near-dead-layer", "The same of one layer")] = (
        None
    )
    max_saturated: Annotated[str | None, _limit("--max-saturated", "Saturated units")] = None
    max_saturated_layer: Annotated[list[str] | None, _layer_limit("--max-saturated-layer", "The same of one layer")] = (
        None
    )
    max_prunable: Annotated[str | None, _limit("--max-prunable", "Parameters that could go")] = None
    max_prunable_layer: Annotated[
        list[str] | None, _layer_limit("--max-prunable-layer", "The same of one stored tensor")
    ] = None
    min_samples: Annotated[
        int | None, _option("--min-samples", min=1, metavar="N", help="Fail on a smaller probe.", panel=_BUDGETS)
    ] = None
    expect_dead: Annotated[
        list[str] | None,
        _option(
            "--expect-dead",
            metavar="VALUE:UNITS",
            help="Units that may be dead: /relu:0-3,7 or '/head/*:*' (repeatable).",
            panel=_BUDGETS,
        ),
    ] = None
    baseline: Annotated[
        str | None,
        _option(
            "--baseline",
            metavar="FILE",
            help="An earlier `audit --json`: fail on units that were alive in it and are dead now.",
            panel=_BUDGETS,
        ),
    ] = None
    ignore: Annotated[
        list[str] | None,
        _option("--ignore", metavar="CODE", help="Turn a finding off, such as DU003 (repeatable).", panel=_BUDGETS),
    ] = None
    severity: Annotated[
        list[str] | None,
        _option(
            "--severity",
            metavar="CODE=LEVEL",
            help="error (fails), warning, note or off (repeatable).",
            panel=_BUDGETS,
        ),
    ] = None
    config: Annotated[
        str | None,
        _option(
            "--config",
            metavar="FILE",
            help=r"Settings; else deadunits.toml or \[tool.deadunits] in pyproject.toml, searched upward from here.",
            panel=_BUDGETS,
        ),
    ] = None
    no_config: Annotated[bool, _option("--no-config", help="Read no settings file.", panel=_BUDGETS)] = False

    def file(self) -> Settings:
        """What the settings file says.

        Raises:
            InputError: it cannot be used.
        """
        if self.no_config and self.config is not None:
            raise InputError("Give either --config or --no-config, not both.")
        return Settings(Budgets(), {}) if self.no_config else read_settings(self.config)

    def budgets(self) -> Budgets:
        """What the flags say.

        Raises:
            InputError: a flag makes no sense.
        """
        given: dict[str, Any] = {}
        for name in ("max_dead", "max_constant", "max_near_dead", "max_saturated", "max_prunable"):
            given[name] = getattr(self, name)
            given[f"{name}_layer"] = _patterns(getattr(self, f"{name}_layer"))
        given["min_samples"] = self.min_samples
        given["expect_dead"] = self.expect_dead
        given["ignore"] = [code for entry in self.ignore or () for code in entry.split(",")]
        given["severity"] = dict(_pairs(self.severity or (), "--severity", "DU003=error"))
        named = {f"--{name.replace('_', '-')}": value for name, value in given.items() if value}
        return budgets_of({flag.removeprefix("--"): value for flag, value in named.items()}, "command line")


@dataclass(frozen=True)
class ReportOptions:
    """What is written where."""

    format: Annotated[
        str, _option("--format", metavar="|".join(FORMATS), help="What to print.", panel=_REPORTS, show_default=True)
    ] = TERMINAL
    output: Annotated[
        str | None, _option("--output", "-o", metavar="FILE", help="Write it there, not to the screen.", panel=_REPORTS)
    ] = None
    report: Annotated[
        list[str] | None,
        _option("--report", metavar="FORMAT=FILE", help="Write another one, such as junit=check.xml.", panel=_REPORTS),
    ] = None
    show_all: Annotated[bool, _option("--all", help="Show every finding of a code.", panel=_REPORTS)] = False

    def files(self) -> list[tuple[str, str]]:
        """Format and path of every file to write.

        Raises:
            InputError: there is no such format.
        """
        api.format_named(self.format)
        wanted = _pairs(self.report or (), "--report", "junit=check.xml")
        files = [(api.format_named(name), path) for name, path in wanted]
        return files if self.output is None else [*files, (self.format, self.output)]


@with_groups
def check(
    model: ModelArgument,
    data: DataOptions,
    images: ImageFlags,
    judging: JudgeOptions,
    running: RunOptions,
    allowing: BudgetOptions,
    reporting: ReportOptions,
    holdout: HoldoutOption = None,
) -> None:
    """Say whether MODEL is fit to be deployed: exit code 0 within budget, 1 found too much, 2 wrong input."""
    with running.clean_exit():
        files = reporting.files()
        settings = allowing.file()
        budgets = settings.budgets.overridden_by(allowing.budgets())
        probe = data.probe or (None if data.random else settings.sources.get("probe"))
        held = holdout or (None if probe is None else settings.sources.get("holdout"))
        baseline = allowing.baseline or settings.sources.get("baseline")
        check_outputs([path for _, path in files], api.guarded_files(model, probe, held, baseline))
        found = _check(model, replace(data, probe=probe), images, judging, running, budgets, held, baseline)
        for name, path in files:
            found.save(path, name)
        if reporting.output is None:
            _print(found, reporting, quiet=running.quiet)
    if not found.passed:
        raise SystemExit(TOO_MUCH)


def _check(
    model: str,
    data: DataOptions,
    images: ImageFlags,
    judging: JudgeOptions,
    running: RunOptions,
    budgets: Budgets,
    holdout: str | None,
    baseline: str | None,
) -> api.CheckResult:
    with ProgressLine(quiet=running.quiet) as progress:
        return api.check(
            model,
            data.probe,
            budgets=budgets,
            baseline=baseline,
            progress=progress,
            holdout=holdout,
            limit=data.limit,
            batch_size=running.batch_size,
            constants=data.constant or (),
            images=images.chosen(),
            thresholds=judging.thresholds(),
            random=data.random,
            dims=dims_of(data.dim or ()),
            threads=running.threads,
        )


def _print(found: api.CheckResult, reporting: ReportOptions, *, quiet: bool) -> None:
    with writing_to_stdout():
        if reporting.format != TERMINAL:
            sys.stdout.write(found.report(reporting.format))
        elif not quiet:
            render(found.facts, ReportConsole(), show_all=reporting.show_all)


def _patterns(entries: list[str] | None) -> dict[str, str]:
    """`50%` is for all layers, `/head/*=80%` for some; cut at the last equals sign."""
    return {pattern or "*": limit for pattern, _, limit in (entry.rpartition("=") for entry in entries or ())}


def _pairs(entries: list[str] | tuple[str, ...], flag: str, example: str) -> list[tuple[str, str]]:
    pairs = []
    for entry in entries:
        name, equals, value = entry.partition("=")
        if not (name and equals and value):
            raise InputError(f"{flag} {entry!r} makes no sense: write for example {example}.")
        pairs.append((name, value))
    return pairs
