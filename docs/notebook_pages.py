"""Notebooks as pages of the site: they are run while it is built, and shown with what their cells show.

A hook of MkDocs. In the repository notebooks are kept without outputs; links to them lead to these pages here.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import nbformat
from mkdocs.structure.files import File, Files
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]


def on_files(files: Files, config) -> Files:
    for path in sorted(Path(config.docs_dir, "notebooks").glob("*.ipynb")):
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=page(path)))
    return files


def on_page_markdown(markdown: str, **_) -> str:
    return re.sub(r"(\(notebooks/\w+)\.ipynb\)", r"\1.md)", markdown)


def page(path: Path) -> str:
    notebook = nbformat.read(path, as_version=4)
    paths = filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))
    kernel = {"env": os.environ | {"PYTHONPATH": os.pathsep.join(paths)}, "stderr": subprocess.DEVNULL}
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(ROOT)}}).execute(**kernel)
    parts = [f"[The notebook itself]({path.name})"]
    for cell in notebook.cells:
        parts.append(cell.source if cell.cell_type == "markdown" else f"```python\n{cell.source}\n```")
        parts += filter(None, map(shown, cell.get("outputs", ())))
    first, title, *others = parts
    return "\n\n".join((title, first, *others))


def shown(output) -> str:
    """HTML on one line, since a blank one would end it; else text."""
    data = output.get("data", {"text/plain": output.get("text", "")})
    if "text/html" in data:
        return f"<div>{' '.join(data['text/html'].split())}</div>"
    if "image/png" in data:
        return f'<img alt="what the cell above shows" src="data:image/png;base64,{data["image/png"].strip()}">'
    text = data.get("text/plain", "").strip("\n")
    return f"```text\n{text}\n```" if text else ""
