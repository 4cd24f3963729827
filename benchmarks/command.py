"""What a user waits for: `audit` with its causes, from start to end, against a plain script over the same images.

    python benchmarks/command.py                                  # MobileNetV2 and ResNet-50, needs torch
    python benchmarks/command.py --files mobilenet_v2.onnx --rounds 9
    DEADUNITS="python -m analyzer" python benchmarks/command.py   # of a checkout that is not installed

Whole processes in turn; medians of seconds, of the ratio of two that follow each other, and of peak memory. The script
is what one writes who only wants the outputs.
"""

from __future__ import annotations

import argparse
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

PLAIN = """
import sys
import numpy as np
import onnxruntime as ort
session = ort.InferenceSession(sys.argv[1])
images, name = np.load(sys.argv[2], mmap_mode="r"), session.get_inputs()[0].name
for start in range(0, len(images), 32):
    session.run(None, {name: images[start : start + 32]})
"""
BARS = {"mobilenet_v2": 1.20, "resnet50": 1.10}
MEMORY = 1.05


def main() -> None:
    """Parse the arguments, measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--files", nargs="+", type=Path, help="models of images, in place of those that are made here")
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--size", type=int, default=224, help="pixels of a side")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    print("| model | images | script | audit | ratio | bar | memory (bar 1.05) |\n|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "images.npy"
        shape = (arguments.images, 3, arguments.size, arguments.size)
        np.save(data, np.random.default_rng(0).standard_normal(shape, np.float32))
        for model in arguments.files or _made(Path(folder)):
            print(_row(model, data, arguments.images, arguments.rounds), flush=True)


def _made(folder: Path) -> list[Path]:
    from architectures import export  # needs torch, which the models of a user do not

    return [export(name, folder) for name in BARS]


def _row(model: Path, data: Path, images: int, rounds: int) -> str:
    audit = shlex.split(os.environ.get("DEADUNITS", "deadunits"))
    sides = [sys.executable, "-c", PLAIN, str(model), str(data)], [*audit, "audit", str(model), "--probe", str(data)]
    taken = [tuple(_process(side) for side in sides) for _ in range(rounds)]
    (plain, peak), (ours, our_peak) = np.median(taken, axis=0)
    ratios = sorted(ours / plain for (plain, _), (ours, _) in taken)
    ratio = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} - {ratios[-1]:.2f})"
    bar = f"{BARS[model.stem]:.2f}" if model.stem in BARS else "-"
    return f"| {model.stem} | {images} | {plain:.1f} s | {ours:.1f} s | {ratio} | {bar} | {our_peak / peak:.2f} |"


def _process(command: list[str]) -> tuple[float, float]:
    """Seconds and peak memory of a whole process."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command[:3])} … failed.")
    return time.perf_counter() - start, usage.ru_maxrss


if __name__ == "__main__":
    main()
