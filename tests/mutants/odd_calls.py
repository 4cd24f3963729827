"""Calls of valid files with paths and option values that make no sense."""

from __future__ import annotations

from functools import cache
from random import Random

import numpy as np

from tests.mutants.attempts import OUT, Attempt
from tests.mutants.damaged_arrays import one_input, saved

PATHS = ("", ".", "..", "/", "empty", "d.npz", "d.csv", "model.onnx", "model.onnx/", "p.npy", "a" * 5000, "a\0b",
         "\udcff", "\n", "-", "/dev/null", "/proc/self/mem", "nowhere/x", "~", "*", "%s", "p.npy:x")  # fmt: skip
NAMES = ("\udcff", "\n", "~", "*", "%s", "p.npy:x")  # of files that can be written
NUMBERS = (
    "0",
    "-1",
    "1.5",
    "x",
    "",
    "nan",
    "inf",
    "1e400",
    "99999999999999999999",
    "9" * 5000,
    "5%",
    "200%",
    "5%%",
    "-0",
    "0x10",
    "1_0",
)
WORDS = ("", "x", "r", "r:", "r:0", "r:x", "r:-1", "r:0-99999999999", "r:5-1", "r:*,*", ":", "=", "n=", "=3", "n=-1",
         "n=0", "n=2", "[", "*a" * 200, "\n", "\x1b[2J", "DU003", "DU003=loud", "zzz", "json=x", "1/0", "8x8",
         "99999x99999")  # fmt: skip
Options = dict[str, tuple[str, ...]]
OPTIONS: Options = {
    "audit": ("--batch-size", "--limit", "--threads", "--run-limit", "--near-dead", "--random", "--seed", "--scale"),
    "prune": ("--round-to", "--min-samples", "--max-firing-bound", "--min-distance", "--limit"),
    "check": ("--max-dead", "--min-judged", "--max-near-dead-layer", "--min-samples", "--max-prunable"),
}
NAMED: Options = {
    "audit": ("--preset", "--constant", "--image-size", "--dim", "--report", "--format", "--layout", "--mean"),
    "prune": ("--only", "--skip", "--lossy", "--evidence", "--residual", "--if-nothing"),
    "check": ("--expect-dead", "--ignore", "--severity", "--max-dead-layer", "--format"),
    "explain": ("--unit", "--parameter"),
}
FILES: Options = {
    "audit": ("--probe", "--holdout", "--json", "--html"),
    "prune": ("--plan", "--masks", "-o", "--probe"),
    "check": ("--config", "--baseline", "--probe", "-o"),
}


def odd_call(random: Random) -> Attempt:
    """One option, or the model itself, is odd."""
    kinds: list[tuple[Options, tuple[str, ...]]] = [(OPTIONS, NUMBERS), (NAMED, WORDS), (FILES, PATHS)]
    options, values = random.choice(kinds)
    command = random.choice(sorted(options))
    option, value = random.choice(options[command]), random.choice(values)
    if option in ("--json", "--html", "-o", "--masks") and value in NAMES:
        value = f"{OUT}/{value}"
    model = random.choice(PATHS) if random.random() < 0.1 else "model.onnx"
    data: tuple[str, ...] = () if option in ("--probe", "--random") else ("--probe", "p.npy")
    if command == "prune" and option != "-o":
        data += ("-o", f"{OUT}/small.onnx", "--no-latency")
    quiet = ("--format", "json") if command == "check" and option != "--format" else ("--quiet",)
    return Attempt(_files(), (command, model, *data, option, value, *quiet))


@cache
def _files() -> dict[str, bytes]:
    array = np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32)
    return {"model.onnx": one_input(), "p.npy": saved(array), "d.npz/a": b"", "d.csv/a": b"", "empty/.keep": b""}
