"""What the documentation and the files for build services say is valid, and the commands in them run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import analyzer
from analyzer.cli.main import run

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
HOOKS = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
SAMPLES = ROOT / "sample_models"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def file_in_page(name: str) -> str:
    return next(block for block in blocks("yaml") if block.startswith(f"# {name}\n"))


@pytest.fixture(scope="module")
def baseline() -> analyzer.Audit:
    return analyzer.audit(SAMPLES / "digits_mlp" / "model.onnx", SAMPLES / "digits_mlp" / "probe.npz")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, baseline: analyzer.Audit) -> Path:
    """A folder as the page describes it: a healthy model, its probe and holdout, and a baseline."""
    for name in ("model.onnx", "probe.npz", "holdout.npz"):
        shutil.copy(SAMPLES / "digits_mlp" / name, tmp_path)
    baseline.to_json(tmp_path / "baseline.json")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def commands() -> list[str]:
    found = [line for block in blocks("sh") for line in block.splitlines()]
    found += [
        line for line in yaml.safe_load(file_in_page(".gitlab-ci.yml"))["check-model"]["script"] if "check" in line
    ]
    found += [line for block in blocks("groovy") for line in re.findall(r"sh '(deadunits check .*)'", block)]
    hook = yaml.safe_load(file_in_page(".pre-commit-config.yaml"))["repos"][0]["hooks"][0]
    return [*found, shlex.join([*HOOKS[0]["entry"].split(), *hook["args"]])]


@pytest.mark.parametrize("command", dict.fromkeys(commands()))
def test_every_command_of_the_page_runs(command: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program, *arguments = shlex.split(command)
    assert program == "deadunits"
    assert run(arguments) == 0, capsys.readouterr()


def test_the_settings_of_the_page_hold_for_a_healthy_model_and_not_for_a_killed_one(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "deadunits.toml").write_text(blocks("toml")[0], encoding="utf-8")
    assert run(["check", "model.onnx"]) == 0, capsys.readouterr()
    shutil.copy(SAMPLES / "digits_mlp_killed" / "model.onnx", project)
    assert run(["check", "model.onnx"]) == 1
    assert all(code in capsys.readouterr().out for code in ("DU009",))


def test_the_python_of_the_page_runs(project: Path) -> None:
    for block in blocks("python"):
        done = subprocess.run(
            [sys.executable, "-c", block], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("schema", "name"),
    [
        ("vendor.github-actions", "action.yml"),
        ("vendor.github-workflows", ".github/workflows/model.yml"),
        ("vendor.gitlab-ci", ".gitlab-ci.yml"),
    ],
)
def test_files_for_build_services_satisfy_their_schemas(schema: str, name: str, tmp_path: Path) -> None:
    path = ROOT / name
    if name != "action.yml":
        path = tmp_path / Path(name).name
        path.write_text(file_in_page(name), encoding="utf-8")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_workflow_of_the_page_gives_the_action_inputs_that_it_has() -> None:
    steps = yaml.safe_load(file_in_page(".github/workflows/model.yml"))["jobs"]["check"]["steps"]
    given = next(step["with"] for step in steps if "deadunits" in step["uses"])
    assert set(given) <= set(ACTION["inputs"])
    assert {name for name, told in ACTION["inputs"].items() if told.get("required")} <= set(given)


def test_the_hook_of_the_page_exists() -> None:
    hook = yaml.safe_load(file_in_page(".pre-commit-config.yaml"))["repos"][0]["hooks"][0]
    assert hook["id"] in [known["id"] for known in HOOKS]


def action(project: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    """The last step of the action, run as a runner would, with the command from this tree."""
    tools = project / "tools"
    tools.mkdir()
    shim = tools / "deadunits"
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m analyzer "$@"\n', encoding="utf-8")
    shim.chmod(0o755)
    step: dict[str, Any] = ACTION["runs"]["steps"][-1]
    given = {name: inputs.get(name, str(told.get("default", ""))) for name, told in ACTION["inputs"].items()}
    environment = {key: given[re.findall(r"inputs\.([\w-]+)", value)[0]] for key, value in step["env"].items()}
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        env={
            **os.environ,
            **environment,
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "GITHUB_STEP_SUMMARY": str(project / "summary.md"),
        },
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )


needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="the action's step is a bash script")


@needs_bash
def test_the_action_passes_a_healthy_model_and_writes_its_reports(project: Path) -> None:
    arguments = "--max-dead=15%\n\n--baseline=baseline.json\n"
    done = action(project, model="model.onnx", probe="probe.npz", sarif="check.sarif", arguments=arguments)
    assert done.returncode == 0, done.stderr
    constant, verdict = done.stdout.splitlines()
    assert constant.startswith("::notice file=model.onnx,title=DU033 input-constant::pixels: 6 of 64 features")
    assert verdict == (
        "deadunits check passed: 1 note. 17 of 170 units dead (10 %), 14.5 % of 10,730 parameters can go; "
        "judged: 100 % of multiply-adds, 100 % of parameters, 4 of 4 activations."
    )
    assert (project / "summary.md").read_text(encoding="utf-8").startswith("### ✅")
    assert (project / "check.sarif").exists()


@needs_bash
def test_the_action_fails_on_a_killed_model_with_annotations(project: Path) -> None:
    shutil.copy(SAMPLES / "digits_mlp_killed" / "model.onnx", project)
    done = action(project, model="model.onnx", probe="probe.npz", arguments="--max-dead=15%")
    assert done.returncode == 1
    assert done.stdout.startswith("::error file=model.onnx,title=DU015 dead-over-budget::")


@needs_bash
def test_inputs_of_the_action_are_never_run_as_code(project: Path) -> None:
    done = action(project, model="$(touch hacked)`touch hacked`;touch hacked", arguments="$(touch hacked)")
    assert done.returncode == 2
    assert not (project / "hacked").exists()
