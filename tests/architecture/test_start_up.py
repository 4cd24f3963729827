"""Nothing is imported before it is needed: which libraries a start, a help text and a plain audit load."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
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
HEALTHY = """<ir_version: 8, opset_import: ["" : 17]>
    net (float[N, 1, 4, 4] x) => (float[N, 1, 4, 4] y) <float[1, 1, 1, 1] w = {2.0}> { s = Conv(x, w) y = Relu(s) }"""
# What only dead units, a domain, other engines, kept statistics, or a smaller model ask for.
ASKED_FOR = (
    "analyzer.api.cutting",
    "analyzer.api.diagnosing",
    "analyzer.api.expert_counts",
    "analyzer.api.kept_statistics",
    "analyzer.api.pruning",
    "analyzer.api.reviving",
    "analyzer.api.row_counts",
    "analyzer.api.settling",
    "analyzer.api.with_proof",
    "analyzer.causes.",
    "analyzer.facts.proof",
    "analyzer.facts.pruned",
    "analyzer.observe.engines",
    "analyzer.rewrite.shrink",
    "analyzer.witness.",
)


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


def test_an_audit_of_a_healthy_model_loads_nothing_that_only_others_ask_for(tmp_path: Path) -> None:
    model, data = tmp_path / "healthy.onnx", tmp_path / "data.npy"
    onnx.save(onnx.parser.parse_model(HEALTHY), model)
    np.save(data, np.linspace(-1, 1, 8 * 16, dtype=np.float32).reshape(8, 1, 4, 4))
    loaded = command("audit", str(model), "--probe", str(data))
    assert "analyzer.walk.settle" in loaded
    assert not {name for name in loaded if name.startswith(ASKED_FOR)}
