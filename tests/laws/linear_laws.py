"""What is said to turn rows of an output into rows of an input does, as onnxruntime computes both."""

from __future__ import annotations

from random import Random

import numpy as np

from analyzer.bounds.arithmetic import ARITHMETIC
from analyzer.bounds.region import Kind, Region
from analyzer.graph import Editor
from analyzer.ops.pull_back import Tape
from analyzer.runtime.loading import load_model
from analyzer.runtime.session import Session
from tests.laws.benches import Bench, Case

LEAST_OPSET = 13
CLOSE = 1e-4  # share of the magnitudes of what is added up
POINTS = 6


def rows_are_transposed(case: Case, random: Random) -> None:
    """The sum of rows times what moves of the output is that of the transposed rows times what moves of the input."""
    rows_compared(case, random)


def rows_compared(case: Case, random: Random) -> int:
    """How many sums were compared."""
    bench = Bench(case)
    region = Region(bench.context, bench.context.table, ARITHMETIC["float32"])
    kind, compared = region.kinds.get(bench.call.op.node.index), 0
    if kind in (None, Kind.BENT):
        return 0
    generator = np.random.default_rng(random.getrandbits(32))
    for position in region.computed(bench.call):
        name = bench.call.op.node.inputs[position]
        if name not in case.feeds or list(bench.call.op.node.inputs).count(name) > 1:
            continue
        for place, output in enumerate(case.outputs):
            compared += _compared(case, bench, position, name, place, output, generator)
    return compared


def _compared(
    case: Case, bench: Bench, position: int, name: str, place: int, output: str, generator: np.random.Generator
) -> int:
    loaded = load_model(case.model())
    editor = Editor(loaded.copy())
    editor.empty(max(LEAST_OPSET, editor.opset))
    tape = Tape(editor, "", False)
    fed = editor.input("rows", "float32", bench.first[output].shape)
    back = bench.call.rule.transposed(bench.call.op, position, tape, fed, place)
    if back is None:
        return 0
    editor.output(editor.again(back))
    editor.finish()
    with Session(editor.loaded, threads=1) as session:
        for _ in range(POINTS):
            one, other = (case.feeds | {name: case.sampler(name)(generator, case.feeds[name].shape)} for _ in range(2))
            moved = bench.run(one)[output].astype(np.float64) - bench.run(other)[output]
            rows = generator.normal(size=moved.shape).astype(np.float32)
            (factors,) = session.run({fed: rows}).values()
            assert factors.shape == case.feeds[name].shape, f"factors of shape {factors.shape}: {case}"
            products = factors.astype(np.float64) * (one[name].astype(np.float64) - other[name])
            size = np.abs(products).sum() + np.abs(rows * moved).sum() + 1e-3
            assert abs(products.sum() - (rows * moved).sum()) <= CLOSE * size, f"rows of {output}: {case}"
    return POINTS
