"""`observe --resume` after SIGKILL at random moments: in the end the file is the same, and no sample counts twice."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from analyzer.observe.statistics_file import read_statistics, to_bytes

JOBS, KILLS = {"nightly": (20, 10), "ci": (2, 3)}.get(os.environ.get("HYPOTHESIS_PROFILE", "dev"), (2, 2))
ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "sample_models" / "digits_mlp_killed"
ENGINES = ("local", "processes:2")
SAMPLES = 80
READ_ALL = 2.0  # seconds that reading all samples takes at least


def started(folder: Path, engine: str) -> subprocess.Popen[bytes]:
    (folder / "slow.py").write_text(
        f"import time, numpy as np\nrows = np.load({str(SAMPLE / 'probe.npz')!r})['pixels'][:{SAMPLES}]\n"
        f"def feeds():\n    for row in rows:\n        time.sleep({READ_ALL / SAMPLES})\n        yield row[None]\n"
    )
    words = [str(SAMPLE / "model.onnx"), "--probe", "slow.py:feeds", "--batch-size", "2", "-q", "-o", "out.stats"]
    return subprocess.Popen(
        [sys.executable, "-m", "analyzer", "observe", *words, "--resume", "--checkpoint", "0.05", "--engine", engine],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )


def without_time(path: Path) -> bytes:
    return to_bytes(replace(read_statistics(path), microseconds=0))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, float]:
    """The file of a call that nobody ends, and how long that takes."""
    folder, begin = tmp_path_factory.mktemp("whole"), time.monotonic()
    assert started(folder, "local").wait() == 0
    return without_time(folder / "out.stats"), time.monotonic() - begin


@pytest.mark.parametrize("seed", range(JOBS))
def test_what_is_killed_again_and_again_goes_on_to_the_same_file(
    seed: int, whole: tuple[bytes, float], tmp_path: Path
) -> None:
    expected, lasts = whole
    random, output, partial = Random(seed), tmp_path / "out.stats", tmp_path / "out.stats.partial"
    kills = done = 0
    while kills < KILLS:
        process = started(tmp_path, random.choice(ENGINES))
        time.sleep(random.uniform(0, lasts))
        process.kill()
        kills += process.wait() != 0  # else it was faster
        if output.exists():
            assert without_time(output) == expected
            output.unlink()
        if partial.exists():
            begun = read_statistics(partial)  # whole, whatever the moment
            assert begun.record.samples == begun.counted.samples >= done
            done = begun.record.samples
        else:
            done = 0
    assert started(tmp_path, random.choice(ENGINES)).wait() == 0
    assert without_time(output) == expected
    assert read_statistics(output).record.samples == SAMPLES
