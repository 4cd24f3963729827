"""What causes cost beside the observation, on nets with many suspects: processor seconds of these stages of an audit.

    python benchmarks/causes.py                          # all nets, median of five
    python benchmarks/causes.py --nets cheap --rounds 9

`mlp` are 8 dense layers of 8,192 units, half of them dead; `dense` is 30 dense layers of 22,000 units, most of them
dead, beside narrow ones; `conv` are 60 convolutions of 3x3; `pointwise` are 3 wide convolutions of 1x1 whose inputs
have few channels, nearly all units dead; `cheap` are 1,500 convolutions of 1x1 and 8 channels; `chain` is Add and Relu
in turn, 10,000 nodes; `deep` are 1,000 dense layers of 8 units. All rounds run in one process; each is a whole audit.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

import deep
import numpy as np
import onnx
from onnx import helper

import analyzer
from analyzer.api import auditing

Net = deep.Net


def main() -> None:
    """Parse the arguments, measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--nets", nargs="+", choices=[*NETS], default=[*NETS])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=None, help="threads of one operator (default: all cores)")
    arguments = parser.parse_args()
    run = analyzer.Run(threads=arguments.threads)
    print("net          units  suspects    asked  observation  causes  ratio (lowest - highest)", flush=True)
    for name in arguments.nets:
        nodes, stored, shape = NETS[name]()
        model = deep.model_of(name, nodes, stored, shape)
        data = {"x": np.random.default_rng(0).normal(size=(deep.SAMPLES, *shape)).astype(np.float32)}
        rounds = [_audited(model, data, run) for _ in range(arguments.rounds)]
        facts, seen, asked = rounds[0][0], [one for _, one, _ in rounds], [one for _, _, one in rounds]
        ratios = sorted(a / s for a, s in zip(asked, seen, strict=True))
        layers = facts.layers
        suspects = sum(len(layer.dead) + len(layer.saturated) for layer in layers)
        causes = sum(len(diagnosis.causes) for diagnosis in facts.diagnoses)
        print(
            f"{name:10} {sum(layer.units for layer in layers):7}  {suspects:8}  {causes:7}  "
            f"{statistics.median(seen):11.2f}  {statistics.median(asked):6.2f}  "
            f"{statistics.median(ratios):5.2f} ({ratios[0]:.2f} - {ratios[-1]:.2f})",
            flush=True,
        )


def _audited(model: onnx.ModelProto, data: dict[str, np.ndarray], run: analyzer.Run) -> tuple[Any, float, float]:
    """What an audit found, and the processor seconds of its observation and of its causes."""
    spent = dict.fromkeys(("observe", "diagnose"), 0.0)

    def timed(stage: str, ask: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            begin = time.process_time()
            try:
                return ask(*args, **options)
            finally:
                spent[stage] += time.process_time() - begin

        return call

    with ExitStack() as stack:
        for stage in spent:
            stack.enter_context(patch.object(auditing, stage, timed(stage, getattr(auditing, stage))))
        facts = analyzer.audit(model, data, run=run).facts
    return facts, spent["observe"], spent["diagnose"]


def mlp(layers: int = 8, units: int = 8192) -> Net:
    """Dense layers, half of the units held down by their bias; every layer has the weights of the first."""
    random = np.random.default_rng(0)
    stored = {"w": (random.normal(size=(units, units)) * np.sqrt(4 / units)).astype(np.float32)}
    nodes: list[onnx.NodeProto] = []
    for i in range(layers):
        stored[f"b{i}"] = np.where(random.random(units) < 0.5, -100, 0.1)
        nodes.append(helper.make_node("Gemm", [f"r{i - 1}" if i else "x", "w", f"b{i}"], [f"g{i}"]))
        nodes.append(helper.make_node("Relu", [f"g{i}"], [f"r{i}"]))
    return nodes, stored, (units,)


def conv(layers: int = 60, units: int = 512, side: int = 4) -> Net:
    """Convolutions of 3x3, every other unit held down by its bias; every layer has the weights of the first."""
    return convolutions(layers, units, units, side, 3, 0.5)


def pointwise(layers: int = 3, units: int = 4000, narrow: int = 8, side: int = 16) -> Net:
    """Convolutions of 1x1 from few channels to many and back, nearly all of the many dead."""
    return convolutions(layers, narrow, units, side, 1, 0.95)


def cheap(layers: int = 1500, units: int = 8, side: int = 8) -> Net:
    """Convolutions of 1x1 between a few channels."""
    return convolutions(layers, units, units, side, 1, 0.5)


def convolutions(layers: int, narrow: int, wide: int, side: int, window: int, dead: float) -> Net:
    """Convolutions with a Relu; where `wide` is more than `narrow`, one back to few channels follows each."""
    random = np.random.default_rng(0)
    size = (wide, narrow, window, window)
    stored = {"w": random.normal(size=size) * np.sqrt(2 / narrow / window**2 / (1 - dead * (narrow == wide)))}
    stored["v"] = random.normal(size=(narrow, wide, 1, 1)) * np.sqrt(1 / wide)
    form = {"kernel_shape": [window] * 2, "pads": [window // 2] * 4}
    nodes: list[onnx.NodeProto] = []
    source = "x"
    for i in range(layers):
        stored[f"b{i}"] = np.where(random.random(wide) < dead, -1000, 0.1)
        nodes.append(helper.make_node("Conv", [source, "w", f"b{i}"], [f"c{i}"], **form))
        nodes.append(helper.make_node("Relu", [f"c{i}"], [f"r{i}"]))
        source = f"r{i}"
        if wide != narrow:
            nodes.append(helper.make_node("Conv", [source, "v"], [f"m{i}"], kernel_shape=[1, 1]))
            source = f"m{i}"
    return nodes, stored, (narrow, side, side)


NETS = {
    "mlp": mlp,
    "dense": deep.wide,
    "conv": conv,
    "pointwise": pointwise,
    "cheap": cheap,
    "chain": deep.chain,
    "deep": deep.gemm,
}


if __name__ == "__main__":
    main()
