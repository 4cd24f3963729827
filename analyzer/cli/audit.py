"""`deadunits audit`: find the dead units of a model and what can go with them."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

import analyzer
from analyzer.api.options import Data, Run
from analyzer.cli.exits import clean_exit
from analyzer.cli.flags import Debug, ModelArgument, Quiet, arguments_again, command
from analyzer.cli.over_domain import BudgetOption, DomainOption, end_as_asked, over_domain
from analyzer.cli.reports import AuditReports
from analyzer.facts.thresholds import Thresholds

CausesOption = Annotated[
    bool,
    typer.Option(
        "--causes/--no-causes",
        help="Ask why units are dead and how near they are to waking: a second pass over the data for suspects.",
    ),
]


VocabularyOption = Annotated[
    bool,
    typer.Option(
        "--vocabulary",
        help="Count which embedding rows the data uses, in an extra pass; prune --vocabulary removes the others.",
    ),
]


ExpertsOption = Annotated[
    bool,
    typer.Option(
        "--experts",
        help="Count which experts of mixtures tokens are routed to, in a further pass; prune --experts removes others.",
    ),
]


AnnotateOption = Annotated[
    str | None,
    typer.Option(
        "--annotate",
        metavar="OUT.onnx",
        help="Write a copy of the model whose nodes say what was found, as Netron shows it.",
        show_default=False,
        rich_help_panel="Reports",
    ),
]


@command
def audit(
    model: ModelArgument,
    data: partial[Data],
    thresholds: partial[Thresholds],
    run: partial[Run],
    reports: partial[AuditReports],
    causes: CausesOption = True,
    vocabulary: VocabularyOption = False,
    experts: ExpertsOption = False,
    domain: DomainOption = None,
    budget: BudgetOption = None,
    annotate: AnnotateOption = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Find the dead units of MODEL, how sure that is, and the parameters that can go with them."""
    with clean_exit(debug=debug, batch_size=run.keywords["batch_size"]):
        from analyzer.api.outputs import guarded_files, written_together
        from analyzer.cli.progress import ProgressLine

        source, reporting = data(), reports()
        reporting.check(guarded_files(model, *source.sources, domain), annotate)
        with ProgressLine(quiet=quiet) as progress:
            audited = analyzer.audit(
                model,
                source,
                run=run(),
                thresholds=thresholds(),
                causes=causes,
                vocabulary=vocabulary,
                experts=experts,
                **over_domain(domain, budget),
                progress=progress,
            )
        show = partial(audited.show, arguments=arguments_again(model, data, thresholds, run))
        with written_together():
            if annotate is not None:
                audited.annotate(annotate)
            reporting.save(audited)
        reporting.print(audited, show, quiet=quiet)
    end_as_asked(audited.proof)
