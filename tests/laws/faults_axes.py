"""Wrong letters: each of these breaks a law."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from analyzer.ops import binary, concat, contraction, conv, gemm, movements, norm, recurrent, reduce, unary
from analyzer.ops.axes import Axes
from analyzer.ops.correspondence import Lettered
from analyzer.ops.move import Take
from analyzer.ops.product_letters import Letters
from tests.laws import laws, sample_laws

Patch = Callable[[pytest.MonkeyPatch], None]


def _altered(rule: type[Any], **changes: Any) -> Patch:
    """A fault that gives a described call other letters."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        honest = rule.axes
        method = isinstance(honest, type(_altered))

        def axes(self: Any, node: Any) -> Any:
            return replace(honest(self, node) if method else honest(node), **changes)

        monkeypatch.setattr(rule, "axes", axes)

    return patch


def _said(rule: type[Any], axes: Axes) -> Patch:
    return lambda monkeypatch: monkeypatch.setattr(rule, "axes", axes)


def _parts_shifted(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = concat.ConcatRule.axes

    def axes(self: Any, node: Any) -> Any:
        found: Any = honest(self, node)
        chains = [
            ((Take(c[0].axis, np.roll(np.arange(c[0].length), 1)[: len(c[0].indices)], c[0].length),), name, shape)
            for c, name, shape in found.chains
        ]
        return replace(found, chains=tuple(chains))

    monkeypatch.setattr(concat.ConcatRule, "axes", axes)


def _gemm_letters_swapped(monkeypatch: pytest.MonkeyPatch) -> None:
    def letters(self: Any, node: Any) -> Any:
        return Letters((0, 1), (1, 2), (0, 2))  # whatever is transposed

    monkeypatch.setattr(gemm.Gemm, "letters", letters)


def _tied_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Lettered.tied
    monkeypatch.setattr(
        Lettered,
        "tied",
        lambda self, ref, index: [(o, (i + 1) % max(1 + i.max(), 2), p) for o, i, p in honest(self, ref, index)],
    )


_NOTHING: frozenset[str] = frozenset()
_NO_GROUPS = Axes("X: n a *s, W: o i *k, B: o -> Y: n o *t", whole="s k t", one="a i")

AXES_FAULTS: list[tuple[str, Patch, str, laws.Law]] = [
    ("parts of a Concat shifted", _parts_shifted, "Concat", laws.cut_nodes_agree),
    ("steps cut", _altered(movements.SliceRule, whole=_NOTHING), "Slice", laws.cut_nodes_agree),
    ("positions cut", _altered(conv.ConvRule, whole=_NOTHING), "Conv", laws.cut_nodes_agree),
    ("no channel left", _altered(conv.ConvRule, one=_NOTHING), "Conv", laws.cut_nodes_agree),
    ("groups forgotten", _said(conv.ConvRule, _NO_GROUPS), "Conv", laws.cut_nodes_agree),
    ("half the products", _altered(conv.ConvRule, loops=(("n", "g", "o"),)), "Conv", laws.products_are_counted),
    ("one factor too many", _altered(contraction.Contraction, loops=(("l0",),)), "MatMul",
     laws.products_are_counted),
    ("nothing summed", _altered(contraction.Contraction, one=_NOTHING), "MatMul", laws.cut_nodes_agree),
    ("letters swapped", _gemm_letters_swapped, "Gemm", laws.letters_fit),
    ("a letter too few", _said(unary.Unary, Axes("X: a -> Y: a")), "Relu", laws.letters_fit),
    ("operands apart", _said(binary.Aligned, Axes("A: *a, B: *b -> Y: *a")), "Mul", laws.cut_nodes_agree),
    ("channels apart", _said(norm.PerChannel, Axes("X: n c *s, a: b, b: b, c: b, d: b -> Y: n c *s")),
     "BatchNormalization", laws.cut_nodes_agree),
    ("normalised axes cut", _altered(norm.Normalised, whole=_NOTHING), "LayerNormalization", laws.cut_nodes_agree),
    ("reduced axes cut", _altered(reduce.ReduceRule, whole=_NOTHING), "ReduceMean", laws.cut_nodes_agree),
    ("tied to another", _tied_to_another, "Relu", laws.tied_slots_stay_together),
    ("samples in a Softmax", _altered(norm.Softmax, whole=_NOTHING), "Softmax", sample_laws.samples_stay_apart),
    ("time steps as samples", _altered(recurrent.Recurrent, whole=frozenset("d")), "LSTM",
     sample_laws.samples_stay_apart),
    ("samples normalised together", _altered(norm.Normalised, whole=_NOTHING), "LayerNormalization",
     sample_laws.samples_stay_apart),
    ("table rows cut", _altered(movements.GatherRule, whole=_NOTHING), "Gather", laws.cut_nodes_agree),
]  # fmt: skip
