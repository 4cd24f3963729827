"""What data shows of itself, feed by feed: NaN and infinity, what never varies, samples that are there twice."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from analyzer.facts.probe_condition import FeatureAxis, InputCondition, ProbeCondition
from analyzer.graph.view import TensorType
from analyzer.probes import data_watch
from analyzer.probes.probe import open_probe, random_probe

Array = np.ndarray[Any, np.dtype[Any]]
RNG = np.random.default_rng(5)


def condition(data: Any, size: int = 4, axis: int | None = 1, constants: tuple[str, ...] = ()) -> ProbeCondition:
    """Of data that is fed in batches of this size; `data` maps inputs to arrays whose first axis is the samples."""
    inputs = {name: TensorType(array.dtype, (None, *array.shape[1:])) for name, array in data.items()}
    probe = open_probe(data, inputs, constants=constants)
    for _ in probe.batches(size):
        pass
    axes = {} if axis is None else {name: FeatureAxis(axis, array.ndim) for name, array in data.items()}
    found = probe.condition(axes, ())
    assert found is not None
    return found


def of(array: Array, **options: Any) -> InputCondition:
    return condition({"x": array}, **options).inputs[0]


@pytest.mark.parametrize("size", [1, 4, 100])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ml_dtypes.bfloat16])
@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite_are_counted_whatever_the_batch(size: int, dtype: Any, broken: float) -> None:
    array = RNG.normal(size=(30, 3, 5)).astype(dtype)
    found = condition({"x": array}, size=size)
    assert (found.nonfinite, found.inputs[0].nonfinite, found.inputs[0].empty) == (0, 0, False)
    array[[2, 3, 29], 1, 2] = broken
    array[3] = broken
    found = condition({"x": array}, size=size)
    assert (found.samples, found.nonfinite, found.inputs[0].nonfinite, found.inputs[0].empty) == (30, 3, 3, False)
    array[:] = broken
    assert (of(array, size=size).nonfinite, of(array, size=size).empty) == (30, True)


def test_large_numbers_are_finite() -> None:
    assert of(np.full((4, 3), 1e38, np.float32)).nonfinite == 0


def test_samples_are_counted_once_over_all_inputs() -> None:
    one, two = RNG.normal(size=(2, 10, 3))
    one[[0, 1]] = two[[1, 2]] = np.nan
    found = condition({"a": one, "b": two})
    assert found.nonfinite == 3
    assert [entry.nonfinite for entry in found.inputs] == [2, 2]


def test_what_is_fed_unchanged_counts_for_every_sample() -> None:
    data = {"x": RNG.normal(size=(10, 3)), "c": np.array([[np.nan, 1.0]])}
    found = condition(data, constants=("c",))
    assert found.nonfinite == 10
    assert [(entry.name, entry.nonfinite, entry.constant) for entry in found.inputs] == [
        ("x", 0, False),
        ("c", 10, False),
    ]


@pytest.mark.parametrize("size", [1, 4, 100])
def test_features_and_channels_that_never_vary(size: int) -> None:
    table = RNG.normal(size=(30, 40))
    table[:, [3, 17]] = 2.5
    found = of(table, size=size)
    assert (found.still, found.features, found.constant, found.layered) == ((3, 17), 40, False, False)
    table[29, 17] = 2.6
    assert of(table, size=size).still == (3,)
    images = RNG.normal(size=(30, 3, 4, 4))
    images[:, 1] = np.arange(16).reshape(4, 4)  # the same picture everywhere
    images[:, :, 0, 0] = 7
    found = of(images, size=size)
    assert (found.still, found.features, found.layered) == ((1,), 3, True)
    assert of(images, size=size, axis=None).features == 0
    assert of(images.transpose(0, 2, 3, 1), size=size, axis=3).still == (1,)


@pytest.mark.parametrize("dtype", ["float32", "int64", "bool"])
def test_an_input_that_never_varies(dtype: str) -> None:
    ones = np.ones((9, 3), dtype)
    assert (of(ones).constant, of(ones).floats) == (True, dtype == "float32")
    ones[8, 2] = 0
    assert not of(ones).constant


def test_samples_of_other_shapes_vary() -> None:
    inputs = {"x": TensorType(np.dtype("f4"), (None, None))}
    probe = open_probe([np.ones((1, n), np.float32) for n in (3, 4, 3)], inputs)
    assert len(list(probe.batches(4))) > 1
    found = probe.condition({}, ())
    assert found is not None
    assert (found.inputs[0].constant, found.distinct) == (False, 2)


@pytest.mark.parametrize("size", [1, 4, 100])
def test_distinct_samples(size: int) -> None:
    array = RNG.normal(size=(20, 3)).astype(np.float32)
    assert condition({"x": array}, size=size).distinct == 20
    array[10:] = array[:10]
    assert condition({"x": array}, size=size).distinct == 10
    other = np.arange(20)  # another input tells them apart
    assert condition({"x": array, "i": other[:, np.newaxis]}, size=size).distinct == 20
    words = np.array([["a", "b"], ["ab", ""], ["a", "b"]], object)
    inputs = {"t": TensorType(np.dtype(object), (None, 2))}
    probe = open_probe({"t": words}, inputs)
    list(probe.batches(size))
    found = probe.condition({}, ())
    assert found is not None
    assert found.distinct == 2


def test_only_so_many_samples_are_held_against_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_watch, "MOST_COMPARED", 6)
    found = condition({"x": np.ones((20, 3))})
    assert (found.samples, found.compared, found.distinct) == (20, 6, 1)


def test_a_second_pass_counts_nothing_twice() -> None:
    inputs = {"x": TensorType(np.dtype("f4"), (None, 3))}
    probe = open_probe(np.full((10, 3), np.nan, np.float32), inputs)
    probe.first(3)
    for size in (4, 3):
        assert len(list(probe.batches(size))) >= 3
    found = probe.condition({}, ())
    assert found is not None
    assert (found.samples, found.nonfinite) == (10, 10)


def test_of_drawn_data_nothing_is_said() -> None:
    probe = random_probe({"x": TensorType(np.dtype("i8"), (None, 1))}, samples=50)
    list(probe.batches(8))
    assert probe.condition({}, ()) is None
