"""`deadunits revive`: the same model with its dead units fresh, so that training can go on with them."""

from __future__ import annotations

from dataclasses import fields
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

import analyzer
from analyzer.api.options import Data, Run
from analyzer.cli.exits import clean_exit
from analyzer.cli.flags import Debug, ModelArgument, Quiet, command
from analyzer.cli.groups import Without
from analyzer.cli.over_domain import BudgetOption, DomainOption, end_as_asked, over_domain
from analyzer.cli.reports import ReviveReports
from analyzer.errors import InputError
from analyzer.facts.addresses import without_secrets
from analyzer.facts.choice import FOR_REVIVALS, Choice
from analyzer.facts.thresholds import Thresholds

if TYPE_CHECKING:
    from analyzer.api.reviving import Revived

_writing = partial(typer.Option, rich_help_panel="Writing", show_default=False)

OutputOption = Annotated[str | None, _writing("--output", "-o", metavar="OUT.onnx", help="The model with fresh units.")]
StateOption = Annotated[
    str | None,
    _writing("--state", metavar="FILE.npz", help="The stored tensors that changed, by name, to train on with."),
]
MasksOption = Annotated[
    str | None,
    _writing("--masks", metavar="FILE.npz", help="Which elements of these tensors are as they were, as boolean masks."),
]
WeightsSeedOption = Annotated[
    int,
    typer.Option("--weights-seed", metavar="N", help="What fresh weights are drawn from.", rich_help_panel="Choosing"),
]

NOT_FOR_REVIVALS = Without(field.name for field in fields(Choice) if field.name not in FOR_REVIVALS)


@command
def revive(
    model: ModelArgument,
    data: partial[Data],
    thresholds: partial[Thresholds],
    run: partial[Run],
    choice: Annotated[partial[Choice], NOT_FOR_REVIVALS],
    reports: partial[ReviveReports],
    domain: DomainOption = None,
    budget: BudgetOption = None,
    output: OutputOption = None,
    state: StateOption = None,
    masks: MasksOption = None,
    weights_seed: WeightsSeedOption = 0,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Give dead units of MODEL fresh weights, with the same outputs, so that they can learn when training goes on."""
    with clean_exit(debug=debug, batch_size=run.keywords["batch_size"]):
        from analyzer.api.outputs import guarded_files, written_together
        from analyzer.cli.progress import ProgressLine

        if output is None and state is None:
            raise InputError("Say where the revived weights go: -o OUT.onnx, --state FILE.npz, or both.")
        source, reporting = data(), reports()
        reporting.check(guarded_files(model, *source.sources, domain), output, state, masks)
        with ProgressLine(quiet=quiet) as progress:
            revived = analyzer.revive(
                model,
                source,
                seed=weights_seed,
                choice=choice(),
                run=run(),
                thresholds=thresholds(),
                **over_domain(domain, budget),
                progress=progress,
            )
        with written_together():
            written = _saved(revived, output, state, masks)
            reporting.save(revived)
        reporting.print(revived, partial(revived.show, written=written), quiet=quiet)
    end_as_asked(revived.audit.proof)


def _saved(revived: Revived, output: str | None, state: str | None, masks: str | None) -> str:
    """Add the files to what is written; says which."""
    from analyzer.api.outputs import as_named

    written = list[str]()
    if output is not None:
        written += map(as_named, revived.save(output))
    if state is not None:
        revived.save_state(state)
        written.append(without_secrets(state))
    if masks is not None:
        revived.save_masks(masks)
        written.append(without_secrets(masks))
    return ", ".join(written)
