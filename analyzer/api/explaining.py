"""Explanations on the screen: of units and parameters, and of findings."""

from __future__ import annotations

from collections.abc import Sequence

from analyzer.gate import kind_named
from analyzer.report.console import ReportConsole
from analyzer.report.explain import render, render_page


def show_explanation(lines: Sequence[str], *, written: str = "") -> None:
    """Print what `explain_unit` or `explain_parameter` of an audit says, and which files were `written`."""
    render(lines, ReportConsole(), written=written)


def show_finding(code: str) -> None:
    """Print what a finding means and what to do about it.

    Raises:
        InputError: there is no finding of this code.
    """
    render_page(kind_named(code).page(), ReportConsole())
