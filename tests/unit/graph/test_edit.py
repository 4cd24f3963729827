"""The one editor: what it adds runs, names stay unique, and the model that was copied stays as it was."""

from __future__ import annotations

import numpy as np
import pytest

from analyzer.errors import InputError
from analyzer.graph import Editor, serialize
from analyzer.runtime.loading import load_model
from analyzer.runtime.session import Session
from tests.models import parse

X = np.array([[1, -2, 3]], np.float32)
W = np.arange(9, dtype=np.float32).reshape(3, 3)
MODEL = parse("g (float[2,3] x) => (float[2,3] y) { m = MatMul(x, w) y = Relu(m) }", {"w": W})


def test_a_copy_is_edited_and_the_model_is_not() -> None:
    loaded = load_model(MODEL)
    before = serialize(loaded)
    editor = Editor(loaded.copy())
    editor.free_batch(["x"])
    editor.clear_outputs()
    wide = editor.cast(editor.add("Mul", ["m", editor.constant(np.array([2], np.float32))]), "float64")
    editor.output(editor.add("Add", [wide, editor.input("offset", "float64", [1])]))
    assert serialize(loaded) == before
    with Session(editor.loaded) as session:
        (name,) = session.output_names
        results = session.run({"x": X, "deadunits/offset": np.ones(1)})
    assert np.array_equal(results[name], 2.0 * (X @ W) + 1)


def test_stored_tensors_are_changed_in_the_copy_alone() -> None:
    loaded = load_model(MODEL)
    Editor(loaded.copy()).set_tensor("w", np.zeros((3, 3), np.float32))
    stored = loaded.refreshed().graph.constant("w")
    assert stored is not None
    assert np.array_equal(stored, W)


def test_an_edit_of_the_model_leaves_earlier_views_as_they_were() -> None:
    copy = load_model(parse("g (float[n] x) => (float[n] y) { u = Neg(s) y = Add(x, u) }", {"s": W[0]})).copy()
    view = copy.graph
    Editor(copy).set_tensor("s", np.zeros(3, np.float32))
    assert np.array_equal(view.constant("u"), -W[0])  # type: ignore[arg-type]
    assert not np.any(copy.refreshed().graph.constant("u"))


def test_new_names_are_new_also_where_the_model_has_used_them() -> None:
    nodes = "{ deadunits_const = Neg(x) y = Relu(deadunits_const) }".replace("deadunits_const", "taken")
    editor = Editor(load_model(parse(f"g (float[n] x) => (float[n] y) {nodes}")).copy())
    assert [editor.add_tensor("taken", X) for _ in range(3)] == ["taken_2", "taken_3", "taken_4"]
    names = [editor.add("Shape", ["x"]) for _ in range(3)]
    assert len(set(names)) == 3


def test_a_graph_that_reads_what_nothing_computes_is_refused() -> None:
    model = parse("g (float[n] x) => (float[n] y) { y = Relu(x) }")
    model.graph.node[0].input[0] = "nowhere"
    with pytest.raises(InputError):
        load_model(model).copy()
    model = parse("g (float[n] x) => (float[n] y) { y = Relu(x) }")
    model.graph.output[0].name = "nowhere"
    with pytest.raises(InputError):
        load_model(model).copy()
