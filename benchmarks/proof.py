"""How long interval bounds take, as a multiple of one plain inference on one sample; what linear bounds add to them.

    python benchmarks/proof.py                       # nets of the shape of ResNet-18 and VGG-11, random weights
    python benchmarks/proof.py model.onnx            # files, with inputs between 0 and 1
    python benchmarks/proof.py --clock cpu           # on a machine that is not quiet
    python benchmarks/proof.py --linear              # small nets, in boxes around one point; files, too

Bounds of what enters each ReLU (of all values, where a file has none) and inferences alternate; the medians count. Both
are run by onnxruntime on one thread. Building the graph of bounds is done once per domain and counted by itself.

With `--linear` the numbers that enter ReLUs are counted by what is known of their sign. auto_LiRPA is no oracle here:
its release on PyPI (0.3) loads neither with NumPy 2 nor with PyTorch 2.13.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
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

    def model(
        self, last: str, shape: Sequence[int] = (3, 224, 224), classes: int = 1000, ins: int = 512
    ) -> onnx.ModelProto:
        """The model, with a dense head."""
        y = self.add("Gemm", self.add("Flatten", last), self.weights(classes, ins), self.weights(classes), transB=1)
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *shape])
        out = helper.make_tensor_value_info(y, TensorProto.FLOAT, ["n", classes])
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


def dense(width: int = 256, depth: int = 6) -> onnx.ModelProto:
    """Layers of one width on 28 x 28 numbers."""
    net, value, ins = Net(), "x", 784
    for _ in range(depth):
        value = net.add("Relu", net.add("Gemm", value, net.weights(width, ins), net.weights(width), transB=1))
        ins = width
    return net.model(value, [784], 10, ins)


def convolutions() -> onnx.ModelProto:
    """Two strided convolutions and a dense layer on pictures of 32 x 32."""
    net = Net()
    value = net.add("Relu", net.conv("x", 3, 16, 3, 2))
    value = net.add("Flatten", net.add("Relu", net.conv(value, 16, 32, 3, 2)))
    value = net.add("Relu", net.add("Gemm", value, net.weights(100, 2048), net.weights(100), transB=1))
    return net.model(value, [3, 32, 32], 10, 100)


def main() -> None:
    """Parse the arguments, measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", help="ONNX files; none: the two nets")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--linear", action="store_true", help="linear bounds beside intervals")
    parser.add_argument("--radius", type=float, action="append", help="of the boxes for --linear (0.03 and 0.1)")
    arguments = parser.parse_args()
    if arguments.linear:
        compare(arguments.models, arguments.radius or [0.03, 0.1], arguments.rounds)
        return
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


def compare(models: Sequence[str], radii: Sequence[float], rounds: int) -> None:
    """Print, for boxes around one point, how many numbers that enter ReLUs are below, above and around 0."""
    from analyzer.bounds import IntervalGraph
    from analyzer.bounds.linear_bounds import Asked, LinearBounds
    from analyzer.facts.domain import Box
    from analyzer.runtime.loading import load_model
    from analyzer.shapes.shape_run import measure_shapes

    nets: dict[str, Any] = {name: name for name in models} or {"dense 6x256": dense(), "convolutions": convolutions()}
    print("model          radius   intervals: - / + / both        s   linear: - / + / both           s", flush=True)
    for (name, net), radius in ((net, radius) for net in nets.items() for radius in radii):
        loaded = load_model(net)
        shapes = measure_shapes(loaded, None, threads=1)
        entering = [node.inputs[0] for node in loaded.graph.nodes if node.op_type == "Relu"]
        random, boxes = np.random.default_rng(0), dict[str, Box]()
        for value in loaded.graph.inputs:
            middle = random.random(shapes.shapes[value])
            boxes[value] = Box(*(np.clip(middle + side, 0, 1).astype(np.float32) for side in (-radius, radius)))
        asked = {value: Asked(*[np.zeros(shapes.shapes[value], np.bool_)] * 2) for value in entering}
        asked[entering[-1]] = Asked(*[np.ones(shapes.shapes[entering[-1]], np.bool_)] * 2)
        row = f"{name.rsplit('/', 1)[-1][:14]:14} {radius:6}"
        with (
            IntervalGraph(loaded, shapes, boxes, values=entering, threads=1) as intervals,
            LinearBounds(loaded, shapes, boxes, asked, threads=1) as linear,
        ):
            for run in (partial(intervals.bounds, boxes), partial(linear.bounds, boxes, asked)):
                seconds = list[float]()
                for _ in range(rounds):
                    begin = time.perf_counter()
                    found = run()
                    seconds.append(time.perf_counter() - begin)
                ends = [found[value] for value in entering]
                signs = [(box.high <= 0, (box.low >= 0) & (box.high > 0)) for box in ends]
                below, above = (sum(int(parts[side].sum()) for parts in signs) for side in range(2))
                both = sum(box.low.size for box in ends) - below - above
                row += f"  {below:6} /{above:6} /{both:6} {statistics.median(seconds):7.3f} s"
        print(row, flush=True)


if __name__ == "__main__":
    main()
