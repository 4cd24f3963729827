"""What an audit of a very deep or very wide net costs: processor seconds of the whole command, start-up included.

    python benchmarks/deep.py                                # everything, median of three
    python benchmarks/deep.py --nets chain --rounds 1
    DEADUNITS="python -m analyzer" python benchmarks/deep.py # of a checkout that is not installed

`chain` is Add and Relu in turn, `gemm` and `conv` (with BatchNormalization) are 1,000 layers of a few units,
`functions` are local functions that call each other twice, 14 deep, and `wide` is 30 layers of 22,000 units, most of
them dead.
"""

from __future__ import annotations

import argparse
import os
import resource
import shlex
import statistics
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SAMPLES = 64
OPSET = helper.make_opsetid("", 18)
Net = tuple[list[onnx.NodeProto], dict[str, np.ndarray], tuple[int, ...]]


def main() -> None:
    """Parse the arguments, measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--nets", nargs="+", choices=[*NETS], default=[*NETS])
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print(f"{'net':10} {'nodes':>6}  without data  {SAMPLES} samples  without causes", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.nets:
            model, data = Path(folder) / f"{name}.onnx", Path(folder) / f"{name}.npz"
            nodes = _write(name, model, data)
            ways = ([], ["--probe", str(data)], ["--probe", str(data), "--no-causes"])
            row = [statistics.median(_seconds(model, way) for _ in range(arguments.rounds)) for way in ways]
            print(f"{name:10} {nodes:6}  {row[0]:12.2f}  {row[1]:10.2f}  {row[2]:14.2f}", flush=True)


def _seconds(model: Path, options: list[str]) -> float:
    """Processor seconds of one audit, in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [*shlex.split(os.environ.get("DEADUNITS", "deadunits")), "audit", str(model), "--quiet", *options]
    subprocess.run(command, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _write(name: str, model: Path, data: Path) -> int:
    """Write a net and its data; returns how many nodes it has."""
    nodes, stored, shape = NETS[name]()
    onnx.save(model_of(name, nodes, stored, shape), model)
    np.savez(data, x=np.random.default_rng(0).normal(size=(SAMPLES, *shape)).astype(np.float32))
    return 1 << DEPTH if name == "functions" else len(nodes)


def model_of(
    name: str, nodes: list[onnx.NodeProto], stored: dict[str, np.ndarray], shape: tuple[int, ...]
) -> onnx.ModelProto:
    """The net as a model from `x` to what its last node gives."""
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", *shape]) for n in ("x", nodes[-1].output[0])]
    tensors = [numpy_helper.from_array(array.astype(np.float32), key) for key, array in stored.items()]
    graph = helper.make_graph(nodes, name, ends[:1], ends[1:], tensors)
    functions = _functions() if name == "functions" else []
    opsets = [OPSET, helper.make_opsetid("local", 1)]
    return helper.make_model(graph, opset_imports=opsets, functions=functions, ir_version=9)


def chain(nodes: int = 10_000) -> Net:
    """Add and Relu in turn, 8 units."""
    stored = {f"b{i}": np.random.default_rng(i).normal(size=8) for i in range(0, nodes, 2)}
    names = ["x", *(f"v{i}" for i in range(nodes))]
    made = [
        helper.make_node("Relu" if i % 2 else "Add", [names[i], *([] if i % 2 else [f"b{i}"])], [names[i + 1]])
        for i in range(nodes)
    ]
    return made, stored, (8,)


def gemm(layers: int = 1000, units: int = 8) -> Net:
    """Dense layers; one unit of every tenth is dead."""
    nodes, stored, random = [], dict[str, np.ndarray](), np.random.default_rng(0)
    for i in range(layers):
        stored[f"w{i}"] = random.normal(size=(units, units)) * np.sqrt(2 / units)
        stored[f"b{i}"] = np.where((np.arange(units) == 1) & (i % 10 == 3), -100, 0.1)
        nodes.append(helper.make_node("Gemm", [f"r{i - 1}" if i else "x", f"w{i}", f"b{i}"], [f"g{i}"]))
        nodes.append(helper.make_node("Relu", [f"g{i}"], [f"r{i}"]))
    return nodes, stored, (units,)


def conv(layers: int = 1000, units: int = 4) -> Net:
    """Convolutions with a normalisation; one unit of every tenth is dead."""
    nodes, stored, random = [], dict[str, np.ndarray](), np.random.default_rng(0)
    for i in range(layers):
        stored[f"w{i}"] = random.normal(size=(units, units, 3, 3)) * np.sqrt(2 / units / 9)
        shift = np.where((np.arange(units) == 1) & (i % 10 == 3), -20, 0.1)
        stored |= {f"s{i}": np.ones(units), f"b{i}": shift, f"m{i}": np.zeros(units), f"v{i}": np.ones(units)}
        source = f"r{i - 1}" if i else "x"
        nodes.append(helper.make_node("Conv", [source, f"w{i}"], [f"c{i}"], kernel_shape=[3, 3], pads=[1] * 4))
        nodes.append(helper.make_node("BatchNormalization", [f"{k}{i}" for k in "csbmv"], [f"n{i}"]))
        nodes.append(helper.make_node("Relu", [f"n{i}"], [f"r{i}"]))
    return nodes, stored, (units, 6, 6)


def wide(layers: int = 30, units: int = 22_000, narrow: int = 32) -> Net:
    """660,000 units, of which the bias holds most down."""
    nodes, stored, random = [], dict[str, np.ndarray](), np.random.default_rng(0)
    for i in range(layers):
        stored[f"w{i}"], stored[f"v{i}"] = (
            random.normal(size=(narrow, units)),
            random.normal(size=(units, narrow)) / 1e4,
        )
        stored[f"b{i}"] = np.where(random.random(units) < 0.95, -1000, 0)
        nodes.append(helper.make_node("Gemm", [f"m{i - 1}" if i else "x", f"w{i}", f"b{i}"], [f"g{i}"]))
        nodes.append(helper.make_node("Relu", [f"g{i}"], [f"r{i}"]))
        nodes.append(helper.make_node("MatMul", [f"r{i}", f"v{i}"], [f"m{i}"]))
    return nodes, stored, (narrow,)


DEPTH = 14


def called() -> Net:
    """One call of the outermost function."""
    return [helper.make_node(f"F{DEPTH}", ["x"], ["y"], domain="local")], {}, (8,)


def _functions() -> list[onnx.FunctionProto]:
    """Each calls the one below twice; the innermost is a Relu."""
    made = [helper.make_function("local", "F0", ["x"], ["y"], [helper.make_node("Relu", ["x"], ["y"])], [OPSET])]
    for level in range(1, DEPTH + 1):
        calls = [helper.make_node(f"F{level - 1}", [a], [b], domain="local") for a, b in (("x", "z"), ("z", "y"))]
        opsets = [OPSET, helper.make_opsetid("local", 1)]
        made.append(helper.make_function("local", f"F{level}", ["x"], ["y"], calls, opsets))
    return made


NETS = {"chain": chain, "gemm": gemm, "conv": conv, "functions": called, "wide": wide}


if __name__ == "__main__":
    main()
