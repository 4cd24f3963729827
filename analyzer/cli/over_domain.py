"""Options of the commands that hold what a probe shows against a domain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from analyzer.cli.exits import INTERRUPTED
from analyzer.cli.values import seconds_of
from analyzer.errors import InputError

if TYPE_CHECKING:
    from analyzer.api.audit_result import Audit

PANEL = "Domain"
FORMS = (
    "a file (.vnnlib, .vnnlib.gz, .json, .yaml, .csv, .tsv, .npz), LOW:HIGH, pixels, tokens, model (what its file "
    "says), probe-range (what the probe shows: conditional), or any"
)

DomainOption = Annotated[
    str | None,
    typer.Option(
        "--domain",
        metavar="DOMAIN",
        help=f"Hold what the probe shows against all inputs that there are: {FORMS}. Dead units are then proven, "
        "refuted or open.",
        show_default=False,
        rich_help_panel=PANEL,
    ),
]
BudgetOption = Annotated[
    str | None,
    typer.Option(
        "--budget",
        metavar="SECONDS",
        help="With --domain: how long to search for inputs that refute a claim; else 60. Ctrl-C ends it earlier.",
        show_default=False,
        rich_help_panel=PANEL,
    ),
]


def over_domain(domain: str | None, budget: str | None) -> dict[str, Any]:
    """What the options say, as arguments of `audit`, `prune` and `check`.

    Raises:
        InputError: there is a budget for nothing.
    """
    if budget is None:
        return {"domain": domain}
    if domain is None:
        raise InputError("--budget is the time to search a domain: give --domain, or leave it out.")
    return {"domain": domain, "budget": seconds_of(budget, "--budget")}


def end_as_asked(audited: Audit) -> None:
    """End with the code of an interruption where the search was interrupted: all else was done and written."""
    if audited.proof is not None and audited.proof.facts.ended_by == "interrupted":
        raise typer.Exit(INTERRUPTED)
