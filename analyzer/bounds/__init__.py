"""What values lie between, for every input of a domain."""

from analyzer.bounds.intervals import IntervalGraph, interval_bounds

__all__ = ["IntervalGraph", "interval_bounds"]
