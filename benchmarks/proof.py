"""How long interval bounds take, as a multiple of one plain inference on one sample; what linear bounds add to them.

    python benchmarks/proof.py                       # nets of the shape of ResNet-18 and VGG-11, random weights
    python benchmarks/proof.py model.onnx            # files, with inputs between 0 and 1
    python benchmarks/proof.py --clock cpu           # on a machine that is not quiet
    python benchmarks/proof.py --linear              # small nets, in boxes around one point; files, too
    python benchmarks/proof.py --linear --oracle --arithmetic real    # the same nets by auto_LiRPA, see below

Bounds of what enters each ReLU (of all values, where a file has none) and inferences alternate; the medians count. Both
are run by onnxruntime on one thread. Building the graph of bounds is done once per domain and counted by itself.

With `--linear` the numbers that enter ReLUs are counted by what is known of their sign: by intervals, by linear bounds,
and by linear bounds with slopes that are sought (30 turns). The oracle is auto_LiRPA 0.3 as it comes (20 turns), the
last release on PyPI, for chains of Gemm, Conv, Flatten and Relu. It allows for no rounding; with `--arithmetic real`
ours allow for that of their own rows alone. It asks for a PyTorch that Python 3.11 never had; a later one will do once
its `parse_graph.py` is changed in three places (the opset's setter, a node's attributes, the export type):

    pip install ".[oracle]" && pip install --no-deps auto_LiRPA==0.3
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
TURNS = 30  # in which slopes are sought
WIDEST = "784, 6x256"  # of which they are not
Ends = tuple[Any, Any]  # arrays of lower and upper bounds
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


def dense(width: int, depth: int, ins: int) -> onnx.ModelProto:
    """Layers of one width on so many numbers."""
    net, value, reads = Net(), "x", ins
    for _ in range(depth):
        value = net.add("Relu", net.add("Gemm", value, net.weights(width, reads), net.weights(width), transB=1))
        reads = width
    return net.model(value, [ins], 10, reads)


def convolutions(side: int) -> onnx.ModelProto:
    """Two strided convolutions and a dense layer on square pictures."""
    net, reads = Net(), 32 * (side // 4) ** 2
    value = net.add("Relu", net.conv("x", 3, 16, 3, 2))
    value = net.add("Flatten", net.add("Relu", net.conv(value, 16, 32, 3, 2)))
    value = net.add("Relu", net.add("Gemm", value, net.weights(100, reads), net.weights(100), transB=1))
    return net.model(value, [3, side, side], 10, 100)


def main() -> None:
    """Parse the arguments, measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", help="ONNX files; none: the two nets")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--linear", action="store_true", help="linear bounds beside intervals")
    parser.add_argument("--radius", type=float, action="append", help="of the boxes for --linear (0.01 and 0.03)")
    parser.add_argument(
        "--arithmetic", choices=("float32", "real"), default="float32", help="that linear bounds hold for"
    )
    parser.add_argument("--oracle", action="store_true", help="auto_LiRPA beside linear bounds")
    arguments = parser.parse_args()
    if arguments.linear:
        compare(arguments.models, arguments.radius or [0.01, 0.03], arguments.arithmetic, arguments.oracle)
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


def compare(models: Sequence[str], radii: Sequence[float], arithmetic: str, oracle: bool) -> None:
    """Print, for boxes around one point, how many numbers that enter ReLUs are below, above and around 0."""
    from analyzer.facts.domain import Box
    from analyzer.runtime.loading import load_model
    from analyzer.shapes.shape_run import measure_shapes

    nets: dict[str, Any] = {name: name for name in models} or {
        "dense 4x64": dense(64, 4, 64), "dense 3x100": dense(100, 3, 100), "convolutions": convolutions(8),
        "784, 4x64": dense(64, 4, 784),
    }  # fmt: skip
    cases = [(name, net, radius) for name, net in nets.items() for radius in radii]
    if not models:  # slopes of this one would be sought for minutes
        cases += [(WIDEST, dense(256, 6, 784), radius) for radius in (0.003, *radii[:1])]
    print("model           radius  bounds                      - /     + /  both        s", flush=True)
    for name, net, radius in cases:
        loaded = load_model(net)
        shapes = measure_shapes(loaded, None, threads=1)
        random, boxes = np.random.default_rng(0), dict[str, Box]()
        for value in loaded.graph.inputs:
            middle = random.random(shapes.shapes[value])
            boxes[value] = Box(*(np.clip(middle + side, 0, 1).astype(np.float32) for side in (-radius, radius)))
        ways = ours(loaded, shapes, boxes, arithmetic)
        if oracle:
            proto = onnx.load(net) if isinstance(net, str) else net
            (box,) = boxes.values()
            ways |= by_auto_lirpa(proto, box.low, box.high)
        if name == WIDEST:
            ways = {way: run for way, run in ways.items() if "slopes" not in way}
        for way, run in ways.items():
            begin = time.perf_counter()
            ends = run()
            seconds = time.perf_counter() - begin
            below, above = (
                sum(int(np.count_nonzero(known)) for known in signs)
                for signs in ([high <= 0 for _, high in ends], [(low >= 0) & (high > 0) for low, high in ends])
            )
            both = sum(np.size(low) for low, _ in ends) - below - above
            row = f"{below:7} /{above:6} /{both:6} {seconds:8.2f}"
            print(f"{name.rsplit('/', 1)[-1][:14]:14} {radius:7}  {way:21} {row}", flush=True)


