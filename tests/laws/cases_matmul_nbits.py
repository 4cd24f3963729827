"""Cases of products and look-ups with numbers of few bits, and wrong rules for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from analyzer.ops import gather_blocks, matmul_nbits, quantize_linear
from analyzer.ops.contraction import Contraction
from analyzer.ops.operator import CONTRIB
from tests.laws import laws, shrink_laws
from tests.laws.benches import Case, whole
from tests.laws.draws import Draw, call, cases_for


@cases_for("MatMulNBits", domain=CONTRIB)
def few_bits(d: Draw, op: str) -> Case:
    bits, size, columns = d.pick([2, 4, 4, 4, 8]), 16, d.whole(1, 4)
    inner = size * d.whole(1, 5) - (d.whole(1, 15) if d.flag(0.2) else 0)
    blocks = -(-inner // size)
    packed = d.ints(0, 255, columns, blocks, size * bits // 8, dtype=np.uint8)
    scales = np.abs(d.normal(columns, blocks)) / 2**bits * d.pick([1, 1, d.ints(0, 1, columns, blocks)])
    kind = d.pick(["none", "packed", "packed", "float" if bits < 8 else "none"])  # as onnxruntime takes them
    zeros = {"none": None, "packed": d.ints(0, 255, columns, -(-blocks * bits // 8), dtype=np.uint8)}.get(
        kind, d.ints(0, 2**bits - 1, columns, blocks, dtype=np.float32)
    )
    bias = d.normal(columns) if d.flag() else None
    level = d.pick([None, 0, 1, 2, 3, 4])
    named: dict[str, Any] = {"K": inner, "N": columns, "bits": bits, "block_size": size, "accuracy_level": level}
    x = d.normal(*d.shape(1, 2, 3), inner)
    inputs = (x, packed, scales.astype(np.float32), zeros, None, bias)
    spelled = {"K": ("x0", -1), "N": ("y0", -1)}
    tolerance = 1e-4 if level and level > 1 else 2e-5
    return call(op, *inputs, opset=20, domain=CONTRIB, tolerance=tolerance, spelled=spelled, **named)


@cases_for("GatherBlockQuantized", domain=CONTRIB)
def table_of_blocks(d: Draw, op: str) -> Case:
    bits, size, rows = d.pick([2, 4, 4, 8]), 16, d.whole(1, 5)
    columns = size * d.whole(1, 5) - (d.pick([4, 8]) if d.flag(0.2) else 0)
    blocks = -(-columns // size)
    data, zeros = (d.ints(0, 255, rows, -(-length * bits // 8), dtype=np.uint8) for length in (columns, blocks))
    scales = np.abs(d.normal(rows, blocks))
    named: dict[str, Any] = {
        "bits": bits,
        "block_size": size,
        "gather_axis": d.pick([None, 0]),
        "quantize_axis": d.pick([None, 1, -1]),
    }
    inputs = (data, d.ints(0, rows - 1, *d.shape(0, 2, 3)), scales, zeros if d.flag(0.7) else None)
    samplers = {1: whole(0, rows - 1)}
    return call(op, *inputs, opset=20, domain=CONTRIB, fed=(1,), samplers=samplers, constants=False, **named)


def _highest_bits_first(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = matmul_nbits._unpacked
    monkeypatch.setattr(matmul_nbits, "_unpacked", lambda packed, bits: honest(packed, bits)[..., ::-1])


def _every_level_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matmul_nbits, "_rounds", lambda node: False)


def _a_bias_for_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matmul_nbits.MatMulNBits, "bias_holds", Contraction.bias_holds)


def _the_last_block_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matmul_nbits, "_packed", lambda numbers, bits, length=0: np.full((1, length * bits // 8), 90))


def _zero_points_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = matmul_nbits._packed
    monkeypatch.setattr(matmul_nbits, "_packed", lambda n, bits, length=0: honest(n if length else n * 0, bits, length))


def _lengths_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matmul_nbits.MatMulNBits, "shrink", Contraction.shrink)


def _the_block_before(monkeypatch: pytest.MonkeyPatch) -> None:
    honest: Any = gather_blocks.GatherBlocks.needs

    def needs(self: Any, node: Any, *others: Any) -> Any:
        return [
            mask if position == 1 else np.roll(mask, 1, -1) for position, mask in enumerate(honest(self, node, *others))
        ]

    monkeypatch.setattr(gather_blocks.GatherBlocks, "needs", needs)


def _one_scale_for_two_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    honest: Any = quantize_linear.Linear.parameter

    def parameter(self: Any, node: Any, *others: Any) -> Any:
        return np.roll(honest(self, node, *others), 1, self.axis(node))

    monkeypatch.setattr(quantize_linear.Linear, "parameter", parameter)


FAULTS: list[laws.Fault] = [
    (_highest_bits_first, "MatMulNBits", laws.constants_are_constant),
    (_every_level_is_exact, "MatMulNBits", laws.unneeded_inputs_change_nothing),
    (_a_bias_for_all_rows, "MatMulNBits", shrink_laws.shrunk_nodes_agree),
    (laws.letters_part(matmul_nbits.MatMulNBits, "s"), "MatMulNBits", laws.cut_nodes_agree),
    (_the_last_block_as_it_was, "MatMulNBits", shrink_laws.shrunk_nodes_agree),
    (_zero_points_as_they_were, "MatMulNBits", shrink_laws.shrunk_nodes_agree),
    (_lengths_as_they_were, "MatMulNBits", shrink_laws.shrunk_nodes_agree),
    (laws.letters_part(quantize_linear.Linear, "s"), "DequantizeLinear", laws.cut_nodes_agree),
    (_one_scale_for_two_blocks, "DequantizeLinear", laws.constants_are_constant),
    (laws.letters_part(gather_blocks.GatherBlocks, "i", "s"), "GatherBlockQuantized", laws.cut_nodes_agree),
    (_the_block_before, "GatherBlockQuantized", laws.unneeded_inputs_change_nothing),
]
