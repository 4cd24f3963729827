"""Widths that stay multiples: of plain layers, and of grouped convolutions, where each group keeps equally many."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import pytest

import analyzer
from analyzer.facts.choice import Choice
from analyzer.walk.closure import _filled
from tests.models import Array, parse, run

CHANNELS = 32


def grouped(dead: Sequence[int], groups: int = 2, dead_out: Sequence[int] = ()) -> onnx.ModelProto:
    """A convolution, a grouped one and a last one; these channels of the first (and second) are dead."""
    rng = np.random.default_rng(4)

    def weights(*shape: int) -> Array:
        made: Array = (rng.standard_normal(shape) / 4).astype(np.float32)
        return made

    c = CHANNELS
    stored = {"w0": weights(c, 3, 3, 3), "b0": weights(c), "w1": weights(c, c // groups, 3, 3), "b1": weights(c)}
    stored |= {"w2": weights(5, c, 1, 1)}
    stored["w0"][list(dead)], stored["b0"][list(dead)] = 0, -1
    stored["w1"][list(dead_out)], stored["b1"][list(dead_out)] = 0, -1
    return parse(
        f"""grouped (float[n,3,hh,ww] x) => (float[n,5,hh,ww] y) {{
            c = Conv<pads=[1,1,1,1]>(x, w0, b0)
            a = Relu(c)
            d = Conv<pads=[1,1,1,1], group={groups}>(a, w1, b1)
            e = Relu(d)
            y = Conv(e, w2)
        }}""",
        stored,
    )


def widths(model: onnx.ModelProto, round_to: int) -> tuple[int, int]:
    """What both convolutions keep, in a model that gives the same outputs."""
    x = np.random.default_rng(6).standard_normal((3, 3, 6, 6)).astype(np.float32)
    pruned = analyzer.prune(model, {"x": x}, choice=Choice(round_to=round_to), latency=False)
    smaller = onnx.ModelProto.FromString(pruned.data)
    for data in (x, 20 * x[:, :, 1:]):
        expected = run(model, {"x": data})["y"]
        np.testing.assert_allclose(run(smaller, {"x": data})["y"], expected, atol=1e-5 * np.abs(expected).max())
    dims = {t.name: list(t.dims) for t in smaller.graph.initializer}
    return dims["w0"][0], dims["w1"][0]


UNEVEN = [*range(5), *range(16, 25)]  # 5 of the first 16, 9 of the second


@pytest.mark.parametrize(("round_to", "left"), [(1, 22), (2, 22), (4, 24), (8, 24), (16, 32), (64, 32)])
def test_what_feeds_groups_is_rounded_up_in_all_groups_alike(round_to: int, left: int) -> None:
    assert widths(grouped(UNEVEN), round_to) == (left, 32)


@pytest.mark.parametrize(("round_to", "left"), [(1, 22), (2, 22), (4, 24), (8, 24), (16, 32)])
def test_what_groups_give_out_is_rounded_up_in_all_groups_alike(round_to: int, left: int) -> None:
    assert widths(grouped([], dead_out=UNEVEN), round_to) == (32, left)


def test_a_group_that_is_dead_as_a_whole_is_not_revived_where_the_others_have_room() -> None:
    dead = [*range(8), 8, 9, 10, 16, 17, 24]
    assert widths(grouped(dead, 4, dead), 1) == (21, 21)
    assert widths(grouped(dead, 4, dead), 4) == (24, 24)


@pytest.mark.parametrize(("round_to", "left"), [(1, 22), (4, 24), (16, 32)])
def test_a_depthwise_convolution_is_rounded_with_what_feeds_it(round_to: int, left: int) -> None:
    dead = list(range(10))
    assert widths(grouped(dead, CHANNELS, dead), round_to) == (left, left)


@pytest.mark.parametrize("seed", range(60))
def test_the_fewest_are_added_and_all_groups_that_stay_keep_equally_many(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups, each, multiple = (int(rng.integers(1, most)) for most in (5, 5, 7))
    kept = rng.random((groups, each)) < 0.4
    filled = _filled(kept.reshape(-1), multiple, groups).reshape(groups, each)
    assert (filled >= kept).all()
    sizes = {int(size) for size in filled.sum(axis=1) if size}
    assert len(sizes) == 1
    fewest, least = max(int(kept.any(axis=1).sum()), 1), max(int(kept.sum(axis=1).max()), 1)
    widths = [n * size for n in range(fewest, groups + 1) for size in range(least, each + 1)]
    assert filled.sum() == min((width for width in widths if width % multiple == 0), default=kept.size)
