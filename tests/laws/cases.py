"""A case generator for every registered rule."""

from __future__ import annotations

import importlib
import pkgutil
from random import Random

import tests.laws
from analyzer.ops.operator import all_rules
from tests.laws.benches import Case
from tests.laws.draws import GENERATORS, Draw
from tests.laws.laws import Fault

_MODULES = [
    importlib.import_module(f"tests.laws.{module.name}")
    for module in pkgutil.iter_modules(tests.laws.__path__)
    if module.name.startswith(("cases_", "faults_"))
]

#: Wrong rules, beside the cases that find them out or in files of their own.
FAULTS: list[Fault] = [fault for module in _MODULES for fault in getattr(module, "FAULTS", ())]

#: Registered because files hold them, but no runtime here runs them under this name; or whose inputs come out of
#: branches, so that they are tried in graphs (`test_branches`).
NOT_RUNNABLE = {("com.microsoft", "LayerNormalization"), ("com.microsoft", "SimplifiedLayerNormalization"), ("", "If")}

RULES = sorted(set(all_rules()) - NOT_RUNNABLE)


def case_of(rule: tuple[str, str], random: Random) -> Case:
    """A random case of one operator."""
    return GENERATORS[rule](Draw(random))
