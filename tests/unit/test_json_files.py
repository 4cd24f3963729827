"""JSON that is named on the command line or lies beside a model."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer.errors import InputError, ProbeError
from analyzer.json_files import read_json


def test_what_a_file_holds(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": [1]}')
    assert read_json(tmp_path / "a.json", "plan", "write one", most=10) == {"a": [1]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{'a': 1}", "is no JSON: write one."),
        (b"\xff\xff", "is no JSON: write one."),
        (b"[" * 90_000, "is no JSON: write one."),
        (b" " * 100_000, "is larger than any plan: write one."),
    ],
)
def test_what_is_refused(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ProbeError) as refused:
        read_json(tmp_path / "a.json", "plan", "write one", most=99_999, error=ProbeError)
    assert str(refused.value) == f"{tmp_path / 'a.json'} {said}"


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json cannot be read: No such file"):
        read_json(tmp_path / "none.json", "plan", "write one", most=9)
    with pytest.raises(InputError, match=r"^Make one\.$"):
        read_json(tmp_path / "none.json", "plan", "write one", most=9, missing="Make one.")
    with pytest.raises(InputError, match="standard input is not read"):
        read_json(Path("-"), "plan", "write one", most=9, missing="Make one.")
    with pytest.raises(InputError, match="cannot be read"):
        read_json(tmp_path, "plan", "write one", most=1 << 20)
