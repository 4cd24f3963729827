"""Operators that have no rule: their traits save checks, and letters count what some of them multiply.

Facts and cuts stop at them all the same. What no entry names is taken to sum products that nobody counted.
"""

from __future__ import annotations

from dataclasses import replace

from analyzer.ops.axes import Axes
from analyzer.ops.correspondence import Correspondence
from analyzer.ops.node import OpNode
from analyzer.ops.operator import CONTRIB, describe
from analyzer.ops.traits import CONTINUOUS, EVERY, STEADY, SUMMING, Traits

BLOCKED = "com.microsoft.nchwc"  # onnxruntime's convolutions over channels in blocks, of its highest optimisation level
_UNKNOWN = Traits(sums_products=False)

_CONVOLUTION = Axes("X: n c *s, W: o i *k -> Y: n o *t", loops="n o i k t")
_PACKED = Axes("X: b s i, W: i p -> Y: b s v", loops="b s i p | b s s v | b s s v")


def _with_projection(node: OpNode) -> Correspondence:
    """Queries, keys and values of one width, made of one input by stored weights."""
    uneven = node.attr("qkv_hidden_sizes") or node.x_shape(1)[-1] != 3 * node.y_shape()[-1]
    return Correspondence(outputs=node.outputs) if uneven or len(node.out_shapes) > 1 else _PACKED(node)


describe(CONTINUOUS, "Acos", "Acosh", "Asin", "Asinh", "Atanh", "MeanVarianceNormalization")
describe(replace(STEADY, lengths_from=(1, 2), geometry=(1, 2)), "Col2Im")
_HALVED = replace(STEADY, lengths_from=(1, 2), geometry=(1, 2), windows=EVERY, sums_products=True)
describe(_HALVED, "DFT")  # half as long where one-sided
describe(replace(STEADY, lengths_from=(2,), geometry=(1, 2)), "MaxUnpool")
describe(replace(_UNKNOWN, draws=False, geometry=(1,), passes_geometry=True), "SplitToSequence")
describe(STEADY, "BitShift")
describe(replace(STEADY, lengths_from=(1,), geometry=(1,)), "CenterCropPad")
describe(_UNKNOWN, "Loop", "Scan", "SequenceMap", why="what goes from step to step, and in and out, stays as it is")
describe(replace(CONTINUOUS, lengths_from=(1,), geometry=(1,)), "AffineGrid")
describe(
    _UNKNOWN,
    *("Bernoulli", "BitCast", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "BlackmanWindow", "CastLike"),
    *("ConcatFromSequence", "Constant", "CumProd", "EyeLike", "HammingWindow", "HannWindow", "Multinomial"),
    *("Optional", "OptionalGetElement", "OptionalHasElement", "RandomNormal", "RandomNormalLike", "RandomUniform"),
    *("RandomUniformLike", "RegexFullMatch", "Scatter", "SequenceAt", "SequenceConstruct", "SequenceEmpty"),
    *("SequenceErase", "SequenceInsert", "SequenceLength", "StringConcat", "StringNormalizer", "StringSplit"),
    "TensorScatter",
)
describe(CONTINUOUS, "BiasSplitGelu", domain=CONTRIB)
describe(SUMMING, "DecoderMaskedMultiHeadAttention", "PackedAttention", domain=CONTRIB)
_DYNAMIC = replace(STEADY, quantises=True, shares_scale=True, sums_products=True)
describe(replace(_DYNAMIC, shares_scale=False), "QAttention", sums=_with_projection, domain=CONTRIB)
_WHY = "laid out in blocks by onnxruntime's full optimisation; audit the file from before it"
describe(Traits(), "Conv", sums=_CONVOLUTION, domain=BLOCKED, why=_WHY)
describe(
    _UNKNOWN,
    *("AveragePool", "GlobalAveragePool", "GlobalMaxPool", "MaxPool", "ReorderInput", "ReorderOutput", "Upsample"),
    domain=BLOCKED,
    why=_WHY,
)
