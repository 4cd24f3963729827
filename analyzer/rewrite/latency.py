"""Time two models in alternating runs, so that a drift of the machine hits both."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from analyzer.facts.pruned import Latency
from analyzer.runtime.session import Session

MOST_RUNS, LEAST_RUNS = 60, 7


def measure_latency(
    before: Session, after: Session, feeds: Mapping[str, Any], *, batch: int, seconds: float = 4.0
) -> Latency:
    """Medians of alternating runs within about so many seconds, and the spread of the pairwise ratio."""
    for session in (before, after):
        session.run(dict(feeds))
    pairs: list[tuple[float, float]] = []
    start = time.perf_counter()
    while len(pairs) < LEAST_RUNS or (len(pairs) < MOST_RUNS and time.perf_counter() - start < seconds):
        order = (before, after) if len(pairs) % 2 == 0 else (after, before)
        taken = {}
        for session in order:
            begun = time.perf_counter()
            session.run(dict(feeds))
            taken[id(session)] = time.perf_counter() - begun
        pairs.append((taken[id(before)], taken[id(after)]))
    a, b = np.array(pairs).T
    low, middle, high = np.percentile(b / a, [25, 50, 75])
    return Latency(float(np.median(a)), float(np.median(b)), float(middle), float(low), float(high), len(pairs), batch)
