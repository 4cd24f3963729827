"""Random probes: labelled, repeatable, and only what was asked for."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from analyzer.errors import ProbeError
from analyzer.graph import TensorType
from analyzer.probes.probe import Probe, random_probe


def declared(dtype: Any, *dims: int | str | None) -> TensorType:
    return TensorType(np.dtype(dtype), dims)


X = {"x": declared("f4", "batch", 3, 4)}


def drawn(probe: Probe, size: int = 7) -> np.ndarray[Any, Any]:
    return np.concatenate([b.feeds["x"] for b in probe.batches(size)])


def test_it_is_labelled_as_random() -> None:
    probe = random_probe(X, samples=5, seed=3)
    assert (probe.random, probe.source, probe.samples, probe.batchable) == (
        True,
        "random normal (seed 3)",
        5,
        True,
    )


def test_the_same_seed_draws_the_same_samples_whatever_the_number_and_the_batch_size() -> None:
    many = drawn(random_probe(X, samples=100))
    assert many.shape == (100, 3, 4)
    assert np.array_equal(drawn(random_probe(X, samples=70), size=1), many[:70])
    assert not np.array_equal(drawn(random_probe(X, samples=100, seed=1)), many)
    assert len(np.unique(many)) == many.size


def test_normal_and_uniform_are_what_they_say() -> None:
    normal = drawn(random_probe(X, samples=2000))
    assert abs(normal.mean()) < 0.05
    assert abs(normal.std() - 1) < 0.05
    uniform = drawn(random_probe(X, samples=2000, kind="uniform"))
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 0.05


@pytest.mark.parametrize("dtype", ["f2", "f8", np.dtype(ml_dtypes.bfloat16), "i8", "u1", "?"])
def test_every_element_type_is_drawn_in_the_models_own(dtype: Any) -> None:
    values = drawn(random_probe({"x": declared(dtype, None, 8)}, samples=9))
    assert values.dtype == np.dtype(dtype)
    if np.dtype(dtype).kind in "iub":
        assert set(values.astype(int).ravel()) == {0, 1}


def test_free_dims_take_the_sizes_given_by_name_or_position() -> None:
    inputs = {"x": declared("f4", None, "time", None)}
    probe = random_probe(inputs, samples=2, free_dims={"time": 5, "x:2": 6})
    assert drawn(probe).shape == (2, 5, 6)


def test_a_free_dim_without_a_size_is_named() -> None:
    with pytest.raises(ProbeError, match=r"Input 'x' has a free dim 'time' at axis 1: give it a size as time=SIZE\."):
        random_probe({"x": declared("f4", None, "time")}, samples=2)
    with pytest.raises(ProbeError, match=r"a free dim without a name at axis 1: give it a size as x:1=SIZE\."):
        random_probe({"x": declared("f4", None, None)}, samples=2)
    with pytest.raises(ProbeError, match="free dim time is 0"):
        random_probe({"x": declared("f4", None, "time")}, samples=2, free_dims={"time": 0})


def test_a_model_without_a_batch_axis_gets_vectors() -> None:
    probe = random_probe({"x": declared("f4", 5)}, samples=3)
    assert [b.feeds["x"].shape for b in probe.batches(8)] == [(5,)] * 3


def test_a_fixed_batch_is_respected() -> None:
    probe = random_probe({"x": declared("f4", 4, 5)}, samples=8)
    assert [b.samples for b in probe.batches(1)] == [4, 4]


def test_inputs_with_different_fixed_first_dims_are_drawn_one_feed_per_sample() -> None:
    inputs = {"x": declared("f4", 1, 3), "h": declared("f4", 2, None, 5)}
    probe = random_probe({**inputs, "g": declared("f4", "batch", 2)}, samples=3, free_dims={"h:1": 4})
    shapes = [{n: a.shape for n, a in b.feeds.items()} for b in probe.batches(8)]
    assert shapes == [{"x": (1, 3), "h": (2, 4, 5), "g": (1, 2)}] * 3


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        (X, {"samples": 0}, "at least 1"),
        (
            X,
            {"samples": 1, "kind": "cauchy"},
            "'cauchy' is no kind of random probe: choose normal or uniform",
        ),
        (X, {"samples": 1, "seed": -1}, "seed is -1"),
        ({"x": declared(object, None, 1)}, {"samples": 1}, "takes string, which cannot be drawn"),
        ({"x": TensorType(None, None)}, {"samples": 1}, "declares no type or shape"),
        ({"x": declared("f4", None, 0, 1 << 62, 8)}, {"samples": 1}, "One random sample takes"),
        ({}, {"samples": 1}, "has no inputs"),
    ],
)
def test_what_cannot_be_drawn_is_refused(inputs: Any, options: Any, message: str) -> None:
    with pytest.raises(ProbeError, match=message):
        random_probe(inputs, **options)


def test_a_constant_is_drawn_once_and_fed_with_every_sample() -> None:
    inputs = {"x": declared("f4", "n", 3), "state": declared("f4", 2, 3)}
    probe = random_probe(inputs, samples=100, constants=["state"])
    assert probe.fixed == {"state"}
    batches = list(probe.batches(7))
    assert sum(b.samples for b in batches) == 100
    assert len({b.feeds["state"].tobytes() for b in batches}) == 1
    assert batches[0].feeds["state"].shape == (2, 3)
    with pytest.raises(ProbeError, match="did you mean 'state'"):
        random_probe(inputs, samples=1, constants=["stat"])


def test_a_size_that_no_input_asks_for_is_refused() -> None:
    inputs = {"x": declared("f4", "n", "length", None)}
    assert drawn(random_probe(inputs, samples=1, free_dims={"length": 2, "x:2": 3, "n": 5})).shape == (1, 2, 3)
    with pytest.raises(ProbeError, match=r"No input has a free dim 'lenght': there are 'n', 'x:0', 'length'"):
        random_probe(inputs, samples=1, free_dims={"lenght": 2, "x:2": 3})


def test_a_sample_larger_than_memory_is_refused() -> None:
    with pytest.raises(ProbeError, match=r"One random sample takes .* give smaller sizes"):
        random_probe({"x": declared("f4", "n", "a", "b")}, samples=1, free_dims={"a": 10**8, "b": 10**8})
