"""The network as a picture: what is drawn as a box, and what flows where; no ONNX, no coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a box of the picture stands for."""

    INPUT = "input"
    OUTPUT = "output"
    LAYER = "layer"  # an audited value
    JOIN = "join"  # several branches meet
    OTHER = "other"  # any other operator, drawn only where the model is small


@dataclass(frozen=True, slots=True)
class PictureNode:
    """One box. `ops` are the operators it stands for, in order; `value` is the audited value it shows (or empty)."""

    name: str
    role: Role
    ops: tuple[str, ...] = ()
    value: str = ""


@dataclass(frozen=True, slots=True)
class GraphPicture:
    """Boxes in topological order and edges between their positions; `whole` says that no operator was folded away."""

    nodes: tuple[PictureNode, ...]
    edges: tuple[tuple[int, int], ...]
    whole: bool = True
