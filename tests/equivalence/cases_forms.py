"""Forms that exporters write around layers: sums over time, look-ups, sampling, shapes that are computed."""

from __future__ import annotations

import numpy as np

from tests.equivalence.cases import Case, killed, weights, zeroed
from tests.equivalence.cases_moving import ints

#: Of six units 1 never fires and 4 is always 1.5; 2 fires at few places and must stay.
ROWS = killed(zeroed(weights(w1=(8, 6), b1=(6,), w2=(6, 4), b2=(4,)), "w1", (1, 4), 1), "b1", (1,))
ROWS = killed(killed(ROWS, "b1", (4,), 1.5), "b1", (2,), -1.0)
MAPS = killed(zeroed(weights(w1=(6, 3, 3, 3), b1=(6,), w2=(4, 6, 1, 1), b2=(4,)), "w1", (1, 4)), "b1", (1,))
MAPS = killed(MAPS, "b1", (4,), 1.5)
IN = "m = MatMul(x, w1) h = Add(m, b1) a = Relu(h) "
OUT = " n = MatMul(f, w2) y = Add(n, b2)"
BOTH, ZERO = 4 * 9 + 4 * 4 + 4, 5 * 9 + 5 * 4 + 4  # parameters left without both dead units, without the silent one

HALVES = {**killed(killed(ROWS, "b1", (4,), -60.0), "b1", (2,), 0.5), "last": ints(-1), "zero": ints(0),
          "two": ints(2), "none": ints(0, 0, 0, 0, 0, 0, 0)}  # fmt: skip

HEADS = """q = MatMul(x, wq) k = MatMul(x, wk) v0 = MatMul(x, wv) v = Add(v0, bv) q1 = Reshape(q, heads)
q2 = Transpose<perm=[0,2,1,3]>(q1) v1 = Reshape(v, heads) v2 = Transpose<perm=[0,2,1,3]>(v1) k1 = Reshape(k, heads)
k2 = Transpose<perm=[0,2,1,3]>(k1) s = Shape(k2) w = Slice(s, last, end) t = Slice(s, before, last)
o = Slice(s, zero, before) p = Concat<axis=0>(last, t, w) k3 = Reshape(k2, p) k4 = Transpose<perm=[0,2,1]>(k3)
r = Concat<axis=0>(o, w, t) k5 = Reshape(k4, r) l = MatMul(q2, k5) m = Softmax(l) a = MatMul(m, v2)
c = Transpose<perm=[0,2,1,3]>(a) d = Reshape(c, joined) e = MatMul(d, wo) y = Add(e, bo)"""
ATTENDING = {**zeroed(weights(wq=(8, 8), wk=(8, 8), wv=(8, 8), bv=(8,), wo=(8, 8), bo=(8,)), "wv", range(4, 8), 1),
             "heads": ints(0, 0, 2, 4), "last": ints(-1), "end": ints(1 << 62), "before": ints(-2), "zero": ints(0),
             "joined": ints(0, 0, 8)}  # fmt: skip
