"""The name that a layer has in the training code. What is not sure gets none: a wrong name would be worse."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from analyzer.facts.units import WITHIN, AuditedValue
from analyzer.graph import LONGEST_SCOPE, Node
from analyzer.ops.context import Call, Context

_PARAMETER = re.compile(r"(.+)\.(?:weight|bias|kernel|scale|gamma|beta)(?:_\w+)?")


@dataclass(frozen=True, slots=True)
class _Path:
    """The path of a module; `called`: a scope tells it, so that several layers of it are several calls."""

    text: str
    called: bool


def with_modules(context: Context, audited: Sequence[AuditedValue]) -> tuple[AuditedValue, ...]:
    """The audited values, each with the path of its module, where the file tells.

    That is the module whose code computes the value. What the code of a container computes itself (a functional ReLU)
    is named by the one module inside that feeds it, unit by unit, else by the container. Where the file tells no
    scopes, the names of parameters tell (`encoder.fc1.weight`), if nothing else reads them. Of a module that makes
    several layers, calls are numbered (`act`, `act@1`) and operators named (`cell@Tanh`). A name is one layer's alone,
    and that of no other value.
    """
    reader, graph = _Reader(context), context.graph
    groups: dict[str, list[tuple[int, bool]]] = defaultdict(list)
    for place, layer in enumerate(audited):
        path = reader.path(graph.producer[layer.value])
        if path is not None and path.text:
            groups[path.text].append((place, path.called))
    names = [""] * len(audited)
    for text, layers in groups.items():
        if len(layers) > 1 and not all(called for _, called in layers):
            continue
        ops = [audited[place].op.split(" ")[0] for place, _ in layers]
        seen = Counter[str]()
        for (place, _), op in zip(layers, ops, strict=True):
            name = text if len(set(ops)) == 1 else f"{text}{WITHIN}{op}"
            names[place] = f"{name}{WITHIN}{seen[op]}" if seen[op] else name
            seen[op] += 1
    times, others = Counter(names), {*graph.producer, *graph.inputs}
    return tuple(
        replace(layer, module=name if times[name] == 1 and (name == layer.value or name not in others) else "")
        for layer, name in zip(audited, names, strict=True)
    )


class _Reader:
    """What the names in a graph say, node by node."""

    def __init__(self, context: Context) -> None:
        self._context, self._graph = context, context.graph
        nodes = context.graph.nodes
        self._parameters = {node.index: self._parameter_module(node) for node in nodes}
        self._scopes = {node.index: node.scope for node in nodes}
        cut = self._cut_short()
        self._scopes = {
            n: None if scope and not cut.isdisjoint(_up(scope)) else scope for n, scope in self._scopes.items()
        }
        self._known = sorted({path for path in (*self._scopes.values(), *self._parameters.values()) if path})
        self._inside: dict[int, _Path | None] = {}  # modules inside of which, or of whose output, a node is made
        for node in nodes:
            self._inside[node.index] = self._module_of(node)

    def path(self, node: Node) -> _Path | None:
        """The module of what a node computes."""
        scope = self._scopes[node.index]
        return self._inside[node.index] or (None if scope is None else _Path(scope, called=True))

    def _module_of(self, node: Node) -> _Path | None:
        """The module that the node is code of; of a container's own code the one module that it belongs to, if any."""
        scope, own = self._scopes[node.index], self._parameters[node.index]
        if scope is not None and not self._contains(scope):
            return _Path(scope, called=True)
        if own:
            return _Path(own, called=False) if _is_in(own, scope or "") else None
        moving = [name for name in node.inputs if name and name not in self._graph.static_values]
        before = self._graph.producer.get(moving[0]) if len(moving) == 1 else None
        if before is None or not _keeps_units(self._context.by_node[node.index]):
            return None
        fed, outer = self._inside[before.index], self._scopes[before.index]
        at_hand = outer == scope or (outer is not None and not self._contains(outer))
        return fed if at_hand and fed is not None and _is_in(fed.text, scope or "") else None

    def _contains(self, scope: str) -> bool:
        """Whether the module has modules inside."""
        place = bisect_left(self._known, f"{scope}.")
        return not scope or (place < len(self._known) and self._known[place].startswith(f"{scope}."))

    def _parameter_module(self, node: Node) -> str:
        """The module whose parameters the node reads, if it is one, and nobody else reads them."""
        stored = [name for name in node.inputs if name in self._graph.static_values and len(name) < LONGEST_SCOPE]
        alone = [name for name in stored if len(self._graph.consumers[name]) == 1]
        modules = {match[1] for name in alone if (match := _PARAMETER.fullmatch(name))}
        return modules.pop() if len(modules) == 1 else ""

    def _cut_short(self) -> set[str]:
        """Scopes with a part of the path left out: TorchScript writes `a` for the entry `a` of a ModuleDict `ls`."""
        return {
            scope.rpartition(".")[0] or scope
            for place, scope in self._scopes.items()
            if scope and len(own := self._parameters[place]) > len(scope) and _lies_in(scope, own)
        }


def _keeps_units(call: Call) -> bool:
    """Whether a unit is made of the same unit of the one value that is computed."""
    if call.barrier is not None:
        return False
    rule, norm = call.rule, call.rule.normalisation(call.op)
    return rule.same_unit or rule.pools or rule.affine(call.op) is not None or bool(norm and norm.alone)


def _lies_in(scope: str, path: str) -> bool:
    """Whether the scope is the path with parts left out, the last of which is the same."""
    parts = iter(path.split("."))
    return path.endswith(f".{scope.rpartition('.')[2]}") and all(part in parts for part in scope.split("."))


def _is_in(path: str, container: str) -> bool:
    return not container or path == container or path.startswith(f"{container}.")


def _up(path: str) -> list[str]:
    """The path and those of the modules around it."""
    parts = path.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]
