"""What docs/scale.md says to type for engines of other kinds gives the file of one command, where they are there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import analyzer
from tests.docs.pages import ROOT, blocks
from tests.laws.shards import without_time

SAMPLE = ROOT / "sample_models" / "digits_mlp"
RECIPES = {
    b.not_run.removeprefix("needs "): b for b in blocks(ROOT / "docs" / "scale.md") if b.not_run.startswith("needs ")
}


@pytest.mark.parametrize(
    ("name", "module"), [("Dask", "dask.distributed"), ("Spark", "pyspark"), ("Beam", "apache_beam")]
)
@pytest.mark.filterwarnings("ignore")  # of theirs
def test_other_engines_give_the_same_file(name: str, module: str, tmp_path: Path) -> None:
    pytest.importorskip(module)
    for file in ("model.onnx", "probe.npz"):
        shutil.copyfile(SAMPLE / file, tmp_path / file)
    (tmp_path / "recipe.py").write_text(RECIPES[name].text)
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYSPARK_PYTHON": sys.executable}
    done = subprocess.run(
        [sys.executable, "recipe.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    merged = analyzer.merge_statistics([tmp_path / "all.stats"])
    assert not merged.missing
    assert without_time(merged) == without_time(
        analyzer.take_statistics(tmp_path / "model.onnx", tmp_path / "probe.npz")
    )


def test_there_is_a_recipe_for_each() -> None:
    assert {"Dask", "Spark", "Beam", "Ray"} <= RECIPES.keys()
