"""Names of nodes and values: they share one space, subgraphs too."""

from __future__ import annotations

from collections.abc import Iterable

import onnx_ir as ir


def names_of(graph: ir.Graph) -> set[str]:
    """Names of all nodes and values, those in subgraphs too."""
    names: set[str] = set()
    for scope in (graph, *graph.subgraphs()):
        names.update(str(value.name) for value in (*scope.inputs, *scope.initializers.values()))
        for node in scope:
            names.update(str(name) for name in (node.name, *(o.name for o in node.outputs)) if name)
    return names


class Names:
    """Names that are taken, and new ones."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)
        self._numbers: dict[tuple[str, str], int] = {}  # the last one tried, by stem and ending

    def __contains__(self, name: object) -> bool:
        return name in self._taken

    def fresh(self, stem: str, ending: str = "") -> str:
        """A name that nothing has, and that nothing gets later: with a number where it is taken."""
        name, number = f"{stem}{ending}", self._numbers.get((stem, ending), 1)
        while name in self._taken:
            number += 1
            name = f"{stem}_{number}{ending}"
        self._taken.add(name)
        self._numbers[stem, ending] = number
        return name
