"""Walk the graph with the rules: constants forward, needs backward, the plan, the reasons."""

from analyzer.propagate.units import select_units
from analyzer.propagate.walk import Walk, unobserved, walk

__all__ = ["Walk", "select_units", "unobserved", "walk"]
