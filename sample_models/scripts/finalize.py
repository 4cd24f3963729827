"""Measure every sample model and write the manifest, the README of each folder and the overview table.

    python sample_models/scripts/finalize.py

Also refuses models that fail onnx.checker, that keep weights outside the file, that hold local paths, that do
not take a batch of any size, or whose accuracy in onnxruntime is not the one the framework saw.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from common import ROOT, accuracy, read_manifest, write_manifest
from measure import load_arrays, measure, session

LOCAL_PATH = re.compile(rb"/(?:work|opt|root|tmp|home|usr)/|site-packages")
LICENCES = {
    "load_digits": (
        "Optical Recognition of Handwritten Digits (E. Alpaydin, C. Kaynak), UCI Machine Learning Repository, CC BY 4.0"
    ),
    "load_breast_cancer": (
        "Breast Cancer Wisconsin (Diagnostic) (W. Wolberg, O. Mangasarian, N. Street, W. Street), UCI "
        "Machine Learning Repository, CC BY 4.0"
    ),
    "load_wine": "Wine (S. Aeberhard, M. Forina), UCI Machine Learning Repository, CC BY 4.0",
}
TABLE_START, TABLE_END = "<!-- overview:start -->", "<!-- overview:end -->"

Entry = dict[str, Any]


def predict(folder: Path, arrays: dict[str, np.ndarray], entry: Entry) -> np.ndarray:
    (output,) = session(folder / "model.onnx").run([entry["prediction_output"]], arrays)
    return output if entry["prediction_kind"] == "label" else output.argmax(axis=-1)


def check(folder: Path, model: onnx.ModelProto, probe: dict[str, np.ndarray]) -> None:
    onnx.checker.check_model(model, full_check=True)
    if any(tensor.external_data for tensor in model.graph.initializer):
        raise ValueError(f"{folder.name}: weights outside the file")
    if match := LOCAL_PATH.search((folder / "model.onnx").read_bytes()):
        raise ValueError(f"{folder.name}: holds a local path: {match.group()!r}")
    runner = session(folder / "model.onnx")
    whole = runner.run(None, probe)
    for size in (1, 3, 17):
        part = runner.run(None, {name: array[:size] for name, array in probe.items()})
        for few, many in zip(part, whole, strict=True):
            if few.shape[0] != size or not np.allclose(few, many[:size], rtol=1e-4, atol=1e-4):
                raise ValueError(f"{folder.name}: a batch of {size} gives another result")


def complete(entry: Entry) -> Entry:
    folder = ROOT / entry["name"]
    path = folder / "model.onnx"
    model = onnx.load(path)
    probe, holdout = load_arrays(folder / "probe.npz"), load_arrays(folder / "holdout.npz")
    labels = load_arrays(folder / "holdout_labels.npz")["label"]
    check(folder, model, probe)
    measured = accuracy(predict(folder, holdout, entry), labels)
    if abs(measured - entry["framework_accuracy"]) > 1.5 / len(labels):
        raise ValueError(f"{folder.name}: accuracy {measured} here, {entry['framework_accuracy']} before")
    layers = measure(path, probe)
    unseen = {layer.value: set(layer.dead) for layer in measure(path, holdout)}
    samples = {name: len(next(iter(arrays.values()))) for name, arrays in (("probe", probe), ("holdout", holdout))}
    return entry | {
        "input": ", ".join(probe),
        "opset": {opset.domain or "ai.onnx": opset.version for opset in model.opset_import},
        "bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "parameters": int(sum(np.prod(tensor.dims, dtype=int) for tensor in model.graph.initializer)),
        "accuracy": round(measured, 4),
        "probe_samples": samples["probe"],
        "holdout_samples": samples["holdout"],
        "dead_units": [asdict(layer) for layer in layers],
        "dead_on_holdout_too": [len(set(layer.dead) & unseen[layer.value]) for layer in layers],
    }


def write_readme(entry: Entry) -> None:
    dataset = re.search(r"load_\w+", entry["data"])
    if dataset is None:
        raise ValueError(f"{entry['name']}: unknown data set")
    opset = ", ".join(f"{domain} {number}" for domain, number in entry["opset"].items())
    lines = [
        f"# {entry['name']}",
        "",
        *(f"{note}\n" for note in entry["notes"]),
        f"- Task: {entry['task']}",
        f"- Data: {entry['data']}; {entry['probe_samples']} probe and {entry['holdout_samples']} holdout "
        "samples, disjoint from the training part and from each other",
        f"- Model: {entry['architecture']}; {entry['parameters']} stored parameters",
        f"- Framework: {entry['framework']}, seed {entry['seed']}",
        f"- Training: {entry['training']}",
        f"- Exporter: {entry['exporter']}; opset {opset}",
        f"- Accuracy on the holdout (onnxruntime): {entry['accuracy']:.3f}",
        "",
        "## Dead units on the probe",
        "",
        "Measured with `scripts/measure.py`: the value is the same for every probe sample and position.",
        "",
        "| tensor | op | units | dead | of those not zero | dead on the holdout too |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for layer, held in zip(entry["dead_units"], entry["dead_on_holdout_too"], strict=True):
        dead, constant = len(layer["dead"]), len(layer["constant"])
        lines.append(f"| `{layer['value']}` | {layer['op']} | {layer['units']} | {dead} | {constant} | {held} |")
    lines += [
        "",
        "The indices are in `../manifest.json`.",
        "",
        "## Files",
        "",
        f"`probe.npz` and `holdout.npz` hold an array for each input of the graph ({entry['input']}); "
        "`holdout_labels.npz` holds the classes of the holdout as `label`.",
        "",
        "To make them again, in the environment of the framework (see `../README.md`):",
        "",
        "```sh",
        f"python sample_models/scripts/{entry['script']}",
        "python sample_models/scripts/finalize.py",
        "```",
        "",
        "## Licence of the data",
        "",
        f"{LICENCES[dataset.group()]}; the copy bundled with scikit-learn (BSD-3-Clause).",
    ]
    (ROOT / entry["name"] / "README.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def overview(entries: list[Entry]) -> str:
    lines = [
        "| model | framework, exporter | activations | accuracy | units | dead | dead, per layer | KB |",
        "|---|---|---|---:|---:|---:|---|---:|",
    ]
    for entry in entries:
        layers = entry["dead_units"]
        ops = ", ".join(sorted({layer["op"] for layer in layers}))
        counts = ", ".join(f"{len(layer['dead'])}/{layer['units']}" for layer in layers)
        exporter = entry["exporter"].split(",")[0].split(" of ")[0]
        lines.append(
            f"| [{entry['name']}]({entry['name']}/README.md) | {entry['framework']}, {exporter} | {ops} "
            f"| {entry['accuracy']:.3f} | {sum(layer['units'] for layer in layers)} "
            f"| {sum(len(layer['dead']) for layer in layers)} | {counts} | {entry['bytes'] / 1000:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    entries = {name: complete(entry) for name, entry in read_manifest().items()}
    write_manifest(entries)
    for entry in entries.values():
        write_readme(entry)
    readme = ROOT / "README.md"
    if readme.exists():
        text = readme.read_text(encoding="utf-8")
        head, rest = text.split(TABLE_START)
        tail = rest.split(TABLE_END)[1]
        table = overview([entries[name] for name in sorted(entries)])
        readme.write_text(f"{head}{TABLE_START}\n{table}\n{TABLE_END}{tail}", encoding="utf-8")
    for entry in entries.values():
        dead = [f"{len(layer['dead'])}/{layer['units']}" for layer in entry["dead_units"]]
        print(f"{entry['name']:24} accuracy {entry['accuracy']:.3f}  dead {' '.join(dead)}")


if __name__ == "__main__":
    main()
