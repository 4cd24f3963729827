"""A look at what a model was fed: a few samples, as pictures where they are some, and inputs that move dead units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """The first numbers of one sample of one input, and the sample's shape."""

    name: str
    shape: tuple[int, ...]
    numbers: tuple[str, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class WitnessPicture:
    """An input of the domain as a PNG file, and by layer the units of which it refutes what the probe says."""

    picture: bytes
    moves: Mapping[str, tuple[int, ...]]

    @property
    def units(self) -> int:
        """Of how many."""
        return sum(map(len, self.moves.values()))


@dataclass(frozen=True, slots=True)
class Fed:
    """The first samples: PNG files of the input that looks like pictures, else rows of numbers."""

    pictures: tuple[bytes, ...] = ()
    rows: tuple[Row, ...] = ()
