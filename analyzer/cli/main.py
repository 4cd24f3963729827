"""The command line: which subcommands there are, and what happens around all of them."""

from __future__ import annotations

import importlib
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from analyzer import unfinished
from analyzer.cli.examples import EXAMPLES, STARTS, epilog
from analyzer.cli.exits import BUG, INTERRUPTED, WRONG_INPUT, clean_exit, writing_to_stdout
from analyzer.cli.streams import usable_streams
from analyzer.errors import InputError
from analyzer.version import __version__

COMMANDS = (*EXAMPLES,)  # each a function in the module of that name, in the order of the help


def _show_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"deadunits {__version__}\n")
        raise typer.Exit


def _global_options(
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Find the dead units of an exported ONNX model, and the parameters that can go with them."""


def app_of(commands: Iterable[str] = COMMANDS) -> typer.Typer:
    """The command line with these subcommands: Typer builds every flag of each, and each module loads others."""
    app = typer.Typer(
        name="deadunits",
        help="Find the dead units of an exported ONNX model, and the parameters that can go with them.",
        add_completion=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        epilog=epilog(STARTS),
    )
    app.callback()(_global_options)
    for name in commands:
        command = getattr(importlib.import_module(f"analyzer.cli.{name}"), name)
        app.command(epilog=epilog(EXAMPLES[name]))(command)
    return app


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


def _meant(arguments: Sequence[str]) -> str:
    """What was probably meant where a model or data stand without a command or a flag; else nothing."""
    words = list(arguments)
    if words and words[0] not in COMMANDS and words[0].lower().endswith(".onnx"):
        words.insert(0, "audit")
    plain = [i for i in range(1, len(words)) if not words[i].startswith("-") and not words[i - 1].startswith("-")]
    if len(plain) == 2 and words[0] != "compare" and "--probe" not in words and Path(words[plain[1]]).exists():
        words.insert(plain[1], "--probe")
    return "" if words == list(arguments) else shlex.join(["deadunits", *words])


def _code_of(arguments: Sequence[str]) -> int:
    named = [name for name in arguments[:1] if name in COMMANDS]
    try:
        code = app_of(named or COMMANDS)(list(arguments) or ["--help"], prog_name="deadunits", standalone_mode=False)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else BUG if end.code else 0
    except Exception as error:
        if not hasattr(error, "format_message"):  # which usage errors have, wherever Typer keeps their class
            raise
        command = getattr(error, "ctx", None)
        path = "deadunits" if command is None else command.command_path
        meant = _meant(arguments)
        hint = f"did you mean `{meant}`?" if meant else f"see `{path} --help`."
        raise InputError(f"{error.format_message().rstrip('.')}: {hint}") from error
    return WRONG_INPUT if not arguments else code if isinstance(code, int) else 0
