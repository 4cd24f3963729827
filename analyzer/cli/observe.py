"""`deadunits observe`: statistics alone, of all data or of a part of it, for audits without the data."""

from __future__ import annotations

import sys
from functools import partial
from typing import Annotated

import typer

import analyzer
from analyzer.api.options import Data, Run
from analyzer.cli.exits import clean_exit, writing_to_stdout
from analyzer.cli.flags import Debug, ModelArgument, Quiet, command
from analyzer.cli.groups import Without
from analyzer.errors import InputError
from analyzer.facts.addresses import without_secrets
from analyzer.facts.thresholds import Thresholds

SECONDS = 30.0

OutputOption = Annotated[
    str,
    typer.Option("--output", "-o", metavar="PART.stats", help="Where the statistics go.", rich_help_panel="Writing"),
]
ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Run part I of N of the data, such as 2/8; `deadunits merge` puts the parts together.",
        show_default=False,
        rich_help_panel="Data",
    ),
]
PlanOption = Annotated[
    str | None,
    typer.Option(
        "--plan",
        metavar="ALL.stats",
        help="Make a second pass over the same data for what an audit of these statistics asks: causes of dead units, "
        "and how far they are from firing; or, by a plan of `prune --to-compare`, compare the smaller model. "
        "`deadunits merge` puts its parts and the statistics together.",
        show_default=False,
        rich_help_panel="Data",
    ),
]
ResumeOption = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Go on where the same call was ended.",
        rich_help_panel="Running",
    ),
]
CheckpointOption = Annotated[
    float,
    typer.Option(
        "--checkpoint",
        metavar="SECONDS",
        help="Seconds after which what was done so far is written to PART.stats.partial again, for --resume.",
        rich_help_panel="Running",
    ),
]


@command
def observe(
    model: ModelArgument,
    data: Annotated[partial[Data], Without(["holdout", "statistics"])],
    thresholds: Annotated[partial[Thresholds], Without(["near_dead"])],
    run: partial[Run],
    output: OutputOption,
    shard: ShardOption = None,
    plan: PlanOption = None,
    resume: ResumeOption = False,
    checkpoint: CheckpointOption = SECONDS,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Run MODEL on data and keep the statistics of its units; audit, check, prune and compare take them as data."""
    with clean_exit(debug=debug, batch_size=run.keywords["batch_size"]):
        from analyzer.api.outputs import check_outputs, guarded_files, is_there, remove
        from analyzer.cli.progress import ProgressLine

        source, unfinished = data(), f"{output}.partial"
        _, partial_file = check_outputs([output, unfinished], guarded_files(model, plan, *source.sources))
        if not resume and is_there(partial_file):
            named = without_secrets(unfinished)
            raise InputError(f"{named} is what an ended call has done: go on with --resume, or remove it first.")
        with ProgressLine(quiet=quiet) as progress:
            statistics = analyzer.take_statistics(
                model,
                source,
                shard=shard,
                run=run(),
                thresholds=thresholds(),
                plan=plan,
                checkpoint=unfinished,
                every=checkpoint,
                progress=progress,
            )
        statistics.save(output)
        remove(partial_file)
        if not quiet:
            with writing_to_stdout():
                sys.stdout.writelines(f"{line}\n" for line in statistics.sentences(output, shard))
