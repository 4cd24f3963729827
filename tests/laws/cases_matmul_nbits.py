"""Cases of a product with numbers of few bits, and wrong rules for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from analyzer.ops import matmul_nbits
from analyzer.ops.contraction import Contraction
from analyzer.ops.operator import CONTRIB
from tests.laws import laws, shrink_laws
from tests.laws.benches import Case
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


def _highest_bits_first(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = matmul_nbits._unpacked
    monkeypatch.setattr(matmul_nbits, "_unpacked", lambda packed, bits: honest(packed, bits)[..., ::-1])


def _every_level_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matmul_nbits, "_rounds", lambda node: False)


def _a_bias_for_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matmul_nbits.MatMulNBits, "bias_holds", Contraction.bias_holds)


def _half_a_byte_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    honest: Any = matmul_nbits.MatMulNBits.axes

    def axes(self: Any, node: Any) -> Any:
        found = honest(self, node)
        return replace(found, whole=found.whole - {"i"})

    monkeypatch.setattr(matmul_nbits.MatMulNBits, "axes", axes)


def _lengths_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matmul_nbits.MatMulNBits, "shrink", Contraction.shrink)


FAULTS: list[laws.Fault] = [
    (_highest_bits_first, "MatMulNBits", laws.constants_are_constant),
    (_every_level_is_exact, "MatMulNBits", laws.unneeded_inputs_change_nothing),
    (_a_bias_for_all_rows, "MatMulNBits", shrink_laws.shrunk_nodes_agree),
    (_half_a_byte_goes, "MatMulNBits", laws.cut_nodes_agree),
    (_lengths_as_they_were, "MatMulNBits", shrink_laws.shrunk_nodes_agree),
]
