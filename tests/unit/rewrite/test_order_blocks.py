"""Numbers in blocks with a scale each: the last block need not be full; the one that can do without most goes there."""

from __future__ import annotations

import re

import numpy as np
import onnx
import onnx_ir as ir
import pytest

import analyzer
from analyzer.errors import ComparisonFailed
from analyzer.rewrite import fold_orders
from analyzer.rewrite.nudge import nudged
from analyzer.runtime.loading import load_model
from tests.models import Array, parse, run, shape_table

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
    assert "Gather" not in operators(smaller)  # the units are made in that order


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


NBITS = "com.microsoft.MatMulNBits<K={}, N={}, bits=4, block_size=16, accuracy_level=0>"
INNER = SIZE * BLOCKS
PRODUCT, WIDE = NBITS.format(INNER, COLUMNS), NBITS.format(16, INNER)
#: What makes hidden units and what reads them, and how many gathers are left.
AROUND = {
    "a gate of packed numbers": (f"g = {WIDE}(x, gq, gs, gz) i = Sigmoid(g) a = Mul(g, i) u = {WIDE}(x, uq, us) "
                                 "m = Mul(a, u) h = Relu(m)", "", 0),
    "a bias, slopes and a view": ("c = MatMul(x, w) d = Add(c, b) e = Reshape(d, shape) f = PRelu(e, p) h = Relu(f)",
                                  "", 0),
    "scales in one line": (f"g = {WIDE}(x, gq, flat) h = Relu(g)", "", 1),
    "a sum over all": ("c = MatMul(x, w) h = Relu(c)", "t = ReduceSum(h, last)", 1),
    "a part of them": ("c = MatMul(x, w) h = Relu(c)", "i, j = Split<axis = 1>(h, half) t = MatMul(i, v2)", 1),
    "another product of whole numbers": ("c = MatMul(x, w) h = Relu(c)", "t = MatMul(h, v)", 0),
    "another product in blocks": ("c = MatMul(x, w) h = Relu(c)", f"t = {PRODUCT}(h, q2, s2)", 2),
    "a weight that others read": ("c = MatMul(x, w) h = Relu(c)", "o = MatMul(x, w) r = Tanh(o) t = MatMul(r, v)", 1),
}  # fmt: skip


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("seed", range(3))
def test_units_are_made_in_the_order_of_the_blocks_where_nothing_else_minds(around: str, seed: int) -> None:
    made, read, left = AROUND[around]
    random = np.random.default_rng(seed)
    dead = np.sort(random.choice(INNER, 16, replace=False))
    dead = np.union1d(dead[dead < 2 * SIZE], random.choice(SIZE, 7, replace=False))  # the last block has none

    def packed(rows: int, blocks: int) -> Array:
        return random.integers(0, 256, (rows, blocks, SIZE // 2)).astype(np.uint8)

    stored: dict[str, Array] = {
        "q": packed(COLUMNS, BLOCKS), "q2": packed(COLUMNS, BLOCKS), "gq": packed(INNER, 1), "uq": packed(INNER, 1),
        "gz": random.integers(0, 16, (INNER, 1)).astype(np.float32), "shape": np.array([-1, INNER]),
        "last": np.array([-1]), "half": np.array([INNER // 2] * 2),
    }  # fmt: skip
    shapes = {"s": (COLUMNS, BLOCKS), "s2": (COLUMNS, BLOCKS), "gs": (INNER, 1), "us": (INNER, 1), "flat": (INNER,)}
    stored |= {name: random.random(shape) + 0.1 for name, shape in shapes.items()}
    stored |= {name: random.standard_normal((16, INNER)) for name in "w"}
    stored |= {"b": random.standard_normal(INNER), "p": random.random(INNER), "v": random.standard_normal((INNER, 2))}
    stored["v2"] = random.standard_normal((INNER // 2, 2))
    stored["w"][:, dead] = 0
    stored["b"][dead] = -1
    for name in ("gs", "flat"):
        stored[name][dead] = 0
    floats = {n: a.astype(np.float32) if a.dtype == np.float64 else a for n, a in stored.items()}
    text = f"blocks (float[n,16] x) => (float[n,{COLUMNS}] y{', float[n, k] t' if read else ''}) "
    body = f"{text} {{ {made} {read} y = {PRODUCT}(h, q, s) }}"
    used = {name: array for name, array in floats.items() if re.search(rf"[(, ]{name}[,) ]", body.partition("{")[2])}
    feed = {"x": random.standard_normal((12, 16)).astype(np.float32)}
    result, smaller = pruned(parse(body, used), feed)
    assert operators(smaller).count("Gather") == left
    assert result.changed


def test_units_that_are_not_made_in_the_order_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold_orders, "_in_one_order", lambda context, start, reader: [start])
    with pytest.raises(ComparisonFailed, match="the first value that differs is y: nothing was written"):
        analyzer.prune(*gated([1, 2, 3, 7, 8, 20, 21, 40]), latency=False)


def test_in_front_of_a_product_that_rounds_units_are_filled_up_and_not_gathered_before() -> None:
    model, feed = gated([1, 2, 3, 7, 8, 20, 21, 40], level=4)
    result = analyzer.prune(model, feed, choice=analyzer.Choice(residual="params"), latency=False)
    smaller = onnx.ModelProto.FromString(result.data)
    assert operators(smaller) == ["Gemm", "Relu", "Pad", "Gather", "MatMulNBits"]
    np.testing.assert_array_equal(run(smaller, feed)["y"], run(model, feed)["y"])
    assert width(smaller) == INNER - 8


def test_two_orders_meet_in_one_stored_tensor_along_either_axis() -> None:
    random = np.random.default_rng(4)
    stored: dict[str, Array] = {
        name: random.standard_normal(shape).astype(np.float32)
        for name, shape in {"w": (3, 4), "v": (4, 2), "m": (4, 5), "u": (5, 2)}.items()
    }
    stored |= {"p": np.array([2, 0, 3, 1]), "q": np.array([4, 2, 0, 1, 3])}
    model = parse(
        """g (float[n, 3] x) => (float[n, 2] y, float[n, 2] z) {
            a = MatMul(x, w)
            b = Gather<axis = 1>(a, p)
            y = MatMul(b, v)
            c = MatMul(a, m)
            d = Gather<axis = 1>(c, q)
            z = MatMul(d, u)
        }""",
        stored,
    )
    feeds = {"x": random.standard_normal((6, 3)).astype(np.float32)}
    loaded = load_model(model)
    names = {node.name for node in loaded.graph.nodes}
    smaller, moved = fold_orders.fold_orders(loaded, shape_table(model, feeds), names)
    assert [node.op_type for node in smaller.refreshed().graph.nodes] == ["MatMul"] * 4
    assert moved == {"a", "c"}
    for name, array in run(ir.to_proto(smaller.model), feeds).items():
        np.testing.assert_allclose(array, run(model, feeds)[name], rtol=1e-5, atol=1e-6)


def test_what_is_added_to_itself_in_another_order_keeps_its_gather() -> None:
    random = np.random.default_rng(4)
    stored = {
        name: random.standard_normal(shape).astype(np.float32) for name, shape in {"w": (3, 4), "u": (4, 2)}.items()
    }
    model = parse(
        """g (float[n, 3] x) => (float[n, 2] y) {
            a = MatMul(x, w)
            b = Gather<axis = 1>(a, p)
            c = Add(a, b)
            y = MatMul(c, u)
        }""",
        {**stored, "p": np.array([2, 0, 3, 1])},
    )
    feeds = {"x": random.standard_normal((6, 3)).astype(np.float32)}
    loaded = load_model(model)
    names = {node.name for node in loaded.graph.nodes}
    smaller, moved = fold_orders.fold_orders(loaded, shape_table(model, feeds), names)
    assert not moved
    np.testing.assert_allclose(
        run(ir.to_proto(smaller.model), feeds)["y"], run(model, feeds)["y"], rtol=1e-5, atol=1e-6
    )
