"""`deadunits merge`: statistics of parts of one data set as those of all."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import analyzer
from analyzer.cli.exits import clean_exit, writing_to_stdout
from analyzer.cli.flags import Debug, Quiet

PartsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="PART.stats...", help="Files that observe or merge wrote, in any order.", rich_help_panel="Data"
    ),
]
OutputOption = Annotated[
    str,
    typer.Option("--output", "-o", metavar="ALL.stats", help="Where the statistics go.", rich_help_panel="Writing"),
]


def merge(parts: PartsArgument, output: OutputOption, quiet: Quiet = False, debug: Debug = False) -> None:
    """Put statistics of parts of one data set together; the result does not depend on their order, to the bit."""
    with clean_exit(debug=debug):
        from analyzer.api.outputs import check_outputs, guarded_files

        check_outputs([output], guarded_files(*parts))
        statistics = analyzer.merge_statistics(parts)
        statistics.save(output)
        if not quiet:
            with writing_to_stdout():
                sys.stdout.writelines(f"{line}\n" for line in statistics.sentences(output))
