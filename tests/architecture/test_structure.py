"""What holds for every file of the project."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MOST_LINES = 400
PACKAGE = sorted((ROOT / "analyzer").rglob("*.py"))
SOURCES = sorted(
    path for folder in ("analyzer", "tests", "benchmarks", "sample_models") for path in (ROOT / folder).rglob("*.py")
)
VAGUE = {"utils", "util", "helpers", "helper", "common", "core", "manager", "misc"}
# Which packages of ours may import a library; everyone else must go through them.
HOMES = {
    "onnxruntime": {"runtime"},
    "onnx": {"graph", "runtime"},  # runtime: nodes to fold, and whether ONNX knows an operator
    "onnx_ir": {"graph"},
    "typer": {"cli"},
    "rich": {"cli", "report"},
    "jinja2": {"report"},
    "markdown_it": {"report"},
    "msgspec": {"report", "observe"},  # observe: files of statistics
    "pandas": {"probes", "report"},
    "pyarrow": {"probes"},
    "PIL": {"probes"},
    "fsspec": {"graph"},
}
# File names that stand in several packages because one mirrors the other: commands, formats, options.
MIRRORED = {
    "__init__",
    "audit",
    "prune",
    "revive",
    "prove",
    "verify",
    "check",
    "compare",
    "explain",
    "json",
    "svg",
    "terminal",
    "html",
    "markdown",
    "options",
}
OPTIONAL = [
    "pandas",
    "pyarrow",
    "PIL",
    "fsspec",
    "huggingface_hub",
    "torch",
    "tensorflow",
    "jax",
    "sklearn",
    "matplotlib",
]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports_of(path: Path) -> Iterator[tuple[str, bool]]:
    """Imported modules, and whether that happens at run time."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node not in typing_only) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, node not in typing_only


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < MOST_LINES


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_every_module_says_what_it_is(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not text.strip() or ast.get_docstring(ast.parse(text))


@pytest.mark.parametrize("path", PACKAGE, ids=name_of)
def test_names_say_something(path: Path) -> None:
    assert not VAGUE & {path.stem, *path.relative_to(ROOT).parts}


@pytest.mark.parametrize("path", PACKAGE, ids=name_of)
def test_libraries_are_imported_only_where_they_belong(path: Path) -> None:
    package = path.relative_to(ROOT / "analyzer").parts[0]
    for module, at_run_time in imports_of(path):
        library = module.partition(".")[0]
        assert not at_run_time or library not in HOMES or package in HOMES[library], f"{module} in {package}"


@pytest.mark.parametrize("path", PACKAGE, ids=name_of)
def test_nothing_evaluates_or_unpickles_data(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert not {"eval", "exec", "__import__"} & {ast.unparse(call.func) for call in calls}
    for keyword in (keyword for call in calls for keyword in call.keywords):
        assert keyword.arg != "allow_pickle" or ast.unparse(keyword.value) == "False"
    imported = {module.partition(".")[0] for module, _ in imports_of(path)}
    assert not {"pickle", "dill", "joblib", "marshal", "shelve"} & imported


def test_a_file_name_stands_in_one_package() -> None:
    homes: dict[str, list[str]] = {}
    for path in PACKAGE:
        if path.stem not in MIRRORED:
            homes.setdefault(path.stem, []).append(name_of(path))
    assert not {name: places for name, places in homes.items() if len(places) > 1}


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = [int(path.name[:4]) for path in sorted((ROOT / "docs" / "decisions").glob("*.md"))]
    assert numbers == list(range(1, len(numbers) + 1))


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)


def test_the_package_works_without_optional_libraries() -> None:
    code = (
        "import sys\n"
        f"for name in {OPTIONAL}: sys.modules[name] = None\n"
        "import analyzer.cli.main, analyzer\n"
        "folder = 'sample_models/digits_mlp'\n"
        "assert analyzer.audit(folder + '/model.onnx', folder + '/probe.npz').layers\n"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr
