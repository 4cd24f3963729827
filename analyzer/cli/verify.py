"""`deadunits verify`: does a certificate of `prove` hold?"""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

import analyzer
from analyzer.api.options import Run
from analyzer.cli.exits import clean_exit
from analyzer.cli.flags import Debug, ModelArgument, Quiet, command
from analyzer.cli.groups import Without
from analyzer.cli.reports import VerifyReports

DOES_NOT_HOLD = 1

CertificateArgument = Annotated[
    str, typer.Argument(metavar="CERTIFICATE", help="The file of `deadunits prove --certificate`.")
]


@command
def verify(
    model: ModelArgument,
    certificate: CertificateArgument,
    run: Annotated[partial[Run], Without(["batch_size", "independent", "engine"])],
    reports: partial[VerifyReports],
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Check a CERTIFICATE about MODEL again: bounds are computed anew, witnesses run once more."""
    with clean_exit(debug=debug):
        from analyzer.api.outputs import guarded_files
        from analyzer.cli.progress import ProgressLine

        reporting = reports()
        reporting.check(guarded_files(model, certificate))
        with ProgressLine(quiet=quiet) as progress:
            verified = analyzer.verify(model, certificate, run=run(), progress=progress)
        reporting.write(verified, verified.show, quiet=quiet)
    if not verified.holds:
        raise typer.Exit(DOES_NOT_HOLD)
