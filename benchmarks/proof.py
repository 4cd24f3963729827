"""How long interval bounds take, as a multiple of one plain inference on one sample.

    python benchmarks/proof.py                       # nets of the shape of ResNet-18 and VGG-11, random weights
    python benchmarks/proof.py model.onnx            # files, with inputs between 0 and 1
    python benchmarks/proof.py --clock cpu           # on a machine that is not quiet

Bounds of what enters each ReLU (of all values, where a file has none) and inferences alternate; the medians count. Both
are run by onnxruntime on one thread. Building the graph of bounds is done once per domain and counted by itself.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

BAR = 2.6
RESNET = [(64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)]  # channels and stride of blocks
VGG = [64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0]  # channels; 0: the largest of two by two


class Net:
    """Appends convolutions with a bias and ReLUs."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(0)
        self.nodes: list[onnx.NodeProto] = []
        self.stored: list[onnx.TensorProto] = []

    def add(self, op_type: str, *inputs: str, **attributes: Any) -> str:
        """A node; the name of its output."""
        name = f"{op_type}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, inputs, [name], name=name, **attributes))
        return name

    def weights(self, *shape: int) -> str:
        """A stored array of the size that keeps activations about as large as they are."""
        name, fan_in = f"w{len(self.stored)}", max(1, int(np.prod(shape[1:])))
        array = self.random.standard_normal(shape) * (2 / fan_in) ** 0.5 * (len(shape) > 1)
        self.stored.append(numpy_helper.from_array(array.astype(np.float32), name))
        return name

    def conv(self, x: str, ins: int, outs: int, kernel: int = 3, stride: int = 1) -> str:
        """A convolution with a bias, padded."""
        weight, bias, pad = self.weights(outs, ins, kernel, kernel), self.weights(outs), kernel // 2
        return self.add("Conv", x, weight, bias, strides=[stride] * 2, pads=[pad] * 4, kernel_shape=[kernel] * 2)

    def model(self, last: str) -> onnx.ModelProto:
        """The model, with a dense head."""
        y = self.add("Gemm", self.add("Flatten", last), self.weights(1000, 512), self.weights(1000), transB=1)
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 224, 224])
        out = helper.make_tensor_value_info(y, TensorProto.FLOAT, ["n", 1000])
        graph = helper.make_graph(self.nodes, "net", [x], [out], self.stored)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def resnet18() -> onnx.ModelProto:
    """Its shape, normalisations folded."""
    net = Net()
    value = net.add("Relu", net.conv("x", 3, 64, 7, 2))
    value, width = net.add("MaxPool", value, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]), 64
    for channels, stride in RESNET:
        inner = net.add("Relu", net.conv(value, width, channels, 3, stride))
        inner = net.conv(inner, channels, channels)
        short = value if stride == 1 else net.conv(value, width, channels, 1, stride)
        value, width = net.add("Relu", net.add("Add", inner, short)), channels
    return net.model(net.add("GlobalAveragePool", value))


def vgg11() -> onnx.ModelProto:
    """Its convolutions."""
    net, value, width = Net(), "x", 3
    for channels in VGG:
        if channels:
            value, width = net.add("Relu", net.conv(value, width, channels)), channels
        else:
            value = net.add("MaxPool", value, kernel_shape=[2, 2], strides=[2, 2])
    return net.model(net.add("GlobalAveragePool", value))


def main() -> None:
    """Parse the arguments, measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", help="ONNX files; none: the two nets")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    arguments = parser.parse_args()
    clock = time.perf_counter if arguments.clock == "wall" else time.process_time
    nets = {name: name for name in arguments.models} or {"resnet18": resnet18(), "vgg11": vgg11()}
    print("model            build   inference  intervals   ratio  (bar)", flush=True)
    for name, net in nets.items():
        build, plain, bounds = measure(net, arguments.rounds, clock)
        row = f"{build:7.2f} s {plain * 1e3:8.1f} ms {bounds * 1e3:7.1f} ms {bounds / plain:7.2f}"
        print(f"{name.rsplit('/', 1)[-1][:14]:14} {row}  ({BAR})", flush=True)


def measure(net: Any, rounds: int, clock: Callable[[], float]) -> tuple[float, float, float]:
    """Seconds to build the graph of bounds, of an inference and of a run of the bounds."""
    from analyzer.bounds import IntervalGraph
    from analyzer.facts.domain import Box
    from analyzer.runtime.loading import load_model
    from analyzer.runtime.session import Session
    from analyzer.shapes.shape_run import measure_shapes

    loaded = load_model(net)
    shapes = measure_shapes(loaded, None, threads=1)
    boxes = {name: Box(np.zeros(shapes.shapes[name]), np.ones(shapes.shapes[name])) for name in loaded.graph.inputs}
    feed = {name: np.full(box.low.shape, 0.5, np.float32) for name, box in boxes.items()}
    entering = [node.inputs[0] for node in loaded.graph.nodes if node.op_type == "Relu"]
    begin = clock()
    with IntervalGraph(loaded, shapes, boxes, values=entering, threads=1) as graph, Session(loaded, threads=1) as plain:
        build = clock() - begin
        plain.run(feed), graph.bounds(boxes)
        seconds: dict[str, list[float]] = {"plain": [], "bounds": []}
        for _ in range(rounds):
            for what, run in (("plain", lambda: plain.run(feed)), ("bounds", lambda: graph.bounds(boxes))):
                begin = clock()
                run()
                seconds[what].append(clock() - begin)
    return build, statistics.median(seconds["plain"]), statistics.median(seconds["bounds"])


if __name__ == "__main__":
    main()
