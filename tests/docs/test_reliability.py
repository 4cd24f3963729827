"""The table of promises names tests that exist, and counts them right."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.docs.pages import ROOT
from tests.mutants.test_mutants import CASES, COUNTS
from tests.snapshots.stored import is_what_it_was

PAGE = ROOT / "docs" / "reliability.md"
ROW = re.compile(r"^(\| .* \|) (`tests/.*`) \| \d+ \|$", re.MULTILINE)


def functions(path: Path) -> int:
    """The tests in a file, or in all files of a folder."""
    files = sorted(path.rglob("test_*.py")) if path.is_dir() else [path]
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in files]
    return sum(isinstance(n, ast.FunctionDef) and n.name.startswith("test_") for tree in trees for n in ast.walk(tree))


def counted(row: re.Match[str]) -> str:
    places = [functions(ROOT / place) for place in re.findall(r"`(tests/[^`]+)`", row[2])]
    assert all(places), f"no tests in one of {row[2]}"
    return f"{row[1]} {row[2]} | {sum(places)} |"


def test_the_counts_of_tests_are_right() -> None:
    page = PAGE.read_text(encoding="utf-8")
    page = ROW.sub(counted, page)
    page = re.sub(r"(`tests/mutants/cases`: )\d+ of them", rf"\g<1>{len(list(CASES.iterdir()))} of them", page)
    assert len(ROW.findall(page)) == page.count("\n| ") - 1  # every row but the heading
    is_what_it_was(page, PAGE)


def test_the_sizes_of_the_corpus_are_right() -> None:
    said = f"tries {COUNTS['nightly']:,} ({COUNTS['ci']} with `ci`)"
    assert said in PAGE.read_text(encoding="utf-8")
