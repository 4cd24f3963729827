"""What workers bring: statistics of the same data by one process, and by two, with one thread each.

    python benchmarks/engines.py                                   # a net of convolutions, made here
    python benchmarks/engines.py --model M.onnx --probe probe.npz --workers 2 --rounds 9

The two are run in turn, whole calls in a fresh process each, with all that a call takes: libraries, the model, the
workers' own start. The ratio of each round is taken, then the median. Statistics must be the same to the bit. On a
machine that others use that says little: the load is printed beside it, and by how much more processor time the workers
take in all, start included, which others hardly change.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

BAR = 1.8  # two workers, on a machine with two processors that does nothing else


def main() -> None:
    """Parse the arguments, measure, print a line per round and the median."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--probe", type=Path)
    parser.add_argument("--samples", type=int, default=1024)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        print(json.dumps(_timed(arguments)))
        return
    with tempfile.TemporaryDirectory() as folder:
        if arguments.model is None:
            arguments.model, arguments.probe = _made(Path(folder), arguments.samples)
        ratios, costs = [], []
        print("round  1 process s  workers s  ratio  processor time  load")
        for number in range(1, arguments.rounds + 1):
            engines = ["local", f"processes:{arguments.workers}"]
            timed = {engine: _in_a_process(engine, arguments) for engine in (engines if number % 2 else engines[::-1])}
            (one, one_cpu), (several, several_cpu) = (timed[engine] for engine in engines)
            ratios.append(one / several)
            costs.append(several_cpu / one_cpu)
            load = os.getloadavg()[0]
            print(f"{number:5}  {one:11.2f}  {several:9.2f}  {ratios[-1]:5.2f}  {costs[-1]:14.3f}  {load:.1f}")
    print(f"median ratio {statistics.median(ratios):.2f} (bar on a quiet machine, two workers: {BAR})")
    print(f"median of processor time {statistics.median(costs):.3f}")


_SEEN: set[str] = set()


def _in_a_process(engine: str, arguments: argparse.Namespace) -> tuple[float, float]:
    """Seconds by the clock, and of processors."""
    words = ["--model", arguments.model, "--probe", arguments.probe, "--samples", arguments.samples, "--inside", engine]
    begin, used = time.perf_counter(), _used()
    output = subprocess.run(
        [sys.executable, __file__, *map(str, words)], check=True, capture_output=True, text=True
    ).stdout
    seconds = time.perf_counter() - begin
    _SEEN.add(output)
    assert len(_SEEN) == 1, "statistics differ"
    return seconds, _used() - used


def _used() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def _timed(arguments: argparse.Namespace) -> str:
    """Take the statistics; what is printed stands for them."""
    import xxhash

    import analyzer

    data = analyzer.Data(arguments.probe, limit=arguments.samples)
    taken = analyzer.take_statistics(arguments.model, data, run=analyzer.Run(threads=1, engine=arguments.inside))
    digest = xxhash.xxh3_128()
    for value, seen in taken._tallies.counted.statistics.items():
        digest.update(value.encode())
        for name in ("fired", "minimum", "maximum", "nonfinite"):
            digest.update(np.ascontiguousarray(getattr(seen, name)).tobytes())
    return digest.hexdigest()


def _made(folder: Path, samples: int) -> tuple[Path, Path]:
    """Eight convolutions of 64 channels over 56 x 56 positions with ReLUs, and random data."""
    random = np.random.default_rng(0)
    nodes, stored, value, channels = [], [], "x", 3
    for layer in range(8):
        weight = random.standard_normal((64, channels, 3, 3)).astype(np.float32) / (3 * channels**0.5)
        stored.append(numpy_helper.from_array(weight, f"w{layer}"))
        nodes.append(helper.make_node("Conv", [value, f"w{layer}"], [f"c{layer}"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"c{layer}"], [f"r{layer}"]))
        value, channels = f"r{layer}", 64
    nodes.append(helper.make_node("GlobalAveragePool", [value], ["y"]))
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 56, 56])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 64, 1, 1])]
    graph = helper.make_graph(nodes, "convolutions", inputs, outputs, stored)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / "m.onnx")
    np.save(folder / "probe.npy", random.standard_normal((samples, 3, 56, 56)).astype(np.float32))
    return folder / "m.onnx", folder / "probe.npy"


if __name__ == "__main__":
    main()
