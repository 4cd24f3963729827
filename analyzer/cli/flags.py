"""The options of the subcommands: the fields of the public objects as flags."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from functools import partial
from typing import Annotated, Any

import typer

from analyzer.api.options import Data, Run
from analyzer.cli.groups import Filled, Flag, Group, with_groups
from analyzer.cli.reading_flags import IMAGES, SOUND, TEXT, data_of
from analyzer.cli.reports import (
    AuditReports,
    CheckReports,
    CompareReports,
    ProveReports,
    PruneReports,
    ReviveReports,
    VerifyReports,
    report_flags,
)
from analyzer.cli.values import dims_of, fraction_of, pairs_of
from analyzer.facts.budgets import Budgets, budgets_of
from analyzer.facts.choice import Choice
from analyzer.facts.engine import ENGINES
from analyzer.facts.thresholds import PRESETS, Thresholds

ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="The ONNX file, or its address: https://…, hf://org/repo/model.onnx.")
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="No progress and no report; errors still show.", rich_help_panel="Running"),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel="Running")]

BUDGETS = "Budgets: a count (5) or a share (5%); per layer also PATTERN=LIMIT, repeatable"
_data, _judging, _running, _choosing, _budget = (
    partial(Flag, panel=panel)
    for panel in (
        "Data",
        "Judging",
        "Running",
        "Choosing",
        BUDGETS,
    )
)
_Texts = list[str]
NOT_AGAIN = frozenset({"holdout", "random", "seed", "dims"})


def _thresholds(preset: str = "default", near_dead: float | None = None) -> Thresholds:
    chosen = Thresholds.of(preset)
    return chosen if near_dead is None else chosen.with_near_dead(near_dead)


def _budgets(**given: Any) -> Budgets:
    return budgets_of({name.replace("_", "-"): value for name, value in given.items()}, "command line")


def _by_pattern(entries: _Texts) -> dict[str, str]:
    """`50%` is for all layers, `/head/*=80%` for some; cut at the last equals sign."""
    return {pattern or "*": limit for pattern, _, limit in (entry.rpartition("=") for entry in entries)}


def _limits() -> dict[str, Flag]:
    flags = {}
    for name, whole, layer in (
        ("dead", "Dead units", "Dead units of one layer"),
        ("constant", "Units stuck at a constant other than 0", "The same of one layer"),
        ("near-dead", "Near-dead units", "The same of one layer"),
        ("saturated", "Saturated units", "The same of one layer"),
        ("prunable", "Parameters that could go", "The same of one stored tensor"),
    ):
        field = f"max_{name.replace('-', '_')}"
        flags[field] = _budget(f"--max-{name}", "LIMIT", f"{whole} in the whole model.")
        flags[f"{field}_layer"] = _budget(
            f"--max-{name}-layer", "[PATTERN=]LIMIT", f"{layer}.", kind=_Texts, read=_by_pattern
        )
    return flags


GROUPS: dict[type, Group] = {
    Data: Group(
        Data,
        {
            "probe": _data(
                "--probe",
                "DATA",
                "Data like what the model will see: .npz, .npy, .csv, .jsonl, .parquet, .feather, .h5, .zarr, .tar, "
                "images, sound, text (--tokenizer), a folder, a pattern ('images/*.png', 'part-{00..12}.tar') or an "
                "address (s3://…) of such files, a test_data_set folder, or file.py:generator. Without it only the "
                "weights are looked at.",
            ),
            "holdout": _data(
                "--holdout", "DATA", "A second data set: lists units that are dead on the probe and alive here."
            ),
            "statistics": _data(
                "--statistics",
                "FILE",
                "Statistics in place of the data, as observe and merge write them. With --probe as well, second passes "
                "are made on that: causes, and the comparison without which prune and revive write nothing.",
            ),
            "limit": _data("--limit", "N", "Use at most N samples of each data set.", kind=int),
            "constants": _data(
                "--constant", "NAME", "Feed this input unchanged with every sample (repeatable).", kind=_Texts
            ),
            "max_bad": _data(
                "--max-bad",
                "N",
                "Leave out up to N images, files, lines and rows that cannot be read; the report lists them.",
                kind=int,
                shows_default=True,
            ),
            "random": _data("--random", "N", "N random samples instead of a probe; the report says so.", kind=int),
            "seed": _data("--seed", "N", "Which random samples are drawn, for --random.", kind=int),
            "dims": _data(
                "--dim",
                "NAME=SIZE",
                "Size of a free dimension, for --random (repeatable).",
                kind=_Texts,
                read=dims_of,
            ),
            **IMAGES,
            **SOUND,
            **TEXT,
        },
        data_of,
    ),
    Thresholds: Group(
        Thresholds,
        {
            "preset": _judging("--preset", "|".join(PRESETS), "Whose definitions to follow.", shows_default=True),
            "near_dead": _judging(
                "--near-dead",
                "SHARE",
                "Near-dead: fires on at most this share of samples, such as 1%.",
                read=fraction_of,
            ),
        },
        _thresholds,
    ),
    Run: Group(
        Run,
        {
            "batch_size": _running("--batch-size", "N", "Samples per run.", kind=int, shows_default=True),
            "threads": _running("--threads", "N", "Threads of onnxruntime.", kind=int),
            "independent": _running(
                "--independent",
                None,
                "The samples of a batch do not influence each other: your word, which the report repeats.",
                kind=bool,
            ),
            "run_limit": _running(
                "--run-limit",
                "SECONDS",
                "End any single run of the model that takes longer; a loop in the model may never end by itself.",
                kind=float,
                shows_default=True,
            ),
            "stream": _running(
                "--stream",
                None,
                "Run a large model in parts, one part's weights in memory at a time; by itself where memory is short.",
                kind=bool,
            ),
            "provider": _running(
                "--provider",
                "NAME",
                "Who computes the model while it is observed, such as CUDA or OpenVINO; `deadunits doctor` lists them.",
                shows_default=True,
            ),
            "provider_options": _running(
                "--provider-option",
                "NAME=VALUE",
                "An option of the provider (repeatable).",
                kind=_Texts,
                read=lambda entries: dict(pairs_of(entries, "--provider-option", "device_id=0")),
            ),
            "engine": _running(
                "--engine",
                ENGINES,
                "Who runs the data: this process, N others, or N actors of a Ray cluster (started here, or joined); by "
                "default one per processor, of one thread each, if --threads says nothing else. Verdicts are the "
                "same.",
                shows_default=True,
            ),
            "full_samples": _running(
                "--full-samples",
                "N",
                "Count every layer on N samples; later only layers of which a verdict may still change.",
                kind=int,
                shows_default=True,
            ),
            "full": _running("--full", None, "Count every layer on all samples.", kind=bool),
        },
    ),
    Choice: Group(
        Choice,
        {
            "only": _choosing(
                "--only",
                "PATTERN",
                "Only layers of this name, such as 'head.*' or '/head/*' (repeatable).",
                kind=_Texts,
            ),
            "skip": _choosing("--skip", "PATTERN", "Leave layers of this name as they are (repeatable).", kind=_Texts),
            "evidence": _choosing(
                "--evidence",
                "structural|proven|observed",
                "structural: only what the weights decide, for every input that stays finite on the way; proven: also "
                "what holds for every input of a domain.",
                shows_default=True,
            ),
            "min_samples": _choosing("--min-samples", "N", "Observed units need a probe of so many.", kind=int),
            "max_firing_bound": _choosing(
                "--max-firing-bound",
                "SHARE",
                "Observed units must, with 95 % confidence, fire on at most this share of inputs, such as 1%.",
                read=fraction_of,
            ),
            "round_to": _choosing("--round-to", "N", "Keep widths at multiples of N.", kind=int),
            "min_distance": _choosing(
                "--min-distance",
                "SD",
                "Observed units must be this far from firing, in standard deviations of what enters them.",
                kind=float,
            ),
            "residual": _choosing(
                "--residual",
                "off|params|latency",
                "Where only one side of a join is dead: cut it and put the result back to full width; where channels "
                "are dead in front of a LayerNormalization: write it out without them. Each where that saves "
                "parameters, or where it is measured to be no slower.",
                shows_default=True,
            ),
            "merge_duplicates": _choosing(
                "--merge-duplicates", None, "Also merge units that compute the same.", kind=bool
            ),
            "merge_linear": _choosing(
                "--merge-linear",
                None,
                "Also merge the dense layers around a ReLU that is always on, where that is smaller.",
                kind=bool,
            ),
            "branches": _choosing(
                "--branches",
                "all|taken",
                "taken: remove branches (If) that no sample takes. For inputs that would take them, the smaller "
                "model then computes something else, without any warning.",
                shows_default=True,
            ),
            "vocabulary": _choosing(
                "--vocabulary",
                None,
                "Also remove embedding rows that the probe never uses. On the CPU, onnxruntime then refuses the ids of "
                "removed rows; where the model runs elsewhere, give --unseen-id.",
                kind=bool,
            ),
            "experts": _choosing(
                "--experts",
                None,
                "Also remove experts of mixtures that no token of the probe is routed to (tokens that would be are "
                "refused by onnxruntime on the CPU; elsewhere give --unseen-expert next), and those of a MoE that "
                "always give one constant.",
                kind=bool,
            ),
            "unseen_expert": _choosing(
                "--unseen-expert",
                "refused|next",
                "next: tokens that would go to an expert that --experts removed take the next best ones.",
                shows_default=True,
            ),
            "unseen_id": _choosing(
                "--unseen-id", "ID", "With --vocabulary: ids of removed rows are read as this one.", kind=int
            ),
        },
    ),
    Budgets: Group(
        Budgets,
        {
            **_limits(),
            "min_judged": _budget(
                "--min-judged",
                "SHARE",
                "At least this share of multiply-adds, of parameters and of activations must be judged, such as 90%.",
            ),
            "min_proven": _budget(
                "--min-proven",
                "SHARE",
                "At least this share of dead units must be dead for every input of --domain, such as 90%.",
            ),
            "min_samples": _budget("--min-samples", "N", "Fail on a smaller probe.", kind=int),
            "expect_dead": _budget(
                "--expect-dead",
                "VALUE:UNITS",
                "Units that may be dead, by value or module: /relu:0-3,7 or 'head.*:*' (repeatable).",
                kind=_Texts,
            ),
            "ignore": _budget(
                "--ignore",
                "CODE",
                "Turn a finding off, such as DU003 (repeatable).",
                kind=_Texts,
                read=lambda entries: [code for entry in entries for code in entry.split(",")],
            ),
            "severity": _budget(
                "--severity",
                "CODE=LEVEL",
                "error (fails), warning, note or off (repeatable).",
                kind=_Texts,
                read=lambda entries: dict(pairs_of(entries, "--severity", "DU003=error")),
            ),
        },
        _budgets,
    ),
}
_REPORTS: dict[type, Group] = {
    kind: report_flags(kind)
    for kind in (
        AuditReports,
        PruneReports,
        ReviveReports,
        ProveReports,
        VerifyReports,
        CheckReports,
        CompareReports,
    )
}
command = with_groups({**GROUPS, **_REPORTS})


def arguments_again(model: str, *given: partial[Any], without: Collection[str] = NOT_AGAIN) -> str:
    """What to type to have the same model, run on the same data in the same way, in another subcommand.

    Fields `without` are left out: the holdout, which `explain` does not take, and random data, which real data is to
    replace.
    """
    words = [model]
    for group in given:
        fields = group.words if isinstance(group, Filled) else {}
        words += [word for name, typed in fields.items() if name not in without for word in typed]
    return shlex.join(words)
