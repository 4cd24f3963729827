"""Nothing is imported before it is needed: which libraries a start, a help text and a plain audit load."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from analyzer.cli.main import COMMANDS

ROOT = Path(__file__).parents[2]
HEAVY = {
    "jinja2",
    "markdown_it",
    "msgspec",
    "networkx",
    "numpy",
    "onnx",
    "onnx_ir",
    "onnxruntime",
    "rich",
    "typer",
    "xxhash",
}
MODEL = "sample_models/digits_mlp/model.onnx"


def loaded_by(code: str) -> set[str]:
    """The libraries, and our modules by their full names, that are loaded once the code has run."""
    report = "import json, sys; sys.stderr.write(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, cwd=ROOT, check=True
    )
    names = json.loads(done.stderr)
    return {name for name in names if name.startswith("analyzer.")} | {name.partition(".")[0] for name in names}


def command(*arguments: str) -> set[str]:
    return loaded_by(f"from analyzer.cli.main import run; assert run({list(arguments)!r}) == 0")


def test_importing_the_package_loads_nothing() -> None:
    loaded = loaded_by("import analyzer")
    assert not loaded & HEAVY
    assert {name for name in loaded if name.startswith("analyzer.")} == {"analyzer.version"}


@pytest.mark.parametrize("name", ["Budgets", "Choice", "Data", "Evidence", "ImageOptions", "Run", "Thresholds"])
def test_what_is_chosen_is_made_without_a_library(name: str) -> None:
    assert not loaded_by(f"import analyzer; analyzer.{name}") & HEAVY


def test_the_version_needs_the_command_line_only() -> None:
    assert command("--version") & HEAVY <= {"typer", "rich"}


@pytest.mark.parametrize("arguments", [["--help"], ["audit", "--help"], ["check", "--help"]])
def test_help_needs_the_command_line_only(arguments: list[str]) -> None:
    assert command(*arguments) & HEAVY == {"typer", "rich", "markdown_it"}  # the last for Typer's own texts


def test_a_command_loads_no_other_one() -> None:
    loaded = command("audit", MODEL, "--quiet")
    assert {name for name in loaded if name.removeprefix("analyzer.cli.") in COMMANDS} == {"analyzer.cli.audit"}


def test_a_plain_audit_loads_no_pages_and_no_other_command() -> None:
    loaded = command("audit", MODEL, "--quiet")
    assert {"numpy", "onnxruntime"} <= loaded
    assert not loaded & {"jinja2", "markdown_it", "msgspec"}
    assert not {name for name in loaded if name.startswith("analyzer.report.html")}
    assert "analyzer.api.checking" not in loaded
