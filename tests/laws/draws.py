"""Random choices for cases, and the table that the case modules fill."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, TypeVar

import numpy as np
from onnx import helper

from tests.laws.benches import Case, Sampler
from tests.models import Array

T = TypeVar("T")
Generator = Callable[["Draw"], Case]

#: (domain, operator) -> how to make a case of it.
GENERATORS: dict[tuple[str, str], Generator] = {}


class Draw:
    """Choices from one source of randomness, and arrays from a generator that it seeds."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.arrays = np.random.default_rng(random.getrandbits(32))

    def pick(self, options: Sequence[T]) -> T:
        """One of these."""
        return self.random.choice(options)

    def flag(self, chance: float = 0.5) -> bool:
        """True with this chance."""
        return self.random.random() < chance

    def whole(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`."""
        return self.random.randint(low, high)

    def shape(self, low: int = 1, high: int = 4, longest: int = 4) -> tuple[int, ...]:
        """A small shape."""
        return tuple(self.whole(1, longest) for _ in range(self.whole(low, high)))

    def normal(self, *shape: int, dtype: Any = np.float32) -> Array:
        """Numbers of both signs."""
        return np.asarray(self.arrays.normal(0, 1.5, shape)).astype(dtype)

    def weight(self, *shape: int, dtype: Any = np.float32) -> Array:
        """A stored weight in which some slices are zero and others only add up to zero."""
        array = self.normal(*shape)
        for axis in range(min(len(shape), 2)):
            if self.flag(0.4):
                index = [slice(None)] * len(shape)
                index[axis] = self.whole(0, shape[axis] - 1)  # type: ignore[call-overload]
                array[tuple(index)] = 0
        if len(shape) > 2 and self.flag(0.3):
            chosen = self.arrays.random(shape[:2]).reshape(*shape[:2], *(1,) * (len(shape) - 2)) < 0.6
            array -= chosen * array.mean(axis=tuple(range(2, len(shape))), keepdims=True)
        return array.astype(dtype)

    def ints(self, low: int, high: int, *shape: int, dtype: Any = np.int64) -> Array:
        """Whole numbers from `low` to `high`."""
        return np.asarray(self.arrays.integers(low, high + 1, shape)).astype(dtype)


def cases_for(*op_types: str, domain: str = "") -> Callable[[Callable[[Draw, str], Case]], Callable[[Draw, str], Case]]:
    """Enter a generator for these operators; it is told which one is asked for."""

    def enter(make: Callable[[Draw, str], Case]) -> Callable[[Draw, str], Case]:
        for op_type in op_types:
            GENERATORS[domain, op_type] = lambda d, op_type=op_type: make(d, op_type)  # type: ignore[misc]
        return make

    return enter


def call(
    op_type: str,
    *inputs: Array | None,
    opset: int = 18,
    fed: Sequence[int] = (0,),
    outputs: int | Sequence[str] = 1,
    domain: str = "",
    samplers: dict[int, Sampler] | None = None,
    constants: bool = True,
    tolerance: float = 2e-5,
    spelled: dict[str, tuple[str, int]] | None = None,
    rests: dict[int, int] | None = None,
    **attributes: Any,
) -> Case:
    """One call; the inputs at the positions `fed` come from outside, the others are stored.

    `spelled` names attributes that spell out a length, with the value and the axis whose length it is; `rests` the
    inputs that may lie at the number that another input holds.
    """
    names = ["" if a is None else f"x{i}" for i, a in enumerate(inputs)]
    while names and not names[-1]:
        names.pop()
    given = [f"y{i}" for i in range(outputs)] if isinstance(outputs, int) else list(outputs)
    attributes = {k: v for k, v in attributes.items() if v is not None}
    node = helper.make_node(op_type, names, given, name="node", domain=domain, **attributes)
    return Case(
        node=node,
        arrays={n: np.asarray(a) for n, a in zip(names, inputs, strict=False) if a is not None},
        stored=frozenset(n for i, n in enumerate(names) if n and i not in fed),
        opset=opset,
        domains={"com.microsoft": 1} if domain else {},
        samplers={f"x{i}": s for i, s in (samplers or {}).items()},
        constants=constants,
        tolerance=tolerance,
        spelled=spelled or {},
        rests={f"x{i}": f"x{zero}" for i, zero in (rests or {}).items()},
    )
