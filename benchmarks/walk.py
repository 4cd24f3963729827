"""How long the walk and the plan take: a ResNet-152, and a synthetic net of 100 layers with a million units.

    python benchmarks/walk.py                                # both; the ResNet needs torch and torchvision
    python benchmarks/walk.py --resnet resnet152.onnx        # a file that is there already

Verdicts are made up (every fourth unit of every ReLU counts as dead), so no data is run. `walk` derives constants,
needs and what can be cut; `plan` lists per tensor what goes, counts parameters and multiply-adds, and gives the reason
for every dead unit that stays.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LAYERS, UNITS = 100, 10_000
BARS = {"resnet152": 2.0, "synthetic": 10.0}
DEAD_EVERY, SAMPLES = 4, 100
PLAN = ("removable", "parameters", "multiply_adds", "locked", "operators_without_rule", "unused_inputs")


def main() -> None:
    """Parse the arguments, measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--resnet", type=Path, default=Path("benchmarks/models/resnet152.onnx"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    arguments = parser.parse_args()
    clock = time.perf_counter if arguments.clock == "wall" else time.process_time
    print("model      layers    units    dead   view   walk   plan    sum  (bar)", flush=True)
    for name in BARS:
        model = str(_resnet(arguments.resnet)) if name == "resnet152" else synthetic(LAYERS, UNITS)
        rounds = [_measure(model, name, clock) for _ in range(arguments.rounds)]
        view, walked, planned = (statistics.median(r[i] for r in rounds) for i in range(3))
        layers, units, dead = rounds[0][3:]
        row = f"{view:6.2f} {walked:6.2f} {planned:6.2f} {view + walked + planned:6.2f}  ({BARS[name]:.0f} s)"
        print(f"{name:10} {layers:6} {units:8} {dead:7} {row}", flush=True)


def synthetic(layers: int, units: int) -> onnx.ModelProto:
    """Grouped 1x1 convolutions that mix neighbouring channels in pairs, each with a bias and a ReLU, and shortcuts."""
    random = np.random.default_rng(0)
    nodes, stored, value = [], [], "x"
    for i in range(layers):
        weight = random.standard_normal((units, 2, 1)).astype(np.float32)
        bias = random.standard_normal(units).astype(np.float32)
        stored += [numpy_helper.from_array(weight, f"w{i}"), numpy_helper.from_array(bias, f"b{i}")]
        nodes.append(helper.make_node("Conv", [value, f"w{i}", f"b{i}"], [f"c{i}"], group=units // 2, name=f"conv{i}"))
        nodes.append(helper.make_node("Relu", [f"c{i}"], [f"r{i}"], name=f"relu{i}"))
        value = f"r{i}"
        if i % 10 == 9:
            nodes.append(helper.make_node("Add", [value, f"r{i - 5}"], [f"s{i}"], name=f"add{i}"))
            value = f"s{i}"
    nodes.append(helper.make_node("ReduceMean", [value], ["y"], axes=[1], keepdims=0))
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", units, 1])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])
    graph = helper.make_graph(nodes, "synthetic", [x], [y], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _measure(model: Any, name: str, clock: Any) -> tuple[float, float, float, int, int, int]:
    """Seconds of the view, the walk and the plan; then layers, units and units made dead."""
    from analyzer.runtime.loading import load_model
    from analyzer.shapes.shape_run import measure_shapes
    from analyzer.units import select_units
    from analyzer.walk import walk

    loaded = load_model(model)
    begin = clock()
    _ = loaded.graph
    view = clock() - begin
    shapes = measure_shapes(loaded, None, threads=1)
    audited = select_units(loaded.graph, shapes)
    verdicts = [_made_up(a) for a in audited]
    begin = clock()
    found = walk(loaded.graph, shapes, verdicts)
    walked = clock() - begin
    begin = clock()
    for part in PLAN:
        getattr(found, part)
    planned = clock() - begin
    return view, walked, planned, len(audited), sum(a.units for a in audited), sum(len(v.dead) for v in verdicts)


def _made_up(audited: Any) -> Any:
    """Verdicts from statistics in which every fourth unit of a rectifier never left its lower bound."""
    from analyzer.facts.statistics import UnitStatistics
    from analyzer.facts.thresholds import PRESETS
    from analyzer.facts.units import Kind
    from analyzer.facts.verdicts import verdicts_of

    floor = audited.low if audited.low is not None else 0.0
    maximum = np.full(audited.units, floor + 1.0)
    if audited.kind is Kind.RECTIFIER:
        maximum[::DEAD_EVERY] = floor
    empty = UnitStatistics.empty(audited.units)
    fired = np.where(maximum > floor, SAMPLES // 2, 0)
    minimum = np.full(audited.units, floor)
    exact = np.ones(audited.units, np.bool_)
    seen = dataclasses.replace(
        empty, samples=SAMPLES, minimum=minimum, maximum=maximum, fired=fired, minimum_exact=exact
    )
    return verdicts_of(audited, seen, PRESETS["default"])


def _resnet(path: Path) -> Path:
    """The file, exported first if it is not there."""
    if path.exists():
        return path
    import torch
    from torchvision_nets import zoo

    path.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        zoo().resnet152(weights=None).eval(), (torch.zeros(1, 3, 224, 224),), str(path), dynamo=False, opset_version=17
    )
    return path


if __name__ == "__main__":
    main()
