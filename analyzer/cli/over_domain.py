"""Options of the commands that hold what a probe shows against a domain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from analyzer.cli.exits import INTERRUPTED
from analyzer.cli.values import seconds_of
from analyzer.errors import InputError

if TYPE_CHECKING:
    from analyzer.api.proof_result import Proof

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
WitnessesOption = Annotated[
    str | None,
    typer.Option(
        "--witnesses",
        metavar="DIR",
        help="Write the inputs that refute claims there: witnesses.npz, which is a probe, and pictures.",
        show_default=False,
        rich_help_panel="Reports",
    ),
]


def over_domain(domain: str | None, budget: str | None) -> dict[str, Any]:
    """What the options say, as arguments of what takes a domain.

    Raises:
        InputError: there is a budget for nothing.
    """
    if budget is None:
        return {"domain": domain}
    if domain is None:
        raise InputError("--budget is the time to search a domain: give --domain, or leave it out.")
    return {"domain": domain, "budget": seconds_of(budget, "--budget")}


def saved_witnesses(proof: Proof, folder: str) -> str:
    """Add the files to what is written; says which."""
    from analyzer.api.outputs import as_named

    files = proof.save_witnesses(folder)
    more = f" and {len(files) - 1} pictures" if len(files) > 1 else ""
    return f"{as_named(files[0])}{more}" if files else ""


def end_as_asked(*proofs: Proof | None) -> None:
    """End with the code of an interruption where a search was interrupted: all else was done and written."""
    if any(proof is not None and proof.facts.ended_by == "interrupted" for proof in proofs):
        raise typer.Exit(INTERRUPTED)
