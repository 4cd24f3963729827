"""A Max or Min of two computed values is looked at from the start, so that one prune takes what two would."""

from __future__ import annotations

import numpy as np
import pytest

import analyzer
from tests.models import parse


@pytest.mark.parametrize(("op", "push"), [("Max", -60), ("Min", 60)])
def test_a_second_prune_of_a_join_with_a_dead_branch_takes_nothing(op: str, push: float) -> None:
    random = np.random.default_rng(0)
    stored = {n: random.normal(0, 1, s).astype(np.float32) for n, s in {"v": (5, 8), "w": (5, 8), "o": (8, 3)}.items()}
    stored |= {"a": np.full(8, -60, np.float32), "b": np.zeros(8, np.float32)}
    stored["b"][:4] = push
    body = f"p = Gemm(x, v, a) r = Relu(p) q = Gemm(x, w, b) m = {op}(r, q) y = MatMul(m, o)"
    x = random.normal(0, 1, (60, 5)).astype(np.float32)
    once = analyzer.audit(parse(f"g (float[N, 5] x) => (float[N, 3] y) {{ {body} }}", stored), x).prune(latency=False)
    assert once.facts.after.parameters < once.facts.before.parameters / 2
    assert not analyzer.audit(once.data, x).prune(latency=False).changed
