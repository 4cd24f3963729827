"""The public names are those that the README lists, and no others."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path

import analyzer

README = Path(__file__).parents[2] / "README.md"


def documented() -> set[str]:
    section = README.read_text(encoding="utf-8").split("## From Python")[1].split("\n## ")[0]
    cells = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", section, re.MULTILINE)
    return set(re.findall(r"\w+", " ".join(cells)))


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


def classes_in(hint: object) -> Iterator[type]:
    """The classes of ours that a type names, also inside `tuple[…]`, `… | None` and the like."""
    if isinstance(hint, type) and hint.__module__.startswith("analyzer"):
        yield hint
    for argument in typing.get_args(hint):
        yield from classes_in(argument)


def attribute_types(public: type) -> Iterator[tuple[str, object]]:
    """Fields, properties and results of methods that a user can reach, with their types."""
    named = {name: getattr(analyzer, name) for name in analyzer.__all__} | {
        "pd": types.SimpleNamespace(DataFrame=object)
    }
    for name, hint in typing.get_type_hints(public, localns=named).items():
        yield name, hint
    for name, member in inspect.getmembers_static(public):
        function = getattr(member, "fget", None) or getattr(member, "func", None) or getattr(member, "__func__", member)
        if not name.startswith("_") and inspect.isfunction(function):
            yield name, typing.get_type_hints(function, localns=named).get("return")


def test_what_public_attributes_hold_is_public_as_well() -> None:
    """Whoever writes down the type of `audit.facts` or of a finding needs its name."""
    public = [item for name in analyzer.__all__ if inspect.isclass(item := getattr(analyzer, name))]
    private = {
        f"{owner.__name__}.{name}: {hidden.__name__}"
        for owner in public
        for name, hint in attribute_types(owner)
        if not name.startswith("_")
        for hidden in classes_in(hint)
        if hidden not in public
    }
    assert private == set()
