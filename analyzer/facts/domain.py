"""The inputs that a model is meant for: boxes with bounds for every element, one or several of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.facts.frozen import FrozenDict

_LARGE = 1e30  # larger numbers are no bounds


@dataclass(frozen=True, slots=True, eq=False)
class Box:
    """All arrays of a shape that lie, element by element, between two of that shape; both ends belong to it.

    The shape is that of one sample: its batch axis has length 1. An infinite end is none.
    """

    low: Array
    high: Array


@dataclass(frozen=True, eq=False)
class Domain:
    """Every input that lies in one of these boxes, each a mapping of input name to bounds.

    `source` says in words where it comes from. `conditional`: it is the range of a probe, of which nobody said that all
    inputs lie in it.
    """

    boxes: tuple[Mapping[str, Box], ...]
    source: str
    conditional: bool = False

    def __post_init__(self) -> None:
        """The mappings are read-only from here on."""
        object.__setattr__(self, "boxes", tuple(FrozenDict(box) for box in self.boxes))

    @cached_property
    def digest(self) -> str:
        """`sha256:…` over names, element types, shapes and bounds."""
        hashed = hashlib.sha256()
        for box in self.boxes:
            for name, bounds in sorted(box.items()):
                hashed.update(f"{name}\0{bounds.low.dtype.str}\0{bounds.low.shape}\0".encode())
                hashed.update(np.ascontiguousarray(bounds.low).tobytes() + np.ascontiguousarray(bounds.high).tobytes())
        return f"sha256:{hashed.hexdigest()}"

    @property
    def bounded(self) -> bool:
        """Whether all inputs have bounds, so that some can be drawn."""
        return all(self.bounds_input(name) for name in self.boxes[0])

    def clipped(self, limit: float) -> Domain:
        """The same with inputs that have no bounds between `-limit` and `limit`."""

        def within(name: str, bounds: Box) -> Box:
            return bounds if self.bounds_input(name) else Box(*(end.clip(-limit, limit) for end in _ends(bounds)))

        boxes = tuple({name: within(name, bounds) for name, bounds in box.items()} for box in self.boxes)
        return Domain(boxes, self.source, self.conditional)

    def bounds_input(self, name: str) -> bool:
        """Whether the numbers of an input have bounds that mean something."""
        ends = [end for box in self.boxes for end in _ends(box[name]) if end.dtype.kind not in "iub"]
        most = [min(_LARGE, float(np.finfo(end.dtype).max)) if end.dtype.kind == "f" else _LARGE for end in ends]
        return all(float(np.abs(end).max(initial=0)) < limit for end, limit in zip(ends, most, strict=True))

    @cached_property
    def varying(self) -> tuple[str, ...]:
        """The inputs that may differ from one another."""
        hull = hull_of(self.boxes)
        return tuple(sorted(name for name, bounds in hull.items() if (bounds.low != bounds.high).any()))

    def outside(self, arrays: Mapping[str, Array]) -> str | None:
        """The input, and where, that one feed leaves the box with that is nearest to holding it; None: it does not.

        `arrays` have the shapes of the boxes, or a multiple of their first axis.
        """
        leaving = [[*_leaving(box, arrays)] for box in self.boxes]
        least = min(leaving, key=len)
        return least[0] if least else None


def _ends(bounds: Box) -> tuple[Array, Array]:
    return bounds.low, bounds.high


def _leaving(box: Mapping[str, Box], arrays: Mapping[str, Array]) -> Iterator[str]:
    """Per input that is not within its bounds where, and by what."""
    for name, bounds in box.items():
        array = arrays.get(name)
        if array is None:
            continue
        wrong = ~((array >= bounds.low) & (array <= bounds.high))  # a NaN is nowhere
        if wrong.any():
            place = tuple(int(index[0]) for index in np.nonzero(wrong)) if wrong.ndim else ()
            low, high = (np.broadcast_to(side, array.shape)[place] for side in (bounds.low, bounds.high))
            where = f"[{', '.join(map(str, place))}]" if place else ""
            yield f"{name}{where} is {array[place]:.6g}, and the domain goes from {low:.6g} to {high:.6g}"


def within_both(boxes: Mapping[str, Box], others: Mapping[str, Box]) -> dict[str, Box]:
    """What lies between both bounds of each value, of those that the first mapping bounds."""
    return {
        name: Box(np.maximum(box.low, others[name].low), np.minimum(box.high, others[name].high))
        if name in others
        else box
        for name, box in boxes.items()
    }


def hull_of(boxes: Iterable[Mapping[str, Box]]) -> dict[str, Box]:
    """The smallest bounds around those of each; a value that one of them does not bound has none."""
    first, *rest = boxes
    known = {name for name in first if all(name in box for box in rest)}
    return {
        name: Box(
            reduce(np.minimum, [box[name].low for box in rest], first[name].low),
            reduce(np.maximum, [box[name].high for box in rest], first[name].high),
        )
        for name in known
    }
