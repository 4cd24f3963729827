"""What is said to turn rows of an output into rows of an input does, as onnxruntime computes both."""

from __future__ import annotations

from random import Random

import numpy as np

from analyzer.algebra.pattern import Array, Shape
from analyzer.bounds.arithmetic import ARITHMETIC
from analyzer.bounds.lines import seen_by
from analyzer.bounds.region import LINED, Region
from analyzer.bounds.sizes import Sizes
from analyzer.facts.domain import Box
from analyzer.graph import Editor
from analyzer.ops.pull_back import Tape, Window
from analyzer.runtime.loading import load_model
from analyzer.runtime.session import Session
from tests.laws.benches import Bench, Case
from tests.laws.bound_laws import drawn_box, drawn_point

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
    if kind is None or kind in LINED:
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


def lines_lie_around(case: Case, random: Random) -> None:
    """What is computed lies between the lines, with what is added to them, at corners and inside of a box."""
    lines_held(case, random)


def lines_held(case: Case, random: Random) -> int:
    """How many numbers were compared."""
    bench = Bench(case)
    region = Region(bench.context, bench.context.table, ARITHMETIC["float32"])
    call, compared = bench.call, 0
    if region.kinds.get(call.op.node.index) not in LINED:
        return 0
    name, output = call.op.node.inputs[0], case.outputs[0]
    boxes = {name: drawn_box(random, case, name)}
    lines = region.lines(call, boxes)
    window, generator = call.rule.largest_of(call.op), np.random.default_rng(random.getrandbits(32))
    for _ in range(POINTS * 20):
        x = drawn_point(generator, boxes[name], case.arrays[name])
        with np.errstate(all="ignore"):
            y = bench.run(case.feeds | {name: x})[output].astype(np.float64)
        exact = {output: Box(y, y)}  # what is off by a share of the result is off by a share of this one
        terms = region.added(call, 0, boxes | exact, Sizes({}, {}), lines, 1)
        parts = x.astype(np.float64) if window is None else _seen(window, x.astype(np.float64), y.shape)
        ends = []
        for slope, shift in ((lines.low, terms.low), (lines.high, terms.high)):
            if window is not None:
                ends.append((slope.reshape(parts.shape) * parts).sum(axis=2) + shift)
            else:
                ends.append(slope * parts + shift)
        assert (ends[0] <= y).all() and (y <= ends[1]).all(), f"{case} in {boxes} at {x}: {y} is not in {ends}"
        compared += y.size
    return compared


def _seen(window: Window, x: Array, shape: Shape) -> Array:
    """What each tap sees; a factor of the padding counts for nothing."""
    seen = seen_by(window, x, shape)
    return np.where(np.isfinite(seen), seen, 0)
