"""The example notebooks run from top to bottom, and show what they say."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat import read as _read

read: Any = _read  # carries no types
ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def run(path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> NotebookNode:
    """The notebook after a run in a kernel of this very Python; the user's home is neither read nor written."""
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(home / name.lower()))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    kernel = home / "jupyter_data_dir" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    command = f'["{sys.executable}", "-m", "ipykernel_launcher", "-f", "{{connection_file}}"]'
    (kernel / "kernel.json").write_text(
        f'{{"argv": {command}, "display_name": "Python 3", "language": "python"}}', "utf-8"
    )
    notebook: NotebookNode = read(path, as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(ROOT)}}).execute()
    return notebook


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("default")  # the kernel's own libraries warn about each other
def test_every_cell_runs_and_every_audit_shows_itself(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = run(path, tmp_path, monkeypatch)
    for cell in notebook.cells:
        if cell.cell_type == "code" and cell.source.isidentifier():
            assert "units are dead" in cell.outputs[0]["data"]["text/html"]


def test_the_notebooks_are_kept_without_outputs() -> None:
    assert NOTEBOOKS
    for path in NOTEBOOKS:
        notebook = read(path, as_version=4)
        assert not any(cell.get("outputs") for cell in notebook.cells), path.name
