"""The options that say how files become numbers: images, sound, text."""

from __future__ import annotations

from functools import partial
from typing import Any

from analyzer.api.options import Data
from analyzer.cli.groups import Flag
from analyzer.cli.values import number_of, numbers_of, resize_of, size_of
from analyzer.errors import InputError
from analyzer.facts.audio_options import AudioOptions
from analyzer.facts.image_options import INTERPOLATIONS, PRESETS, ImageOptions
from analyzer.facts.text_options import TextOptions

_image = partial(Flag, panel="Images (DATA is image files, or holds them)")
_reading = partial(Flag, panel="Sound and text (DATA is such files, or holds text)")

IMAGES = {
    "image_preset": _image(
        "--image-preset",
        "|".join((*PRESETS, "FILE.json")),
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

SOUND = {
    "rate": _reading(
        "--sample-rate", "HZ", "Sound: what all files must have; nothing is resampled. Else the same in all.", kind=int
    ),
    "window": _reading(
        "--window", "N", "Sound: so many samples of it are one sample of data; else as the model declares.", kind=int
    ),
}
TEXT = {
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
    for field, options, flags in (("audio", AudioOptions, SOUND), ("text", _text, TEXT)):
        chosen = {name: given.pop(name) for name in flags if name in given}
        given[field] = options(**chosen) if chosen else None
    changes = {name: given.pop(name) for name in IMAGES if name in given}
    preset = changes.pop("image_preset", None)
    if preset is not None:
        from analyzer.api.options import image_options

        return Data(**given, images=image_options(preset, **changes))
    return Data(**given, images=ImageOptions(**changes) if changes else None)


def _text(tokenizer: str | None = None, max_length: int | None = None) -> TextOptions:
    if tokenizer is None:
        raise InputError("--max-length is of text, and no tokenizer is named: add --tokenizer tokenizer.json.")
    return TextOptions(tokenizer, max_length)
