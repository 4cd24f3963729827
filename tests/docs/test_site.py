"""The pages build into a site, without a warning, and the generated ones are up to date."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import analyzer
from analyzer.facts.bound import firing_bound_of
from tests.docs.cli_reference import reference
from tests.docs.pages import ROOT
from tests.snapshots.stored import is_what_it_was

NEEDED = (
    "nbclient",
    "ipykernel",
    "mkdocs",
    "material",
    "mkdocstrings",
    "mkdocstrings_handlers.python",
    "mkdocs_awesome_nav",
)


def missing() -> list[str]:
    return [name for name in NEEDED if importlib.util.find_spec(name.split(".")[0]) is None]


@pytest.mark.skipif(bool(missing()), reason=f'the site needs `pip install ".[docs]"`: no {", ".join(missing())}')
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}  # an announcement of the theme's, not about the pages
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    written = (tmp_path / "api.html").read_text(encoding="utf-8")
    names = [name for name in analyzer.__all__ if not name.startswith("_")]
    absent = [name for name in names if f'id="analyzer.{name}"' not in written]
    assert not absent, f"docs/api.md does not show {absent}"
    notebook = (tmp_path / "notebooks" / "dying_relu.html").read_text(encoding="utf-8")
    assert notebook.count("units are dead") >= 3  # three audits show themselves
    assert 'href="notebooks/dying_relu.html"' in (tmp_path / "tutorial.html").read_text(encoding="utf-8")
    for page in tmp_path.rglob("*.html"):
        assert not re.findall(r'<(?:script|img)[^>]+src="https?:', page.read_text(encoding="utf-8")), page.name


def test_the_page_about_the_command_line_is_up_to_date() -> None:
    is_what_it_was(reference(), ROOT / "docs" / "cli.md")


def test_the_table_of_bounds_is_right() -> None:
    page = (ROOT / "docs" / "choosing_a_probe.md").read_text(encoding="utf-8")
    section = page.split("## How many samples")[1].split("## ")[0]
    rows = re.findall(r"^\| ([\d,]+) \| ([\d.]+) % \|$", section, re.MULTILINE)
    assert len(rows) > 5
    for samples, percent in rows:
        exact = 100 * firing_bound_of(int(samples.replace(",", "")))
        assert float(percent) == pytest.approx(exact, rel=0.01), samples
