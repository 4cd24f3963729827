"""Arrays given from Python: how they are sliced, what is fed unchanged, what is refused."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from analyzer.errors import ProbeError
from analyzer.graph import TensorType
from analyzer.probes.probe import Probe, open_probe
from analyzer.probes.sample_blocks import Batch

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


def declared(dtype: Any, *dims: int | str | None) -> TensorType:
    return TensorType(np.dtype(dtype), dims)


X = {"x": declared("f4", None, 3)}
ROWS = np.arange(30, dtype=np.float32).reshape(10, 3)


def sizes(probe: Probe, size: int) -> list[int]:
    return [batch.samples for batch in probe.batches(size)]


def joined(batches: list[Batch], name: str = "x") -> np.ndarray[Any, Any]:
    return np.concatenate([batch.feeds[name] for batch in batches])


def refusal(data: object, inputs: dict[str, TensorType], **options: Any) -> str:
    with pytest.raises(ProbeError) as caught:
        list(open_probe(data, inputs, **options).batches(4))
    return str(caught.value)


def test_an_array_of_the_inputs_rank_is_sliced_along_axis_0() -> None:
    probe = open_probe({"x": ROWS}, X)
    assert (probe.source, probe.random, probe.batchable, probe.samples) == ("dict of arrays", False, True, 10)
    batches = list(probe.batches(4))
    assert [b.samples for b in batches] == [4, 4, 2]
    assert np.array_equal(joined(batches), ROWS)


def test_arrays_can_be_read_again_and_again() -> None:
    probe = open_probe({"x": ROWS}, X)
    assert sizes(probe, 8) == sizes(probe, 8) == [8, 2]


def test_the_first_samples_come_one_by_one_and_are_not_consumed() -> None:
    probe = open_probe({"x": ROWS}, X)
    first = probe.first(2)
    assert [b.samples for b in first] == [1, 1]
    assert np.array_equal(joined(first), ROWS[:2])
    assert sizes(probe, 100) == [10]
    assert len(probe.first(99)) == 10


def test_a_small_first_batch_shifts_the_rest() -> None:
    probe = open_probe({"x": ROWS}, X)
    batches = list(probe.batches(4, first=1))
    assert [b.samples for b in batches] == [1, 4, 4, 1]
    assert np.array_equal(joined(batches), ROWS)
    assert [b.samples for b in probe.batches(4, first=5)] == sizes(probe, 4)
    assert probe.fingerprint == open_probe({"x": ROWS}, X).fingerprint


def test_a_small_first_batch_holds_what_the_model_takes_at_once() -> None:
    probe = open_probe({"x": ROWS}, {"x": declared("f4", 2, 3)})
    assert [b.samples for b in probe.batches(4, first=2)] == [2, 4, 4]
    assert [b.samples for b in probe.batches(4, first=1)] == [2, 4, 4]


def test_one_array_serves_a_one_input_model() -> None:
    assert open_probe(ROWS, X).samples == 10


def test_one_array_in_a_dict_may_have_the_models_name_only() -> None:
    assert "did you mean 'image'" in refusal({"imgae": ROWS}, {"image": X["x"]})


def test_lists_of_numbers_are_arrays_in_a_dict() -> None:
    assert open_probe({"x": [[1, 2, 3], [4, 5, 6]]}, X).samples == 2


def test_one_axis_more_holds_one_sample_per_entry() -> None:
    inputs = {"x": declared("f4", None, 3), "state": declared("f4", 2, None, 4)}
    probe = open_probe({"x": ROWS, "state": np.zeros((10, 2, 1, 4), np.float32)}, inputs)
    assert not probe.batchable
    batches = list(probe.batches(8))
    assert len(batches) == probe.samples == 10
    assert batches[3].feeds["state"].shape == (2, 1, 4)
    assert batches[3].feeds["x"].shape == (1, 3)


def test_a_rank_0_array_is_fed_unchanged_with_every_sample() -> None:
    probe = open_probe({"x": ROWS, "sr": np.int64(16000)}, {**X, "sr": declared("i8")})
    assert probe.batchable
    assert [int(b.feeds["sr"]) for b in probe.batches(4)] == [16000] * 3


def test_an_input_named_constant_is_fed_unchanged() -> None:
    inputs = {**X, "h": declared("f4", 2, 3)}
    probe = open_probe({"x": ROWS, "h": np.ones((2, 3), np.float32)}, inputs, constants=["h"])
    assert probe.batchable
    assert probe.samples == 10
    assert all(b.feeds["h"].shape == (2, 3) for b in probe.batches(4))


def test_a_constant_that_is_no_input_is_named() -> None:
    assert refusal({"x": ROWS}, X, constants=["y"]) == "'y' is named as constant but is no input: the inputs are 'x'."


def test_all_constant_inputs_make_one_sample() -> None:
    probe = open_probe({"x": ROWS}, X, constants=["x"])
    assert (probe.samples, sizes(probe, 4)) == (1, [1])


def test_a_model_without_a_batch_axis_takes_a_stack_of_vectors() -> None:
    probe = open_probe({"x": ROWS}, {"x": declared("f4", 3)})
    assert (probe.samples, probe.batchable) == (10, False)
    assert [b.feeds["x"].shape for b in probe.first(2)] == [(3,), (3,)]


def test_one_vector_is_one_sample_of_a_model_without_a_batch_axis() -> None:
    probe = open_probe({"x": ROWS[0]}, {"x": declared("f4", 3)})
    assert (probe.samples, probe.first(1)[0].feeds["x"].shape) == (1, (3,))


@pytest.mark.parametrize("dims", [("batch",), (1,)])
def test_a_vector_beside_a_batched_input_counts_samples(dims: tuple[int | str]) -> None:
    inputs = {"x": declared("f4", *dims, 3), "length": declared("i8", *dims)}
    probe = open_probe({"x": ROWS, "length": np.arange(10)}, inputs)
    assert probe.batchable
    assert [b.feeds["length"].tolist() for b in probe.batches(5)] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]


def test_a_rank_0_input_takes_one_number_per_sample() -> None:
    probe = open_probe({"x": np.arange(3.0)}, {"x": declared("f4")})
    assert [float(b.feeds["x"]) for b in probe.batches(8)] == [0, 1, 2]


def test_a_fixed_batch_of_1_does_not_limit_the_data() -> None:
    assert sizes(open_probe(ROWS, {"x": declared("f4", 1, 3)}), 4) == [4, 4, 2]


def test_a_fixed_batch_is_fed_in_its_multiples() -> None:
    probe = open_probe(ROWS, {"x": declared("f4", 2, 3)})
    assert probe.step == 2
    assert sizes(probe, 5) == [4, 4, 2]
    assert sizes(probe, 1) == [2] * 5
    assert [b.samples for b in probe.first(3)] == [2, 2, 2]


def test_a_remainder_of_a_fixed_batch_is_refused() -> None:
    message = refusal(ROWS, {"x": declared("f4", 4, 3)})
    assert message.startswith("array: the model takes exactly 4 samples at a time, and 10 is not a multiple of 4: ")
    assert "give 8 samples" in message


def test_a_limit_is_cut_to_the_fixed_batch() -> None:
    assert sizes(open_probe(ROWS, {"x": declared("f4", 4, 3)}, limit=9), 4) == [4, 4]


def test_different_fixed_first_dims_cannot_all_count_samples() -> None:
    inputs = {"x": declared("f4", 1, 3), "boxes": declared("f4", 5, 4)}
    message = refusal({"x": ROWS[:5], "boxes": np.zeros((5, 4), np.float32)}, inputs)
    assert "fixes different first dims ('x' 1, 'boxes' 5)" in message


def test_a_fixed_batch_beside_a_stacked_input_is_refused() -> None:
    inputs = {"x": declared("f4", 2, 3), "h": declared("f4", 2, 3)}
    message = refusal({"x": ROWS, "h": np.zeros((10, 2, 3), np.float32)}, inputs)
    assert "takes exactly 2 samples at a time while another input" in message


def test_a_limit_caps_the_samples() -> None:
    probe = open_probe(ROWS, X, limit=7)
    assert probe.samples == 7
    assert sizes(probe, 4) == [4, 3]
    assert len(probe.first(10)) == 7


def test_a_limit_below_one_is_refused() -> None:
    assert refusal(ROWS, X, limit=0) == "The limit is 0 samples: it must be at least 1."


def test_a_limit_below_the_fixed_batch_is_refused() -> None:
    assert "takes 4 samples at a time" in refusal(ROWS, {"x": declared("f4", 4, 3)}, limit=3)


def test_a_batch_size_below_one_is_refused() -> None:
    with pytest.raises(ProbeError, match="batch size is 0"):
        open_probe(ROWS, X).batches(0)


def test_missing_and_unknown_inputs_are_listed() -> None:
    message = refusal({"imgae": ROWS, "junk": ROWS}, {"image": X["x"], "mask": X["x"]})
    assert message == (
        "dict of arrays has no data for 'image', 'mask' and holds 'imgae' (did you mean 'image'?), 'junk', "
        "which the model does not have: name the arrays after the model's inputs ('image', 'mask')."
    )


def test_a_wrong_dim_says_input_expected_and_given() -> None:
    assert refusal(np.zeros((4, 5), np.float32), X) == (
        "array: input 'x' expects ?x3, but the data has shape 4x5: axis 1 must be 3, not 5."
    )


def test_a_wrong_rank_says_input_expected_and_given() -> None:
    message = refusal(np.zeros(4, np.float32), X)
    assert message.startswith("array: input 'x' expects ?x3, but the data has shape 4: give it 2 axes, or 3")


def test_a_single_number_for_a_tensor_is_refused() -> None:
    assert "but the data is a single number" in refusal({"x": 1.0}, X)


def test_a_stacked_dim_is_counted_in_the_given_array() -> None:
    assert "axis 2 must be 3, not 5" in refusal(np.zeros((4, 1, 5), np.float32), X)


@pytest.mark.parametrize(
    ("dims", "shape", "hint"),
    [
        ((None, 3, 8, 8), (2, 8, 8, 3), "NHWC data for an NCHW model"),
        ((None, 8, 8, 3), (2, 3, 8, 8), "NCHW data for an NHWC model"),
    ],
)
def test_the_other_image_layout_is_recognised(dims: Any, shape: Any, hint: str) -> None:
    assert hint in refusal(np.zeros(shape, np.float32), {"x": declared("f4", *dims)})


def test_unequal_numbers_of_samples_are_refused() -> None:
    message = refusal({"x": ROWS, "y": ROWS[:8]}, {**X, "y": X["x"]})
    assert "disagree on the number of samples ('x' has 10, 'y' has 8)" in message
    assert "--constant" in message


def test_no_samples_are_refused() -> None:
    assert refusal(ROWS[:0], X) == "array holds no samples: give the model at least one."


def test_nan_is_allowed() -> None:
    batch = open_probe(np.full((1, 3), np.nan), X).first(1)[0]
    assert np.isnan(batch.feeds["x"]).all()


def test_an_undeclared_shape_takes_anything() -> None:
    assert open_probe(np.zeros((4, 2, 7), np.float32), {"x": TensorType(None, None)}).samples == 4


def test_a_model_without_inputs_takes_no_probe() -> None:
    assert "has no inputs" in refusal({}, {})


def test_an_open_probe_is_passed_through() -> None:
    probe = open_probe(ROWS, X)
    assert open_probe(probe, X) is probe


def test_other_objects_are_refused() -> None:
    assert refusal(None, X) == "The probe is of type NoneType: give a path, arrays, or an iterable of feeds."
    assert "type bytes" in refusal(b"abc", X)


@pytest.mark.parametrize("wanted", ["f2", "f4", "f8", BFLOAT16])
@pytest.mark.parametrize("came", ["f2", ">f4", "f8", "u1", "i8", "?", BFLOAT16])
def test_floats_and_integers_are_cast_to_the_models_float(wanted: Any, came: Any) -> None:
    feed = open_probe(np.ones((2, 3), came), {"x": declared(wanted, None, 3)}).first(1)[0].feeds["x"]
    assert feed.dtype == np.dtype(wanted)
    assert feed.tolist() == [[1, 1, 1]]


@pytest.mark.parametrize("wanted", ["i1", "u1", "i4", "i8", "u8", np.dtype(ml_dtypes.int4)])
def test_integers_are_cast_to_integers_that_hold_them(wanted: Any) -> None:
    feed = open_probe(np.full((2, 3), 7), {"x": declared(wanted, None, 3)}).first(1)[0].feeds["x"]
    assert feed.dtype == np.dtype(wanted)
    assert feed.astype(int).tolist() == [[7, 7, 7]]


@pytest.mark.parametrize(("wanted", "value"), [("u1", 256), ("u1", -1), ("i4", 2**31), (np.dtype(ml_dtypes.int4), 8)])
def test_integers_that_do_not_fit_are_refused_not_wrapped(wanted: Any, value: int) -> None:
    message = refusal(np.full((1, 3), value), {"x": declared(wanted, None, 3)})
    assert f"holds {value}, which does not fit {np.dtype(wanted).name}" in message


@pytest.mark.parametrize("came", ["f4", "f8", BFLOAT16])
def test_floats_for_integers_are_refused(came: Any) -> None:
    message = refusal(np.zeros((1, 3), came), {"x": declared("i8", None, 3)})
    assert message == (
        f"array: input 'x' expects int64, but the data is {np.dtype(came).name}, which would lose or change "
        "values: convert it to int64 yourself if that is meant."
    )


def test_integers_for_booleans_are_refused() -> None:
    assert "expects bool" in refusal(np.zeros((1, 3), int), {"x": declared("?", None, 3)})


def test_floats_too_large_for_the_model_are_refused() -> None:
    assert "too large for float16" in refusal(np.full((1, 3), 1e6), {"x": declared("f2", None, 3)})


def test_bfloat16_that_numpy_saved_as_raw_bytes_is_recognised() -> None:
    raw = np.ones((2, 3), BFLOAT16).view("V2")
    assert open_probe(raw, {"x": declared(BFLOAT16, None, 3)}).first(1)[0].feeds["x"].astype(float).max() == 1


def test_object_arrays_are_refused() -> None:
    assert "pickle, which is refused" in refusal({"x": np.array([[{}, 1, 2]], dtype=object)}, X)


@pytest.mark.parametrize(
    "texts",
    [np.array([["a"], ["é"]]), np.array([["a"], ["é"]], object), np.array([[b"a"], ["é".encode()]])],
)
def test_text_is_fed_to_a_model_of_strings(texts: Any) -> None:
    feeds = [b.feeds["x"] for b in open_probe(texts, {"x": declared(object, None, 1)}).batches(1)]
    assert [(f.dtype.kind, f.tolist()) for f in feeds] == [("O", [["a"]]), ("O", [["é"]])]


def test_text_for_numbers_and_numbers_for_text_are_refused() -> None:
    assert "expects float32, but the data is string" in refusal(np.array([["a", "b", "c"]]), X)
    assert "expects string, but the data is float32" in refusal(ROWS, {"x": declared(object, None, 3)})


def test_text_that_is_not_utf8_is_refused() -> None:
    assert "not UTF-8" in refusal(np.array([[b"\xff"]]), {"x": declared(object, None, 1)})


def test_ragged_lists_are_refused_in_a_sentence() -> None:
    assert "cannot be read as one array" in refusal({"x": [[1, 2], [3]]}, X)


def test_fortran_ordered_arrays_are_fed_contiguous() -> None:
    feed = open_probe(np.asfortranarray(ROWS), X).first(1)[0].feeds["x"]
    assert feed.flags["C_CONTIGUOUS"]
    assert np.array_equal(feed, ROWS[:1])
