"""Models on which other pruners fail: each as ONNX text, with weights and the units that are killed in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx

from tests.models import Array, parse


@dataclass(frozen=True)
class Case:
    """`before` and `after` are parameters; `after` is what an exact cut leaves at most."""

    name: str
    shape: tuple[int, ...]
    body: str
    stored: dict[str, Array]
    after: int
    out: str = "A,B,C,D"
    opset: int = 18
    extra: str = ""
    tolerance: float | None = None
    free: Sequence[int] = field(default=())

    def model(self) -> onnx.ModelProto:
        dims = ",".join(f"d{i}" if i in self.free else str(d) for i, d in enumerate(self.shape))
        header = f"g (float[N,{dims}] x) => (float[{self.out}] y{self.extra})"
        return parse(f"{header} {{\n{self.body}\n}}", self.stored, self.opset)

    def probe(self, samples: int = 6) -> dict[str, Array]:
        return {"x": np.random.default_rng(5).standard_normal((samples, *self.shape)).astype(np.float32)}


def weights(**shapes: tuple[int, ...]) -> dict[str, Array]:
    """Random weights by name."""
    rng = np.random.default_rng(7)
    return {n: (rng.standard_normal(s) * 0.5).astype(np.float32) for n, s in shapes.items()}


def killed(stored: Mapping[str, Array], bias: str, units: Sequence[int], by: float = -60.0) -> dict[str, Array]:
    """The bias of these units far to one side: never fires, or always saturates."""
    array = stored[bias].copy()
    array[list(units)] = by
    return {**stored, bias: array}


def zeroed(stored: Mapping[str, Array], weight: str, units: Sequence[int], axis: int = 0) -> dict[str, Array]:
    """The incoming weights of these units are zero: each is its bias."""
    array = stored[weight].copy()
    array[(slice(None),) * axis + (list(units),)] = 0
    return {**stored, weight: array}


PLAIN = weights(w1=(6, 3, 3, 3), b1=(6,), w2=(5, 6, 3, 3), b2=(5,))
CONSTANT = killed(zeroed(PLAIN, "w1", (0, 2, 5)), "b1", (0, 2, 5), 1.5)
SMALL = 4 * 3 * 9 + 4 + 5 * 4 * 9 + 5  # what PLAIN becomes when three constants leave one carrier
CONVS = """h = Conv<pads=[1,1,1,1]>(x, w1, b1)
a = Relu(h)
y = Conv<pads=[1,1,1,1]>(a, w2, b2)"""

CASES = (
    Case("two convolutions", (3, 6, 6), CONVS, killed(PLAIN, "b1", (1, 4)), 4 * 28 + 5 * 37),
    Case("constant under padding", (3, 6, 6), CONVS, CONSTANT, SMALL),
    Case("constant under padding, free height and width", (3, 6, 6), CONVS, CONSTANT, SMALL, free=(1, 2)),
    Case(
        "constant through a pool that counts its padding",
        (3, 6, 6),
        """h = Conv<pads=[1,1,1,1]>(x, w1, b1)
        a = Relu(h)
        p = AveragePool<kernel_shape=[3,3], pads=[1,1,1,1], count_include_pad=1>(a)
        y = Conv<pads=[1,1,1,1]>(p, w2, b2)""",
        CONSTANT,
        SMALL,
    ),
    Case(
        "constant without padding",
        (3, 6, 6),
        "h = Conv(x, w1, b1)\na = Relu(h)\ny = Conv(a, w2, b2)",
        CONSTANT,
        3 * 28 + 5 * 28,
    ),
    Case(
        "residual, one branch dead",
        (3, 6, 6),
        """h = Conv<pads=[1,1,1,1]>(x, w1, b1)
        a = Relu(h)
        g = Conv<pads=[1,1,1,1]>(a, w2, b2)
        r = Relu(g)
        s = Add(a, r)
        y = Conv(s, w3, b3)""",
        killed(weights(w1=(6, 3, 3, 3), b1=(6,), w2=(6, 6, 3, 3), b2=(6,), w3=(4, 6, 1, 1), b3=(4,)), "b1", (1, 2)),
        6 * 28 + 6 * 55 + 28,  # locked where only one branch is dead: nothing goes, and nothing breaks
        tolerance=1e-4,
    ),
    Case(
        "residual, both branches dead",
        (3, 6, 6),
        """h = Conv<pads=[1,1,1,1]>(x, w1, b1)
        a = Relu(h)
        g = Conv<pads=[1,1,1,1]>(a, w2, b2)
        r = Relu(g)
        s = Add(a, r)
        y = Conv(s, w3, b3)""",
        killed(
            killed(weights(w1=(6, 3, 3, 3), b1=(6,), w2=(6, 6, 3, 3), b2=(6,), w3=(4, 6, 1, 1), b3=(4,)), "b1", (1, 2)),
            "b2",
            (1, 2),
        ),
        4 * 28 + 4 * 37 + 20,
    ),
    Case(
        "stem into a convolution and an Add",
        (3, 6, 6),
        """h = Conv<pads=[1,1,1,1]>(x, w1, b1)
        a = Relu(h)
        g = Conv<pads=[1,1,1,1]>(a, w2, b2)
        n = BatchNormalization(g, ga, be, me, va)
        s = Add(a, n)
        r = Relu(s)
        y = Conv(r, w3, b3)""",
        killed(
            {
                **weights(w1=(6, 3, 3, 3), b1=(6,), w2=(6, 6, 3, 3), b2=(6,), w3=(4, 6, 1, 1), b3=(4,)),
                "ga": np.array([1, 0, 1, 1, 0, 1], np.float32),
                "be": np.zeros(6, np.float32),
                "me": np.zeros(6, np.float32),
                "va": np.ones(6, np.float32),
            },
            "b1",
            (1, 4),
        ),
        4 * 28 + 4 * 37 + 16 + 20,
    ),
    Case(
        "cascade upstream",
        (3, 6, 6),
        """h = Conv<pads=[1,1,1,1]>(x, w1, b1)
        a = Relu(h)
        g = Conv(a, w2, b2)
        r = Relu(g)
        y = Conv(r, w3, b3)""",
        zeroed(
            killed(weights(w1=(6, 3, 3, 3), b1=(6,), w2=(6, 6, 1, 1), b2=(6,), w3=(4, 6, 1, 1), b3=(4,)), "b2", (0, 1)),
            "w2",
            (3,),
            1,
        ),
        5 * 28 + 4 * 6 + 20,  # channel 3 of the first layer is read by nobody
    ),
    Case(
        "dense",
        (7,),
        "h = Gemm<transB=1>(x, w1, b1)\na = Relu(h)\ny = Gemm(a, w2, b2)",
        killed(weights(w1=(6, 7), b1=(6,), w2=(6, 4), b2=(4,)), "b1", (0, 3, 5)),
        3 * 8 + 4 * 4,
        out="A,B",
    ),
    Case(
        "dense with alpha and beta",
        (7,),
        "h = Gemm<alpha=0.5, beta=2.0>(x, w1, b1)\na = Relu(h)\ny = Gemm<alpha=0.5, beta=2.0, transB=1>(a, w2, b2)",
        killed(zeroed(weights(w1=(7, 6), b1=(6,), w2=(4, 6), b2=(4,)), "w1", (0, 3), 1), "b1", (0, 3), 1.0),
        4 * 8 + 4 * 5,
        out="A,B",
    ),
    Case(
        "layer normalisation",
        (7,),
        """h = Gemm<transB=1>(x, w1, b1)
        a = Relu(h)
        n = LayerNormalization(a, ls, lb)
        y = Gemm(n, w2, b2)""",
        killed(weights(w1=(6, 7), b1=(6,), ls=(6,), lb=(6,), w2=(6, 4), b2=(4,)), "b1", (0, 3)),
        6 * 8 + 12 + 28,
        out="A,B",
    ),
    Case(
        "one dimension",
        (3, 9),
        "h = Conv<pads=[1,1]>(x, w1, b1)\na = Relu(h)\ny = Conv<strides=[2]>(a, w2)",
        killed(weights(w1=(6, 3, 3), b1=(6,), w2=(4, 6, 3)), "b1", (0, 1)),
        4 * 10 + 4 * 12,
        out="A,B,C",
    ),
    Case(
        "three dimensions",
        (2, 4, 4, 4),
        "h = Conv(x, w1, b1)\na = Relu(h)\ny = Conv(a, w2, b2)",
        killed(weights(w1=(6, 2, 2, 2, 2), b1=(6,), w2=(4, 6, 2, 2, 2), b2=(4,)), "b1", (0, 1)),
        4 * 17 + 4 * 33,
        out="A,B,C,D,E",
    ),
    Case(
        "concat",
        (3, 6, 6),
        """h = Conv(x, w1, b1)
        a = Relu(h)
        g = Conv(x, w2, b2)
        b = Relu(g)
        x2 = MaxPool<kernel_shape=[3,3]>(x)
        c = Concat<axis=1>(a, x2, b)
        y = Conv(c, w3, b3)""",
        killed(
            killed(weights(w1=(4, 3, 3, 3), b1=(4,), w2=(4, 3, 3, 3), b2=(4,), w3=(2, 11, 1, 1), b3=(2,)), "b1", [3]),
            "b2",
            (0, 2),
        ),
        3 * 28 + 2 * 28 + 2 * 9,
    ),
    Case(
        "depthwise",
        (3, 6, 6),
        """h = Conv(x, w1, b1)
        a = Relu(h)
        d = Conv<group=6>(a, w2, b2)
        r = Relu(d)
        y = Conv(r, w3, b3)""",
        killed(
            killed(weights(w1=(6, 3, 1, 1), b1=(6,), w2=(6, 1, 3, 3), b2=(6,), w3=(4, 6, 1, 1), b3=(4,)), "b1", (0, 1)),
            "b2",
            (2,),
        ),
        3 * 4 + 3 * 10 + 4 * 4,
    ),
    Case(
        "clipped at six",
        (3, 6, 6),
        "h = Conv(x, w1, b1)\na = Clip(h, lo, hi)\ny = Conv(a, w2, b2)",
        {**killed(PLAIN, "b1", (1, 4), 90.0), "lo": np.array(0, np.float32), "hi": np.array(6, np.float32)},
        4 * 28 + 5 * 37,
    ),
    Case(
        "saturated sigmoid",
        (7,),
        "h = Gemm(x, w1, b1)\na = Sigmoid(h)\ny = Gemm(a, w2, b2)",
        killed(weights(w1=(7, 6), b1=(6,), w2=(6, 4), b2=(4,)), "b1", (0, 3), 90.0),
        4 * 8 + 4 * 5,
        out="A,B",
    ),
    Case(
        "leaky with zero weights",
        (3, 6, 6),
        "h = Conv(x, w1, b1)\na = LeakyRelu(h)\ny = Conv(a, w2, b2)",
        zeroed(PLAIN, "w1", (1, 4)),
        4 * 28 + 5 * 37,
    ),
)
