"""The settings file: where it is looked for, what may stand in it, and what is said of mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer.cli.settings import read_settings
from analyzer.errors import InputError
from analyzer.facts.budgets import Limit


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_without_a_file_nothing_is_set(tmp_path: Path) -> None:
    assert not read_settings(start=tmp_path).budgets.any_limit


def test_the_nearest_file_upward_is_read(tmp_path: Path) -> None:
    write(tmp_path / "deadunits.toml", "max-dead = 9\n")
    write(tmp_path / "a" / "pyproject.toml", '[tool.deadunits]\nmax-dead = 3\nprobe = "p.npz"\n')
    write(tmp_path / "a" / "b" / "pyproject.toml", "[tool.other]\nmax-dead = 1\n")
    deep = tmp_path / "a" / "b" / "c"
    deep.mkdir()
    found = read_settings(start=deep)
    assert found.budgets.max_dead == Limit(count=3)
    assert Path(found.sources["probe"]) == tmp_path / "a" / "p.npz"


def test_a_file_of_our_own_goes_before_a_shared_one(tmp_path: Path) -> None:
    write(tmp_path / "deadunits.toml", "max-dead = 9\n")
    write(tmp_path / "pyproject.toml", "[tool.deadunits]\nmax-dead = 3\n")
    assert read_settings(start=tmp_path).budgets.max_dead == Limit(count=9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max-ded = 5", "no setting 'max-ded': did you mean max-dead"),
        ("max-dead = [", "is no TOML file"),
        ("max-dead = 'x'", "max-dead = 'x' is not a limit"),
        ("probe = 3", "probe = 3 is not a path"),
        ("probe = 'data.py:feeds'", "would be executed: give it with --probe"),
        ("max_dead = 1.5", "not a limit"),
    ],
)
def test_mistakes_are_named_with_the_file(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path / "deadunits.toml", text)
    with pytest.raises(InputError, match=message) as caught:
        read_settings(start=tmp_path)
    assert str(path) in str(caught.value)


def test_a_chosen_file_must_be_there_and_hold_a_table(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_settings(str(tmp_path / "none.toml"))
    with pytest.raises(InputError, match="has no table"):
        read_settings(str(write(tmp_path / "pyproject.toml", "[tool.other]\n")))
    with pytest.raises(InputError, match="is not a table"):
        read_settings(str(write(tmp_path / "pyproject.toml", "[tool]\ndeadunits = 3\n")))
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="is no TOML file"):
        read_settings(str(tmp_path / "bad.toml"))
