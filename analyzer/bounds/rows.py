"""Rows of factors of one value, carried back to what they are linear in: nodes that onnxruntime runs.

A row stands for a sum of elements times factors. Through what is linear it goes by the operator the other way round;
through what bends by the line above where a factor is positive, and by the line below where it is negative, so that the
sum is never underestimated. It ends at inputs, and at values that nothing is known of but bounds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from math import prod

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.bounds.arithmetic import TINIEST
from analyzer.bounds.formulas import Formulas
from analyzer.bounds.lines import Lines
from analyzer.bounds.region import LINED, SINGLE, Kind, Region, Terms
from analyzer.bounds.sizes import Sizes
from analyzer.errors import RunError
from analyzer.facts.domain import Box
from analyzer.facts.statistics import Ints
from analyzer.graph import Editor, LoadedModel, widen_stored
from analyzer.ops.context import Call
from analyzer.ops.pull_back import Tape, from_taps, tap_by_tap
from analyzer.runtime.session import Session

ROW_BYTES = 1 << 25  # that rows of all values may take at a time
LEAST_OPSET = 13
_ONE = np.ones((), np.float32)
_DOUBLE = 2.0**-51  # more than twice the rounding of an operation in double precision


class RowGraph:
    """The way back from one value, ready to run.

    Attributes:
        ends: values at which rows end.
        wide: whether rows are in double precision.
    """

    def __init__(
        self, loaded: LoadedModel, region: Region, start: str, *, threads: int | None, wide: bool = False
    ) -> None:
        """`wide`: in double precision.

        Raises:
            RunError: onnxruntime does not run it, as it may where it has no kernels for double precision.
        """
        self._region, self.start, self.wide = region, start, wide
        self._shapes, self._dtype = region.context.shapes, "float64" if wide else "float32"
        editor = Editor(loaded.copy())
        editor.empty(max(LEAST_OPSET, editor.opset))
        if wide:
            widen_stored(editor.loaded)
        self._tape = Tape(editor, "", region.batched, wide)
        self._rows = editor.input("rows", self._dtype, self._shape(start, None))
        self._formulas = Formulas(editor, frozenset())
        self._slopes: dict[str, tuple[str, str]] = {}  # of what bends: those of the lines below and above
        self._through: dict[str, tuple[Call, int]] = {}  # values that rows go through, and what makes them
        self._adds: dict[str, int] = {}
        found = {start: self._rows}
        for call in reversed(region.context.calls):
            for output, name in enumerate(call.outputs):
                if name in found and self._carried(call, output, found):
                    self._through[name] = call, output
        self._found = found
        self.ends = tuple(name for name in found if name not in self._through)
        #: Whether several rows share a run, each with slopes of its own.
        self.shared = region.batched or self._rank_one()
        made = sorted({*found.values()} - {self._rows})
        editor.output(*made)
        editor.finish()
        self._session = Session(editor.loaded, threads=threads) if made else None
        if self._session is not None and {*self._session.output_types.values()} != {self._dtype}:
            self.close()
            raise RunError(f"Rows of {start} are not in {self._dtype} throughout.")
        sizes = sum(prod(self._shapes[name]) for name in found)
        self.together = max(ROW_BYTES // (np.dtype(self._dtype).itemsize * max(sizes, 1)), 1)

    def close(self) -> None:
        """Free the session."""
        if self._session is not None:
            self._session.close()

    @property
    def through(self) -> Mapping[str, Call]:
        """The values that rows go through, and what makes them."""
        return {name: call for name, (call, _) in self._through.items()}

    def _shape(self, name: str, rows: int | None) -> list[int | None]:
        """Of rows of a value; where nothing has more than one axis rows may stand in front."""
        return self._lengths(self._shapes[name], rows)

    def _lengths(self, shape: Sequence[int], rows: int | None) -> list[int | None]:
        return [rows, *shape[1:]] if self._region.batched else [rows, *shape] if len(shape) == 1 else [*shape]

    def _rank_one(self) -> bool:
        """Whether all on the way are vectors, and no operator adds elements up but by a matrix."""
        kinds = self._region.kinds
        for call, _ in self._through.values():
            kind, same = (
                kinds[call.op.node.index],
                all(call.op.x_shape(p) == call.op.y_shape() for p in self._region.computed(call)),
            )
            if kind not in (Kind.SUM, Kind.AFFINE, Kind.BENT) or (kind is not Kind.SUM and not same):
                return False
        return all(len(self._shapes[name]) == 1 for name in self._found)

    def _carried(self, call: Call, output: int, found: dict[str, str]) -> bool:
        """Carry the rows of an output back to what it is made of; False where they end there."""
        kind, name = self._region.kinds.get(call.op.node.index), call.outputs[output]
        if kind is None:
            return False
        rows, back = found[name], dict[str, list[str]]()
        for position in self._region.computed(call):
            if kind in LINED:
                part: str | None = self._by_lines(call, name, rows)
            else:
                part = call.rule.transposed(call.op, position, self._tape, rows, output)
            if part is None:
                return False
            back.setdefault(call.op.node.inputs[position], []).append(part)
        for source, parts_of in back.items():
            for part in parts_of:
                found[source] = self._tape.both(found[source], part) if source in found else part
                self._adds[source] = self._adds.get(source, 0) + 1
        return True

    def _by_lines(self, call: Call, name: str, rows: str) -> str:
        """By the line above where a factor is positive, by the line below where it is negative."""
        tape, window, shape = self._tape, call.rule.largest_of(call.op), list(self._shapes[name])
        if window is not None:
            shape[1] *= prod(window.kernel)
            rows = tap_by_tap(call.op, tape, rows, window)
        lengths = self._lengths(shape, None)  # slopes may differ from row to row
        low, high = (tape.editor.input(f"{name}/{side}", self._dtype, lengths) for side in ("below", "above"))
        self._slopes[name], nothing = (low, high), tape.number(0, SINGLE)
        f = self._formulas
        below, above = f.smallest(rows, nothing), f.largest(rows, nothing)
        part = f.plus(f.times(below, low), f.times(above, high))
        return part if window is None else from_taps(call.op, tape, part, window)

    def run(
        self, rows: Array, boxes: Mapping[str, Box], sizes: Sizes, lines: Mapping[str, Lines]
    ) -> tuple[Array, dict[str, Array]]:
        """What no sum exceeds, row by row, and the factors at the ends.

        `lines` are those around what bends, by the value that comes out. Rows are [rows, elements], and so are the
        factors. Nothing is known where a value on the way has no bounds: rounding to 0 would count for much there.
        """
        if not self.bounded(boxes):
            return np.full(len(rows), np.inf), {n: np.zeros((len(rows), prod(self._shapes[n]))) for n in self.ends}
        terms, totals = self.terms(boxes, sizes, lines), list[Array]()
        ends = {name: list[Array]() for name in self.ends}
        for place in range(0, len(rows), self.together):
            factors = self.factors(rows[place : place + self.together], lines)
            totals.append(self.total(factors, terms, boxes))
            for name, parts in ends.items():
                parts.append(factors[name])
        return np.concatenate(totals), {n: np.concatenate(parts) for n, parts in ends.items()}

    def bounded(self, boxes: Mapping[str, Box]) -> bool:
        """Whether all values on the way have bounds."""
        return all(name in boxes and _finite(boxes[name]) for name in self._found)

    def factors(self, rows: Array, lines: Mapping[str, Lines]) -> dict[str, Array]:
        """By value the factors that rows have there, [rows, elements]; no more rows than fit `together`."""
        slopes = {fed: self._fed(side) for name, pair in self._slopes.items()
                  for fed, side in zip(pair, (lines[name].low, lines[name].high), strict=True)}  # fmt: skip
        return self._factors(rows, slopes)

    def total(
        self,
        factors: Mapping[str, Array],
        terms: Mapping[str, Terms],
        boxes: Mapping[str, Box],
        parts: Ints | None = None,
    ) -> Array:
        """What no sum of rows with these factors exceeds.

        `parts`: by row, in rising order, which entry of terms it is that counts, of those that have several.
        """
        together = dict[str, Terms]()
        for name in factors:
            row = self._found[name]  # several values have the same where what lies between them only shifts
            before, own = together.get(row), terms[name]
            together[row] = own if before is None else Terms(before.low + own.low, before.high + own.high)
        rows = {self._found[name]: part for name, part in factors.items()}
        summed = (_summed(part, together[row], parts) for row, part in rows.items())
        total = sum(summed, np.zeros(())) + self._lost(boxes)
        return np.where(np.isnan(total), np.inf, total)

    def terms(
        self, boxes: Mapping[str, Box], sizes: Sizes, lines: Mapping[str, Lines], values: Collection[str] = ()
    ) -> dict[str, Terms]:
        """What these values (none: all on the way) add to sums."""
        return {name: self._terms(name, boxes, sizes, lines) for name in values or self._found}

    def _factors(self, rows: Array, slopes: Mapping[str, Array]) -> dict[str, Array]:
        if not self.shared and len(rows) > 1:
            parts = [self._factors(row[np.newaxis], slopes) for row in rows]
            return {name: np.concatenate([part[name] for part in parts]) for name in self._found}
        lengths = [len(rows) if length is None else length for length in self._shape(self.start, None)]
        fed = np.asarray(rows, self._dtype).reshape(lengths)
        results = (
            {} if self._session is None else self._session.run({self._rows: fed, self._formulas.one: _ONE, **slopes})
        )
        results[self._rows] = fed
        return {name: results[made].reshape(len(rows), -1) for name, made in self._found.items()}

    def _fed(self, slopes: Array) -> Array:
        """With an axis of rows, where there is one."""
        alone = not self._region.batched and slopes.ndim == 1
        return np.asarray(slopes[np.newaxis] if alone else slopes, self._dtype)

    def _lost(self, boxes: Mapping[str, Box]) -> float:
        """What products that are rounded to 0 can come to, over all that is read on the way."""
        region, lost = self._region, 0.0
        for call, _ in self._through.values():
            reads = [boxes[call.op.node.inputs[p]] for p in region.computed(call)]
            largest = sum(float(np.maximum(np.abs(b.low), np.abs(b.high)).sum(dtype=np.float64)) for b in reads)
            lost += 4 * (region.readers(call) + 2) * TINIEST * largest
        return lost

    def _terms(self, name: str, boxes: Mapping[str, Box], sizes: Sizes, lines: Mapping[str, Lines]) -> Terms:
        if name in self._through:
            call, output = self._through[name]
            read = [self._adds.get(call.op.node.inputs[p], 1) for p in self._region.computed(call)]
            return self._region.added(call, output, boxes, sizes, lines.get(name), max(read, default=1), self.wide)
        box = boxes[name]
        return Terms(box.low.astype(np.float64), box.high.astype(np.float64))


def _finite(box: Box) -> bool:
    return bool(np.isfinite(box.low).all() and np.isfinite(box.high).all())


def _summed(factors: Array, terms: Terms, parts: Ints | None = None) -> Array:
    """The largest that factors times numbers between two ends add up to, and a little more for our own rounding."""
    count = factors.shape[1]
    low, high = (end.reshape(-1, count) for end in (terms.low, terms.high))  # [1, elements], or [rows, elements]
    middle, radius = (low + high) / 2, (high - low) / 2
    radius = radius + (count + 16) * _DOUBLE * (np.abs(middle) + radius)
    wide = factors.astype(np.float64, copy=False)
    if len(low) == 1:
        return np.asarray(wide @ middle[0] + np.abs(wide) @ radius[0])
    if parts is not None:
        return _by_part(wide, middle, radius, parts)
    return np.asarray(np.einsum("re,re->r", wide, middle) + np.einsum("re,re->r", np.abs(wide), radius))


def _by_part(factors: Array, middle: Array, radius: Array, parts: Ints) -> Array:
    """The same for rows of several parts, in their order: small products of matrices, which fit into a cache."""
    found, sizes = np.empty(len(factors)), np.abs(factors)
    bounds = np.searchsorted(parts, np.arange(parts[0], parts[-1] + 2)) if len(parts) else np.zeros(1, np.int64)
    for part, (start, end) in enumerate(pairwise(bounds.tolist()), int(parts[0]) if len(parts) else 0):
        rows = slice(start, end)
        found[rows] = factors[rows] @ middle[part] + sizes[rows] @ radius[part]
    return found
