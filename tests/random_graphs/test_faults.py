"""The law is worth something: each of these faults in the rewrite breaks it on some graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from analyzer.algebra.constants import Constants
from analyzer.graph import Editor
from analyzer.ops import conv, norm
from analyzer.ops.node_edit import cut_array
from analyzer.rewrite import shrink
from analyzer.rewrite.shrink import Shrinker
from tests.random_graphs.generator import make
from tests.random_graphs.law import prune_obeys

Patch = Callable[[pytest.MonkeyPatch], None]
GRAPHS = 60


def _cuts_the_wrong_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(array: Any, vectors: Any) -> Any:
        return cut_array(array, [v if v.all() else np.roll(v, 1) for v in vectors])

    monkeypatch.setattr(shrink, "cut_array", wrong)


def _forgets_the_constants(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Shrinker._set_input

    def wrong(self: Any, call: Any, position: int, array: Any) -> None:
        honest(self, call, position, np.zeros_like(array) if array.ndim == 1 else array)

    monkeypatch.setattr(Shrinker, "_set_input", wrong)


def _ignores_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conv.ConvRule, "flat_border", lambda self, node: True)


def _stores_zero_for_constants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Constants, "number", property(lambda self: np.zeros(self.value.shape)))


def _keeps_the_group_count(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Editor.set_attributes

    def wrong(self: Any, index: int, attributes: Any) -> None:
        honest(self, index, {k: v for k, v in attributes.items() if k != "group"})

    monkeypatch.setattr(Editor, "set_attributes", wrong)


def _leaves_sizes_spelled_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Shrinker, "_respell", lambda self, call, position, lengths: None)


def _forgets_shared_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Shrinker, "_part_readers", lambda self: None)


def _norm_forgets_beta(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = norm.BatchNorm.constants

    def wrong(self: Any, node: Any, xs: Any) -> Any:
        return [Constants(c.known, c.value * 0) for c in honest(self, node, xs)]

    monkeypatch.setattr(norm.BatchNorm, "constants", wrong)


#: With the graph that noticed it first when this was written.
FAULTS: dict[Patch, int] = {
    _cuts_the_wrong_channels: 16,
    _forgets_the_constants: 2,
    _ignores_padding: 4,
    _stores_zero_for_constants: 0,
    _keeps_the_group_count: 16,
    _leaves_sizes_spelled_out: 13,
    _forgets_shared_readers: 46,
    _norm_forgets_beta: 9,
}


@pytest.mark.parametrize(("fault", "noticed"), FAULTS.items(), ids=[fault.__name__.strip("_") for fault in FAULTS])
def test_a_fault_is_caught(fault: Patch, noticed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    fault(monkeypatch)
    for seed in (noticed, *range(GRAPHS)):
        try:
            prune_obeys(make(seed), fresh=False)
        except Exception:  # noqa: BLE001 - the law, the comparison or onnxruntime itself notices
            return
    pytest.fail("no graph noticed")
