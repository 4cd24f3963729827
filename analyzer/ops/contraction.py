"""Sums of products over shared axes: MatMul, Gemm, Einsum and their fused and integer forms.

One letter per axis says everything: MatMul is `...mk,...kn->...mn`, Gemm `mk,kn->mn` or transposed. An axis of length
1 that broadcasts gets a letter of its own. Shared letters that the output lacks are contracted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.algebra.pattern import Array, Mask
from analyzer.graph import Node
from analyzer.graph.deferred import Deferred
from analyzer.ops.axes import Axes
from analyzer.ops.correspondence import Correspondence
from analyzer.ops.largest import Stored, weighted_sum
from analyzer.ops.node import OpNode
from analyzer.ops.node_edit import Cut, Edit, cut_array, cut_when_read, removed_constants
from analyzer.ops.operator import Operator, activates, register
from analyzer.ops.product_letters import Letters, matmul_letters, meet, project
from analyzer.ops.pull_back import Tape
from analyzer.ops.traits import EVERY, SUMMING
from analyzer.ops.weighted_sum import WeightedSum

MOST_LETTERS = 26
EINSUM_SINCE = 12  # the opset


@dataclass(frozen=True, slots=True)
class Sides:
    """The stored operand and the other one: their positions and letters."""

    weight: int
    data: int
    own: tuple[int, ...]
    read: tuple[int, ...]


class Contraction(Operator):
    """Mixing: an output element is constant when every product in its sum is."""

    stated = SUMMING
    a, b = 0, 1
    bias: int | None = None

    def letters(self, node: OpNode) -> Letters:
        """The letters of this call."""
        return matmul_letters(node.x_shape(self.a), node.x_shape(self.b))

    def operand(self, node: OpNode, xs: Sequence[Constants], position: int) -> Constants:
        """The operand's constants as they enter the products (zero points taken off)."""
        return xs[position]

    def scale(self, node: OpNode) -> float:
        """Factor on the sum of products."""
        return 1.0

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        a, b, letters = self.operand(node, xs, self.a), self.operand(node, xs, self.b), self.letters(node)
        total = self._total(node, a, b, letters)
        for position, text, values, other in ((self.a, letters.a, b, letters.b), (self.b, letters.b, a, letters.a)):
            axis = node.averages[position] if node.averages else None
            if axis is not None and values.any and letters.summed == {text[axis]} == {*letters.contracted}:
                mean = self._mean(node, values, other, other.index(text[axis]), letters)
                known = total.known | mean.known
                total = Constants(known, np.where(total.known, total.number, mean.number))
        return [self.with_bias(node, xs, total)]

    def _mean(self, node: OpNode, values: Constants, text: Sequence[int], axis: int, letters: Letters) -> Constants:
        """The averages of values along an axis of theirs: where all of them are one constant, that constant."""
        known, low = values.even(axis)
        one = np.ones((), np.bool_), ()
        unknown = meet(~known, text, *one, letters.y)
        number = self.scale(node) * project(np.where(known, low, 0.0), text, *one, letters.y)
        return Constants(~unknown, np.where(unknown, 0.0, number))

    def _total(self, node: OpNode, a: Constants, b: Constants, letters: Letters) -> Constants:
        """The sums of which all products are known."""
        rank = len(letters.y)
        if not ((a.any and b.any) or a.zero.any() or b.zero.any()):
            return Constants.unknown(rank)
        bad = self._unknown_products(a, b, letters)
        if self._free_sum(node, letters):  # of more or fewer products in the next feed: only zeros stay zero
            bad = meet(~a.zero, letters.a, ~b.zero, letters.b, letters.y)
        if bad.all():
            return Constants.unknown(rank)
        return Constants(~bad, np.where(bad, 0.0, self._summed(node, a, b, letters, bad)))

    def _summed(self, node: OpNode, a: Constants, b: Constants, letters: Letters, bad: Mask) -> Array:
        """The sums that are not bad; weights that only bad ones take are not made numbers."""
        alone = {*letters.y} & ({*letters.a} ^ {*letters.b})
        axes = {letter: axis for axis, letter in enumerate(letters.y) if letter in alone and bad.shape[axis] > 1}
        wanted = {
            i: np.flatnonzero(pattern.per_index(~bad, axis, bad.shape[axis], every=False)) for i, axis in axes.items()
        }
        a, b = a.taken(letters.a, wanted), b.taken(letters.b, wanted)
        number_a = _wide(a.number, letters.a, letters.contracted, node.x_shape(self.a))
        found = self.scale(node) * project(number_a, letters.a, b.number, letters.b, letters.y)
        lengths = [len(wanted[i]) if i in wanted else d for i, d in zip(letters.y, found.shape, strict=True)]
        value = np.zeros([bad.shape[axes[i]] if i in axes else d for i, d in zip(letters.y, found.shape, strict=True)])
        places = (wanted.get(i, np.arange(d)) for i, d in zip(letters.y, found.shape, strict=True))
        value[np.ix_(*places)] = np.broadcast_to(found, lengths)
        return value

    def _free_sum(self, node: OpNode, letters: Letters) -> bool:
        """Whether the number of products in a sum depends on how many samples there are, or how long they are."""
        for position, text in ((self.a, letters.a), (self.b, letters.b)):
            free = node.in_free[position] if position < len(node.in_free) else ()
            if any(text[axis] in letters.contracted for axis in free if axis < len(text)):
                return True
        return False

    def _unknown_products(self, a: Constants, b: Constants, letters: Letters) -> Mask:
        """Whether some product in an output element's sum is unknown."""
        a_some, b_some = ~a.zero, ~b.zero
        a_open, b_open = ((some & ~x.known) if not x.all else ~x.known for some, x in ((a_some, a), (b_some, b)))
        bad = meet(a_open, letters.a, b_some, letters.b, letters.y)
        if b_open.any():
            bad = bad | meet(a_some, letters.a, b_open, letters.b, letters.y)
        return bad

    def transposed(self, node: OpNode, position: int, tape: Tape, rows: str, output: int = 0) -> str | None:
        """The rows times the other operand; of the stored one as a matrix where that is enough."""
        if position not in (self.a, self.b) or node.x_dtype != node.y_dtype:
            return None
        letters, other = self.letters(node), self.b if position == self.a else self.a
        own, read = (letters.a, letters.b) if position == self.a else (letters.b, letters.a)
        stored, summed = node.static(other), letters.contracted
        as_rows = bool(own and letters.y) and own[:-1] == letters.y[:-1] and letters.y[-1] not in own
        if stored is not None and as_rows and [*own[-1:]] == summed and {*read} == {own[-1], letters.y[-1]}:
            matrix, scale = stored if read[-1] == own[-1] else stored.T, self.scale(node)
            scaled = matrix if scale == 1 else np.asarray(matrix, np.float64) * scale
            return tape.add("MatMul", rows, tape.number(scaled, node.x_dtype))
        names = {letter: chr(ord("a") + place) for place, letter in enumerate({*own, *read, *letters.y})}
        if not {*own} <= {*read, *letters.y} or len(names) > MOST_LETTERS or tape.editor.opset < EINSUM_SINCE:
            return None
        terms = ["".join(names[i] for i in side) for side in (letters.y, read, own)]
        back = tape.add("Einsum", rows, node.node.inputs[other], equation=f"{terms[0]},{terms[1]}->{terms[2]}")
        scale = self.scale(node)
        return back if scale == 1 else tape.add("Mul", back, tape.number([scale], node.x_dtype))

    def with_bias(self, node: OpNode, xs: Sequence[Constants], total: Constants) -> Constants:
        """The sum with the bias operand added, where there is one."""
        if self.bias is None or not node.has(self.bias):
            return total
        c = xs[self.bias]
        missing = (None,) * (total.rank - c.rank)
        known = total.known & c.known[missing]
        value = total.number + self.bias_scale(node) * c.number[missing]
        return Constants(known, np.where(known, value, 0.0))

    def bias_scale(self, node: OpNode) -> float:
        """Factor on the bias operand."""
        return 1.0

    def absorbs(self, node: OpNode, xs: Sequence[Constants]) -> tuple[Mask, Mask]:
        """Which operand elements the shrunk node can do without: zeros, and constants met by a stored weight."""
        a, b, letters = self.operand(node, xs, self.a), self.operand(node, xs, self.b), self.letters(node)
        free_a, free_b = a.zero, b.zero
        if self.can_add_bias(node):
            if node.static(self.b) is not None:
                free_a = free_a | _uniform_known(a, letters.a, letters.contracted, node.x_shape(self.a))
            if node.static(self.a) is not None:
                free_b = free_b | _uniform_known(b, letters.b, letters.contracted, node.x_shape(self.b))
        return free_a, free_b

    def can_add_bias(self, node: OpNode) -> bool:
        """Whether a constant can be moved into a bias; sums of whole numbers are not, they wrap around."""
        stored = [array for array in (node.static(self.a), node.static(self.b)) if array is not None]
        return all(array.dtype.kind not in "iub" for array in stored)

    def needs(self, node: OpNode, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]) -> list[Mask]:
        letters = self.letters(node)
        a, b = self.operand(node, xs, self.a), self.operand(node, xs, self.b)
        free_a, free_b = self.absorbs(node, xs)
        level_a, level_b = (self._level(node, x, text, yc) for x, text in ((a, letters.a), (b, letters.b)))
        asked = ys[0] & ~self.fillable(node, yc[0].known)
        result = [pattern.uniform(x.rank, True) for x in xs]
        live_b = ~level_b & (~free_b if node.static(self.a) is not None else ~b.zero)
        result[self.a] = ~free_a & ~level_a & meet(asked, letters.y, live_b, letters.b, letters.a)
        live_a = ~level_a & (~free_a if node.static(self.b) is not None else ~a.zero)
        result[self.b] = ~free_b & ~level_b & meet(asked, letters.y, live_a, letters.a, letters.b)
        for position in self.per_output(node):
            result[position] = pattern.any_to(ys[0], node.x_shape(position))
        return result

    def _level(self, node: OpNode, x: Constants, text: Sequence[int], yc: Sequence[Constants]) -> Mask:
        """Elements that add the same to all sums along an axis where that changes nothing: they are one along it."""
        letters = self.letters(node)
        letter = None if node.level is None or yc[0].any else letters.y[node.level]
        if letter not in text or letter in {*letters.a} & {*letters.b}:  # products vary along an axis of both
            return pattern.uniform(x.rank, False)
        axis = text.index(letter)
        return x.even(axis)[0]

    def per_output(self, node: OpNode) -> list[int]:
        """Inputs whose elements each belong to outputs, along whose last axes they are repeated: the bias."""
        return [self.bias] if self.bias is not None and node.has(self.bias) else []

    def fillable(self, node: OpNode, known: Mask) -> Mask:
        """Which constant output elements a bias alone can give: those whose column of the weight may go.

        They must be constant along every axis that the weight lacks, since it is the same for all of them.
        """
        sides = self._sides(node)
        dynamic_bias = self.bias is not None and node.has(self.bias) and node.static(self.bias) is None
        if sides is None or not self.can_add_bias(node) or dynamic_bias:
            return np.zeros_like(known)
        others = tuple(axis for axis, i in enumerate(self.letters(node).y) if i not in sides.own)
        return pattern.every(known, others, keepdims=True)

    def _sides(self, node: OpNode) -> Sides | None:
        stored, letters = [p for p in (self.a, self.b) if node.static(p) is not None], self.letters(node)
        if len(stored) != 1:
            return None
        if stored == [self.b]:
            return Sides(self.b, self.a, letters.b, letters.a)
        return Sides(self.a, self.b, letters.a, letters.b)

    def weighted_sum(self, node: OpNode) -> WeightedSum | None:
        sides, letters = self._sides(node), self.letters(node)
        if sides is None:
            return None
        weight, own, summed = sides.weight, sides.own, letters.contracted
        units = [axis for axis, letter in enumerate(letters.y) if letter in own and letter not in sides.read]
        matrix = len(summed) == len(units) == 1 and len(own) == 2
        return WeightedSum(
            data=sides.data,
            weight=weight,
            bias=self.bias,
            axis=sides.read.index(summed[0]) if len(summed) == 1 else None,
            unit_axis=units[0] if len(units) == 1 else None,
            dequantised=(lambda: self._rows(node, weight, own.index(summed[0]))) if matrix else None,
            added=lambda length: self.added(node, length),
            stored_axis=own.index(summed[0]) if len(summed) == 1 else None,
            plain=np.asarray(node.static(weight)).dtype.kind not in "iub",
            absorbs=self.can_add_bias(node),
            activated=activates(self.activation(node)),
            step=self.step(node, weight),
            scales=(self.scale(node), self.bias_scale(node)),
        )

    def multiplied(self, node: OpNode) -> tuple[int, int] | None:
        computed = node.static(self.a) is None and node.static(self.b) is None
        return (self.a, self.b) if computed and not self.per_output(node) else None

    def summed_axes(self, node: OpNode, position: int) -> tuple[int, ...]:
        letters = self.letters(node)
        own = letters.a if position == self.a else letters.b if position == self.b else ()
        return tuple(axis for axis, letter in enumerate(own) if letter in letters.contracted)

    def _rows(self, node: OpNode, position: int, axis: int) -> Array:
        matrix = self.numbers(node, position) if axis == 1 else self.numbers(node, position).T
        factor = self.scale(node)
        return (matrix if factor == 1 else matrix * factor)[:, :, np.newaxis]

    def numbers(self, node: OpNode, position: int) -> Array:
        """The numbers that a stored operand stands for."""
        return np.asarray(node.static(position))

    def step(self, node: OpNode, position: int) -> float | None:
        """What a whole stored operand was rounded to."""
        return None

    def added(self, node: OpNode, length: int) -> Array | None:
        """The bias as it is added, per unit or for all; None where it is computed, or counted in other units."""
        if self.bias is None or not node.has(self.bias):
            return np.zeros(length)
        array = node.static(self.bias)
        return None if array is None else array * self.bias_scale(node)

    def shrink(self, node: OpNode, cut: Cut) -> Edit:
        """Constants that go are added to the bias; constant outputs that do not follow from inputs are filled in."""
        edit, letters = Edit(), self.letters(node)
        if not self.can_add_bias(node):
            return edit
        sides = self._sides(node)
        delta = np.zeros((1,) * len(letters.y)) if sides is None else self._moved(node, cut, letters, sides)
        fill = self.fillable(node, cut.ys[0].known)
        if all(cut.keeps.get((node.inputs[self.a], letters.a.index(i))).all() for i in letters.contracted):
            fill = fill & ~cut.derived[0].known  # every term is still there
        if sides is not None and fill.any():
            fill_value, every = cut.ys[0].number, pattern.uniform(len(sides.own), True)
            columns = meet(fill, letters.y, every, sides.own, sides.own)
            edit.inputs |= self.cleared(node, cut, sides.weight, columns)
            bias = self.with_bias(node, cut.xs, Constants.exactly(np.zeros((1,) * len(letters.y)))).number
            delta = np.where(fill, fill_value - bias, delta)
        if delta.any():
            self._add_bias(node, cut, delta, edit)
        return edit

    def cleared(self, node: OpNode, cut: Cut, position: int, columns: Mask) -> dict[int, Array | Deferred]:
        """New stored inputs in which these columns of the weight are zero."""
        stored = np.asarray(node.static(position))
        return {position: cut_when_read(stored, cut.keeps.vectors(node.inputs[position]), columns)}

    def _moved(self, node: OpNode, cut: Cut, letters: Letters, sides: Sides) -> Array:
        """What the constants that go always added to the output, as a pattern of it."""
        total = np.zeros((1,) * len(letters.y))
        if not letters.contracted:
            return total
        axis = sides.read.index(letters.contracted[0])
        known, value = self.operand(node, cut.xs, sides.data).per_index(axis, node.x_shape(sides.data)[axis])
        gone = removed_constants(known, value, cut.keeps.get((node.inputs[sides.data], axis)))
        which = np.flatnonzero(gone)
        if not len(which):
            return total
        letter = letters.contracted[0]
        weights = self.operand(node, cut.xs, sides.weight).taken(sides.own, {letter: which}).number
        shaped = pattern.on_axis(gone[which], axis, len(sides.read))
        return total + self.scale(node) * project(shaped, sides.read, weights, sides.own, letters.y)

    def _add_bias(self, node: OpNode, cut: Cut, delta: Array, edit: Edit) -> None:
        """Into the bias operand where there can be one, else as a summand behind the node."""
        vectors = cut.keeps.vectors(node.outputs[0])
        if self.bias is None or not self.bias_holds(node, delta):
            kept = [v if d > 1 else np.ones(1, np.bool_) for v, d in zip(vectors, delta.shape, strict=False)]
            edit.add = cut_array(delta, kept)
            return
        static, scale = node.static(self.bias), self.bias_scale(node)
        base = np.zeros(()) if static is None else np.asarray(static, np.float64) * (scale or 1.0)
        if scale == 0 or (static is None and scale != 1):  # a new bias counts as it is, wherever it is put
            base, scale = np.zeros(()), 1.0
            edit.attributes["beta"] = 1.0
        total = (base + delta) / scale
        if total.shape[0] == 1 and (static is None or static.ndim < 2):
            total = total[0]
        wide = vectors[-total.ndim :]
        kept = [v if d > 1 else np.ones(1, np.bool_) for v, d in zip(wide, total.shape, strict=True)]
        weight = self.b if node.static(self.b) is not None else self.a
        dtype = static.dtype if static is not None else self.numbers(node, weight).dtype
        edit.inputs[self.bias] = cut_array(total, kept).astype(dtype)

    def bias_holds(self, node: OpNode, delta: Array) -> bool:
        """Whether the bias operand, an input of this operator, can take a summand."""
        return self.bias is not None and (not node.has(self.bias) or node.static(self.bias) is not None)

    def axes(self, node: OpNode) -> Correspondence:
        letters = self.letters(node)
        named = {i: f"l{i}" for i in (*letters.a, *letters.b, *letters.y)}
        texts = {self.a: letters.a, self.b: letters.b}
        for position in self.per_output(node):
            rank = len(node.x_shape(position))
            texts[position] = letters.y[len(letters.y) - rank :] if rank <= len(letters.y) else ()
        inputs = [f"x{p}: {' '.join(named[i] for i in texts[p])}" if p in texts else "_" for p in range(max(texts) + 1)]
        alone = (set(letters.a) ^ set(letters.b)) - set(letters.y)
        units = self._units(node, letters)
        return Axes(
            f"{', '.join(inputs)} -> Y: {' '.join(named[i] for i in letters.y)}",
            whole=" ".join(named[i] for i in alone),
            one=" ".join(named[i] for i in letters.contracted),
            made=None if units is None else " ".join(named[i] for i in units),
            loops=" ".join(named[i] for i in {*letters.a, *letters.b}),
        )(node)

    def _units(self, node: OpNode, letters: Letters) -> set[int] | None:
        """The letters that the stored operand brings; None between two activations, which both may bring some."""
        stored = [node.static(self.a) is not None, node.static(self.b) is not None]
        if not any(stored):
            return None
        weight = set() if all(stored) else set(letters.a if stored[0] else letters.b) - set(letters.contracted)
        return weight - (set(letters.a) & set(letters.b)) or weight


def _wide(array: Array, letters: Sequence[int], contracted: Sequence[int], shape: Sequence[int]) -> Array:
    """Contracted axes written out, so that sums over them count every element."""
    for axis, letter in enumerate(letters):
        if letter in contracted:
            array = pattern.along(array, axis, shape[axis])
    return array


def _uniform_known(x: Constants, letters: Sequence[int], contracted: Sequence[int], shape: Sequence[int]) -> Mask:
    """Elements whose slice along the contracted axis is one constant, so that a bias can take it."""
    axes = [axis for axis, letter in enumerate(letters) if letter in contracted]
    if len(axes) != 1:
        return x.zero
    known, _ = x.per_index(axes[0], shape[axes[0]])
    return pattern.on_axis(known, axes[0], x.rank)


class MatMul(Contraction):
    """The float product with nothing fused to it."""

    stated = replace(SUMMING, carries_nan=EVERY, carries_infinity=EVERY)

    def magnitude(self, node: Node, xs: Sequence[float | None], stored: Stored) -> float | None:
        return None if xs[0] is None else weighted_sum(xs[0], stored(1), -2)


register(MatMul(), "MatMul")
