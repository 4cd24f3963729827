"""More of them: values that are moved, split, joined and shared on the way."""

from __future__ import annotations

import numpy as np

from tests.equivalence.cases import Case, killed, weights, zeroed
from tests.models import Array

WIDE = killed(weights(w1=(6, 3, 3, 3), b1=(6,), w2=(4, 96), b2=(4,)), "b1", (1, 4))
SHUFFLE = """h = Conv(x, w1, b1)
a = Relu(h)
r = Reshape(a, s1)
t = Transpose<perm=[0,2,1,3,4]>(r)
u = Reshape(t, s2)"""


def ints(*numbers: int) -> Array:
    return np.array(numbers, np.int64)


MOVING = (
    Case(
        "flatten",
        (3, 6, 6),
        "h = Conv(x, w1, b1)\na = Relu(h)\nf = Flatten(a)\ny = Gemm<transB=1>(f, w2, b2)",
        WIDE,
        4 * 28 + 4 * 65,
        out="A,B",
    ),
    Case(
        "reshape instead of flatten",
        (3, 6, 6),
        "h = Conv(x, w1, b1)\na = Relu(h)\nf = Reshape(a, s)\ny = Gemm<transB=1>(f, w2, b2)",
        {**WIDE, "s": ints(-1, 96)},
        4 * 28 + 4 * 65,
        out="A,B",
    ),
    Case(
        "reshape with the batch copied",
        (3, 6, 6),
        "h = Conv(x, w1, b1)\na = Relu(h)\nf = Reshape(a, s)\ny = Gemm<transB=1>(f, w2, b2)",
        {**WIDE, "s": ints(0, 96)},
        4 * 28 + 4 * 65,
        out="A,B",
    ),
    Case(
        "shape arithmetic",
        (3, 6, 6),
        """h = Conv(x, w1, b1)
        a = Relu(h)
        n = Shape<start=0, end=1>(a)
        s = Concat<axis=0>(n, tail)
        f = Reshape(a, s)
        y = Gemm<transB=1>(f, w2, b2)""",
        {**WIDE, "tail": ints(96)},
        4 * 28 + 4 * 65,
        out="A,B",
    ),
    Case(
        "channels last",
        (3, 6, 6),
        """h = Conv(x, w1, b1)
        a = Relu(h)
        t = Transpose<perm=[0,2,3,1]>(a)
        m = MatMul(t, w3)
        y = Add(m, b3)""",
        {**killed(weights(w1=(6, 3, 3, 3), b1=(6,), w3=(6, 4), b3=(4,)), "b1", (1, 4))},
        4 * 28 + 20,
    ),
    Case(
        "split",
        (3, 6, 6),
        """h = Conv(x, w1, b1)
        a = Relu(h)
        p, q = Split<axis=1>(a, s)
        y = Conv(p, w2, b2)
        z = Conv(q, w3, b3)""",
        {
            **killed(
                weights(w1=(6, 3, 3, 3), b1=(6,), w2=(2, 2, 1, 1), b2=(2,), w3=(2, 4, 1, 1), b3=(2,)), "b1", (0, 3, 4)
            ),
            "s": ints(2, 4),
        },
        3 * 28 + 4 + 6,
        extra=", float[E,F,G,H] z",
    ),
    Case(
        "slice",
        (3, 6, 6),
        "h = Conv(x, w1, b1)\na = Relu(h)\np = Slice(a, s, e, ax)\ny = Conv(p, w2, b2)",
        {
            **killed(weights(w1=(6, 3, 3, 3), b1=(6,), w2=(2, 4, 1, 1), b2=(2,)), "b1", (1, 2)),
            "s": ints(1),
            "e": ints(5),
            "ax": ints(1),
        },
        2 * 28 + 6,
    ),
    Case(
        "gather",
        (3, 6, 6),
        "h = Conv(x, w1, b1)\na = Relu(h)\np = Gather<axis=1>(a, i)\ny = Conv(p, w2, b2)",
        {**killed(weights(w1=(6, 3, 3, 3), b1=(6,), w2=(2, 4, 1, 1), b2=(2,)), "b1", (0, 2)), "i": ints(5, 0, 2, 3)},
        2 * 28 + 6,
    ),
    Case(
        "channel shuffle",
        (3, 6, 6),
        f"{SHUFFLE}\ny = Conv(u, w2, b2)",
        {
            **killed(weights(w1=(6, 3, 3, 3), b1=(6,), w2=(2, 6, 1, 1), b2=(2,)), "b1", (1, 4)),
            "s1": ints(-1, 2, 3, 4, 4),
            "s2": ints(-1, 6, 4, 4),
        },
        4 * 28 + 2 * 5,
    ),
    Case(
        "groups that lose different numbers",
        (4, 6, 6),
        """h = Conv(x, w1, b1)
        a = Relu(h)
        g = Conv<group=2>(a, w2, b2)
        r = Relu(g)
        y = Conv(r, w3, b3)""",
        killed(
            killed(
                weights(w1=(6, 4, 1, 1), b1=(6,), w2=(4, 3, 3, 3), b2=(4,), w3=(2, 4, 1, 1), b3=(2,)), "b1", (0, 1, 5)
            ),
            "b2",
            (0, 1, 2, 3),
            60.0,  # never dead
        ),
        4 * 5 + 4 * 19 + 10,  # two stay in each group: the second keeps one of its dead inputs, or is padded
    ),
    Case(
        "transposed convolution",
        (3, 6, 6),
        """h = ConvTranspose<strides=[2,2]>(x, w1, b1)
        a = Relu(h)
        y = ConvTranspose(a, w2, b2)""",
        killed(weights(w1=(3, 6, 2, 2), b1=(6,), w2=(6, 2, 2, 2), b2=(2,)), "b1", (0, 5)),
        4 * 13 + 4 * 8 + 2,
    ),
    Case(
        "weights shared by two layers",
        (4, 6, 6),
        """h = Conv<pads=[1,1,1,1]>(x, w1, b1)
        a = Relu(h)
        g = Conv<pads=[1,1,1,1]>(a, w1, b1)
        b = Relu(g)
        y = Conv(b, w3, b3)""",
        killed(weights(w1=(4, 4, 3, 3), b1=(4,), w3=(2, 4, 1, 1), b3=(2,)), "b1", (1, 2)),
        4 * 37 + 6,
    ),
    Case(
        "attention with dead values",
        (5, 8),
        """q0 = MatMul(x, wq)
        k0 = MatMul(x, wk)
        v0 = MatMul(x, wv)
        q1 = Reshape(q0, s)
        k1 = Reshape(k0, s)
        v1 = Reshape(v0, s)
        q = Transpose<perm=[0,2,1,3]>(q1)
        k = Transpose<perm=[0,2,3,1]>(k1)
        v = Transpose<perm=[0,2,1,3]>(v1)
        qk = MatMul(q, k)
        p = Softmax<axis=-1>(qk)
        o = MatMul(p, v)
        t = Transpose<perm=[0,2,1,3]>(o)
        f = Reshape(t, back)
        y = MatMul(f, wo)""",
        {
            # the same value dimension of both heads is zero, and one dimension of the keys
            **zeroed(zeroed(weights(wq=(8, 8), wk=(8, 8), wv=(8, 8), wo=(8, 8)), "wv", (1, 5), 1), "wk", (2, 6), 1),
            "s": ints(0, 0, 2, 4),
            "back": ints(0, 0, 8),
        },
        4 * 48,
        out="A,B,C",
    ),
    Case(
        "feed-forward of a transformer",
        (5, 8),
        """m = MatMul(x, w1)
        h = Add(m, b1)
        a = Relu(h)
        n = MatMul(a, w2)
        o = Add(n, b2)
        y = Add(x, o)""",
        killed(weights(w1=(8, 12), b1=(12,), w2=(12, 8), b2=(8,)), "b1", (0, 1, 11)),
        9 * 9 + 9 * 8 + 8,
        out="A,B,C",
    ),
    Case(
        "constant through a pool and a normalisation",
        (3, 6, 6),
        """h = Conv(x, w1, b1)
        n = BatchNormalization(h, ga, be, me, va)
        a = Relu(n)
        p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(a)
        y = Conv<pads=[1,1,1,1]>(p, w2, b2)""",
        {
            **weights(w1=(6, 3, 3, 3), b1=(6,), w2=(5, 6, 3, 3), b2=(5,), me=(6,)),
            "ga": np.array([0, 1, 0, 1, 0, 1], np.float32),
            "be": np.array([1, 1, -1, 1, 2, 1], np.float32),
            "va": np.ones(6, np.float32),
        },
        4 * 28 + 16 + 5 * 37,
    ),
)
