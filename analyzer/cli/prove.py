"""`deadunits prove`: does what a probe says of units hold for every input of a domain?"""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

import analyzer
from analyzer.api.options import Data, Run
from analyzer.cli.exits import clean_exit
from analyzer.cli.flags import Debug, ModelArgument, Quiet, command
from analyzer.cli.groups import Without
from analyzer.cli.over_domain import FORMS, PANEL, WitnessesOption, end_as_asked, saved_witnesses
from analyzer.cli.reports import ProveReports
from analyzer.cli.values import seconds_of
from analyzer.facts.addresses import without_secrets
from analyzer.facts.domain_words import ANY
from analyzer.facts.thresholds import Thresholds

ProbeOption = Annotated[
    str | None,
    typer.Option(
        "--probe",
        metavar="DATA",
        help="Data whose dead units are asked about, as for audit. Without it, points of the domain stand in.",
        show_default=False,
        rich_help_panel="Data",
    ),
]
DomainOption = Annotated[
    str,
    typer.Option(
        "--domain",
        metavar="DOMAIN",
        help=f"What inputs there are: {FORMS} (what holds whatever is fed; nothing is searched then).",
        rich_help_panel=PANEL,
    ),
]
BudgetOption = Annotated[
    str,
    typer.Option(
        "--budget",
        metavar="SECONDS",
        help="How long to look for proofs and for inputs that refute claims. Ctrl-C ends it and keeps what is settled.",
        rich_help_panel="Search",
    ),
]
SeedOption = Annotated[
    int, typer.Option("--search-seed", metavar="N", help="Which inputs are tried.", rich_help_panel="Search")
]
ArithmeticOption = Annotated[
    str,
    typer.Option(
        "--arithmetic",
        metavar="NAME",
        help="What proofs hold for: float32; tf32, where factors are rounded to 11 bits before they are multiplied; "
        "float16, where everything is computed in halves; or real, the formulas, which no runtime computes with.",
        rich_help_panel="Search",
    ),
]
CertificateOption = Annotated[
    str | None,
    typer.Option(
        "--certificate",
        metavar="FILE",
        help="Write what `deadunits verify` checks again: claims, bounds of the domain, witnesses.",
        show_default=False,
        rich_help_panel="Reports",
    ),
]
NOT_DRAWN = Without(["probe", "holdout", "random", "seed", "dims"])


@command
def prove(
    model: ModelArgument,
    data: Annotated[partial[Data], NOT_DRAWN],
    thresholds: partial[Thresholds],
    run: partial[Run],
    reports: partial[ProveReports],
    domain: DomainOption = ANY,
    probe: ProbeOption = None,
    budget: BudgetOption = "60",
    search_seed: SeedOption = 0,
    arithmetic: ArithmeticOption = "float32",
    witnesses: WitnessesOption = None,
    certificate: CertificateOption = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Ask whether units of MODEL that are dead or always on for a probe are so for every input of a domain."""
    with clean_exit(debug=debug, batch_size=run.keywords["batch_size"]):
        from analyzer.api.outputs import guarded_files, written_together
        from analyzer.cli.progress import ProgressLine

        source, reporting = data(probe=probe), reports()
        inputs = guarded_files(model, source.probe, domain)
        reporting.check(inputs, certificate)
        with ProgressLine(quiet=quiet) as progress:
            proof = analyzer.prove(
                model,
                source,
                domain=domain,
                budget=seconds_of(budget, "--budget"),
                seed=search_seed,
                arithmetic=arithmetic,
                run=run(),
                thresholds=thresholds(),
                progress=progress,
            )
        with written_together():
            written = "" if witnesses is None else saved_witnesses(proof, witnesses)
            if certificate is not None:
                proof.save_certificate(certificate)
                written = ", ".join(filter(None, [written, without_secrets(certificate)]))
            reporting.save(proof)
        reporting.print(proof, partial(proof.show, written=written), quiet=quiet)
    end_as_asked(proof)
