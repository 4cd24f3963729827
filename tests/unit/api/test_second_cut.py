"""What was computed from channels that went may be constant after the cut: the cut is taken again, and promised so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import analyzer
from analyzer.api import cutting
from tests.equivalence.agree import pruned_and_checked
from tests.equivalence.cases import weights
from tests.models import parse

#: BatchNormalization with scale 0 needs no channel of its input but has to have one, and no channel of `b` reads its
#: own: with one channel left `b` reads nothing and is its bias. The sums behind are not exact, so they are computed.
STORED = weights(w1=(4, 3, 1), w2=(4, 4, 1), b2=(4,), be=(4,), me=(4,), w3=(4, 2, 2), w4=(6, 6)) | {
    "g": np.zeros(4, np.float32),
    "va": np.ones(4, np.float32),
}
STORED["w2"][np.arange(4), np.arange(4)] = 0
TEXT = """g (float[n,3,5] x) => (float[n,2,6] y) {
    a = Conv(x, w1)
    r = Relu(a)
    b = Conv(r, w2, b2)
    e = Elu(b)
    s = Add(r, e)
    t = BatchNormalization(s, g, be, me, va)
    v = Softplus(t)
    u = ConvTranspose(v, w3)
    q = Sigmoid(u)
    y = MatMul(q, w4)
}"""
X = np.random.default_rng(0).standard_normal((8, 3, 5)).astype(np.float32)


def test_what_a_second_cut_takes_is_promised_and_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model = parse(TEXT, STORED)
    pruned = pruned_and_checked(model, {"x": X}, tmp_path)  # holds the promise against the cut, too
    monkeypatch.setattr(cutting, "MOST_ROUNDS", 0)
    cut_once = analyzer.audit(model, X)
    assert cut_once.removable.parameters == pruned.audit.removable.parameters - 1, "the weight of `b`"
    assert cut_once.removable.multiply_adds < pruned.audit.removable.multiply_adds
