"""A look at what a model was fed: a few samples, as pictures where they are some."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """The first numbers of one sample of one input, and the sample's shape."""

    name: str
    shape: tuple[int, ...]
    numbers: tuple[str, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class Fed:
    """The first samples: PNG files of the input that looks like pictures, else rows of numbers."""

    pictures: tuple[bytes, ...] = ()
    rows: tuple[Row, ...] = ()
