"""A model in which the branches that are taken stand in the main graph, so that a run can show what is inside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from analyzer.algebra.pattern import Array
from analyzer.errors import OtherBranch
from analyzer.graph.edit import Editor
from analyzer.graph.load import LoadedModel


def with_branches(loaded: LoadedModel, taken: Mapping[str, int]) -> LoadedModel:
    """The model that computes these branches, by their choice's first output, whatever the conditions are.

    Every value that is still computed has the name that it had. `assumed` says what the conditions must be for the
    original to compute the same.
    """
    chosen = [node for node in loaded.graph.nodes if node.key in taken]
    if not chosen:
        return loaded
    editor = Editor(loaded.copy())
    for node in chosen:
        editor.take_branch(node.index, taken[node.key], named=True)
    assumed = {n.inputs[0]: taken[n.key] == 0 for n in chosen if n.key not in loaded.graph.decided}
    return replace(editor.loaded.refreshed(), assumed={**loaded.assumed, **assumed}, closed=loaded.closed or loaded)


def with_steps(loaded: LoadedModel, names: Iterable[str]) -> tuple[LoadedModel, dict[str, str]]:
    """The model that carries these values out of the loops around them, and their new names.

    In front of their own axes lie the steps: one axis for each loop, the outermost first.
    """
    editor = Editor(loaded.copy())
    stacked = {name: editor.stacked(name) for name in names}
    steps = {stack: loaded.graph.stepped[name] for name, stack in stacked.items()}
    return replace(editor.loaded.refreshed(), steps=steps), stacked


def show_conditions(editor: Editor) -> dict[str, str]:
    """Let a run show what is assumed; which condition, or value carried out of loops, each new output is about."""
    shown = {editor.again(name): name for name in editor.loaded.assumed}
    last = {loops: name for name, loops in editor.loaded.steps.items()}
    shown |= {editor.add("Shape", [name]): name for name in last.values()}
    editor.output(*shown)
    return shown


def check_conditions(loaded: LoadedModel, shown: Mapping[str, str], results: Mapping[str, Array]) -> None:
    """Check what a run shows against what is assumed.

    Raises:
        OtherBranch: conditions are not what is assumed, so the original computes something else; or a loop has no step.
    """
    other = set[str]()
    for output, name in shown.items():
        if loops := loaded.steps.get(name):
            other.update(loops if 0 in results[output][: len(loops)] else ())
        elif bool(results[output].any()) != loaded.assumed[name]:
            other.add(name)
    if other:
        raise OtherBranch(frozenset(other))
