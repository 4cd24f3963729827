"""Operators that have no rule: their traits save checks, and letters count what some of them multiply.

Facts and cuts stop at them all the same. What no entry names is taken to sum products that nobody counted.
"""

from __future__ import annotations

from dataclasses import replace

from analyzer.graph.blocked_channels import BLOCKED
from analyzer.ops.axes import Axes
from analyzer.ops.operator import CONTRIB, describe
from analyzer.ops.traits import CONTINUOUS, EVERY, STEADY, SUMMING, Traits

_UNKNOWN = Traits(sums_products=False)

_CONVOLUTION = Axes("X: n c *s, W: o i *k -> Y: n o *t", loops="n o i k t")

describe(CONTINUOUS, "Acos", "Acosh", "Asin", "Asinh", "Atanh", "MeanVarianceNormalization")
describe(replace(STEADY, lengths_from=(1, 2), geometry=(1, 2)), "Col2Im")
_HALVED = replace(STEADY, lengths_from=(1, 2), geometry=(1, 2), windows=EVERY, sums_products=True)
describe(_HALVED, "DFT")  # half as long where one-sided
describe(replace(STEADY, lengths_from=(2,), geometry=(1, 2)), "MaxUnpool")
_LIST = "a list of tensors that leaves the model, or whose sizes or positions are computed"
describe(replace(_UNKNOWN, draws=False, geometry=(1,), passes_geometry=True), "SplitToSequence", why=_LIST)
describe(
    _UNKNOWN,
    *("ConcatFromSequence", "SequenceAt", "SequenceConstruct", "SequenceEmpty", "SequenceErase", "SequenceInsert"),
    "SequenceLength",
    why=_LIST,
)
describe(STEADY, "BitShift")
describe(replace(STEADY, lengths_from=(1,), geometry=(1,)), "CenterCropPad")
describe(_UNKNOWN, "Loop", "Scan", "SequenceMap", why="what goes from step to step, and in and out, stays as it is")
describe(replace(CONTINUOUS, lengths_from=(1,), geometry=(1,)), "AffineGrid")
describe(
    _UNKNOWN,
    *("Bernoulli", "BitCast", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "BlackmanWindow", "CastLike"),
    *("Constant", "CumProd", "EyeLike", "HammingWindow", "HannWindow", "Multinomial"),
    *("Optional", "OptionalGetElement", "OptionalHasElement", "RandomNormal", "RandomNormalLike", "RandomUniform"),
    *("RandomUniformLike", "RegexFullMatch", "Scatter", "StringConcat", "StringNormalizer", "StringSplit"),
    "TensorScatter",
)
describe(CONTINUOUS, "BiasSplitGelu", domain=CONTRIB)
describe(SUMMING, "DecoderMaskedMultiHeadAttention", "PackedAttention", domain=CONTRIB)
_WHY = "laid out in blocks by onnxruntime's full optimisation; audit the file from before it"
describe(Traits(), "Conv", sums=_CONVOLUTION, domain=BLOCKED, why=_WHY)
describe(
    _UNKNOWN,
    *("AveragePool", "GlobalAveragePool", "GlobalMaxPool", "MaxPool", "ReorderInput", "ReorderOutput", "Upsample"),
    domain=BLOCKED,
    why=_WHY,
)
