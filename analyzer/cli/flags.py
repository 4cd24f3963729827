"""The options of the subcommands: the fields of the public objects as flags."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from functools import partial
from typing import Annotated, Any

import typer

from analyzer.api.options import Data, Run
from analyzer.cli.groups import Filled, Flag, Group, with_groups
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
from analyzer.cli.values import dims_of, fraction_of, number_of, numbers_of, pairs_of, resize_of, size_of
from analyzer.errors import InputError
from analyzer.facts.audio_options import AudioOptions
from analyzer.facts.budgets import Budgets, budgets_of
from analyzer.facts.choice import Choice
from analyzer.facts.engine import ENGINES
from analyzer.facts.image_options import INTERPOLATIONS, ImageOptions
from analyzer.facts.image_options import PRESETS as IMAGE_PRESETS
from analyzer.facts.text_options import TextOptions
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
_data, _judging, _running, _choosing, _image, _reading, _budget = (
    partial(Flag, panel=panel)
    for panel in (
        "Data",
        "Judging",
        "Running",
        "Choosing",
        "Images (DATA is image files, or holds them)",
        "Sound and text (DATA is such files, or holds text)",
        BUDGETS,
    )
)
_Texts = list[str]
NOT_AGAIN = frozenset({"holdout", "random", "seed", "dims"})

_IMAGES = {
    "image_preset": _image(
        "--image-preset",
        "|".join((*IMAGE_PRESETS, "FILE.json")),
        "A known preprocessing, or a file that says it.",
    ),
    "size": _image("--image-size", "HxW", "224, or 240x320; else as the model declares.", read=size_of),
    "resize": _image(
        "--resize", "stretch|crop|letterbox", "How an image comes to its size; else stretch.", read=resize_of
    ),
    "interpolation": _image(
        "--interpolation", "|".join(INTERPOLATIONS), "How pixels between others are reckoned; else bilinear."
    ),
    "layout": _image("--layout", "NCHW|NHWC", "Order of the axes; else as the model declares."),
    "scale": _image(
        "--scale",
        "S",
        "Factor on pixels of 0 to 255; else 1/255 (1 for inputs of whole numbers).",
        read=partial(number_of, flag="--scale"),
    ),
    "mean": _image(
        "--mean", "M,M,M", "Subtracted after scaling; else nothing.", read=partial(numbers_of, flag="--mean")
    ),
    "std": _image("--std", "S,S,S", "Divided by, last; else nothing.", read=partial(numbers_of, flag="--std")),
    "channels": _image("--channels", "RGB|BGR|gray", "Order of the channels; else RGB or gray, as the model declares."),
}

_SOUND = {
    "rate": _reading(
        "--sample-rate", "HZ", "Sound: what all files must have; nothing is resampled. Else the same in all.", kind=int
    ),
    "window": _reading(
        "--window", "N", "Sound: so many samples of it are one sample of data; else as the model declares.", kind=int
    ),
}
_TEXT = {
    "tokenizer": _reading(
        "--tokenizer", "FILE", "Text: a tokenizer.json that turns lines of .txt, or a column of text, into ids."
    ),
    "max_length": _reading(
        "--max-length",
        "N",
        "Text: tokens that each is cut or padded to; else as the model or the tokenizer's file says.",
        kind=int,
    ),
}


def data_of(**given: Any) -> Data:
    """The data that flags describe; image flags override the image preset."""
    for field, options, flags in (("audio", AudioOptions, _SOUND), ("text", _text, _TEXT)):
        chosen = {name: given.pop(name) for name in flags if name in given}
        given[field] = options(**chosen) if chosen else None
    changes = {name: given.pop(name) for name in _IMAGES if name in given}
    preset = changes.pop("image_preset", None)
    if preset is not None:
        from analyzer.api.options import image_options

        return Data(**given, images=image_options(preset, **changes))
    return Data(**given, images=ImageOptions(**changes) if changes else None)


def _text(tokenizer: str | None = None, max_length: int | None = None) -> TextOptions:
    if tokenizer is None:
        raise InputError("--max-length is of text, and no tokenizer is named: add --tokenizer tokenizer.json.")
    return TextOptions(tokenizer, max_length)


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
            **_IMAGES,
            **_SOUND,
            **_TEXT,
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
                "default one per processor, of one thread each, if --threads says nothing else. The result is the "
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
                "Also remove experts of mixtures that no token of the probe is routed to. Tokens that would be are "
                "refused by onnxruntime on the CPU; elsewhere give --unseen-expert next.",
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
