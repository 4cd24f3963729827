"""What an audit of a healthy model does without: each session, run and sum is a price that short probes feel."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx.parser
import pytest

import analyzer
from analyzer.ops.conv import ConvRule
from analyzer.runtime.opening import Opening
from analyzer.runtime.session import Session

NET = """<ir_version: 8, opset_import: ["" : 17]>
    net (float[N, 1, 4, 4] x) => (float[N, 1, 4, 4] y) <float[1, 1, 1, 1] w = {2.0}> { s = Conv(x, w) y = Relu(s) }"""
SAMPLES, SIZE = 64, 8


def audited() -> analyzer.Audit:
    data = np.random.default_rng(0).standard_normal((SAMPLES, 1, 4, 4), np.float32)
    found = analyzer.audit(onnx.parser.parse_model(NET), data, run=analyzer.Run(batch_size=SIZE))
    assert not found.facts.dead
    return found


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str | int]:
    """Sessions that are opened, and how often so many samples are run."""
    seen = Counter[str | int]()
    opening, run = Opening.__call__, Session.run

    def opened(self: Opening, *arguments: Any, **named: Any) -> Any:
        seen["opened"] += 1
        return opening(self, *arguments, **named)

    def counted_run(self: Session, feeds: Any, *arguments: Any, **named: Any) -> Any:
        seen[len(feeds["x"])] += 1
        return run(self, feeds, *arguments, **named)

    monkeypatch.setattr(Opening, "__call__", opened)
    monkeypatch.setattr(Session, "run", counted_run)
    return seen


def test_an_audit_opens_few_sessions_and_runs_few_samples_twice(counted: Counter[str | int]) -> None:
    """One for the file as it is, for shapes, for the first sample, for all others; no second pass without suspects."""
    audited()
    assert counted.pop("opened") == 4
    assert counted.pop(1) == 3  # two samples alone, for shapes; the first one once more, for all minima
    assert counted.pop(2) == 1  # both together, which shows where samples lie
    assert sum(size * times for size, times in counted.items() if isinstance(size, int)) == SAMPLES - 1


def test_the_taps_of_a_kernel_are_not_added_up_where_no_constant_enters_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def sums(self: ConvRule, node: object) -> None:
        raise AssertionError("added up")

    monkeypatch.setattr(ConvRule, "sums", sums)
    audited()
