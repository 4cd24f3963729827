"""Walk the graph with the rules: constants forward, needs backward, the plan, the reasons."""

from analyzer.walk.settle import Walk, walk

__all__ = ["Walk", "walk"]
