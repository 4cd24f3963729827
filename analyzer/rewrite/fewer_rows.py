"""Tables without the rows that the data never gathers, with a map of ids in front, so that the model is fed as before.

table [rows, *width]  ids [*q]  map [rows]:  Gather(table, ids) = Gather(fewer rows, Gather(map, ids)) where every id
was seen. Another id is mapped to the row of the id that stands in for it, or, without one, to an index that the smaller
table does not have: then onnxruntime refuses the run on the CPU, as for an id that the table never had.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analyzer.facts.vocabulary import GatheredRows
from analyzer.graph import Editor, Graph, LoadedModel, Node


def without_rows(
    loaded: LoadedModel, tables: Sequence[GatheredRows], unseen_id: int | None = None
) -> tuple[LoadedModel, dict[str, int]]:
    """The model with smaller tables, and how many rows of each went; tables that other cuts left no such rows stay."""
    editor, graph, gone = Editor(loaded.copy()), loaded.graph, dict[str, int]()
    for table in tables:
        lost, kept = table.lost(unseen_id), table.kept(unseen_id)
        for name, readers in looking_up(graph, table).items() if lost else ():
            array = graph.constant(name)
            assert array is not None  # it is stored
            other = len(kept) if unseen_id is None else int(np.searchsorted(kept, unseen_id))
            places = np.full(table.rows, other, np.int64)
            places[kept] = np.arange(len(kept))
            editor.set_tensor(name, np.asarray(array[kept], order="C"))
            mapping = editor.add_tensor(f"{name}/row_of_id", places)
            for node in readers:
                editor.insert_before(node.index, 1, "Gather", [mapping], {"axis": 0}, f"{name}/row", at=1)
            gone[table.table] = lost
    return editor.loaded, gone


def looking_up(graph: Graph, table: GatheredRows) -> dict[str, list[Node]]:
    """The nodes that look up the table, by where it is stored (several times, once cut); none if it has other use."""
    nodes = [graph.producer[output] for output in table.outputs if output in graph.producer]
    readers = {node.inputs[0]: [n for n in nodes if n.inputs[0] == node.inputs[0]] for node in nodes}
    alone = all(
        name in graph.initializer_names and name not in graph.outputs
        and graph.initializer_shape(name)[0] == table.rows and len(graph.consumers[name]) == len(found)
        for name, found in readers.items()
    )  # fmt: skip
    return readers if alone else {}
