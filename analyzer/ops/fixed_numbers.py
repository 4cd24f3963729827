"""Short lists of whole numbers of which the file decides some, such as amounts of padding: the others are computed."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from analyzer.algebra.constants import Constants
from analyzer.graph.fixed_lengths import MOST
from analyzer.ops.node import OpNode
from analyzer.ops.operator import Operator


def fixed_numbers(op: OpNode, rule: Operator, dtype: Callable[[str], str | None]) -> Constants | None:
    """What is known of a node's first output, a list made of such lists alone; None where nothing is."""
    short = op.y_dtype in ("int32", "int64") and prod(op.y_shape()) <= MOST
    whole = short and not any("float" in (dtype(name) or "float") for name in op.inputs if name)
    if not whole or not any(a is not None or p is not None for a, p in zip(op.statics, op.partly, strict=True)):
        return None
    xs = [
        Constants.exactly(array) if array is not None else part or Constants.unknown(len(shape or ()))
        for array, part, shape in zip(op.statics, op.partly, op.in_shapes, strict=True)
    ]
    (found, *_) = rule.constants(op, xs)
    return found if found.any else None
