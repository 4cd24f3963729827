"""The page about the command line, made from the commands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from analyzer.cli.examples import EXAMPLES
from analyzer.cli.main import app_of

_OPTIONS = "Options"
_HEAD = """# Command line

`deadunits COMMAND [OPTIONS] ...`; `python -m analyzer` is the same. `deadunits COMMAND --help` prints what stands here.

Exit codes: 0 done (for `check`: within budget); 1 `check` found too much, or a certificate does not hold; 2 the input
or the call was wrong, in one message; 3 a bug of ours, or a pruned model that failed its comparison (nothing is written
then); 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP.

## Files and signals

Inputs are files or folders, which are read more than once: pipes, `<(…)`, sockets, devices and `-` are refused.

The files that a command writes appear together at its end: all of them whole, or none, and then what was there before
is still there. Where the names are pipes or devices, these get their content just before. What is printed comes last.

Ctrl-C, SIGTERM and SIGHUP end a command at once, also while libraries load or onnxruntime runs, with one sentence that
says which files were written; only while files get their names, for milliseconds, they wait. `finally` blocks of a
probe's own code do not run then; what it started with `multiprocessing` is ended. Signals that were ignored when the
command started, as `nohup` does with SIGHUP, stay ignored. While Python itself starts, before it comes to our code, a
signal ends it in Python's way. On Windows this holds for Ctrl-C and Ctrl-Break; whatever else ends a process there
gives it no chance, as SIGKILL does elsewhere.

What SIGKILL or a power failure may leave are hidden files beside the outputs: drafts, `.NAME.XXXXXXXX.part`, and
what was there before, `.NAME.XXXXXXXX.old` (NAME is cut to 40 characters). They are never read again and can be
deleted. No file has half its content. Of several files some may be new and some old, in the moment in which they get
their names, but a model is never beside the weights of another: while these are replaced, it is missing, and lies in
`.old`.
"""
_MADE = "<!-- Made from the commands by tests/docs/test_site.py; do not edit here. -->\n"


def reference() -> str:
    """The page in Markdown: one section per command, one list per group of options."""
    commands: dict[str, Any] = getattr(typer.main.get_command(app_of()), "commands", {})
    return "\n".join([_HEAD, *(line for name, command in commands.items() for line in _section(name, command)), _MADE])


def _section(name: str, command: Any) -> Iterator[str]:
    arguments = [p for p in command.params if not p.opts[0].startswith("-")]
    words = " ".join(_argument(p) for p in arguments)
    yield f"## {name}\n"
    yield f"```text\ndeadunits {name} [OPTIONS] {words}\n```\n"
    yield f"{_line(command.help)}\n"
    panels: dict[str, list[Any]] = {}
    for parameter in command.params:
        if parameter not in arguments and not parameter.hidden:
            panels.setdefault(parameter.rich_help_panel or _OPTIONS, []).append(parameter)
    yield from (f"- `{p.metavar or p.name.upper()}`: {_line(p.help)}" for p in arguments)
    yield ""
    yield from ("```text", *EXAMPLES[name], "```\n")
    for panel, options in panels.items():
        yield f"{panel}:\n"
        yield from (_item(option) for option in options)
        yield ""


def _argument(parameter: Any) -> str:
    word = parameter.metavar or parameter.name.upper()
    return word if parameter.required else f"[{word}]"


def _item(option: Any) -> str:
    names = ", ".join([*sorted(option.opts, key=len, reverse=True), *option.secondary_opts])  # --output before -o
    if option.is_flag:
        return f"- `{names}`: {_line(option.help)}"
    default = getattr(option.default, "value", option.default) if option.show_default else None
    shown = "" if default is None else f" Default: `{default}`."
    return f"- `{names} {option.metavar or option.name.upper()}`: {_line(option.help)}{shown}"


def _line(text: str | None) -> str:
    return " ".join((text or "").split())