STEPS_FIRST = """t = Transpose<perm=[1,0,2]>(x) q = MatMul(t, wq) k = MatMul(t, wk) v0 = MatMul(t, wv) v = Add(v0, bv)
q1 = Reshape(q, heads) q2 = Transpose<perm=[1,2,0,3]>(q1) k1 = Reshape(k, heads) k2 = Transpose<perm=[1,2,3,0]>(k1)
v1 = Reshape(v, heads) v2 = Transpose<perm=[1,2,0,3]>(v1) l = MatMul(q2, k2) m = Softmax(l) a = MatMul(m, v2)
c = Transpose<perm=[2,0,1,3]>(a) d = Reshape(c, flat) e = Gemm(d, wo, bo) s = Shape(t) o = Slice(s, zero, two)
r = Concat<axis=0>(o, eight) f = Reshape(e, r) y = Transpose<perm=[1,0,2]>(f)"""
PROJECTED = {**ATTENDING, "flat": ints(-1, 8), "two": ints(2), "eight": ints(8)}
TWICE = (
    "t = Transpose<perm=[1,0,2]>(x) s = Shape(t) w = Gather(s, place2) d0 = Div(w, number2) "
    + " ".join(
        f"{v}0 = MatMul(t, w{v}) {v}1 = Add({v}0, b{v}) s{v} = Shape(t) n{v} = Gather(s{v}, place0) "
        f"c{v} = Gather(s{v}, place1) m{v} = Mul(c{v}, number2) "
        f"i{v} = Unsqueeze(n{v}, zero) j{v} = Unsqueeze(m{v}, zero) d{v} = Unsqueeze(d0, zero) "
        f"p{v} = Concat<axis=0>(i{v}, j{v}, d{v}) {v}2 = Reshape({v}1, p{v}) {v}3 = Transpose<perm=[1,0,2]>({v}2) "
        f"k{v} = Unsqueeze(c{v}, zero) l{v} = Unsqueeze(n{v}, zero) e{v} = Unsqueeze(d0, zero) "
        f"r{v} = Concat<axis=0>(k{v}, two, l{v}, e{v}) {v}4 = Reshape({v}3, r{v})"
        for v in "qkv"
    )
    + """ k5 = Transpose<perm=[0,1,3,2]>(k4) l = MatMul(q4, k5) m = Softmax(l) a = MatMul(m, v4)
c = Transpose<perm=[2,0,1,3]>(a) d = Reshape(c, flat) e = Gemm(d, wo, bo) o = Slice(s, zero, two)
r = Concat<axis=0>(o, eight) f = Reshape(e, r) y = Transpose<perm=[1,0,2]>(f)"""
)
COMPUTED = {**PROJECTED, **weights(bq=(8,), bk=(8,)), "place0": np.array(0), "place1": np.array(1),
            "place2": np.array(2), "number2": np.array(2)}  # fmt: skip
MASK = ("v = ReduceMean(x, last) g = Greater(v, least) k = Cast<to=7>(g) s = Shape(a) s0 = Gather(s, first) "
        "s1 = Gather(s, second) s2 = Gather(s, third) d = Concat<axis=0>(s0, s1, s2) ")  # fmt: skip
POOLED = {**ROWS, "least": np.array(1e-9, np.float32), "first": ints(0), "second": ints(1), "third": ints(2),
          "last": ints(-1), "one": ints(1), "flat": ints(-1), "minus": ints(-1, -1, -1),
          "ones": ints(1, 1, 1)}  # fmt: skip

PLACES = zeroed(weights(p=(1, 16, 6)), "p", (1, 4), 2)["p"]

