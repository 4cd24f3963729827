"""The public names are those that the README lists, and no others."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import analyzer

README = Path(__file__).parents[2] / "README.md"


def documented() -> set[str]:
    section = README.read_text(encoding="utf-8").split("## From Python")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))


def test_the_readme_lists_every_public_name() -> None:
    assert documented() == set(analyzer.__all__)


def test_every_public_name_exists_and_is_documented() -> None:
    for name in analyzer.__all__:
        value = getattr(analyzer, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert inspect.getdoc(value), name


def test_every_public_method_of_the_result_is_documented() -> None:
    for name, member in vars(analyzer.Audit).items():
        if not name.startswith("_") and callable(getattr(analyzer.Audit, name, None)):
            assert inspect.getdoc(member), name


def test_dir_lists_the_public_names() -> None:
    assert dir(analyzer) == sorted(analyzer.__all__)


def test_other_names_are_refused() -> None:
    assert not hasattr(analyzer, "no_such_name")
