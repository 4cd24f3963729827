"""Which axes of two operands and of the sum of their products are one: a letter (a number) for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from math import prod

import numpy as np

from analyzer.algebra.pattern import Array, Mask

SLICE = 1 << 24  # elements of a mask that become numbers at a time, which take four times the memory


@dataclass(frozen=True, slots=True)
class Letters:
    """One letter (a number) per axis of the two operands and of the output."""

    a: tuple[int, ...]
    b: tuple[int, ...]
    y: tuple[int, ...]

    @property
    def contracted(self) -> list[int]:
        """Letters that both operands share and the output lacks."""
        return [i for i in self.a if i in self.b and i not in self.y]

    @property
    def summed(self) -> set[int]:
        """Letters that the output lacks."""
        return {*self.a, *self.b} - {*self.y}


def matmul_letters(a: Sequence[int], b: Sequence[int]) -> Letters:
    """Letters of numpy's matmul for these shapes."""
    fresh = count(100)
    k, m, n = 0, 1, 2
    core_a = (m, k) if len(a) > 1 else (k,)
    core_b = (k, n) if len(b) > 1 else (k,)
    batch_a, batch_b = a[:-2], b[:-2]
    rank = max(len(batch_a), len(batch_b))
    out, la, lb = [], [], []
    for axis in range(rank):
        i, j = axis - rank + len(batch_a), axis - rank + len(batch_b)
        da, db = (batch_a[i] if i >= 0 else 1), (batch_b[j] if j >= 0 else 1)
        letter = 3 + axis
        out.append(letter)
        if i >= 0:
            la.append(letter if da >= db or da > 1 else next(fresh))
        if j >= 0:
            lb.append(letter if db >= da or db > 1 else next(fresh))
    y = (*out, *((m,) if len(a) > 1 else ()), *((n,) if len(b) > 1 else ()))
    return Letters((*la, *core_a), (*lb, *core_b), y)


def project(
    left: Array, left_letters: Sequence[int], right: Array, right_letters: Sequence[int], onto: Sequence[int]
) -> Array:
    """Sum of products with the letters of `onto`; a letter neither operand has gets length 1."""
    present = [i for i in onto if i in left_letters or i in right_letters]
    lengths: dict[int, int] = {}
    for array, letters in ((left, left_letters), (right, right_letters)):
        for letter, length in zip(letters, array.shape, strict=True):
            lengths[letter] = max(length, lengths.get(letter, 1))

    def fitted(array: Array, letters: Sequence[int]) -> Array:
        shared = [lengths[i] if i not in onto else d for i, d in zip(letters, array.shape, strict=True)]
        return np.broadcast_to(array, shared)

    names = {letter: position for position, letter in enumerate(dict.fromkeys((*left_letters, *right_letters)))}
    total = np.einsum(
        fitted(left, left_letters), [names[i] for i in left_letters],
        fitted(right, right_letters), [names[i] for i in right_letters],
        [names[i] for i in present], optimize=True,
    )  # fmt: skip
    shape, axes = [1] * len(onto), iter(total.shape)
    for position, letter in enumerate(onto):
        if letter in present:
            shape[position] = next(axes)
    return np.asarray(total.reshape(shape))


def meet(
    left: Mask, left_letters: Sequence[int], right: Mask, right_letters: Sequence[int], onto: Sequence[int]
) -> Mask:
    """Whether some product that is summed onto an element has both of its factors among these."""
    lengths: dict[int, int] = {}
    for mask, letters in ((left, left_letters), (right, right_letters)):
        for letter, length in zip(letters, mask.shape, strict=True):
            lengths[letter] = max(length, lengths.get(letter, 1))
    result = prod(lengths.get(letter, 1) for letter in onto)
    if max(left.size, right.size, result) <= SLICE:
        numbers = left.astype(np.float32), right.astype(np.float32)
        return project(numbers[0], left_letters, numbers[1], right_letters, onto) > 0
    longest = max(lengths, key=lengths.__getitem__)
    parts = [
        meet(_part(left, left_letters, longest, half), left_letters, _part(right, right_letters, longest, half),
             right_letters, onto)
        for half in (slice(lengths[longest] // 2), slice(lengths[longest] // 2, None))
    ]  # fmt: skip
    return np.concatenate(parts, axis=onto.index(longest)) if longest in onto else parts[0] | parts[1]


def _part(mask: Mask, letters: Sequence[int], letter: int, part: slice) -> Mask:
    shape = zip(letters, mask.shape, strict=True)
    return mask[tuple(part if i == letter and length > 1 else slice(None) for i, length in shape)]
