"""`deadunits prune`: write the smaller model, once it was run against the original."""

from __future__ import annotations

import json as json_format
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from analyzer import api
from analyzer.cli.console import ReportConsole
from analyzer.cli.exits import writing_to_stdout
from analyzer.cli.groups import with_groups
from analyzer.cli.options import (
    DataOptions,
    HoldoutOption,
    ImageFlags,
    JudgeOptions,
    ModelArgument,
    RunOptions,
    audit_of,
)
from analyzer.cli.outputs import STDOUT, check_outputs
from analyzer.cli.progress import ProgressLine
from analyzer.cli.values import fraction_of, units_of
from analyzer.errors import InputError
from analyzer.facts.audit import Evidence
from analyzer.facts.choice import Choice
from analyzer.report.prune import render
from analyzer.report.prune_json import to_text

_CHOOSING, _WRITING = "Choosing", "Writing"


def _option(*names: str, panel: str, **settings: Any) -> Any:
    return typer.Option(*names, rich_help_panel=panel, **{"show_default": False, **settings})


@dataclass(frozen=True)
class ChoiceOptions:
    """Which units may go."""

    plan: Annotated[
        str | None,
        _option("--plan", metavar="FILE", help="An edited plan.json, as --masks writes it.", panel=_CHOOSING),
    ] = None
    lossy: Annotated[
        list[str] | None,
        _option(
            "--lossy",
            metavar="VALUE:UNIT,...",
            help="Also remove these units, though not dead: their mean takes their place (repeatable). Not exact.",
            panel=_CHOOSING,
        ),
    ] = None
    only: Annotated[
        list[str] | None,
        _option("--only", metavar="PATTERN", help="Cut only layers of this name, such as '/head/*'.", panel=_CHOOSING),
    ] = None
    skip: Annotated[
        list[str] | None,
        _option("--skip", metavar="PATTERN", help="Leave layers of this name whole (repeatable).", panel=_CHOOSING),
    ] = None
    evidence: Annotated[
        Evidence,
        _option(
            "--evidence",
            metavar="structural|observed",
            help="structural: only what the weights decide, for every input that stays finite on the way.",
            panel=_CHOOSING,
            show_default=True,
        ),
    ] = Evidence.OBSERVED
    min_samples: Annotated[
        int,
        _option("--min-samples", min=1, metavar="N", help="Observed units need a probe of so many.", panel=_CHOOSING),
    ] = 1
    max_firing_bound: Annotated[
        str | None,
        _option(
            "--max-firing-bound",
            metavar="SHARE",
            help="Observed units must, with 95 % confidence, fire on at most this share of inputs, such as 1%.",
            panel=_CHOOSING,
        ),
    ] = None
    round_to: Annotated[
        int, _option("--round-to", min=1, metavar="N", help="Keep widths at multiples of N.", panel=_CHOOSING)
    ] = 1
    min_distance: Annotated[
        float,
        _option(
            "--min-distance",
            min=0.0,
            metavar="SD",
            help="Observed units must be this far from firing, in standard deviations of what enters them.",
            panel=_CHOOSING,
        ),
    ] = 0.0
    residual: Annotated[
        str,
        _option(
            "--residual",
            metavar="off|params|latency",
            help="Where only one side of a join is dead: cut it and put the result back to full width, where that "
            "saves parameters, or where it is measured to be no slower.",
            panel=_CHOOSING,
            show_default=True,
        ),
    ] = "off"
    merge_duplicates: Annotated[
        bool, _option("--merge-duplicates", help="Also merge units that compute the same.", panel=_CHOOSING)
    ] = False
    merge_linear: Annotated[
        bool,
        _option(
            "--merge-linear",
            help="Also merge the dense layers around a ReLU that is always on, where that is smaller.",
            panel=_CHOOSING,
        ),
    ] = False

    def choice(self) -> Choice:
        """The choice that these options state.

        Raises:
            InputError: an option makes no sense, or the plan is none.
        """
        if self.evidence is Evidence.PROVEN:
            raise InputError("--evidence proven is not available yet: choose structural or observed.")
        bound = 1.0 if self.max_firing_bound is None else fraction_of(self.max_firing_bound)
        if self.residual not in ("off", "params", "latency"):
            raise InputError(f"--residual {self.residual!r} is none of off, params and latency: write one of them.")
        base = Choice(
            evidence=self.evidence,
            only=tuple(self.only or ()),
            skip=tuple(self.skip or ()),
            min_samples=self.min_samples,
            max_firing_bound=bound,
            round_to=self.round_to,
            min_distance=self.min_distance,
            residual=self.residual,  # type: ignore[arg-type]  # checked above
            merge_duplicates=self.merge_duplicates,
            merge_linear=self.merge_linear,
        )
        return base if self.plan is None else api.choice_from_plan(_json(self.plan), base)


