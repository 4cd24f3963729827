"""What every training script shares: data splits, graph clean-up and the files of one sample model.

Needs only numpy, scikit-learn (for its bundled data sets) and onnx, so that it runs unchanged in each
framework's own environment. Nothing is downloaded.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_digits, load_wine

ROOT = Path(__file__).resolve().parent.parent
MANIFEST = ROOT / "manifest.json"
SPLIT_SEED = 20240501

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """A data set cut into a training, a probe and a holdout part."""

    train_x: Floats
    train_y: Ints
    probe_x: Floats
    holdout_x: Floats
    holdout_y: Ints
    classes: int


@dataclass(frozen=True)
class Card:
    """Where a model comes from; `finalize.py` adds everything that is measured."""

    name: str
    task: str
    data: str
    architecture: str
    training: str
    script: str
    seed: int
    framework: str
    exporter: str
    framework_accuracy: float  # on the holdout, computed by the framework itself
    prediction_output: str
    prediction_kind: str = "argmax"  # or "label": the output already holds class indices
    notes: list[str] = field(default_factory=list)


def _cut(x: Floats, y: Ints, probe: int, holdout: int) -> Split:
    """Shuffle once with a fixed seed; probe and holdout never overlap the training part."""
    order = np.random.RandomState(SPLIT_SEED).permutation(len(x))
    x, y = x[order], y[order]
    tail = probe + holdout
    return Split(
        train_x=x[:-tail],
        train_y=y[:-tail],
        probe_x=x[-tail:-holdout],
        holdout_x=x[-holdout:],
        holdout_y=y[-holdout:],
        classes=int(y.max()) + 1,
    )


def digits() -> Split:
    """Handwritten digits, 8x8 pixels scaled to [0, 1], flat: 1197 train, 300 probe, 300 holdout."""
    bunch = load_digits()
    return _cut((bunch.data / 16.0).astype(np.float32), bunch.target.astype(np.int64), 300, 300)


def breast_cancer() -> Split:
    """30 raw (deliberately unscaled) features, 2 classes: 319 train, 125 probe, 125 holdout."""
    bunch = load_breast_cancer()
    return _cut(bunch.data.astype(np.float32), bunch.target.astype(np.int64), 125, 125)


def wine() -> Split:
    """13 raw features, 3 classes, only 178 samples: 98 train, 40 probe, 40 holdout."""
    bunch = load_wine()
    return _cut(bunch.data.astype(np.float32), bunch.target.astype(np.int64), 40, 40)


def package(name: str) -> str:
    """'name version' of an installed distribution, for the manifest."""
    return f"{name} {version(name)}"


def accuracy(predicted: NDArray[Any], truth: NDArray[Any]) -> float:
    return float(np.mean(np.asarray(predicted).reshape(-1) == truth))


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in [attribute.g, *attribute.graphs]:
                if inner.node:
                    yield from _graphs(inner)


def strip_traces(model: onnx.ModelProto) -> None:
    """Drop doc strings and exporter metadata: they hold stack traces and local paths, no semantics."""
    model.ClearField("doc_string")
    model.ClearField("metadata_props")
    for function in model.functions:
        function.ClearField("doc_string")
        function.ClearField("metadata_props")
        for node in function.node:
            node.ClearField("doc_string")
            node.ClearField("metadata_props")
    for graph in _graphs(model.graph):
        parts = [graph, *graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info]
        for part in parts:
            part.ClearField("doc_string")
            part.ClearField("metadata_props")


def publish(
    card: Card, model: onnx.ModelProto, probe: tuple[Floats, ...], holdout: tuple[Floats, ...], labels: Ints
) -> Path:
    """Write model.onnx, probe.npz, holdout.npz and holdout_labels.npz, and note the card in the manifest.

    `probe` and `holdout` are an array for each input of the graph, in its order.
    """
    strip_traces(model)
    onnx.checker.check_model(model, full_check=True)
    initializers = {tensor.name for tensor in model.graph.initializer}
    inputs = [value.name for value in model.graph.input if value.name not in initializers]
    folder = ROOT / card.name
    folder.mkdir(exist_ok=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
    for name, arrays in (("probe", probe), ("holdout", holdout)):
        named = {i: np.ascontiguousarray(array, np.float32) for i, array in zip(inputs, arrays, strict=True)}
        np.savez_compressed(folder / f"{name}.npz", **named)
    np.savez_compressed(folder / "holdout_labels.npz", label=labels)
    manifest = read_manifest()
    manifest[card.name] = asdict(card)
    write_manifest(manifest)
    print(f"wrote {card.name}", file=sys.stderr)
    return folder


def read_manifest() -> dict[str, dict[str, Any]]:
    if not MANIFEST.exists():
        return {}
    entries = json.loads(MANIFEST.read_text(encoding="utf-8"))["models"]
    return {entry["name"]: entry for entry in entries}


def write_manifest(entries: dict[str, dict[str, Any]]) -> None:
    models = [entries[name] for name in sorted(entries)]
    MANIFEST.write_text(json.dumps({"models": models}, indent=1) + "\n", encoding="utf-8")