FORMS = (
    Case("sums of all steps so far", (5, 8), IN + "f = CumSum(a, axis)" + OUT, {**ROWS, "axis": np.array(1)}, ZERO,
         out="A,B,C"),  # a constant that is added up is none
    Case("the upper triangle over steps and places", (3, 5, 8),
         IN + "t = Transpose<perm=[0,3,1,2]>(a) u = Trilu(t) f = Transpose<perm=[0,2,3,1]>(u)" + OUT, ROWS, ZERO),
    Case("the largest of all steps", (5, 8), IN + "f, i = TopK<axis=1>(a, k)" + OUT, {**ROWS, "k": ints(2)}, BOTH,
         out="A,B,C"),
    Case("some steps", (5, 8), IN + "f = Compress<axis=1>(a, some)" + OUT,
         {**ROWS, "some": np.array([1, 0, 1, 1, 0], np.bool_)}, BOTH, out="A,B,C"),
    Case("the steps that stored indices name", (5, 8),
         IN + "t = Transpose<perm=[1,0,2]>(a) g = GatherND(t, which) f = Transpose<perm=[1,0,2]>(g)" + OUT,
         {**ROWS, "which": np.array([[4], [0], [0]])}, BOTH, out="A,B,C"),
    Case("the step where the score is the highest", (5, 8),
         IN + "s = MatMul(a, ws) i = ArgMax<axis=1, keepdims=0>(s) f = GatherND<batch_dims=1>(a, i)" + OUT,
         {**ROWS, **weights(ws=(6, 1))}, BOTH + 5, out="A,B"),
    Case("places that the model computes", (3, 6, 6),
         "h = Conv(x, w1, b1) a = Relu(h) p = Conv(a, wp, bp) g = Tanh(p) q = Transpose<perm=[0,2,3,1]>(g) "
         "f = GridSample(a, q) y = Conv(f, w2, b2)",
         {**MAPS, **weights(wp=(2, 6, 1, 1), bp=(2,))}, 5 * 28 + 5 * 6 + 6, opset=16),
    Case("not a number, replaced", (5, 8), IN + "j = IsNaN(a) f = Where(j, b1, a)" + OUT, ROWS, BOTH, out="A,B,C"),
    Case("halves whose bounds are computed from the width", (5, 8),
         IN + "s = Shape(a) w = Gather(s, last) n = Div(w, two) p = Slice(a, zero, n, last) q = Slice(a, n, w, last) "
         "g = Mul(p, q) y = MatMul(g, w3)", {**HALVES, **weights(w3=(3, 4))}, 4 * 9 + 2 * 4, out="A,B,C"),
    Case("the mean of what a mask leaves", (5, 8), IN + MASK + "e = Expand(k, d) m2 = Cast<to=1>(e) p = Mul(a, m2) "
         "t = ReduceSum<keepdims=0>(p, one) q = ReduceSum<keepdims=0>(m2, one) c = Clip(q, least) f = Div(t, c)" + OUT,
         POOLED, ZERO, out="A,B"),
    Case("the mean of what a mask leaves, where its shape might hold -1 for all that the file says", (5, 8),
         IN + MASK + "j = Reshape(d, flat) i = Equal(j, minus) u = Where(i, ones, j) e = Expand(k, u) "
         "m2 = Cast<to=1>(e) p = Mul(a, m2) t = ReduceSum<keepdims=0>(p, one) q = ReduceSum<keepdims=0>(m2, one) "
         "c = Clip(q, least) f = Div(t, c)" + OUT, POOLED, ZERO, out="A,B", free=(0,)),
    Case("divided by its size over all steps", (5, 8),
         IN + "q = Mul(a, a) s = ReduceMean(q, one) e = Add(s, least) r = Sqrt(e) f = Div(a, r)" + OUT,
         {**POOLED, **killed(zeroed(weights(w1=(8, 6), b1=(6,)), "w1", (1,), 1), "b1", (1,))}, ZERO,
         out="A,B,C", tolerance=1e-4),
    Case("a list of halves whose sizes are computed from the width", (5, 8),
         IN + "s = Shape(a) w = Gather(s, last) n = Div(w, two) o = Concat<axis=0>(n, n) "
         "l = SplitToSequence<axis=-1>(a, o) p = SequenceAt(l, first) q = SequenceAt(l, second) g = Mul(p, q) "
         "y = MatMul(g, w3)", {**HALVES, **weights(w3=(3, 4)), "first": np.array(0), "second": np.array(-1)},
         4 * 9 + 2 * 4, out="A,B,C"),
    Case("a list of two layers, stacked", (5, 8),
         IN + "t = Tanh(a) e = SequenceEmpty() l = SequenceInsert(e, a) k = SequenceInsert(l, t) "
         "c = ConcatFromSequence<axis=-1, new_axis=1>(k) f = Reshape(c, both) y = MatMul(f, w3)",
         {**ROWS, **weights(w3=(12, 4)), "both": ints(0, 0, 12)}, 4 * 9 + 8 * 4 + 4, out="A,B,C"),
    Case("padded to a multiple of the width", (3, 6, 5),
         "h = Conv(x, w1, b1) a = Relu(h) s = Shape(a) w = Gather(s, last) n = Mod(w, two) p = Concat<axis=0>(none, n) "
         "f = Pad(a, p) y = Conv(f, w2, b2)", {**MAPS, **HALVES, "w1": MAPS["w1"], "b1": MAPS["b1"], "w2": MAPS["w2"],
         "b2": MAPS["b2"]}, 5 * 28 + 5 * 4 + 4),
    Case("padded to a multiple of a width that is free", (3, 6, 5),
         "h = Conv(x, w1, b1) a = Relu(h) s = Shape(a) w = Gather(s, last) n = Mod(w, two) p = Concat<axis=0>(none, n) "
         "f = Pad(a, p) y = Conv(f, w2, b2)", {**MAPS, "last": ints(-1), "two": ints(2), "none": ints(*7 * [0])},
         5 * 28 + 5 * 4 + 4, free=(2,)),
    Case("copies of the border, as many as a free width asks for", (3, 6, 5),
         "h = Conv(x, w1, b1) a = Relu(h) s = Shape(a) w = Gather(s, last) n = Mod(w, two) p = Concat<axis=0>(none, n) "
         'q = Reshape(p, table) r = Transpose(q) u = Transpose(r) v = Reshape(u, flat) f = Pad<mode="edge">(a, v) '
         "y = Conv(f, w2, b2)", {**MAPS, "last": ints(-1), "two": ints(2), "none": ints(*7 * [0]),
         "table": ints(2, 4), "flat": ints(-1)}, 4 * 28 + 4 * 4 + 4, free=(2,)),
    *(Case(f"a head whose values are {what}, of keys transposed while samples and heads are one axis", (5, 8), HEADS,
           killed(ATTENDING, "bv", range(4, 8), value), 4 * 32 + 4 + 8, out="A,B,C", free=(0,))
      for what, value in (("zero", 0.0), ("constant", 0.7))),
    *(Case(f"a head whose values are {what}, in front of a product over {steps} times samples", (5, 8), STEPS_FIRST,
           killed(PROJECTED, "bv", range(4, 8), value), 4 * 32 + 4 + 8, out="A,B,C", free=free)
      for steps, free in (("five steps", ()), ("steps", (0,))) for what, value in (("zero", 0.0), ("constant", 0.7))),
    *(Case(f"a head whose values are {what}, of views whose lengths are computed anew each time", (5, 8), TWICE,
           killed(COMPUTED, "bv", range(4, 8), value), 4 * 32 + 3 * 4 + 8, out="A,B,C", free=(0,))
      for what, value in (("zero", 0.0), ("constant", 0.7))),
    Case("a head that a product over steps times samples does not read", (5, 8), STEPS_FIRST,
         zeroed({**PROJECTED, **weights(wv=(8, 8))}, "wo", range(4, 8)), 4 * 32 + 4 + 8, out="A,B,C", free=(0,)),
    Case("every second unit, and the others backwards", (5, 8),
         "m = MatMul(x, w4) h = Add(m, b4) a = Relu(h) p = Slice(a, zero, end, last, two) "
         "q = Slice(a, end, front, last, back) r = Slice(q, zero, end, last, two) g = Mul(p, r) y = MatMul(g, w5)",
         {**killed(weights(w4=(8, 8), b4=(8,), w5=(4, 4)), "b4", (2, 3, 5, 7)), "zero": ints(0), "end": ints(99),
          "last": ints(-1), "two": ints(2), "back": ints(-1), "front": ints(-99)}, 2 * 9 + 4, out="A,B,C"),
    Case("places that are added as far as the steps go", (5, 8),
         IN + "s = Shape(x) t = Gather(s, one) p = Slice(places, zero, t, one) f = Add(a, p)" + OUT,
         {**ROWS, "places": PLACES, "zero": ints(0), "one": ints(1)}, BOTH + 4 * 16, out="A,B,C", free=(0,)),
)  # fmt: skip
