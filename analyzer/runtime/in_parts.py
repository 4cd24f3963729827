"""Whether models are run in parts, one part's weights in memory at a time: asked for, or where memory is too small."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from analyzer.free_memory import available_memory

PART = 1 << 28  # bytes of weights in a part, as they are computed with
TIMES = 4  # what a run may take of a model's weights: two models, each with a copy that onnxruntime lays out anew

_asked: ContextVar[bool | None] = ContextVar("_asked", default=None)


@contextmanager
def run_in_parts(asked: bool | None) -> Iterator[None]:
    """Models that are run inside are run in parts, or not; None: where their weights might not fit into memory."""
    token = _asked.set(asked)
    try:
        yield
    finally:
        _asked.reset(token)


def asked_for_parts() -> bool | None:
    """What `run_in_parts` was called with around here, for another process."""
    return _asked.get()


def part_size(weights: int) -> int | None:
    """Bytes of weights of each part of a model with so many; None where it is run as a whole."""
    asked = _asked.get()
    asked = TIMES * weights > available_memory() if asked is None and weights > PART else asked
    return PART if asked else None
