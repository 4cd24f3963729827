"""Write a decoder of any size, and measure what an audit and a prune of it take: peak memory and seconds.

    python benchmarks/decoder.py /tmp/decoder.onnx --layers 20                 # writes it (16 GB), nothing else
    python benchmarks/decoder.py /tmp/decoder.onnx --layers 20 --measure       # and measures
    python benchmarks/decoder.py /tmp/decoder.onnx --measure -- --stream       # options for deadunits

Like a Llama whose feed-forward layers have ReLU, with random weights in external data. Some units are killed on
purpose: of every layer the first `--dead` by weights of zero, and as many behind them by what the tokens bring (the
first channel of the stream is the same number for all of them, and weighs heavily). Weights are written one by one.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = np.ndarray[Any, np.dtype[Any]]

ALIGNED = 1 << 16  # bytes, so that a file can be mapped from there
ROWS = 1024  # drawn at once
STREAM = 4.0  # what the first channel of the stream holds, for all tokens
EPSILON = 1e-5


def main() -> None:
    """Parse the arguments, write, measure."""
    own, options = sys.argv[1:], []
    if "--" in own:
        own, options = own[: own.index("--")], own[own.index("--") + 1 :]
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path)
    for name, value in {"layers": 20, "width": 4096, "inner": 11008, "heads": 32, "vocabulary": 32000}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--dead", type=int, default=100, help="units of each layer killed in each way")
    parser.add_argument("--dtype", choices=("float32", "float16"), default="float32")
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--measure", action="store_true")
    given = parser.parse_args(own)
    probe = given.model.with_suffix(".npz")
    if not given.model.exists():
        sizes = {n: getattr(given, n) for n in ("layers", "width", "inner", "heads", "vocabulary", "dead", "dtype")}
        write_decoder(given.model, **sizes)
        ids = np.random.default_rng(1).integers(0, given.vocabulary, (given.samples, given.tokens))
        np.savez(probe, ids=ids)
    if given.measure:
        for name, command in commands(given.model, probe, options).items():
            seconds, peak = measured(command)
            print(f"{name:8} {seconds:7.1f} s  {peak / 2**30:5.2f} GiB", flush=True)


def commands(model: Path, probe: Path, options: list[str]) -> dict[str, list[str]]:
    """An audit, and a prune of which the smaller model is written, as a user would call them."""
    tool, out = shlex.split(os.environ.get("DEADUNITS", "deadunits")), model.with_name(f"{model.stem}.small.onnx")
    given = [str(model), "--probe", str(probe), "--quiet", *options]
    return {"audit": [*tool, "audit", *given], "prune": [*tool, "prune", *given, "-o", str(out)]}


def measured(command: list[str]) -> tuple[float, int]:
    """Seconds and the largest resident set of a process, pages of mapped files included, in bytes."""
    begin = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{shlex.join(command)} failed")
    return time.perf_counter() - begin, used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class Weights:
    """A file of external data that grows tensor by tensor."""

    def __init__(self, path: Path, dtype: str, seed: int) -> None:
        self.stored: list[onnx.TensorProto] = []
        self._path, self._dtype, self._rng = path, np.dtype(dtype), np.random.default_rng(seed)
        self._stream = path.open("wb")

    def add(
        self, name: str, rows: int, columns: int, *changes: Callable[[Array, int], None], scale: float = 1.0
    ) -> str:
        """Random weights, some rows at a time; `changes` are made to each part, told its first row."""
        self._stream.seek(-(-self._stream.tell() // ALIGNED) * ALIGNED)
        begin = self._stream.tell()
        for start in range(0, rows, ROWS):
            part = self._rng.standard_normal((min(ROWS, rows - start), columns), np.float32)
            part *= np.float32(scale / np.sqrt(rows))
            for change in changes:
                change(part, start)
            self._stream.write(part.astype(self._dtype).tobytes())
        kind = helper.np_dtype_to_tensor_dtype(self._dtype)
        tensor = TensorProto(name=name, data_type=kind, dims=(rows, columns), data_location=TensorProto.EXTERNAL)
        length = self._stream.tell() - begin
        for key, value in {"location": self._path.name, "offset": begin, "length": length}.items():
            tensor.external_data.add(key=key, value=str(value))
        self.stored.append(tensor)
        return name

    def small(self, name: str, array: Array) -> str:
        """A tensor inside of the model's file."""
        self.stored.append(numpy_helper.from_array(array, name))
        return name

    def close(self) -> None:
        """End the file."""
        self._stream.close()


