"""Which values are audited, along which axis, and how their activation is judged."""

from analyzer.units.select import select_units

__all__ = ["select_units"]
