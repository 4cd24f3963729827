"""How images are prepared, as Hugging Face writes it beside its models (`preprocessor_config.json`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analyzer.errors import ProbeError
from analyzer.facts.image_options import INTERPOLATIONS, ImageOptions
from analyzer.json_files import read_json

NAME = "preprocessor_config.json"
LARGEST = 1 << 20  # bytes; these files have some hundred


def beside(model: Path | None) -> Path | None:
    """The file beside a model, or one folder up, where exports of `optimum` leave it; None: there is none."""
    folders = () if model is None else (model.resolve().parent, model.resolve().parent.parent)
    return next((folder / NAME for folder in folders if (folder / NAME).is_file()), None)


def options_of(path: Path) -> ImageOptions:
    """What the file says of sizes, cropping, scaling and normalisation.

    Raises:
        ProbeError: it cannot be read, or says something that is not known here.
    """
    config = read_json(path, NAME, "name the options themselves (--image-size, …)", most=LARGEST, error=ProbeError)
    try:
        return _options(config)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ProbeError(f"{path} says something that is not known: name the options themselves.") from error


def _options(config: Mapping[str, Any]) -> ImageOptions:
    resized = _size(config.get("size")) if config.get("do_resize", True) else None
    cropped = _size(config.get("crop_size")) if config.get("do_center_crop", False) else None
    size = cropped or resized
    share = min(1.0, min(cropped) / min(resized)) if cropped and resized else 1.0
    normalised, resample = config.get("do_normalize", True), config.get("resample")
    return ImageOptions(
        size=size,
        resize="crop" if cropped or "shortest_edge" in _keys(config.get("size")) else "stretch",
        scale=float(config.get("rescale_factor", 1 / 255)) if config.get("do_rescale", True) else 1.0,
        mean=tuple(float(m) for m in config.get("image_mean") or ()) if normalised else (),
        std=tuple(float(s) for s in config.get("image_std") or ()) if normalised else (),
        crop_share=share,
        interpolation=ImageOptions().interpolation if resample is None else dict(enumerate(INTERPOLATIONS))[resample],
    )


def _keys(size: Any) -> set[str]:
    return {*size} if isinstance(size, Mapping) else {"shortest_edge"} if isinstance(size, int) else set()


def _size(size: Any) -> tuple[int, int] | None:
    """`{height, width}`, `{shortest_edge}`, or one number."""
    if size is None:
        return None
    if isinstance(size, Mapping):
        edge = size.get("shortest_edge")
        return (int(edge), int(edge)) if edge is not None else (int(size["height"]), int(size["width"]))
    return int(size), int(size)
