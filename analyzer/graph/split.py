"""A model to which nodes were added, taken apart again: the model as it was, and what was added."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analyzer.graph.edit import Editor
from analyzer.graph.load import LoadedModel

#: NumPy name of a value's element type, and its lengths as far as they are known (None: not even how many).
Kind = tuple[str, Sequence[int | None] | None]


@dataclass(frozen=True)
class Split:
    """`front` gives out what the added nodes read, `shared`, and those outputs that are not made by them."""

    whole: LoadedModel
    front: LoadedModel
    shared: tuple[str, ...]
    added: tuple[str, ...]  # outputs that added nodes make

    def back(self, kinds: Mapping[str, Kind]) -> tuple[LoadedModel, dict[str, str]]:
        """The added nodes as a model of their own, and the name of the input that each shared value is fed to.

        `kinds` are the shared values' types. Inputs of the whole model that only added nodes read keep their names.
        """
        editor, fed = Editor(self.whole.copy()), dict[str, str]()
        for name in self.shared:
            fed[name] = editor.input("shared", *kinds[name])
            editor.replace_value(name, fed[name])
        editor.clear_outputs()
        editor.output(*self.added)
        editor.finish()
        editor.drop_unread_inputs()
        return editor.loaded, fed


def split(before: LoadedModel, after: LoadedModel) -> Split:
    """Take `after`, which is `before` with further nodes and outputs, apart."""
    old = {*before.graph.producer, *before.graph.inputs, *before.graph.initializer_names}
    graph = after.refreshed().graph
    new = [node for node in graph.nodes if old.isdisjoint(node.outputs)]
    made = {name for node in new for name in node.outputs}
    stored = graph.initializer_names
    read = dict.fromkeys(n for node in new for n in (*node.inputs, *node.captured) if n and n not in made)
    inputs = {n for n in graph.inputs if n not in before.graph.inputs}
    shared = tuple(n for n in read if n not in stored and n not in inputs)
    editor = Editor(after.copy())
    kept = [n for n in graph.outputs if n not in made]
    editor.clear_outputs()
    editor.output(*dict.fromkeys((*shared, *kept)))
    editor.finish()
    editor.drop_unread_inputs(but=tuple(before.graph.inputs))
    return Split(after, editor.loaded, shared, tuple(n for n in graph.outputs if n in made))
