"""Every finding there is, in the order of the codes. A new one is a function with a `@finding_kind`, and a page."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

import analyzer.gate
from analyzer.errors import InputError
from analyzer.facts.wording import suggestion
from analyzer.gate.finding_kind import FindingKind


@cache
def all_kinds() -> tuple[FindingKind, ...]:
    """All kinds of findings; every module of this package is read once."""
    kinds = set[FindingKind]()
    for file in pkgutil.iter_modules(analyzer.gate.__path__):
        module = vars(importlib.import_module(f"analyzer.gate.{file.name}"))
        kinds.update(module.get("KINDS", ()), (kind for kind in module.values() if isinstance(kind, FindingKind)))
    return tuple(sorted(kinds, key=lambda kind: kind.code))


def kind_named(code: str) -> FindingKind:
    """The kind of a code.

    Raises:
        InputError: there is none.
    """
    kinds = {kind.code: kind for kind in all_kinds()}
    if code.upper() not in kinds:
        raise InputError(f"There is no finding {code}{suggestion(code.upper(), kinds)}")
    return kinds[code.upper()]
