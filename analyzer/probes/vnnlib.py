"""The inputs that a `.vnnlib` file speaks of, of version 1 and 2: boxes, one for each way in which its `or`s come true.

What it says of outputs is left out, so that the boxes hold every input that the file speaks of, and more.
"""

from __future__ import annotations

import gzip
import math
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from analyzer.errors import InputError
from analyzer.facts.domain import Box
from analyzer.graph.view import TensorType

LARGEST_FILE = 1 << 27  # bytes, unpacked
MOST_BOXES = 1 << 10
DEEPEST = 64  # parentheses within one another
_TOKEN = re.compile(r"\s+|;[^\n]*|(?P<word>[()\[\],]|[^\s()\[\];,]+)")
_FLIPPED = {"<=": ">=", ">=": "<=", "<": ">", ">": "<", "=": "=", "==": "=="}
_Bounds = dict[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class _List:
    """What stands in parentheses, and on which line."""

    line: int
    parts: list[Any] = field(default_factory=list)  # words and lists

    @property
    def head(self) -> str:
        """The first word; empty where there is none."""
        return self.parts[0] if self.parts and isinstance(self.parts[0], str) else ""


def read_vnnlib(path: Path, inputs: Mapping[str, TensorType]) -> list[dict[str, Box]]:
    """The boxes of the inputs, in double precision; `inputs` have concrete shapes.

    `X_0`, `X_1`, … of version 1 count the elements of all inputs, one input after the other. Inputs of version 2 are
    those of the same name, else they come in the same order.

    Raises:
        OSError: unreadable.
        InputError: it is damaged or too large, or says more than boxes can.
    """
    reading = _Reading(path.name, inputs)
    for statement in _lists(_text(path), path.name):
        reading.take(statement)
    return reading.boxes()


def _text(path: Path) -> str:
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as stream:
            raw = stream.read(LARGEST_FILE + 1)
        if len(raw) > LARGEST_FILE:
            raise InputError(f"{path.name} is larger than {LARGEST_FILE >> 20} MiB: state the box as .npz or JSON.")
        return raw.decode("utf-8")
    except (EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError) as error:
        raise InputError(f"{path.name} is damaged, or no VNN-LIB file: give one as it was published.") from error


def _lists(text: str, name: str) -> Iterator[_List]:
    """The statements of a file."""
    open_lists, line = list[_List](), 1
    for match in _TOKEN.finditer(text):
        word = match["word"]
        if word is None:
            line += match[0].count("\n")
        elif word == "(":
            if len(open_lists) == DEEPEST:
                raise InputError(f"{name}, line {line}: more than {DEEPEST} parentheses within one another.")
            open_lists.append(_List(line))
        elif not open_lists:
            raise InputError(f"{name}, line {line}: {word[:40]!r} stands outside of parentheses.")
        elif word == ")":
            done = open_lists.pop()
            if not open_lists:
                yield done
            else:
                open_lists[-1].parts.append(done)
        else:
            open_lists[-1].parts.append(word)
    if open_lists:
        raise InputError(f"{name}, line {open_lists[0].line}: a parenthesis is never closed.")


@dataclass
class _Reading:
    """What was read so far: which variables there are, and the boxes that all statements leave."""

    name: str
    inputs: Mapping[str, TensorType]
    declared: dict[str, str] = field(default_factory=dict)  # inputs of version 2: their names in the model
    outputs: set[str] = field(default_factory=set)
    networks: int = 0
    found: list[_Bounds] = field(default_factory=lambda: [{}])

    def take(self, statement: _List) -> None:
        """Read one statement.

        Raises:
            InputError: it is not understood.
        """
        if statement.head == "assert" and len(statement.parts) == 2:
            self.found = self._both(self.found, self._ways(statement.parts[1], statement.line), statement.line)
        elif statement.head == "declare-network":
            self._network(statement)
        elif statement.head in ("declare-const", "declare-fun"):
            self._variable(str(statement.parts[1]) if len(statement.parts) > 1 else "", statement.line)
        elif statement.head not in ("vnnlib-version", "set-logic", "set-info"):
            raise self._unknown(statement.line, f"'{statement.head[:40]}'")

    def boxes(self) -> list[dict[str, Box]]:
        """The bounds of every element of every input.

        Raises:
            InputError: an element has none, or nothing fits all statements.
        """
        if not self.found:
            raise InputError(f"{self.name}: no input satisfies all that it says.")
        return [self._box(bounds) for bounds in self.found]

    def _box(self, bounds: _Bounds) -> dict[str, Box]:
        box = {}
        for name, declared in self.inputs.items():
            shape = tuple(int(d or 0) for d in declared.shape or ())
            keys = [f"{name}\0{place}" for place in range(prod(shape))]
            sides = [bounds.get(key, (-math.inf, math.inf)) for key in keys]
            low, high = (np.array([side[end] for side in sides], np.float64).reshape(shape) for end in (0, 1))
            open_ends = np.isinf(low) | np.isinf(high)
            if open_ends.any():
                place = [int(i[0]) for i in np.nonzero(open_ends)]
                raise InputError(f"{self.name}: {name}{place} has no lower or no upper bound: a box needs both.")
            box[name] = Box(low, high)
        return box

    # -- declarations --------------------------------------------------------------------------------------------

    def _network(self, statement: _List) -> None:
        self.networks += 1
        if self.networks > 1:
            raise self._unknown(statement.line, "a second network")
        for part in statement.parts[2:]:
            name = str(part.parts[1]) if isinstance(part, _List) and len(part.parts) > 1 else ""
            if isinstance(part, _List) and part.head == "declare-input":
                self.declared[name] = ""
            elif isinstance(part, _List) and part.head in ("declare-output", "declare-hidden"):
                self.outputs.add(name)
        names = list(self.declared)
        if len(names) != len(self.inputs):
            raise InputError(f"{self.name} speaks of {len(names)} inputs, and the model has {len(self.inputs)}.")
        alike = set(names) == set(self.inputs)
        self.declared = {name: name if alike else own for name, own in zip(names, self.inputs, strict=True)}

    def _variable(self, word: str, line: int) -> str | None:
        """What an element of an input is called here; None for one of an output.

        Raises:
            InputError: it is neither.
        """
        stem, _, number = word.rpartition("_")
        if not self.declared and stem in ("X", "Y") and number.isascii() and number.isdigit() and len(number) < 12:
            return None if stem == "Y" else self._element(int(number), line)
        raise self._unknown(line, f"'{word[:40]}'")

    def _element(self, place: int, line: int) -> str:
        """The element of this number, all inputs counted one after the other."""
        left = place
        for name, declared in self.inputs.items():
            length = prod(int(d or 0) for d in declared.shape or ())
            if left < length:
                return f"{name}\0{left}"
            left -= length
        raise InputError(f"{self.name}, line {line}: X_{place} is beyond what the model's inputs hold.")

    def _indexed(self, word: str, indices: list[int], line: int) -> str | None:
        """The same for version 2, where the name and the indices stand apart."""
        if word in self.outputs:
            return None
        if word not in self.declared:
            raise self._unknown(line, f"'{word[:40]}'")
        own = self.declared[word]
        shape = tuple(int(d or 0) for d in self.inputs[own].shape or ())
        if len(indices) == len(shape) and all(i < n for i, n in zip(indices, shape, strict=True)):
            return f"{own}\0{int(np.ravel_multi_index(indices, shape)) if shape else 0}"
        if len(indices) == 1 and indices[0] < prod(shape):  # declared without the axis of the samples
            return f"{own}\0{indices[0]}"
        raise InputError(f"{self.name}, line {line}: {word}{indices} is beyond the input's shape {list(shape)}.")

    # -- statements about inputs ---------------------------------------------------------------------------------

    def _ways(self, part: Any, line: int) -> list[_Bounds]:
        """The boxes of which one holds where the statement is true; none where it never is."""
        if not isinstance(part, _List):
            raise self._unknown(line, f"'{str(part)[:40]}'")
        if part.head == "and":
            boxes: list[_Bounds] = [{}]
            for each in part.parts[1:]:
                boxes = self._both(boxes, self._ways(each, part.line), part.line)
            return boxes
        if part.head == "or":
            found = [way for p in part.parts[1:] for way in self._ways(p, part.line)]
            self._check_few(len(found), part.line)
            return [{}] if {} in found else found
        if part.head in _FLIPPED and len(self._terms(part)) == 2:
            return self._compared(part)
        raise self._unknown(part.line, f"'{part.head[:40]}'")

    def _both(self, boxes: list[_Bounds], ways: list[_Bounds], line: int) -> list[_Bounds]:
        """The boxes in which one of the ways holds as well; the given ones may be changed."""
        if len(ways) == 1:
            return [box for box in boxes if _narrowed(box, ways[0])]
        self._check_few(len(boxes) * len(ways), line)
        return [met for box in boxes for way in ways if _narrowed(met := dict(box), way)]

    def _check_few(self, boxes: int, line: int) -> None:
        if boxes > MOST_BOXES:
            raise InputError(f"{self.name}, line {line}: more than {MOST_BOXES} boxes: state the one around them.")

    def _compared(self, part: _List) -> list[_Bounds]:
        left, right = (self._linear(term, part.line) for term in self._terms(part))
        if left is None or right is None:
            return [{}]  # of outputs
        (variable, factor, constant), (other, other_factor, other_constant) = left, right
        if variable is not None and other is not None:
            raise self._unknown(part.line, "a relation between two inputs, which is no box,")
        factor, limit = factor - other_factor, other_constant - constant
        variable = variable if variable is not None else other
        test = part.head
        if variable is None or not factor:
            true = {"<=": limit >= 0, ">=": limit <= 0, "<": limit > 0, ">": limit < 0}.get(test, limit == 0)
            return [{}] if true else []
        limit, test = limit / factor, test if factor > 0 else _FLIPPED[test]
        if not math.isfinite(limit):
            raise self._unknown(part.line, "a bound that is no number")
        low = limit if test in (">=", ">", "=", "==") else -math.inf
        high = limit if test in ("<=", "<", "=", "==") else math.inf
        return [{variable: (low, high)}]

    def _terms(self, part: _List) -> list[Any]:
        """What a comparison or a sum is made of: lists, words, and words with indices."""
        terms, rest = list[Any](), part.parts[1:]
        while rest:
            word, rest = rest[0], rest[1:]
            if isinstance(word, str) and rest and rest[0] == "[":
                if "]" not in rest:
                    raise self._unknown(part.line, "'[' without ']'")
                end = rest.index("]")
                digits = [w for w in rest[1:end] if w != ","]
                if not all(isinstance(w, str) and w.isascii() and w.isdigit() and len(w) < 12 for w in digits):
                    raise self._unknown(part.line, f"an index of '{word[:40]}'")
                terms.append((word, [int(w) for w in digits]))
                rest = rest[end + 1 :]
            else:
                terms.append(word)
        return terms

    def _linear(self, term: Any, line: int) -> tuple[str | None, float, float] | None:
        """A variable (None: there is none), its factor and a constant; None where an output is part of it."""
        if isinstance(term, tuple):
            found = self._indexed(term[0], term[1], line)
            return None if found is None else (found, 1.0, 0.0)
        if isinstance(term, str):
            try:
                return None, 0.0, float(term)
            except ValueError:
                bare = self._indexed(term, [], line) if self.declared else self._variable(term, line)
                return None if bare is None else (bare, 1.0, 0.0)
        parts = [self._linear(p, term.line) for p in self._terms(term)]
        if any(p is None for p in parts):
            return None
        known = [p for p in parts if p is not None]
        variables = {p[0] for p in known if p[0] is not None and p[1]}
        if len(variables) > 1 or not known or term.head not in ("+", "-", "*"):
            what = "a sum of several inputs, which is no box," if variables else f"'{term.head[:40]}'"
            raise self._unknown(term.line, what)
        if term.head == "*":
            factor = prod(p[2] for p in known if p[0] is None)
            held = [p for p in known if p[0] is not None]
            if len(held) > 1:
                raise self._unknown(term.line, "a product of inputs, which is no box,")
            return (held[0][0], factor * held[0][1], factor * held[0][2]) if held else (None, 0.0, factor)
        signs = [1.0, *([1.0 if term.head == "+" else -1.0] * (len(known) - 1))]
        signs = [-1.0] if term.head == "-" and len(known) == 1 else signs
        factor = sum(s * p[1] for s, p in zip(signs, known, strict=True))
        return next(iter(variables), None), factor, sum(s * p[2] for s, p in zip(signs, known, strict=True))

    def _unknown(self, line: int, what: str) -> InputError:
        return InputError(f"{self.name}, line {line}: {what} is not understood: state the box as .npz or JSON.")


def _narrowed(box: _Bounds, by: _Bounds) -> bool:
    """Narrow the bounds of a box in place; False where nothing is left."""
    for key, (low, high) in by.items():
        before = box.get(key, (-math.inf, math.inf))
        box[key] = (max(low, before[0]), min(high, before[1]))
        if box[key][0] > box[key][1]:
            return False
    return True
