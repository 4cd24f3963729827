"""A check as text, one file per format; names from files are escaped here, each format in its own way."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

from analyzer.facts.checked import CheckFacts
from analyzer.report.check import github, json, junit, markdown, sarif, terminal

FORMATS: MappingProxyType[str, Callable[[CheckFacts], str]] = MappingProxyType(
    {
        "terminal": terminal.to_text,
        "json": json.to_text,
        "markdown": markdown.to_text,
        "junit": junit.to_text,
        "sarif": sarif.to_text,
        "github": github.to_text,
    }
)
"""Format name to what makes the text of it; every text ends in a newline."""
