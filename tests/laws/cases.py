"""A case generator for every registered rule."""

from __future__ import annotations

from random import Random

from analyzer.ops.operator import all_rules
from tests.laws import cases_elementwise, cases_linear, cases_moving, cases_qlinear
from tests.laws.benches import Case
from tests.laws.draws import GENERATORS, Draw

MODULES = (cases_elementwise, cases_linear, cases_moving, cases_qlinear)

#: Registered because files hold them, but no runtime here runs them under this name.
NOT_RUNNABLE = {("com.microsoft", "LayerNormalization"), ("com.microsoft", "SimplifiedLayerNormalization")}

RULES = sorted(set(all_rules()) - NOT_RUNNABLE)


def case_of(rule: tuple[str, str], random: Random) -> Case:
    """A random case of one operator."""
    return GENERATORS[rule](Draw(random))
