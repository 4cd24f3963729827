"""Output files: whole or not at all, never over an input."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from analyzer.errors import OutputError
from analyzer.report.output_files import check_output


def test_an_input_is_never_written_over(tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    model.write_text("")
    (tmp_path / "link").symlink_to(model)
    (tmp_path / "hard").hardlink_to(model)
    for name in ("model.onnx", "link", "hard", "./model.onnx"):
        with pytest.raises(OutputError, match="is an input"):
            check_output(tmp_path / name, [model])


def test_a_file_inside_an_input_folder_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_text("")
    with pytest.raises(OutputError, match="is an input"):
        check_output(tmp_path / "images" / "a.png", [tmp_path / "images"])


def test_a_new_file_beside_the_inputs_is_fine(tmp_path: Path) -> None:
    assert check_output(tmp_path / "new.json", [tmp_path, tmp_path / "gone"]) == tmp_path / "new.json"


def test_a_place_that_cannot_be_written_is_known_before(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        check_output(tmp_path / "no" / "a.json")
    with pytest.raises(OutputError, match="is a folder"):
        check_output(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_known_before(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="no permission"):
        check_output(tmp_path / "a.json")
