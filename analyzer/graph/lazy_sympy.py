"""Imports onnx-ir without SymPy, with which it calculates symbolic dims and which we never ask of it.

SymPy takes 0.3 seconds and 33 MB, more than all else that onnx-ir needs; here it is loaded when it is first used.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType

LATER = frozenset(("sympy", "onnx_ir._symbolic_shapes"))


class _Later(MetaPathFinder):
    """Finds modules as usual, but has some of them executed only when an attribute of theirs is asked for."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in LATER:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


@contextmanager
def _loading_later() -> Iterator[None]:
    finder = _Later()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


with _loading_later():
    import onnx_ir
    import onnx_ir.passes.common  # noqa: F401
