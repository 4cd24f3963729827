"""Maxima that are read behind a MaxPool are those of the activation in front of it, or are not read there."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from analyzer.facts.units import AuditedValue, Kind
from analyzer.observe.observation import observe
from analyzer.observe.pooling import lengths_are_fixed, lengths_follow_values, pooled_maximum
from analyzer.observe.windows import covered
from analyzer.probes.probe import open_probe
from analyzer.shapes.shape_run import measure_shapes
from tests.models import Array
from tests.unit.observe.test_observation import by_hand, load, look, relu

RELU_POOL = "g (float[N, 3, {0}] x) => (float[N, 3, A, B] y) {{ r = Relu(x)  y = MaxPool<{1}>(r) }}"
HALVING = "kernel_shape=[2, 2], strides=[2, 2]"


def peaks(length: int, channels: int) -> Array:
    """Samples that fire at one position only, each position once, in one channel after the other; one never fires."""
    data = -np.ones((length * length, channels, length, length), np.float32)
    for i, (row, column) in enumerate(itertools.product(range(length), repeat=2)):
        data[i, i % (channels - 1), row, column] = 1 + i
    return data


@pytest.mark.parametrize("length", [6, 7, 8])
@pytest.mark.parametrize(
    "attributes",
    [
        "kernel_shape=[2, 2], strides=[2, 2]",
        "kernel_shape=[3, 3], strides=[2, 2]",
        "kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]",
        "kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1]",
        "kernel_shape=[2, 2], strides=[3, 3]",
        "kernel_shape=[2, 2]",
        "kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1",
        "kernel_shape=[2, 2], dilations=[2, 2]",
        "kernel_shape=[2, 2], strides=[2, 2], dilations=[2, 2], pads=[0, 0, 1, 1]",
        'kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"',
        'kernel_shape=[3, 3], strides=[2, 2], auto_pad="VALID"',
        "kernel_shape=[3, 2], strides=[3, 1], pads=[1, 0, 1, 0]",
    ],
)
def test_each_position_counts_whatever_the_windows(attributes: str, length: int) -> None:
    loaded = load(RELU_POOL.format(f"{length}, {length}", attributes))
    data = peaks(length, 3)
    found = look(loaded, relu("r", 1, 3, 4), {"x": data}).statistics["r"]
    wanted = by_hand(loaded, relu("r", 1, 3, 4), {"x": data})
    assert np.array_equal(found.fired, wanted.fired)
    assert np.array_equal(found.maximum, wanted.maximum)


@pytest.mark.parametrize("length", range(9))
@pytest.mark.parametrize("window", [1, 2, 4])
def test_windows_cover_what_they_touch(length: int, window: int) -> None:
    for count, stride, dilation, pad in itertools.product((0, 1, 3, 5), (1, 2, 3), (1, 2, 3), (0, 1, 3, 7)):
        touched = {i * stride + tap * dilation - pad for i in range(count) for tap in range(window)}
        assert covered(length, count, window, stride, dilation, pad) == (set(range(length)) <= touched)


def test_the_longer_of_windows_and_taps_is_not_counted_through() -> None:
    assert covered(8, 9, 1 << 60, 1, 1, 1 << 59)
    assert not covered(8, 1 << 60, 2, 1 << 50, 1, 0)


def behind(text: str, audited: AuditedValue, data: Array) -> str | None:
    loaded = load(text)
    probe = open_probe(data, loaded.graph.inputs)
    shapes = measure_shapes(loaded, probe)
    return pooled_maximum(loaded.graph, shapes, audited) if lengths_are_fixed(loaded.graph, shapes) else None


@pytest.mark.parametrize(
    ("space", "attributes", "kind", "wanted"),
    [
        ("8, 8", HALVING, Kind.RECTIFIER, "y"),
        ("7, 8", HALVING, Kind.RECTIFIER, None),  # the last row lies in no window
        ("8, 8", "kernel_shape=[2, 2], strides=[3, 3]", Kind.RECTIFIER, None),
        ("H, 8", HALVING, Kind.RECTIFIER, None),  # another length may not fit
        ("8, 8", HALVING, Kind.SMOOTH, None),
    ],
)
def test_maxima_are_read_behind_a_pool_that_sees_every_position(
    space: str, attributes: str, kind: Kind, wanted: str | None
) -> None:
    data = np.ones((4, 3, 8 if space.startswith(("8", "H")) else 7, 8), np.float32)
    audited = AuditedValue("r", "", "Relu", kind, 1, 3, 4, low=0.0)
    assert behind(RELU_POOL.format(space, attributes), audited, data) == wanted


@pytest.mark.parametrize(
    ("body", "follows"),
    [
        ("s = Slice(x, k, n, k)  r = Relu(s)", True),  # the data say where it ends
        ("t = Shape(x)  s = Slice(x, k, t, k)  r = Relu(s)", False),
        ("i = NonZero(x)  r = Relu(x)", True),
        ("w = HannWindow(n)  r = Relu(x)", True),
        ("d = DFT(x, n)  r = Relu(x)", True),
        ("c = Col2Im(x, n, k)  r = Relu(x)", True),
        ("b = Bernoulli(k)  i = NonZero(b)  r = Relu(x)", True),
        ("b = Custom(x)  r = Relu(x)", True),
        ("b = CumSum(x, k)  r = Relu(b)", False),
        ("r = Relu(x)", False),
    ],
)
def test_lengths_that_the_data_decide_are_told(body: str, follows: bool) -> None:
    text = f"g (float[1, 2, 8, 8] x, int64[1] n) => (float[1, 2, A, B] y) {{ {body}  y = MaxPool<{HALVING}>(r) }}"
    assert lengths_follow_values(load(text, k=np.array([3])).graph) == follows


def test_maxima_are_read_in_front_of_the_pool_where_the_data_decide_lengths() -> None:
    loaded = load(
        f"g (float[1, 2, 8, 8] x, int64[1] n) => (float[1, 2, A, B] y) {{ s = Slice(x, z, n, k)  r = Relu(s)  "
        f"y = MaxPool<{HALVING}>(r) }}",
        k=np.array([3]),
        z=np.array([0]),
    )
    feeds = [{"x": -np.ones((1, 2, 8, 8), np.float32), "n": np.array([4 + i % 2])} for i in range(12)]
    feeds[5]["x"][..., 4] = 2
    probe = open_probe(feeds, loaded.graph.inputs)
    found = observe(loaded, probe, [relu("r", 1, 2, 4)], measure_shapes(loaded, probe)).statistics["r"]
    assert found.maximum.tolist() == [2, 2]
