"""How the text of an option becomes a value; a text that makes no sense says what to write instead."""

from __future__ import annotations

import math
from collections.abc import Sequence

from analyzer.errors import InputError
from analyzer.facts.wording import units_in


def fraction_of(text: str) -> float:
    """`1%`, `0.01` or `1/100`.

    Raises:
        InputError: it is none of these, or not between 0 and 1.
    """
    number = _number(text.strip().removesuffix("%"))
    if number is not None and text.strip().endswith("%"):
        number /= 100
    if number is None or not 0 <= number <= 1:
        raise InputError(f"{text!r} is not a share: write 1% or 0.01.")
    return number


def numbers_of(text: str, flag: str) -> tuple[float, ...]:
    """`0.485,0.456,0.406` or `1/255`.

    Raises:
        InputError: a part is not a number.
    """
    numbers = [_number(part) for part in text.split(",")]
    if None in numbers:
        raise InputError(f"{flag} {text!r} is not a list of numbers: write them as 0.5,0.5,0.5.")
    return tuple(number for number in numbers if number is not None)


def number_of(text: str, flag: str) -> float:
    """`0.5` or `1/255`.

    Raises:
        InputError: it is not one number.
    """
    numbers = numbers_of(text, flag)
    if len(numbers) != 1:
        raise InputError(f"{flag} {text!r} must be one number: write it as 1/255.")
    return numbers[0]


def seconds_of(text: str, flag: str) -> float:
    """`60`, or `60s`.

    Raises:
        InputError: it is no number of seconds.
    """
    number = _number(text.strip().removesuffix("s"))
    if number is None or number < 0:
        raise InputError(f"{flag} {text!r} is no number of seconds: write it as 60.")
    return number


def resize_of(text: str) -> str:
    """`letterbox` is what the options call `pad`; they refuse what is none."""
    return "pad" if text == "letterbox" else text


def size_of(text: str) -> tuple[int, int]:
    """`224` or `240x320` (height x width).

    Raises:
        InputError: it is neither.
    """
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(_is_count(side) and int(side) for side in sides):
        raise InputError(f"--image-size {text!r} is not a size: write 224, or 240x320 for height x width.")
    return int(sides[0]), int(sides[-1])


def dims_of(texts: Sequence[str]) -> dict[str, int]:
    """`NAME=SIZE` pairs.

    Raises:
        InputError: one is not such a pair.
    """
    pairs = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        if not name or not _is_count(number) or not int(number):
            raise InputError(f"--dim {text!r} is not NAME=SIZE: write for example sequence=128.")
        pairs[name] = int(number)
    return pairs


def pairs_of(entries: Sequence[str], flag: str, example: str) -> list[tuple[str, str]]:
    """`NAME=VALUE` entries, cut at the first equals sign.

    Raises:
        InputError: one is not of that form.
    """
    pairs = []
    for entry in entries:
        name, equals, value = entry.partition("=")
        if not (name and equals and value):
            raise InputError(f"{flag} {entry!r} makes no sense: write for example {example}.")
        pairs.append((name, value))
    return pairs


def unit_of(text: str) -> tuple[str, int]:
    """`VALUE:INDEX`, cut at the last colon, because TensorFlow's names contain some.

    Raises:
        InputError: it is not of that form.
    """
    value, _, index = text.rpartition(":")
    if not value or not _is_count(index):
        raise InputError(f"--unit {text!r} is not VALUE:INDEX: write for example /relu/Relu_output_0:7.")
    return value, int(index)


def units_of(texts: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """`VALUE:UNIT,...` entries, units also as ranges (`relu1:3,7-9`), together by value.

    Raises:
        InputError: one is not of that form.
    """
    units_by_value: dict[str, set[int]] = {}
    for text in texts:
        value, _, listed = text.rpartition(":")
        units = units_in(listed)
        if not value or units is None:
            raise InputError(f"--lossy {text!r} is not VALUE:UNIT,...: write for example /relu/Relu_output_0:3,7.")
        units_by_value.setdefault(value, set()).update(units)
    return {value: tuple(sorted(units)) for value, units in units_by_value.items()}


def _number(text: str) -> float | None:
    """A number or a quotient of two; None for anything else."""
    above, slash, below = text.partition("/")
    try:
        number = float(above) / float(below) if slash else float(above)
    except (ValueError, ZeroDivisionError):
        return None
    return number if math.isfinite(number) else None


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10
