"""Kill units of small nets on purpose, export them in the forms that people deploy, and see what is found and cut.

    pip install ".[exports]"
    python benchmarks/exports.py                          # all rows, as Markdown
    python benchmarks/exports.py --nets BERT U-Net --forms float32 int4
    python benchmarks/exports.py -o docs/exports.md       # puts the table into the page

What an expert would cut is the difference in parameters to the same net, built without these units. Every row is
shown; one that falls short says why.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import multiprocessing
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from export_forms import FORMS, Form
from export_nets import NETS, Net
from torch import nn

import analyzer
from analyzer.runtime.default_load import loads_by_default
from analyzer.runtime.opening import DIES_OF_CASTS, WITHOUT

FORK = multiprocessing.get_context("fork")
UNITS = 16  # killed in each victim
SAMPLES, FRESH, BAR = 24, 8, 0.97
START, END = "<!-- table:start -->", "<!-- table:end -->"
HEADER = (
    "| net | exporter | form | killed | found | cut | expected | difference | seconds | |\n"
    "|---|---|---|--:|--:|--:|--:|--:|--:|---|"
)


@dataclass(frozen=True)
class Row:
    """What came of one export; `short` says why it misses the bar (empty: it does not).

    `plain`: onnxruntime loads both models with its default options.
    """

    net: str
    exporter: str
    form: str
    killed: int = 0
    found: int = 0
    cut: int = 0
    expected: int = 0
    difference: float = 0.0
    seconds: float = 0.0
    plain: bool = True
    short: str = ""

    def __str__(self) -> str:
        share = f" ({self.cut / self.expected:.1%})" if self.expected else ""
        remarks = [f"**short**: {self.short}"] if self.short else []
        remarks += [] if self.plain else [f"load it without `{DIES_OF_CASTS}`"]
        return (
            f"| {self.net} | {self.exporter} | {self.form} | {self.killed} | {self.found} | {self.cut:,}{share} "
            f"| {self.expected:,} | {self.difference:.1e} | {self.seconds:.1f} | {'; '.join(remarks)} |"
        )


def silence(layer: Any, units: Sequence[int], constant: float) -> None:
    """Make the units of a layer one constant for every input, or one that never passes its ReLU."""
    if isinstance(layer, tuple):  # what is added up: the first parts come to 0
        for part in layer[:-1]:
            silence(part, units, 0.0)
        return silence(layer[-1], units, constant)
    with torch.no_grad():
        if isinstance(layer, nn.LSTM | nn.GRU):  # a cell, or a candidate, that is always 0
            rows = [2 * layer.hidden_size + unit for unit in units]
            for parameter in layer.parameters():
                parameter[rows] = 0.0
            return None
        if isinstance(layer, nn.Sequential):  # a convolution and its BatchNorm
            layer = layer[1]
        weight, columns = layer.weight, not isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d | nn.BatchNorm2d)
        if constant >= 0:
            weight[(slice(None), units) if columns else units] = 0.0
        if getattr(layer, "bias", None) is not None:
            layer.bias[units] = constant
    return None


def kill(net: nn.Module, units: list[int], constants: Sequence[float]) -> int:
    """Kill these units of every victim, in turns in each of the ways; how many that are."""
    for victim in net.victims:
        for turn, constant in enumerate(constants):
            silence(victim, units[turn :: len(constants)], constant)
    return len(units) * len(net.victims)


def trained(net: nn.Module) -> nn.Module:
    """Statistics of BatchNorm that are not those of a start."""
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0.0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
    return net.eval()


def export(net: nn.Module, example: dict[str, torch.Tensor], path: Path, *, dynamo: bool, samples: bool) -> None:
    """Write the net as ONNX; the number of samples, or of nodes and edges, is free."""
    axis = {name: {0 if samples or name != "edges" else 1: "n" if samples else name} for name in example}
    shapes = {"dynamic_shapes": axis} if dynamo else {"dynamic_axes": axis, "do_constant_folding": True}
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net, tuple(example.values()), str(path), input_names=list(example), opset_version=18, dynamo=dynamo,
            external_data=False, verbose=False, **shapes,
        )  # fmt: skip


def attempt(name: str, net: Net, exporter: str, form: Form, folder: Path) -> Row:
    """One row: what is killed, exported, brought into the form, audited, cut and compared on fresh data."""
    torch.manual_seed(0)
    whole = trained(net.build(0))
    units = form.units or ([*range(1, 1 + 2 * UNITS, 2)] if name != "BERT, a head" else [*range(16, 32)])
    killed = kill(whole, units, net.constants if form.constants else (0.0,))
    with torch.random.fork_rng():
        expected = sum(p.numel() for p in whole.parameters()) - sum(
            p.numel() for p in net.build(len(units)).parameters()
        )
    draw = torch.Generator().manual_seed(1)
    path = folder / "model.onnx"
    export(whole, net.example(2, draw), path, dynamo=exporter == "dynamo", samples=net.samples)
    if net.samples:
        probe: Any = {key: array.numpy() for key, array in net.example(SAMPLES, draw).items()}
        fresh = [{key: array.numpy() for key, array in net.example(FRESH, draw).items()}]
    else:
        graphs = [{key: array.numpy() for key, array in net.example(1, draw).items()} for _ in range(SAMPLES + FRESH)]
        probe, fresh = graphs[:SAMPLES], graphs[SAMPLES:]
    form.apply(path, probe)
    start = time.perf_counter()
    audit = analyzer.audit(path, probe, causes=False)
    pruned = audit.prune(latency=False)
    seconds = time.perf_counter() - start
    pruned.save(written := folder / "pruned.onnx")
    plain = loads_by_default(path) and loads_by_default(written)
    dead = [(layer.units, set(layer.dead)) for layer in audit.layers]
    found = _found(dead, [_width(victim) for victim in whole.victims], set(units))
    row = Row(
        name, exporter, form.name, killed, found, pruned.facts.before.parameters - pruned.facts.after.parameters,
        expected, differs(path, written, fresh, plain=plain), seconds, plain,
    )  # fmt: skip
    return Row(**{**vars(row), "short": "; ".join(shortcomings(row, audit, form, _added(path, pruned.data)))})


def _width(victim: Any) -> int:
    layer = victim[-1] if isinstance(victim, tuple) else victim[1] if isinstance(victim, nn.Sequential) else victim
    return (
        layer.hidden_size
        if isinstance(layer, nn.LSTM | nn.GRU)
        else len(layer.bias)
        if layer.bias is not None
        else len(layer.weight)
    )


def _found(dead: list[tuple[int, set[int]]], widths: Sequence[int], units: set[int]) -> int:
    """Killed units that are dead in a layer of their width; every layer stands for one victim."""
    total = 0
    for width in widths:
        hits = [len(units & {unit % width for unit in each}) if count % width == 0 else 0 for count, each in dead]
        best = max(range(len(hits)), key=hits.__getitem__, default=None)
        if best is not None:
            total += hits[best]
            dead = dead[:best] + dead[best + 1 :]
    return total


def _added(before: Path, after: bytes) -> int:
    """Numbers in tensors that the smaller model stores and the whole one did not: biases that absorb constants."""
    known = {tensor.name for tensor in onnx.load(before).graph.initializer}
    fresh = [tensor for tensor in onnx.ModelProto.FromString(after).graph.initializer if tensor.name not in known]
    return sum(int(np.prod(tensor.dims)) for tensor in fresh)


def shortcomings(row: Row, audit: analyzer.Audit, form: Form, added: int) -> Iterator[str]:
    """What is missed, with what the audit says of it; `added` numbers were stored anew."""
    if row.found < row.killed:
        left = [f"{entry.who}: {entry.reason}" for entry in audit.judged.left_out[:1]]
        yield f"{row.killed - row.found} not found" + (f" ({left[0]})" if left else "")
    if row.cut < BAR * row.expected:
        reasons: dict[str, int] = {}
        for locked in audit.locked:
            reasons[locked.reason] = reasons.get(locked.reason, 0) + len(locked.units)
        most = max(reasons, key=reasons.__getitem__, default="")
        if most:
            yield f"{reasons[most]} units stay, `{most}`"
        elif row.found == row.killed:
            yield f"{added} numbers are stored anew, mostly in biases that take in what units are stuck at"
    if not row.difference <= form.tolerance:
        yield f"differs by more than {form.tolerance:g}"


def differs(before: Path, after: Path, feeds: Sequence[dict[str, np.ndarray[Any, Any]]], *, plain: bool) -> float:
    """The largest difference of the outputs, relative to their largest entry, as onnxruntime runs both."""
    options = ort.SessionOptions()
    if not plain:
        options.add_session_config_entry(WITHOUT, DIES_OF_CASTS)
    cpu = ["CPUExecutionProvider"]
    one, two = (ort.InferenceSession(m, options, providers=cpu) for m in (before, after))
    gap = scale = 0.0
    for feed in feeds:
        for x, y in zip(one.run(None, feed), two.run(None, feed), strict=True):
            gap = max(gap, float(np.abs(x.astype(np.float64) - y.astype(np.float64)).max()))
            scale = max(scale, float(np.abs(x.astype(np.float64)).max()))
    return gap / scale if scale else gap


def rows(nets: Sequence[str], forms: Sequence[str]) -> Iterator[Row]:
    """All combinations that were asked for; one that fails is a row too."""
    for form in (form for form in FORMS if form.name in forms):
        for name in (name for name in nets if form.nets is None or name in form.nets):
            for exporter in ("TorchScript", "dynamo") if form.nets is None else (form.exporter,):
                yield _alone(name, exporter, form)


def _alone(name: str, exporter: str, form: Form) -> Row:
    """A row, made by a process of its own: onnxruntime ends some of them."""
    asking, answering = FORK.Pipe(duplex=False)
    process = FORK.Process(target=_answer, args=(answering, name, exporter, form))
    process.start()
    answering.close()
    try:
        row: Row = asking.recv()
    except EOFError:
        process.join()
        row = Row(name, exporter, form.name, short=f"the process ended with {process.exitcode}")
    process.join()
    return row


def _answer(answering: Any, name: str, exporter: str, form: Form) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            answering.send(attempt(name, NETS[name], exporter, form, Path(folder)))
        except Exception as error:  # noqa: BLE001  whatever a tool raises is this row's reason
            text = str(error).strip().split("\n")[0][:160].replace("|", "/")
            answering.send(Row(name, exporter, form.name, short=f"{type(error).__name__}: {text}"))


def main() -> int:
    """Print the table, or put it into a page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", default=list(NETS), choices=list(NETS), metavar="NET")
    parser.add_argument("--forms", nargs="+", default=[form.name for form in FORMS], metavar="FORM")
    parser.add_argument("-o", type=Path, help="a page with a place for the table")
    arguments = parser.parse_args()
    ort.set_default_logger_severity(4)
    made = []
    print(HEADER)
    for row in rows(arguments.nets, arguments.forms):
        made.append(row)
        print(row, flush=True)
    held = f"{sum(not row.short for row in made)} of {len(made)} rows hold"
    print(f"\n{held}", file=sys.stderr)
    if arguments.o is not None:
        before, rest = arguments.o.read_text(encoding="utf-8").split(START)
        table = "\n".join([HEADER, *map(str, made)])
        arguments.o.write_text(f"{before}{START}\n{held}.\n\n{table}\n{END}{rest.split(END)[1]}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
