"""What is stored in few bits, cut by hand: numbers are unpacked, chosen and packed again."""

from __future__ import annotations

import numpy as np

from analyzer.algebra.keeps import Keeps
from tests.laws.benches import Bench
from tests.models import Array


def pack_anew(bench: Bench, keeps: Keeps, arrays: dict[str, Array]) -> None:
    """Numbers of few bits in the blocks that stay, and the zero points of these."""
    op = bench.op
    size, bits = op.attr("block_size"), op.attr("bits", 4)
    kept, columns = (keeps.vectors(name)[-1] for name in (op.inputs[0], op.outputs[0]))
    blocks = [kept[start : start + size] for start in range(0, len(kept), size)]
    wide = _unpacked(bench.case.arrays[op.inputs[1]][columns], bits)
    some = [np.pad(wide[:, n, : len(b)][:, b], ((0, 0), (0, size - b.sum()))) for n, b in enumerate(blocks) if b.any()]
    arrays[op.inputs[1]] = np.stack([_packed(numbers, bits) for numbers in some], 1)
    zeros = bench.case.arrays[op.inputs[3]] if op.has(3) else None
    if zeros is not None and zeros.shape[1] != len(blocks):
        points = _unpacked(zeros, bits)[columns][:, [n for n, b in enumerate(blocks) if b.any()]]
        arrays[op.inputs[3]] = _packed(points, bits)


def _unpacked(array: Array, bits: int) -> Array:
    return np.stack([array >> shift & (1 << bits) - 1 for shift in range(0, 8, bits)], -1).reshape(
        *array.shape[:-1], -1
    )


def _packed(numbers: Array, bits: int) -> Array:
    each = 8 // bits
    padded = np.pad(numbers, ((0, 0), (0, -numbers.shape[1] % each)))
    return np.asarray(sum(padded[:, place::each] << bits * place for place in range(each)), np.uint8)
