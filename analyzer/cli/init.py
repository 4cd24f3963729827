"""`deadunits init`: a settings file and a baseline for `check`, from a first audit."""

from __future__ import annotations

import shlex
import sys
from functools import partial
from typing import Annotated

import typer

import analyzer
from analyzer.api.options import Data, Run
from analyzer.cli.exits import clean_exit, writing_to_stdout
from analyzer.cli.flags import Debug, ModelArgument, Quiet, arguments_again, command
from analyzer.cli.settings import OWN_FILE
from analyzer.facts.thresholds import Thresholds

_writing = partial(typer.Option, metavar="FILE", rich_help_panel="Writing")

OutputOption = Annotated[str, _writing("--output", "-o", help="The settings file.")]
BaselineOption = Annotated[str, _writing("--baseline", help="Where the audit goes, as the baseline.")]


@command
def init(
    model: ModelArgument,
    data: partial[Data],
    thresholds: partial[Thresholds],
    run: partial[Run],
    output: OutputOption = OWN_FILE,
    baseline: BaselineOption = "baseline.json",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Audit MODEL and write settings for `check` that it just keeps, with the audit as baseline."""
    with clean_exit(debug=debug, batch_size=run.keywords["batch_size"]):
        from analyzer.api.outputs import check_outputs, guarded_files
        from analyzer.api.starting import kept_in_settings, write_settings
        from analyzer.cli.progress import ProgressLine

        source = data()
        check_outputs([output, baseline], guarded_files(model, *source.sources))
        with ProgressLine(quiet=quiet) as progress:
            audited = analyzer.audit(model, source, run=run(), thresholds=thresholds(), causes=False, progress=progress)
        failing = write_settings(audited, output, baseline, source.probe, source.holdout)
        if not quiet:
            held = {name for name in ("probe", "holdout") if kept_in_settings(getattr(source, name))}
            again = arguments_again(model, data, thresholds, run, without=held)
            config = "" if output == OWN_FILE else f" --config {shlex.quote(output)}"
            with writing_to_stdout():
                sys.stdout.write(f"Written  {output}, {baseline}\n")
                if failing:
                    sys.stdout.write(f"The model fails the check as it is: {', '.join(failing)}\n")
                sys.stdout.write(f"\nNext  deadunits check {again}{config}\n")
