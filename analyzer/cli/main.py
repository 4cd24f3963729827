"""The command line: which subcommands there are, and what happens around all of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from analyzer import unfinished
from analyzer.cli.audit import audit
from analyzer.cli.check import check
from analyzer.cli.compare import compare
from analyzer.cli.exits import BUG, INTERRUPTED, WRONG_INPUT, clean_exit, writing_to_stdout
from analyzer.cli.explain import explain
from analyzer.cli.prune import prune
from analyzer.cli.revive import revive
from analyzer.cli.streams import usable_streams
from analyzer.errors import InputError
from analyzer.version import __version__

app = typer.Typer(
    name="deadunits",
    help="Find the dead units of an exported ONNX model, and the parameters that can go with them.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (audit, explain, prune, revive, compare, check):
    app.command()(command)


def _show_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"deadunits {__version__}\n")
        raise typer.Exit


@app.callback()
def _global_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Find the dead units of an exported ONNX model, and the parameters that can go with them."""


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code and never raises."""
    unfinished.written.clear()
    try:
        with usable_streams(), clean_exit(debug="--debug" in arguments), writing_to_stdout():
            return _code_of(arguments)
    except SystemExit as end:
        return int(end.code or 0)
    except KeyboardInterrupt:  # a second one, while the first was being reported
        return INTERRUPTED


def _code_of(arguments: Sequence[str]) -> int:
    try:
        code = app(list(arguments) or ["--help"], prog_name="deadunits", standalone_mode=False)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else BUG if end.code else 0
    except Exception as error:
        if not hasattr(error, "format_message"):  # which usage errors have, wherever Typer keeps their class
            raise
        command = getattr(error, "ctx", None)
        path = "deadunits" if command is None else command.command_path
        raise InputError(f"{error.format_message().rstrip('.')}: see `{path} --help`.") from error
    return WRONG_INPUT if not arguments else code if isinstance(code, int) else 0