def ours(loaded: Any, shapes: Any, boxes: Any, arithmetic: str) -> dict[str, Callable[[], list[Ends]]]:
    """What enters each ReLU, by intervals, by linear bounds, and with slopes that are sought."""
    from analyzer.bounds import IntervalGraph
    from analyzer.bounds.linear_bounds import Asked, LinearBounds

    entering = [node.inputs[0] for node in loaded.graph.nodes if node.op_type == "Relu"]
    asked = {value: Asked(*[np.zeros(shapes.shapes[value], np.bool_)] * 2) for value in entering}
    asked[entering[-1]] = Asked(*[np.ones(shapes.shapes[entering[-1]], np.bool_)] * 2)

    def intervals() -> list[Ends]:
        with IntervalGraph(loaded, shapes, boxes, values=entering, arithmetic=arithmetic, threads=1) as graph:
            return ends(graph.bounds(boxes))

    def linear(turns: int) -> list[Ends]:
        with LinearBounds(loaded, shapes, boxes, asked, arithmetic=arithmetic, threads=1) as graph:
            return ends(graph.bounds(boxes, asked, turns=turns))

    def ends(found: Any) -> list[Ends]:
        return [(found[value].low, found[value].high) for value in entering]

    return {"intervals": intervals, "linear": partial(linear, 0), "linear, slopes": partial(linear, TURNS)}


def by_auto_lirpa(model: onnx.ModelProto, low: Any, high: Any) -> dict[str, Callable[[], list[Ends]]]:
    """The same by CROWN and alpha-CROWN of auto_LiRPA: of every ReLU by a net that ends in front of it."""
    import torch
    from auto_LiRPA import BoundedModule, BoundedTensor, PerturbationLpNorm

    layers = as_torch(model)
    box = [torch.from_numpy(np.array(end, np.float32)) for end in (low, high)]

    def run(method: str) -> list[Ends]:
        found = list[Ends]()
        for place, layer in enumerate(layers):
            if not isinstance(layer, torch.nn.ReLU):
                continue
            net = BoundedModule(torch.nn.Sequential(*layers[:place], torch.nn.Flatten()), box[0], device="cpu")
            x = BoundedTensor(box[0], PerturbationLpNorm(norm=np.inf, x_L=box[0], x_U=box[1]))
            lower, upper = net.compute_bounds(x=(x,), method=method)
            found.append((lower.detach().numpy(), upper.detach().numpy()))
        return found

    return {
        "auto_LiRPA": partial(run, "CROWN"),
        "auto_LiRPA, slopes": partial(run, "CROWN-Optimized"),
    }


def as_torch(model: onnx.ModelProto) -> list[Any]:
    """The layers of a chain; its last Gemm is left out."""
    import torch

    stored = {array.name: torch.from_numpy(numpy_helper.to_array(array).copy()) for array in model.graph.initializer}
    layers = list[Any]()
    for node in model.graph.node:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        weights = [stored[name] for name in node.input[1:]]
        if node.op_type == "Relu":
            layer: Any = torch.nn.ReLU()
        elif node.op_type == "Flatten":
            layer = torch.nn.Flatten()
        elif node.op_type == "Gemm" and attributes == {"transB": 1}:
            layer = torch.nn.Linear(*reversed(weights[0].shape))
        elif node.op_type == "Conv" and len(weights) == 2:
            outs, ins, kernel = weights[0].shape[:3]
            layer = torch.nn.Conv2d(ins, outs, kernel, attributes["strides"][0], attributes["pads"][0])
        else:
            raise SystemExit(f"{node.op_type} is not built for auto_LiRPA: give chains of Gemm, Conv, Flatten and Relu")
        for parameter, array in zip(layer.parameters(), weights, strict=True):
            parameter.data = array
        layers.append(layer)
    return layers


if __name__ == "__main__":
    main()
