"""Damaged models and data end with 0 or 2 and one sentence, whatever is wrong with them."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest

from analyzer.cli.main import run
from tests.mutants.mutate import damaged_model

COUNT = {"nightly": 2000, "ci": 300}.get(os.environ.get("HYPOTHESIS_PROFILE", "dev"), 100)
PARTS = 20
LONGEST_SENTENCE = 300  # characters, before the path that the sentence names


@pytest.mark.parametrize("part", range(PARTS))
def test_a_damaged_model_is_audited_or_refused_in_one_sentence(
    part: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.onnx"
    for seed in range(part, COUNT, PARTS):
        random = Random(seed)
        path.write_bytes(damaged_model(random))
        data = random.choice([[], ["--random", "4"]])
        code = run(["audit", str(path), *data])
        said = capsys.readouterr().err
        assert code in (0, 2), (seed, said)
        if code:
            assert said.startswith("deadunits: ") and said.count("\n") == 1, (seed, said)
            assert len(said.replace(str(path), "")) <= LONGEST_SENTENCE, (seed, said)