def write_decoder(
    path: Path,
    *,
    layers: int,
    width: int,
    inner: int,
    heads: int,
    vocabulary: int,
    dead: int,
    dtype: str = "float32",
    seed: int = 0,
) -> None:
    """Write the model, and `path`.data with its weights."""
    weights = Weights(path.with_name(f"{path.name}.data"), dtype, seed)
    nodes = [*_nodes(weights, layers, width, inner, heads, vocabulary, dead, dtype)]
    weights.close()
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    inputs = [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "tokens"])]
    outputs = [helper.make_tensor_value_info("logits", kind, ["batch", "tokens", vocabulary])]
    graph = helper.make_graph(nodes, "decoder", inputs, outputs, weights.stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)
    path.write_bytes(model.SerializeToString())


def _nodes(
    weights: Weights, layers: int, width: int, inner: int, heads: int, vocabulary: int, dead: int, dtype: str
) -> Iterator[onnx.NodeProto]:
    def first_column(value: float) -> Callable[[Array, int], None]:
        def change(part: Array, start: int) -> None:
            part[:, 0] = value

        return change

    def killed(part: Array, start: int) -> None:
        part[:, :dead] = 0
        if not start:
            part[0, dead : 2 * dead] = -20  # times what all tokens have in the first channel

    def alive(part: Array, start: int) -> None:
        if not start:
            part[0] = 0

    node, scale = helper.make_node, 1 / np.sqrt(2 * layers)
    weights.small("heads", np.array([0, 0, heads, width // heads], np.int64))
    weights.small("flat", np.array([0, 0, width], np.int64))
    yield node(
        "Gather",
        [weights.add("embed", vocabulary, width, first_column(STREAM), scale=np.sqrt(vocabulary)), "ids"],
        ["h0"],
    )
    for i in range(layers):
        at, norm = f"layers.{i}", np.ones(width, dtype)
        yield node("RMSNormalization", [f"h{i}", weights.small(f"{at}.n1", norm)], [f"{at}/n1"], epsilon=EPSILON)
        for part in "qkv":
            weights.add(f"{at}.attn.{part}", width, width)
            yield node("MatMul", [f"{at}/n1", f"{at}.attn.{part}"], [f"{at}/{part}"])
        yield node(
            "Attention",
            [f"{at}/q", f"{at}/k", f"{at}/v"],
            [f"{at}/mixed"],
            is_causal=1,
            q_num_heads=heads,
            kv_num_heads=heads,
        )
        weights.add(f"{at}.attn.o", width, width, first_column(0), scale=scale)
        yield node("MatMul", [f"{at}/mixed", f"{at}.attn.o"], [f"{at}/o"])
        yield node("Add", [f"h{i}", f"{at}/o"], [f"{at}/middle"])
        yield node("RMSNormalization", [f"{at}/middle", weights.small(f"{at}.n2", norm)], [f"{at}/n2"], epsilon=EPSILON)
        weights.add(f"{at}.mlp.gate", width, inner, alive, killed)
        weights.add(f"{at}.mlp.up", width, inner)
        weights.add(f"{at}.mlp.down", inner, width, first_column(0), scale=scale)
        yield node("MatMul", [f"{at}/n2", f"{at}.mlp.gate"], [f"{at}/gate"], name=f"/{at}/mlp/gate/MatMul")
        yield node("Relu", [f"{at}/gate"], [f"{at}/act"], name=f"/{at}/mlp/act/Relu")
        yield node("MatMul", [f"{at}/n2", f"{at}.mlp.up"], [f"{at}/up"], name=f"/{at}/mlp/up/MatMul")
        yield node("Mul", [f"{at}/act", f"{at}/up"], [f"{at}/product"])
        yield node("MatMul", [f"{at}/product", f"{at}.mlp.down"], [f"{at}/down"], name=f"/{at}/mlp/down/MatMul")
        yield node("Add", [f"{at}/middle", f"{at}/down"], [f"h{i + 1}"])
    weights.small("norm", np.ones(width, dtype))
    yield node("RMSNormalization", [f"h{layers}", "norm"], ["last"], epsilon=EPSILON)
    yield node("MatMul", ["last", weights.add("head", width, vocabulary)], ["logits"])


if __name__ == "__main__":
    main()
