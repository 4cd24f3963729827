"""Traits of operators that have no rule: what they say saves checks, while facts and cuts stop at them all the same."""

from __future__ import annotations

from dataclasses import replace

from analyzer.ops.operator import CONTRIB, describe
from analyzer.ops.traits import CONTINUOUS, EVERY, STEADY, Traits

_INDEXED = replace(CONTINUOUS, geometry=(1,), passes_geometry=True)

describe(
    CONTINUOUS,
    *("Acos", "Acosh", "Asin", "Asinh", "Atanh", "Attention", "MeanVarianceNormalization"),
    "RotaryEmbedding",
)
describe(_INDEXED, "CumSum", "Trilu")
describe(replace(STEADY, lengths_from=(1, 2), geometry=(1, 2)), "Col2Im")
describe(replace(STEADY, lengths_from=(1, 2), geometry=(1, 2), windows=EVERY), "DFT")  # half as long where one-sided
describe(replace(STEADY, lengths_from=(2,), geometry=(1, 2)), "MaxUnpool")
describe(Traits(draws=False, geometry=(1,), passes_geometry=True), "Compress", "SplitToSequence")
describe(Traits(draws=False, geometry=(2, 3, 4)), "NonMaxSuppression")
describe(_INDEXED, "GatherElements", "GatherND", "ReverseSequence")
describe(replace(STEADY, geometry=(1,)), "RoiAlign")  # rounds places to cells, as GridSample and MaxRoiPool do
describe(STEADY, "ArgMax", "ArgMin", "BitShift", "GridSample", "IsInf", "IsNaN", "MaxRoiPool", "Mod")
describe(replace(STEADY, lengths_from=(1,), geometry=(1,)), "OneHot", "TopK", "CenterCropPad")
describe(replace(CONTINUOUS, lengths_from=(1,), geometry=(1,)), "AffineGrid")
describe(replace(STEADY, lengths_from=(0, 1, 2), geometry=(0, 1, 2), passes_geometry=True), "Range")
describe(replace(STEADY, lengths_from=(0,), geometry=(0,)), "ConstantOfShape")
describe(replace(STEADY, quantises=True), "DynamicQuantizeLinear")
describe(
    CONTINUOUS,
    *("Attention", "BiasSplitGelu", "DecoderMaskedMultiHeadAttention", "MatMulIntegerToFloat"),
    *("MultiHeadAttention", "PackedAttention", "RotaryEmbedding"),
    domain=CONTRIB,
)
describe(replace(CONTINUOUS, geometry=(5, 6)), "GroupQueryAttention", domain=CONTRIB)
describe(replace(STEADY, packed=(0, 3), geometry=(1,)), "GatherBlockQuantized", domain=CONTRIB)
describe(replace(STEADY, quantises=True), "DynamicQuantizeLSTM", "DynamicQuantizeMatMul", "QAttention", domain=CONTRIB)
