"""Statistics merge as a commutative monoid, and observing in parts gives what observing at once gives."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import numpy_helper, parser

from analyzer.facts.statistics import UnitStatistics
from analyzer.facts.units import AuditedValue, Kind
from analyzer.observe.observation import Observation, observe
from analyzer.probes.probe import open_probe
from analyzer.runtime.loading import load_model
from analyzer.shapes.shape_run import measure_shapes

UNITS = 3
COUNTS = (
    "samples",
    "fired",
    "low_samples",
    "high_samples",
    "flat_samples",
    "nonfinite",
    "positions",
    "zeros",
)


def statistics() -> st.SearchStrategy[UnitStatistics]:
    counts = hnp.arrays(np.int64, UNITS, elements=st.integers(0, 1000))
    # Whole numbers: a sum of floats depends on its order, which is no part of the law.
    numbers = hnp.arrays(np.float64, UNITS, elements=st.integers(-99, 99).map(float))
    return st.builds(
        UnitStatistics,
        samples=st.integers(0, 1000),
        minimum=numbers,
        maximum=numbers,
        minimum_exact=hnp.arrays(np.bool_, UNITS),
        absolute_sum=numbers,
        **{name: counts for name in COUNTS if name != "samples"},
    )


def same(a: UnitStatistics, b: UnitStatistics) -> bool:
    return all(np.array_equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(UnitStatistics))


@given(statistics(), statistics(), statistics())
def test_merging_does_not_depend_on_grouping(a: UnitStatistics, b: UnitStatistics, c: UnitStatistics) -> None:
    assert same(a.merge(b).merge(c), a.merge(b.merge(c)))


@given(statistics(), statistics())
def test_merging_does_not_depend_on_order(a: UnitStatistics, b: UnitStatistics) -> None:
    assert same(a.merge(b), b.merge(a))


@given(statistics())
def test_empty_statistics_change_nothing(a: UnitStatistics) -> None:
    empty = UnitStatistics.empty(UNITS)
    assert same(a.merge(empty), a)
    assert same(empty.merge(a), a)


MODEL = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[N, 2, 6, 6] x) => (float[N, M] y)
<float[5, 2, 3, 3] W, float[5] B, float[80, 4] V, int64[1] one>
{
    c = Conv<pads=[0, 0, 0, 0]>(x, W, B)
    r = Relu(c)
    f = Flatten<axis=1>(r)
    d = MatMul(f, V)
    t = Tanh(d)
    y = Identity(t)
}
"""
AUDITED = (
    AuditedValue("r", "", "Relu", Kind.RECTIFIER, axis=1, units=5, rank=4, low=0.0),
    AuditedValue("c", "", "Conv", Kind.LINEAR, axis=1, units=5, rank=4),
    AuditedValue("t", "", "Tanh", Kind.SATURATING, axis=1, units=4, rank=2, low=-1.0, high=1.0),
)


def whole(random: np.random.Generator, *shape: int) -> np.ndarray:
    """Small whole numbers: every sum is exact, so no result depends on the batch size."""
    return random.integers(-3, 4, shape).astype(np.float32)


@pytest.fixture(scope="module")
def case() -> tuple[bytes, np.ndarray]:
    random = np.random.default_rng(3)
    model = parser.parse_model(MODEL)
    bias = np.array([0, -1000, 1000, -40, 0], np.float32)
    weights = {"W": whole(random, 5, 2, 3, 3), "B": bias, "V": whole(random, 80, 4) / 64}
    del model.graph.initializer[:]
    for name, array in weights.items():
        model.graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), name))
    return model.SerializeToString(), whole(random, 10, 2, 6, 6)


def look(case: tuple[bytes, np.ndarray], data: np.ndarray, **options: object) -> Observation:
    loaded = load_model(case[0])
    probe = open_probe({"x": data}, loaded.graph.inputs)
    return observe(loaded, probe, AUDITED, measure_shapes(loaded, probe), **options)  # type: ignore[arg-type]


def together(a: Observation, b: Observation) -> dict[str, UnitStatistics]:
    return {value: seen.merge(b.statistics[value]) for value, seen in a.statistics.items()}


def agree(a: UnitStatistics, b: UnitStatistics, linear: bool) -> None:
    for name in COUNTS:
        assert np.array_equal(getattr(a, name), getattr(b, name)), name
    exact = a.minimum_exact & b.minimum_exact
    assert np.array_equal(a.minimum[exact], b.minimum[exact])
    seen = exact if linear else np.ones_like(exact)
    assert np.array_equal(a.maximum[seen], b.maximum[seen])


@pytest.mark.parametrize("mode", ["firing", "full"])
def test_seven_and_three_samples_give_what_ten_give(case: tuple[bytes, np.ndarray], mode: str) -> None:
    data = case[1]
    whole_run = look(case, data, statistics=mode)
    parts = together(look(case, data[:7], statistics=mode), look(case, data[7:], statistics=mode))
    for audited in AUDITED:
        value = audited.value
        assert parts[value].samples == whole_run.samples == 10
        agree(parts[value], whole_run.statistics[value], audited.kind is Kind.LINEAR)


@pytest.mark.parametrize("mode", ["firing", "full"])
def test_batch_sizes_agree(case: tuple[bytes, np.ndarray], mode: str) -> None:
    one = look(case, case[1], batch_size=1, statistics=mode)
    for size in (3, 10):
        other = look(case, case[1], batch_size=size, statistics=mode)
        for audited in AUDITED:
            value = audited.value
            agree(one.statistics[value], other.statistics[value], audited.kind is Kind.LINEAR)
