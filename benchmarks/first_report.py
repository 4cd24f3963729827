"""How long it takes from a trained net to its first report, by what the tutorial says for each framework.

    python benchmarks/first_report.py PyTorch Keras       # in an environment that has them

Runs the code of the page's section, as it stands there, on a net of the size of the samples that was made here
(training is not measured), and then the command line on what it wrote. Prints rows of the page's table.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
DRAW = np.random.default_rng(0)
ROWS, IMAGES = (DRAW.random(shape, dtype=np.float32) for shape in ((300, 64), (300, 8, 8, 1)))


def torch_net() -> dict[str, Any]:
    import torch
    from torch import nn

    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    return {"model": model, "inputs": torch.tensor(ROWS)}


def keras_net() -> dict[str, Any]:
    import keras

    stem = [keras.layers.Conv2D(16, 3, activation="relu"), keras.layers.Conv2D(32, 3, activation="relu")]
    head = [keras.layers.Flatten(), keras.layers.Dense(10)]
    return {"model": keras.Sequential([keras.Input((8, 8, 1)), *stem, *head]), "images": IMAGES}


def sklearn_net() -> dict[str, Any]:
    import skl2onnx  # noqa: F401  loaded with the framework, not with the export
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier((64, 32), max_iter=200, random_state=0)
    return {"model": model.fit(ROWS, DRAW.integers(0, 10, len(ROWS))), "x": ROWS}


def jax_net() -> dict[str, Any]:
    import jax
    import jax.numpy as jnp

    def forward(parameters: Any, pixels: Any) -> Any:
        for weight in parameters[:-1]:
            pixels = jnp.maximum(pixels @ weight, 0)
        return pixels @ parameters[-1]

    parameters = [jax.random.normal(jax.random.key(n), (64, 64)) for n in range(2)]
    return {"forward": forward, "parameters": parameters, "pixels": ROWS}


NETS: dict[str, Callable[[], dict[str, Any]]] = {
    "PyTorch": torch_net,
    "Keras": keras_net,
    "TensorFlow": keras_net,
    "scikit-learn": sklearn_net,
    "JAX": jax_net,
}


def code_of(section: str) -> str:
    """The first Python block of a section of the page."""
    text = PAGE.split(f"### {section}\n", 1)[1]
    return re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]  # type: ignore[index]  # it is there, or this fails


def measured(framework: str) -> list[float]:
    """Seconds: to load the framework and make the net, to export it, to write the report."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        start = time.perf_counter()
        names = NETS[framework]()
        loaded = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            exec(code_of(framework), names)  # noqa: S102  our own page
        exported = time.perf_counter()
        command = [sys.executable, "-m", "analyzer", "audit", "model.onnx", "--probe", "probe.npz"]
        subprocess.run(
            [*command, "--html", "report.html", "--quiet"], check=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
        )
        done = time.perf_counter()
        assert Path("report.html").stat().st_size
    return [loaded - start, exported - loaded, done - exported]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("frameworks", nargs="*", choices=[*NETS], default=[*NETS])
    for framework in parser.parse_args().frameworks:
        seconds = measured(framework)
        print(f"| {framework} | {' | '.join(f'{s:.1f}' for s in (*seconds, sum(seconds)))} |", flush=True)
