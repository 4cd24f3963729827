"""What a call was given for an object of ours: that object, or nothing, which means its defaults."""

from __future__ import annotations

from math import inf
from numbers import Real
from typing import Any, Self

from analyzer.errors import InputError


class WithDefaults:
    """A class whose objects need no arguments, and that stands for itself in a call."""

    __slots__ = ()

    @classmethod
    def of(cls, given: Any) -> Self:
        """The object as it is; None: one by default.

        Raises:
            InputError: it is something else.
        """
        if given is not None and not isinstance(given, cls):
            name = cls.__name__
            raise InputError(f"{name.lower()} is of type {type(given).__name__}: give an analyzer.{name}.")
        return cls() if given is None else given


def is_number(given: object, least: float, most: float = inf, *, kind: type = Real) -> bool:
    """Whether it is a number of that kind (NumPy's too, no truth value) from `least` to `most`."""
    return isinstance(given, kind) and not isinstance(given, bool) and least <= given <= most  # type: ignore[operator]
