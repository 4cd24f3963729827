"""Count dead units by looking: fetch every activation over the whole probe and find what never moves.

    python sample_models/scripts/measure.py sample_models/digits_mlp

This is an independent yardstick for the analyzer: it knows nothing about weights or bounds, it only runs the
model. A unit is dead here when its value is the same for every probe sample and at every position: exactly
for piecewise linear activations, within 4 units in the last place for smooth ones.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

PIECEWISE = {"Relu", "Clip", "LeakyRelu", "PRelu", "HardSigmoid", "HardSwish", "ThresholdedRelu"}
SMOOTH = {
    "Elu",
    "Selu",
    "Celu",
    "Tanh",
    "Sigmoid",
    "Softplus",
    "Softsign",
    "Gelu",
    "Mish",
    "Swish",
    "GRU",
    "Attention",
    "BiasGelu",
}
SMOOTH_ULPS = 4
LAST_AXIS = {"MatMul", "Gemm", "GRU", "Attention"}
CONVOLUTIONS = {"Conv", "ConvTranspose"}


@dataclass(frozen=True)
class Layer:
    """The dead units of one activation tensor."""

    value: str
    op: str
    axis: int
    units: int
    dead: list[int]
    constant: list[int]


def session(model: onnx.ModelProto | Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    source = str(model) if isinstance(model, Path) else model.SerializeToString()
    return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def load_arrays(path: Path) -> dict[str, NDArray[np.float32]]:
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


def unit_axis(graph: onnx.GraphProto, value: str, rank: int) -> int:
    """The axis that counts units: 1 behind a convolution, the last one behind a matrix product, a GRU or attention."""
    producers = {output: node for node in graph.node for output in node.output}
    constants = {tensor.name for tensor in graph.initializer}
    # Walk towards the inputs; `order[i]` is where axis i of the activation lies in the current tensor.
    order = list(range(rank))
    current = value
    while (node := producers.get(current)) is not None:
        if node.op_type in CONVOLUTIONS:
            return order.index(1)
        if node.op_type in LAST_AXIS:
            return order.index(rank - 1)
        if node.op_type == "Transpose":
            permutation = next((list(a.ints) for a in node.attribute if a.name == "perm"), order[::-1])
            order = [permutation[axis] for axis in order]
        elif node.op_type in {"Reshape", "Squeeze", "Unsqueeze", "Flatten"}:
            break
        following = [name for name in node.input if name and name not in constants]
        if not following:
            break
        current = following[0]
    return 1 if rank == 4 else rank - 1


def dead_units(tensor: NDArray[np.float32], axis: int, smooth: bool) -> tuple[list[int], list[int]]:
    """Indices of the units that never move, and of those the ones whose constant is not 0."""
    flat = np.moveaxis(tensor, axis, 0).reshape(tensor.shape[axis], -1)
    low, high = flat.min(axis=1), flat.max(axis=1)
    largest = np.maximum(np.abs(low), np.abs(high))
    allowed = SMOOTH_ULPS * np.spacing(largest) if smooth else np.zeros_like(largest)
    still = high - low <= allowed
    dead = np.flatnonzero(still)
    return dead.tolist(), [int(i) for i in dead if low[i] != 0 or high[i] != 0]


def measure(model_path: Path, arrays: dict[str, NDArray[np.float32]]) -> list[Layer]:
    """Run the model with every activation as an extra output and look at each of them."""
    model = onnx.load(model_path)
    found = [node for node in model.graph.node if node.op_type in PIECEWISE | SMOOTH]
    exposed = {output.name for output in model.graph.output}
    for node in found:
        if node.output[0] not in exposed:
            model.graph.output.append(onnx.helper.make_empty_tensor_value_info(node.output[0]))
    tensors = session(model).run([node.output[0] for node in found], arrays)
    layers = []
    for node, tensor in zip(found, tensors, strict=True):
        axis = unit_axis(model.graph, node.output[0], tensor.ndim)
        dead, constant = dead_units(tensor, axis, node.op_type in SMOOTH)
        layers.append(Layer(node.output[0], node.op_type, axis, tensor.shape[axis], dead, constant))
    return layers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a folder with model.onnx and probe.npz")
    parser.add_argument("--data", default="probe.npz", help="the file in it to measure on (default: probe.npz)")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    layers = measure(folder / "model.onnx", load_arrays(folder / arguments.data))
    print(json.dumps([asdict(layer) for layer in layers], indent=1))


if __name__ == "__main__":
    main()
