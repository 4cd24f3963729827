"""The formats of every command's report; what makes one is loaded when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any

from analyzer.errors import InputError
from analyzer.facts.wording import suggestion

TERMINAL = "terminal"
RENDERERS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "audit": {
            TERMINAL: "audit.terminal",
            "json": "audit.json",
            "html": "html.page",
            "svg": "audit.svg",
            "node-data": "audit.node_data",
            "table": "audit.table",
        },
        "prune": {TERMINAL: "prune.terminal", "json": "prune.json", "html": "html.page"},
        "check": {name: f"check.{name}" for name in (TERMINAL, "json", "markdown", "junit", "sarif", "github")}
        | {"html": "html.page"},
        "revive": {TERMINAL: "revive.terminal", "json": "revive.json"},
        "prove": {TERMINAL: "prove.terminal", "json": "prove.json"},
        "verify": {TERMINAL: "verify.terminal", "json": "verify.json"},
        "compare": {TERMINAL: "compare.terminal", "json": "compare.json", "html": "html.course", "svg": "compare.svg"},
    }
)
"""Command and format to the module whose `to_text` makes the text of what the command found; it ends in a newline."""


def formats_of(command: str) -> tuple[str, ...]:
    """The formats that a command's report has."""
    return tuple(RENDERERS[command])


def format_named(command: str, format: str) -> str:
    """The name of a format, once it is sure that the command's report has it.

    Raises:
        InputError: there is none.
    """
    if format not in RENDERERS[command]:
        raise InputError(f"There is no format {format!r}{suggestion(format, RENDERERS[command])}")
    return format


def renderer(command: str, format: str) -> Callable[[Any], str]:
    """What makes the text of a command's facts.

    Raises:
        InputError: there is no such format.
    """
    module = import_module(f"analyzer.report.{RENDERERS[command][format_named(command, format)]}")
    to_text: Callable[[Any], str] = module.to_text
    return to_text
