"""`deadunits prune`: write the smaller model, once it was run against the original."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

import analyzer
from analyzer.api.options import Data, Run
from analyzer.cli.exits import clean_exit, writing_to_stdout
from analyzer.cli.flags import Debug, ModelArgument, Quiet, command
from analyzer.cli.over_domain import BudgetOption, DomainOption, end_as_asked, over_domain
from analyzer.cli.reports import PruneReports
from analyzer.cli.values import units_of
from analyzer.errors import InputError
from analyzer.facts.addresses import beside, without_secrets
from analyzer.facts.choice import Choice
from analyzer.facts.thresholds import Thresholds

if TYPE_CHECKING:
    from analyzer.api.pruned_model import Pruned

_choosing = partial(typer.Option, rich_help_panel="Choosing", show_default=False)
_writing = partial(typer.Option, rich_help_panel="Writing", show_default=False)

PlanOption = Annotated[
    str | None, _choosing("--plan", metavar="FILE", help="An edited plan.json, as --masks writes it.")
]
LossyOption = Annotated[
    list[str] | None,
    _choosing(
        "--lossy",
        metavar="VALUE:UNIT,...",
        help="Also remove these units, though not dead: their mean takes their place (repeatable). Not exact.",
    ),
]
OutputOption = Annotated[str | None, _writing("--output", "-o", metavar="OUT.onnx", help="The smaller model.")]
ToCompareOption = Annotated[
    str | None,
    _writing(
        "--to-compare",
        metavar="CUT.stats",
        help="With --statistics alone: write no model, but a plan by which `deadunits observe --plan` compares it with "
        "the original, in parts of the data.",
    ),
]
MasksOption = Annotated[
    str | None,
    _writing(
        "--masks",
        metavar="FILE.npz",
        help="What stays of each stored tensor, as boolean masks; with plan.json beside it.",
    ),
]
IfNothingOption = Annotated[
    str,
    typer.Option(
        "--if-nothing",
        metavar="copy|skip",
        help="When nothing can be removed: write the model byte for byte, or not at all.",
        rich_help_panel="Writing",
    ),
]
NoLatencyOption = Annotated[
    bool,
    _writing(
        "--no-latency",
        help="Do not time the model before and after (--residual latency still times its two cuts).",
    ),
]
DryRunOption = Annotated[bool, _writing("--dry-run", help="Cut, compare and measure, but write no model.")]


@command
def prune(
    model: ModelArgument,
    data: partial[Data],
    thresholds: partial[Thresholds],
    run: partial[Run],
    choice: partial[Choice],
    reports: partial[PruneReports],
    domain: DomainOption = None,
    budget: BudgetOption = None,
    plan: PlanOption = None,
    lossy: LossyOption = None,
    output: OutputOption = None,
    to_compare: ToCompareOption = None,
    masks: MasksOption = None,
    if_nothing: IfNothingOption = "copy",
    no_latency: NoLatencyOption = False,
    dry_run: DryRunOption = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write a smaller model without the dead units of MODEL, once both were run and agree."""
    with clean_exit(debug=debug, batch_size=run.keywords["batch_size"]):
        from analyzer.api.choosing import choice_from_plan
        from analyzer.api.outputs import guarded_files, written_together
        from analyzer.cli.progress import ProgressLine

        if to_compare is not None:
            if output or masks or dry_run or lossy or domain or reports() != PruneReports():
                raise InputError(
                    "--to-compare plans a cut, and nothing is written yet: leave -o, --masks, --dry-run, --lossy, "
                    "--domain and reports out."
                )
        elif output is None and not dry_run:
            raise InputError("Say where the smaller model goes: -o OUT.onnx (or --dry-run to write none).")
        if if_nothing not in ("copy", "skip"):
            raise InputError(f"--if-nothing {if_nothing!r} is neither copy nor skip: write one of them.")
        source, reporting = data(), reports()
        plan_beside = None if masks is None else beside(masks, "plan.json")
        inputs = guarded_files(model, *source.sources, plan, domain)
        reporting.check(inputs, output, masks, plan_beside, to_compare)
        chosen = choice() if plan is None else choice_from_plan(plan, choice())
        if to_compare is not None:
            causes = chosen.min_distance > 0
            with ProgressLine(quiet=quiet) as progress:
                audited = analyzer.audit(
                    model, source, run=run(), thresholds=thresholds(), causes=causes, progress=progress
                )
                planned = audited.for_comparison(choice=chosen)
            planned.save(to_compare)
            if not quiet:
                with writing_to_stdout():
                    sys.stdout.writelines(f"{line}\n" for line in planned.sentences(to_compare))
            return
        with ProgressLine(quiet=quiet) as progress:
            pruned = analyzer.prune(
                model,
                source,
                choice=chosen,
                lossy=units_of(lossy or ()),
                latency=not no_latency,
                run=run(),
                thresholds=thresholds(),
                # a second pass over the data
                causes=chosen.min_distance > 0 or "html" in reporting.formats,
                **over_domain(domain, budget),
                progress=progress,
            )
        with written_together():
            written = _saved(pruned, None if dry_run else output, if_nothing)
            if masks is not None:
                pruned.save_masks(masks)
            reporting.save(pruned)
        reporting.print(pruned, partial(pruned.show, written=written), quiet=quiet)
    end_as_asked(pruned.audit.proof)


def _saved(pruned: Pruned, output: str | None, if_nothing: str) -> str:
    """Add the model to what is written, first, because it may be refused yet; says what becomes of it."""
    if output is None:
        return "nothing (--dry-run)"
    if not pruned.changed and if_nothing == "skip":
        return "nothing (--if-nothing skip)"
    _, *weights = pruned.save(output)
    from analyzer.api.outputs import as_named

    apart = f" with its weights in {', '.join(map(as_named, weights))}" if weights else ""
    return without_secrets(output) + apart + ("" if pruned.changed else ", the same bytes as the original")