@dataclass(frozen=True)
class WriteOptions:
    """What is written where."""

    output: Annotated[
        str | None, _option("--output", "-o", metavar="OUT.onnx", help="The smaller model.", panel=_WRITING)
    ] = None
    masks: Annotated[
        str | None,
        _option(
            "--masks",
            metavar="FILE.npz",
            help="What stays of each stored tensor, as boolean masks; with plan.json beside it.",
            panel=_WRITING,
        ),
    ] = None
    json: Annotated[
        str | None,
        _option("--json", metavar="FILE", help="Write the result as JSON (- for standard output).", panel=_WRITING),
    ] = None
    html: Annotated[
        str | None,
        _option("--html", metavar="FILE", help="Write the report, before and after, as one HTML page.", panel=_WRITING),
    ] = None
    if_nothing: Annotated[
        str,
        _option(
            "--if-nothing",
            metavar="copy|skip",
            help="When nothing can be removed: write the model byte for byte, or not at all.",
            panel=_WRITING,
            show_default=True,
        ),
    ] = "copy"
    no_latency: Annotated[
        bool,
        _option(
            "--no-latency",
            help="Do not time the model before and after (--residual latency still times its two cuts).",
            panel=_WRITING,
        ),
    ] = False
    dry_run: Annotated[
        bool, _option("--dry-run", help="Cut, compare and measure, but write no model.", panel=_WRITING)
    ] = False
    show_all: Annotated[bool, _option("--all", help="Show every layer.", panel=_WRITING)] = False

    def check(self, inputs: tuple[Path, ...]) -> None:
        """Refuse outputs that cannot be written, before the long work starts.

        Raises:
            InputError: no output is named, two are the same, or one is an input.
        """
        if self.output is None and not self.dry_run:
            raise InputError("Say where the smaller model goes: -o OUT.onnx (or --dry-run to write none).")
        if self.if_nothing not in ("copy", "skip"):
            raise InputError(f"--if-nothing {self.if_nothing!r} is neither copy nor skip: write one of them.")
        named = [self.output, self.masks, self.html, None if self.json == STDOUT else self.json]
        named += [] if self.masks is None else [str(Path(self.masks).with_name("plan.json"))]
        check_outputs(named, inputs)


@with_groups
def prune(
    model: ModelArgument,
    data: DataOptions,
    images: ImageFlags,
    judging: JudgeOptions,
    choosing: ChoiceOptions,
    writing: WriteOptions,
    running: RunOptions,
    holdout: HoldoutOption = None,
) -> None:
    """Write a smaller model without the dead units of MODEL, once both were run and agree."""
    with running.clean_exit():
        writing.check(api.guarded_files(model, data.probe, holdout, choosing.plan))
        choice, lossy = choosing.choice(), units_of(choosing.lossy or ())
        causes = choosing.min_distance > 0 or writing.html is not None  # a second pass over the data
        found = audit_of(model, data, images, judging, running, holdout, causes=causes)
        with ProgressLine(quiet=running.quiet) as progress:
            pruned = found.prune(choice=choice, lossy=lossy, latency=not writing.no_latency, progress=progress)
        written = _write(pruned, writing)
        if writing.html is not None:
            found.to_html(writing.html, pruned)
        with writing_to_stdout():
            if writing.json == STDOUT:
                sys.stdout.write(to_text(pruned.audit, pruned.facts))
            elif not running.quiet:
                render(pruned.audit, pruned.facts, ReportConsole(), written=written, show_all=writing.show_all)


def _write(pruned: api.Pruned, writing: WriteOptions) -> str:
    """Write what was asked for; says what became of the model, which comes first: it may be refused yet."""
    said = _write_model(pruned, writing)
    if writing.masks is not None:
        pruned.save_masks(writing.masks)
    if writing.json is not None and writing.json != STDOUT:
        pruned.to_json(writing.json)
    return said


def _write_model(pruned: api.Pruned, writing: WriteOptions) -> str:
    if writing.output is None or writing.dry_run:
        return "nothing (--dry-run)"
    if not pruned.changed and writing.if_nothing == "skip":
        return "nothing (--if-nothing skip)"
    _, *weights = pruned.save(writing.output)
    beside = f" with its weights in {', '.join(map(str, weights))}" if weights else ""
    return writing.output + beside + ("" if pruned.changed else ", the same bytes as the original")


def _json(path: str) -> Any:
    try:
        return json_format.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: write a plan with --masks and edit that.") from error
