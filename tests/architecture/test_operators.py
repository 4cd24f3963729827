"""What is known about operators stands in `ops`: described in full there, and named nowhere else."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest

from analyzer.ops.operator import BARRIER, all_rules, all_traits
from analyzer.ops.traits import Traits
from tests.laws.cases import NOT_RUNNABLE
from tests.laws.draws import GENERATORS

PACKAGE = Path(__file__).parents[2] / "analyzer"
#: How often a file outside `ops` names operators, and why. Numbers go down; only nodes that we write add to it.
NAMED = {
    # public names of ours that operators have, too
    "__init__.py": 2,
    # nodes that we write ourselves
    "bounds/formulas.py": 12,
    "causes/gate_sums.py": 10,
    "graph/blocked_channels.py": 34,  # how onnxruntime saves convolutions, undone before there are any rules
    "graph/edit.py": 7,
    "graph/fixed_lengths.py": 15,  # 11 of them where it looks whether anything is measured, or guarded against a -1
    "graph/lists.py": 14,  # lists are no tensors, so no rule can speak of them: they are gone before there are any
    "graph/lend.py": 7,  # what onnxruntime's own rewriting ends the process of, before there are any rules
    "graph/reductions.py": 5,
    "graph/merged_axes.py": 10,  # views and the lengths they list, in another form before rules see them
    "graph/merged_heads.py": 15,  # the same, with products between the views
    "graph/open_branches.py": 1,
    "graph/subgraphs.py": 1,
    "graph/static.py": 1,
    "observe/instrument.py": 3,
    "observe/reducers.py": 12,
    "observe/statistics/finiteness.py": 4,
    "observe/statistics/maximum.py": 2,
    "observe/statistics/minimum.py": 2,
    "observe/statistics/positions.py": 3,
    "observe/suspects.py": 14,
    "rewrite/fewer_experts.py": 46,
    "rewrite/fewer_rows.py": 1,
    "rewrite/insert_bridges.py": 3,
    "rewrite/shrink.py": 1,
    "rewrite/written_norms.py": 18,
    "shapes/sample_rows.py": 3,
    "witness/ascent.py": 3,
    "graph/reveal.py": 1,
    "shapes/shape_session.py": 1,
    # the file format: a node that holds a tensor, and how a constant is written out
    "graph/sparse.py": 1,
    "walk/flow.py": 1,
}


def _operators() -> set[str]:
    return {schema.name for schema in onnx.defs.get_all_schemas()} | {op for _, op in all_traits()}


def _strings(tree: ast.Module) -> Iterator[str]:
    """String literals, docstrings left out."""
    scopes = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    firsts = [node.body[0] for node in ast.walk(tree) if isinstance(node, scopes) and node.body]
    docstrings = {id(first.value) for first in firsts if isinstance(first, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def test_operators_are_named_in_ops_alone_but_for_a_list_that_shrinks() -> None:
    operators, counted = _operators(), {}
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE)
        named = sum(text in operators for text in _strings(ast.parse(path.read_text(encoding="utf-8"))))
        if named and place.parts[0] != "ops":
            counted[str(place)] = named
    grown = {place: (named, NAMED.get(place, 0)) for place, named in counted.items() if named > NAMED.get(place, 0)}
    assert not grown, f"named and allowed: {grown}. Say it by a trait or a method of the operator."
    shrunk = {place: (counted.get(place, 0), most) for place, most in NAMED.items() if counted.get(place, 0) < most}
    assert not shrunk, f"named and allowed: {shrunk}. Lower the numbers."


def test_no_rule_is_asked_for_its_class_outside_ops() -> None:
    classes = {type(rule).__name__ for rule in all_rules().values()}
    asked = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
        if path.parent.name != "ops" and imported & classes:
            asked[str(path.relative_to(PACKAGE))] = imported & classes
    assert not asked


@pytest.mark.parametrize("operator", sorted(all_rules()), ids="-".join)
def test_every_rule_states_traits_and_has_cases(operator: tuple[str, str]) -> None:
    assert all_traits()[operator] != Traits(), "no trait is stated: that is right for a barrier only"
    assert operator in GENERATORS or operator in NOT_RUNNABLE


def test_nobody_is_trusted_by_default() -> None:
    """What a new operator inherits is the unsafe answer to every question."""
    unsafe = BARRIER.stated
    assert unsafe == Traits()
    assert unsafe.jumps and unsafe.draws and unsafe.regroups and unsafe.windows is None
    assert all(position in unsafe.lengths_from for position in range(9))
    for claims in (unsafe.carries_nan, unsafe.carries_infinity, unsafe.geometry, unsafe.exact_in, unsafe.packed):
        assert all(item not in claims for item in (*range(9), "float32"))
    assert not (unsafe.keeps_maximum or unsafe.keeps_elements or unsafe.measures or unsafe.passes_geometry)
