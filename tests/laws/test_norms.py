"""Networks around normalisations with groups, or channels, that are dead on purpose: these go, and no others."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from tests.audits import Pruned, pruned
from tests.laws.nets import Net
from tests.models import build

GROUPS, EACH, SIDE = 4, 3, 4


def grouped(kind: str, seed: int) -> tuple[Pruned, int]:
    """A convolution behind a normalisation by groups, as an operator or as exporters write it, and its live groups."""
    net, channels = Net(Random(seed)), GROUPS * EACH
    draw = net.arrays.normal
    feed = {"x": draw(0, 1, (3, 3, SIDE, SIDE)).astype(np.float32)}
    x = net.add("Conv", "x", net.keep(draw(0, 1, (channels, 3, 3, 3))), net.keep(draw(0, 1, channels)), pads=[1] * 4)
    scale, shift, after = draw(1, 0.3, channels), draw(3, 1, channels), draw(0, 1, (2, channels, 3, 3))
    alive = set()
    for group in range(GROUPS):
        here = slice(group * EACH, (group + 1) * EACH)
        how = net.random.choice(["alive", "one", "scale", "off", "unread"])
        if how == "scale":
            scale[here] = 0
        elif how == "off":
            shift[here] = -50
        elif how == "unread":
            after[:, here] = 0
        else:
            alive.add(group)
            shift[group * EACH] = -50 if how == "one" else 3  # one dead channel in a group that is alive
    if kind == "operator":
        y = net.add("GroupNormalization", x, net.keep(scale), net.keep(shift), num_groups=GROUPS)
    else:
        apart = net.add("Reshape", x, net.keep([0, GROUPS, -1], np.int64))
        even = net.add("InstanceNormalization", apart, net.keep(np.ones(GROUPS)), net.keep(np.zeros(GROUPS)))
        y = net.add("Reshape", even, net.add("Shape", x) if kind == "measured" else net.keep([0, channels, 4, 4], int))
        per_channel = [net.keep(array.reshape(-1, 1, 1)) for array in (scale, shift)]
        y = net.add("Add", net.add("Mul", y, per_channel[0]), per_channel[1])
    y = net.add("Conv", net.add("Relu", y), net.keep(after))
    return pruned(build(net.nodes, feed, net.stored, [y], 21, free=(0,)), feed), len(alive)


@pytest.mark.parametrize("kind", ["operator", "measured", "spelled out"])
def test_groups_that_are_dead_go(kind: str) -> None:
    for seed in range(12):
        found, alive = grouped(kind, seed)
        assert found.difference < 1e-4
        assert found.shape("w0")[0] == max(alive, 1) * EACH
        if kind == "operator" and alive:
            assert {locked.reason for locked in found.walk.locked} <= {"normalisation-statistics"}


def narrowed(op: str, seed: int) -> tuple[Pruned, int]:
    """A stream of which some channels are 0, normalised by its root mean square, and how many are alive."""
    net, width = Net(Random(seed)), 6
    draw, domain = net.arrays.normal, "com.microsoft" if op.startswith("Skip") else ""
    feed = {"x": draw(0, 1, (3, 4, 5)).astype(np.float32)}
    dead = net.arrays.random(width) < 0.5
    streams = [draw(0, 1, (5, width)) * ~dead for _ in range(2)]
    streams[0] += dead * draw(0, 1, width) * (net.arrays.random(width) < 0.3)  # 0 in one branch alone
    alive = int((streams[0] != 0).any(axis=0).sum())
    read = [net.add("MatMul", "x", net.keep(weight)) for weight in streams]
    if not domain:
        read = [net.add("Add", *read)]
    y = net.add(op, *read, net.keep(draw(1, 0.3, width)), domain=domain, epsilon=net.random.choice([1e-5, 0.5]))
    y = net.add("MatMul", y, net.keep(draw(0, 1, (width, 3))))
    return pruned(build(net.nodes, feed, net.stored, [y], 23, {"com.microsoft": 1}, free=(0,)), feed), alive


@pytest.mark.parametrize("op", ["RMSNormalization", "SimplifiedLayerNormalization", "SkipSimplifiedLayerNormalization"])
def test_a_root_mean_square_is_taken_over_fewer_channels(op: str) -> None:
    widths = set()
    for seed in range(12):
        found, alive = narrowed(op, seed)
        assert found.difference < 1e-4
        assert found.shape("w0")[1:] == (alive,)
        widths.add(alive)
    assert len(widths) > 2
