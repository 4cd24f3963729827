"""The graph as the rules see it."""

from __future__ import annotations

import copy

import numpy as np

from analyzer.facts.units import ShapeTable
from analyzer.ops.context import FROZEN, Context
from analyzer.runtime.loading import load_model
from tests.models import parse


def test_a_copy_for_another_process_holds_the_same_nodes_still() -> None:
    model = parse("g (float[N, 4] x) => (float[N, 4] y) { h = Add(x, b) y = Relu(h) }", {"b": np.ones(4, np.float32)})
    table = ShapeTable(dict.fromkeys(("x", "h", "y"), (1, 4)), {})
    context = Context(load_model(model).graph, table, frozen=frozenset({0}))
    assert [call.barrier for call in copy.copy(context).calls] == [FROZEN, None]
