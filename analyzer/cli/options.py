"""Groups of options that several subcommands share, and the audit that they ask for."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Annotated, Any

import typer

from analyzer import api
from analyzer.cli.exits import clean_exit
from analyzer.cli.progress import ProgressLine
from analyzer.cli.values import dims_of, fraction_of, numbers_of, size_of
from analyzer.errors import InputError
from analyzer.facts.audit import Thresholds
from analyzer.facts.verdicts import PRESETS
from analyzer.probes.probe import ImageOptions


def _option(*names: str, panel: str | None = None, **settings: Any) -> Any:
    return typer.Option(*names, rich_help_panel=panel, **{"show_default": False, **settings})


_DATA, _JUDGING, _RUNNING = "Data", "Judging", "Running"
_IMAGES = "Images (DATA is a folder or a list of image files)"

ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="The ONNX file.")]
HoldoutOption = Annotated[
    str | None,
    _option(
        "--holdout",
        metavar="DATA",
        help="A second data set: lists units that are dead on the probe and alive here.",
        panel=_DATA,
    ),
]


@dataclass(frozen=True)
class DataOptions:
    """What the model is run on."""

    probe: Annotated[
        str | None,
        _option(
            "--probe",
            metavar="DATA",
            help="Data like what the model will see: .npz, .npy, .csv, .parquet, a folder or list of images, "
            "a test_data_set folder, or file.py:generator. Without it only the weights are looked at.",
            panel=_DATA,
        ),
    ] = None
    limit: Annotated[int | None, _option("--limit", min=1, metavar="N", help="Use at most N samples.", panel=_DATA)] = (
        None
    )
    constant: Annotated[
        list[str] | None,
        _option(
            "--constant",
            metavar="NAME",
            help="Feed this input unchanged with every sample (repeatable).",
            panel=_DATA,
        ),
    ] = None
    random: Annotated[
        int | None,
        _option(
            "--random",
            min=1,
            metavar="N",
            help="N random samples instead of a probe; the report says so.",
            panel=_DATA,
        ),
    ] = None
    dim: Annotated[
        list[str] | None,
        _option(
            "--dim",
            metavar="NAME=SIZE",
            help="Size of a free dimension, for --random (repeatable).",
            panel=_DATA,
        ),
    ] = None


@dataclass(frozen=True)
class ImageFlags:
    """How image files become arrays."""

    image_preset: Annotated[
        str | None,
        _option("--image-preset", metavar="imagenet", help="A known preprocessing.", panel=_IMAGES),
    ] = None
    image_size: Annotated[
        str | None, _option("--image-size", metavar="HxW", help="224, or 240x320.", panel=_IMAGES)
    ] = None
    layout: Annotated[
        str | None, _option("--layout", metavar="NCHW|NHWC", help="Order of the axes.", panel=_IMAGES)
    ] = None
    scale: Annotated[
        str | None, _option("--scale", metavar="S", help="Factor on pixels 0-255: 1/255.", panel=_IMAGES)
    ] = None
    mean: Annotated[str | None, _option("--mean", metavar="M,M,M", help="Subtracted after scaling.", panel=_IMAGES)] = (
        None
    )
    std: Annotated[str | None, _option("--std", metavar="S,S,S", help="Divided by, last.", panel=_IMAGES)] = None
    channels: Annotated[
        str | None,
        _option("--channels", metavar="RGB|BGR|gray", help="Order of the channels.", panel=_IMAGES),
    ] = None

    def chosen(self) -> ImageOptions | None:
        """The options where any flag was given; flags override the preset.

        Raises:
            InputError: a flag makes no sense.
        """
        changes: dict[str, Any] = {}
        if self.image_size is not None:
            changes["size"] = size_of(self.image_size)
        if self.scale is not None:
            factors = numbers_of(self.scale, "--scale")
            if len(factors) != 1:
                raise InputError(f"--scale {self.scale!r} must be one number; --mean and --std may be several.")
            changes["scale"] = factors[0]
        if self.mean is not None:
            changes["mean"] = numbers_of(self.mean, "--mean")
        if self.std is not None:
            changes["std"] = numbers_of(self.std, "--std")
        for name in ("layout", "channels"):
            if (value := getattr(self, name)) is not None:
                changes[name] = value
        if self.image_preset is not None:
            return ImageOptions.preset(self.image_preset, **changes)
        return ImageOptions(**changes) if changes else None


@dataclass(frozen=True)
class JudgeOptions:
    """When a unit counts as near-dead or saturated."""

    preset: Annotated[
        str,
        _option(
            "--preset",
            metavar="|".join(PRESETS),
            help="Whose definitions to follow.",
            panel=_JUDGING,
            show_default=True,
        ),
    ] = "default"
    near_dead: Annotated[
        str | None,
        _option(
            "--near-dead",
            metavar="SHARE",
            help="Near-dead: fires on at most this share of samples, such as 1%.",
            panel=_JUDGING,
        ),
    ] = None

    def thresholds(self) -> Thresholds:
        """The preset's, with the near-dead share changed where one was given.

        Raises:
            InputError: there is no such preset, the share makes no sense, or the preset does not use one.
        """
        chosen = api.preset_named(self.preset)
        if self.near_dead is None:
            return chosen
        if chosen.needs_positions:
            raise InputError(f"Preset {self.preset} does not use --near-dead, a share of samples: leave one out.")
        return replace(chosen, near_dead=fraction_of(self.near_dead))


@dataclass(frozen=True)
class RunOptions:
    """How the model is run, and how much is said meanwhile."""

    batch_size: Annotated[
        int,
        _option("--batch-size", min=1, metavar="N", help="Samples per run.", panel=_RUNNING, show_default=True),
    ] = api.BATCH_SIZE
    threads: Annotated[
        int | None, _option("--threads", min=1, metavar="N", help="Threads of onnxruntime.", panel=_RUNNING)
    ] = None
    quiet: Annotated[
        bool, _option("--quiet", "-q", help="No progress and no report; errors still show.", panel=_RUNNING)
    ] = False
    debug: Annotated[bool, _option("--debug", help="Show the traceback of an error.", panel=_RUNNING)] = False

    @contextmanager
    def clean_exit(self) -> Iterator[None]:
        """Every error inside ends the command with one sentence and its exit code."""
        with clean_exit(debug=self.debug, batch_size=self.batch_size):
            yield


def audit_of(
    model: str,
    data: DataOptions,
    images: ImageFlags,
    judging: JudgeOptions,
    running: RunOptions,
    holdout: str | None = None,
    *,
    causes: bool = True,
) -> api.Audit:
    """The audit that these options ask for, with progress shown.

    Raises:
        InputError: an option, the model or the data cannot be used.
    """
    with ProgressLine(quiet=running.quiet) as progress:
        return api.audit(
            model,
            data.probe,
            holdout=holdout,
            limit=data.limit,
            batch_size=running.batch_size,
            constants=data.constant or (),
            images=images.chosen(),
            thresholds=judging.thresholds(),
            random=data.random,
            dims=dims_of(data.dim or ()),
            threads=running.threads,
            causes=causes,
            progress=progress,
        )


def arguments_again(model: str, data: DataOptions) -> str:
    """What to type to have the same model and data in another subcommand."""
    words = [model]
    if data.probe is not None:
        words += ["--probe", data.probe]
    for name in data.constant or ():
        words += ["--constant", name]
    return shlex.join(words)
