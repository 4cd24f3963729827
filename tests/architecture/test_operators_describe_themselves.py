"""What is known about an operator stands in `ops`: who asks neither names operators nor looks what class a rule is."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from analyzer.ops.operator import all_rules

PACKAGE = Path(__file__).parents[2] / "analyzer"
ASKING = ("causes", "rewrite", "units")
#: Files that write nodes into a model, and so must name them.
WRITING = {"insert_bridges.py", "linear.py", "shrink.py"}
FILES = [path for name in ASKING for path in sorted((PACKAGE / name).glob("*.py"))]


@pytest.mark.parametrize("path", [p for p in FILES if p.name not in WRITING], ids=lambda p: f"{p.parent.name}/{p.name}")
def test_no_operator_is_named_by_those_who_ask(path: Path) -> None:
    names = {name for _, name in all_rules()}
    tree = ast.parse(path.read_text(encoding="utf-8"))
    texts = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    assert not [f"line {text.lineno}: {text.value}" for text in texts if text.value in names]


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_no_rule_is_asked_for_its_class(path: Path) -> None:
    classes = {type(rule).__name__ for rule in all_rules().values()}
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert not imported & classes
