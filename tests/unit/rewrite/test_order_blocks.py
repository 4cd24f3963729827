"""Numbers in blocks with a scale each: the last block need not be full; the one that can do without most goes there."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import analyzer
from analyzer.rewrite.nudge import nudged
from analyzer.runtime.loading import load_model
from tests.models import Array, parse, run

SIZE, BLOCKS, COLUMNS = 16, 3, 5


def gated(
    dead: list[int], rests: float = 0.0, zeros: str = "", level: int = 0, flat: bool = False
) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """A ReLU of which some units are dead, or rest at a constant, in front of a product with numbers in blocks."""
    random = np.random.default_rng(3)
    inner = SIZE * BLOCKS
    w, b = random.standard_normal((8, inner)).astype(np.float32), np.ones(inner, np.float32)
    w[:, dead], b[dead] = 0, rests if rests else -1.0
    points: dict[str, Array] = {
        "packed": random.integers(0, 256, (COLUMNS, -(-BLOCKS // 2))).astype(np.uint8),
        "float": random.integers(0, 16, (COLUMNS, BLOCKS)).astype(np.float32),
    }
    stored: dict[str, Array] = {
        "w": w,
        "b": b,
        "q": random.integers(0, 256, (COLUMNS, BLOCKS, SIZE // 2)).astype(np.uint8),
        "s": random.random((COLUMNS, BLOCKS)).astype(np.float32),
    }
    if zeros:
        stored["z"] = points[zeros]
    for name in stored.keys() & {"s", "z"} if flat else ():
        stored[name] = stored[name].reshape(-1)
    model = parse(
        f"""blocks (float[n,8] x) => (float[n,{COLUMNS}] y) {{
            h = Gemm(x, w, b)
            r = Relu(h)
            y = com.microsoft.MatMulNBits<K={inner}, N={COLUMNS}, bits=4, block_size={SIZE}, accuracy_level={level}>
                (r, q, s{", z" if zeros else ""})
        }}""",
        stored,
    )
    return model, {"x": random.standard_normal((12, 8)).astype(np.float32)}


def pruned(model: onnx.ModelProto, feed: dict[str, Array]) -> tuple[analyzer.Pruned, onnx.ModelProto]:
    """The smaller model, which gives what the original gives, for one sample too."""
    promised = analyzer.audit(model, feed).removable.parameters
    result = analyzer.prune(model, feed, latency=False)
    smaller = onnx.ModelProto.FromString(result.data)
    for few in (feed, {"x": feed["x"][:1]}):
        y = run(model, few)["y"]
        np.testing.assert_allclose(run(smaller, few)["y"], y, rtol=0, atol=2e-5 * np.abs(y).max())
    assert promised == gone(result)
    return result, smaller


def gone(result: analyzer.Pruned) -> int:
    return result.facts.before.parameters - result.facts.after.parameters


def width(model: onnx.ModelProto) -> int:
    return next(t.dims[1] for t in model.graph.initializer if t.name == "w")


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize("zeros", ["", "packed", "float"])
@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("rests", [0.0, 0.5])
def test_of_the_emptiest_block_units_go_one_by_one(zeros: str, flat: bool, rests: float) -> None:
    dead = [1, 2, 3, 7, 8, 20, 21, 40]
    _, smaller = pruned(*gated(dead, rests, zeros, flat=flat))
    assert width(smaller) == SIZE * BLOCKS - 5  # those of the first block, which is the last now
    assert "Gather" in operators(smaller)


def test_a_block_that_is_empty_goes_as_a_whole_beside_the_one_that_is_not_full() -> None:
    _, smaller = pruned(*gated([1, 2, *range(SIZE, 2 * SIZE), 40]))
    assert width(smaller) == SIZE * BLOCKS - SIZE - 2
    _, smaller = pruned(*gated([1, 2, *range(2 * SIZE, 3 * SIZE)]))
    assert width(smaller) == SIZE * BLOCKS - SIZE - 2


def test_nothing_is_gathered_where_the_last_block_is_the_emptiest() -> None:
    _, smaller = pruned(*gated([1, 40, 41]))
    assert width(smaller) == SIZE * BLOCKS - 2
    assert "Gather" not in operators(smaller)


@pytest.mark.parametrize("dead", [[1, 2, 3], [40, 41]])
def test_where_inputs_are_rounded_blocks_stay_in_order_and_whole(dead: list[int]) -> None:
    model, feed = gated(dead, level=4)
    result, _ = pruned(model, feed)
    assert not result.changed
    assert {lock.reason for lock in analyzer.audit(model, feed).locked} == {"packed-in-blocks"}


@pytest.mark.parametrize("behind", [False, True])
def test_beside_a_product_that_rounds_the_last_block_that_stays_is_cut_within(behind: bool) -> None:
    model, feed = gated([1, 2, 5, *range(SIZE, 3 * SIZE)])
    random = np.random.default_rng(8)
    packed = random.integers(0, 256, (8, 1, SIZE // 2)).astype(np.uint8)
    rounding = parse(
        f"""rounding (float[n,8] x) => (float[n,8] y) {{
            p = com.microsoft.MatMulNBits<K=8, N=8, bits=4, block_size={SIZE}, accuracy_level=4>(x, rq, rs)
            y = Tanh(p)
        }}""",
        {"rq": packed, "rs": random.random((8, 1)).astype(np.float32)},
    )
    if behind:
        rounding.graph.node[0].input[0] = "z"
        rounding.graph.node[0].attribute[0].i = COLUMNS
        model.graph.node[-1].output[0] = "z"
        model.graph.output[0].CopyFrom(rounding.graph.output[0])
    else:
        rounding.graph.node[1].output[0] = "t"
        model.graph.node[0].input[0] = "t"
    nodes = [*model.graph.node, *rounding.graph.node] if behind else [*rounding.graph.node, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(rounding.graph.initializer)
    _, smaller = pruned(model, feed)
    assert width(smaller) == SIZE - 3
    assert "Gather" not in operators(smaller)
    assert not pruned(smaller, feed)[0].changed


def test_masks_are_those_of_the_original() -> None:
    dead = [1, 2, 3, 7, 8]
    result, _ = pruned(*gated(dead))
    kept = result.masks()["w"]
    assert np.flatnonzero(~kept.any(axis=0)).tolist() == dead


def test_a_block_that_is_not_full_is_counted_as_what_it_holds() -> None:
    result, smaller = pruned(*gated([40, 41, 42]))
    before, after = gated([])[0], smaller
    numbers = [analyzer.audit(model).model.parameters for model in (before, after)]
    assert numbers[0] - numbers[1] == 3 * (8 + 1 + COLUMNS) == gone(result)


def test_the_next_digit_of_the_largest_number_is_no_infinity() -> None:
    largest = np.finfo(np.float32).max
    model = parse("g (float[n,2] x) => (float[n,2] y) { y = Min(x, c) }", {"c": np.array([largest, 1], np.float32)})
    for seed in range(8):
        with nudged(load_model(model), 1, seed) as session:
            y = session.run({"x": np.full((1, 2), largest, np.float32)})["y"]
        assert np.isfinite(y).all()
