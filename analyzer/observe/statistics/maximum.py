"""The largest output, and with it whether a unit fired."""

from __future__ import annotations

from analyzer.observe.statistics.extreme import Extreme


class Maximum(Extreme):
    """The largest output of a sample."""

    reduction = "ReduceMax"
    pool = "GlobalMaxPool"
    greatest = True
