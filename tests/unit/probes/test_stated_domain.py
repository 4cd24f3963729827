"""A domain as people state it: words, ranges, files and mappings, in the model's shapes and types."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analyzer.errors import InputError
from analyzer.facts.domain import Box, Domain
from analyzer.facts.image_options import ImageOptions
from analyzer.graph.view import TensorType
from analyzer.probes.interval import ROUNDING
from analyzer.probes.stated_domain import OWN_METADATA, Reader, in_metadata
from analyzer.rewrite.masks import archive

IMAGE = TensorType(np.dtype(np.float32), (1, 3, 4, 4))
ROW = TensorType(np.dtype(np.float32), (1, 3))
TOKENS = TensorType(np.dtype(np.int64), (1, 5))
BYTES = TensorType(np.dtype(np.uint8), (1, 4, 4, 3))


def box(stated: Any, declared: TensorType = ROW, **given: Any) -> Box:
    return Reader({"x": declared}, **given).domain(stated).boxes[0]["x"]


@pytest.mark.parametrize(
    "stated",
    [
        (0, 2),
        [0, 2],
        {"x": (0, 2)},
        {"x": {"low": 0, "high": [2, 2, 2]}},
        {"low": 0, "high": 2},
        "0:2",
        "x.json",
        "x.csv",
    ],
)
def test_a_range_in_every_form(stated: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.json").write_text('{"x": [0, 2]}')
    Path("x.csv").write_text("feature,min,max\na,0,2\nb,0,2\nc,0,2\n")
    found = box(stated)
    assert found.low.dtype == np.float32
    assert (found.low == 0).all() and (found.high == 2).all() and found.low.shape == (1, 3)


def test_bounds_per_feature_from_tables_and_archives(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", low=[0, 1, 2], high=[3, 4, 5])
    named = {"x.low": np.array([0, 1, 2]), "x.high": np.array([[3, 4, 5]])}
    (tmp_path / "named.npz").write_bytes(archive(named))
    for name in ("x.npz", "named.npz"):
        found = box(tmp_path / name)
        assert [*found.low[0]] == [0, 1, 2] and [*found.high[0]] == [3, 4, 5]


def test_yaml_says_the_same_as_json(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("x:\n  center: [1, 2, 3]\n  radius: 2\n  low: 0\n  high: 4\n")
    found = box(tmp_path / "x.yaml")
    assert [*found.low[0]] == [0, 0, 1] and [*found.high[0]] == [3, 4, 4]


def test_a_centre_may_lie_in_a_file(tmp_path: Path) -> None:
    np.save(tmp_path / "c.npy", np.array([[1.0, 2.0, 3.0]]))
    (tmp_path / "x.json").write_text('{"x": {"center": "c.npy", "radius": 0.5}}')
    assert [*box(tmp_path / "x.json").high[0]] == [1.5, 2.5, 3.5]


def test_pixels_follow_how_images_are_prepared() -> None:
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.25, 0.5)
    found = box("pixels", IMAGE, images=ImageOptions(mean=mean, std=std))
    for channel in range(3):
        for side, pixel in ((found.low, 0), (found.high, 1)):
            assert np.allclose(side[0, channel], (pixel - mean[channel]) / std[channel], atol=1e-5)
    half = np.array([mean, std], np.float32)
    sample = (np.float32(255) * np.float32(1 / 255) - half[0]) / half[1]
    assert (sample <= found.high[0, :, 0, 0]).all()  # however single precision rounds
    assert (box("pixels", IMAGE).high == np.float32(1 + ROUNDING)).all()
    assert (box("pixels", BYTES).high == 255).all()


def test_a_mean_per_channel_lies_along_the_axis_of_channels_in_either_layout() -> None:
    last = TensorType(np.dtype(np.float32), (1, 4, 4, 3))
    stated = {"pixels": 255, "mean": [1, 2, 3], "std": 1}
    assert np.allclose(box(stated, IMAGE).low[0, :, 0, 0], [-1, -2, -3], atol=1e-4)
    assert np.allclose(box(stated, last).low[0, 0, 0], [-1, -2, -3], atol=1e-4)


def test_a_negative_scale_turns_the_ends_around() -> None:
    found = box({"low": 0, "high": 1, "scale": -2})
    assert np.allclose(found.low, -2) and np.allclose(found.high, 0, atol=1e-5)


def test_tokens_are_whole_and_come_from_the_tables() -> None:
    found = box("tokens", TOKENS, vocabulary={"x": 100})
    assert found.low.dtype == np.int64 and found.low.min() == 0 and found.high.max() == 99
    assert (box({"tokens": 7}, TOKENS).high == 6).all()


def test_metadata_of_the_model_is_read() -> None:
    text = json.dumps({"min": [0, 1, 2], "max": 5})
    assert [*box("model", metadata={"onnxsim.precondition.range.x": text}).low[0]] == [0, 1, 2]


def test_the_range_of_the_probe_is_conditional() -> None:
    seen = {"x": Box(np.zeros((1, 3), np.float32), np.ones((1, 3), np.float32))}
    domain = Reader({"x": ROW}, observed=lambda: seen).domain("probe-range")
    assert domain.conditional
    assert not Reader({"x": ROW}).domain("0:1").conditional


def test_inputs_that_are_fed_unchanged_need_no_bounds() -> None:
    inputs = {"x": ROW, "rate": TensorType(np.dtype(np.int64), ())}
    domain = Reader(inputs, fixed={"rate": np.array(16000)}).domain("0:1")
    assert domain.varying == ("x",)
    assert domain.boxes[0]["rate"].low == domain.boxes[0]["rate"].high == 16000


def test_several_boxes_and_their_hash() -> None:
    reader = Reader({"x": ROW})
    domain = reader.domain([{"x": [0, 1]}, {"x": [2, 3]}])
    assert len(domain.boxes) == 2
    assert domain.outside({"x": np.full((1, 3), 2.5)}) is None
    assert "x[0, 0] is 1.5" in str(domain.outside({"x": np.array([[1.5, 2.5, 2.5]])}))
    assert "nan" in str(domain.outside({"x": np.array([[np.nan, 2.5, 2.5]])}))
    assert domain.digest == reader.domain([{"x": [0, 1]}, {"x": [2, 3]}]).digest != reader.domain("0:1").digest


def test_single_precision_numbers_within_the_stated_bounds_stay_within() -> None:
    """0.1 and 0.3 are no such numbers: the nearest ones stand for them, and none between is lost."""
    found = box((0.1, 0.3))
    assert (found.low == np.float32(0.1)).all() and (found.high == np.float32(0.3)).all()
    between = np.nextafter(np.float32(0.1), np.float32(1))
    assert (found.low <= between).all()


@pytest.mark.parametrize(
    ("stated", "declared", "sentence"),
    [
        ("pixel", ROW, "There is no domain 'pixel': did you mean pixels"),
        ("probe-range", ROW, "give a probe"),
        ("tokens", TOKENS, "says nothing of 'x'"),
        ("model", ROW, "says no range"),
        ({"y": [0, 1]}, ROW, "the model's inputs are 'x'"),
        ({"x": [0, 1], "z": [0, 1]}, ROW, "'z', which is no input"),
        ({"x": [1, 0]}, ROW, "leave nothing"),
        ({"x": [0, float("nan")]}, ROW, "no number"),
        ({"x": "0 to 1"}, ROW, "neither"),
        ({"x": {"low": 0}}, ROW, "incomplete"),
        ({"x": {"low": 0, "hihg": 1}}, ROW, "did you mean high"),
        ({"x": {"low": [0, 0], "high": 1}}, ROW, "2 numbers, which fit no axis"),
        ({"x": {"pixels": 255, "std": 0}}, IMAGE, "holds a 0"),
        ({"x": [0.2, 0.8]}, TOKENS, "hold no int64"),
        ({"x": [0, 300]}, BYTES, "more than it can be"),
        ({"x": [0, 1e39]}, ROW, "larger than a float32"),
        ({"x": [0, 1]}, TensorType(np.dtype(object), (1,)), "no bounds"),
        (0.5, ROW, "neither"),
    ],
)
def test_what_cannot_be_meant_is_refused(stated: Any, declared: TensorType, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Reader({"x": declared}).domain(stated)


@pytest.mark.parametrize(
    ("name", "text"), [("x.json", "{"), ("x.yaml", "a: ["), ("x.csv", "a,b\n1,2\n"), ("x.txt", "")]
)
def test_files_that_are_none(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=name):
        Reader({"x": ROW}).domain(str(tmp_path / name))


def test_a_domain_is_taken_as_it_is() -> None:
    domain = Domain(({"x": Box(np.zeros(1), np.ones(1))},), "mine")
    assert Reader({"x": ROW}).domain(domain) is domain


HALVES = TensorType(np.dtype(np.float16), (1, 3))
SQUARE = TensorType(np.dtype(np.float32), (1, 3, 3, 3))


def kept(stated: Any, declared: TensorType) -> tuple[Domain, Domain, str]:
    """The domain, the one that is read from the metadata of a model that was pruned for it, and what stands there."""
    domain = Reader({"x": declared}, vocabulary={"x": 7} if declared is TOKENS else {}).domain(stated)
    text = in_metadata(domain)
    return domain, Reader({"x": declared}, metadata={OWN_METADATA: text}).domain("model"), text


@pytest.mark.parametrize(
    ("stated", "declared", "numbers"),
    [
        ("-0.1:0.7", IMAGE, 2),
        ({"low": 0, "high": 1, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.1, 0.3]}, IMAGE, 6),
        ({"low": [0, 1, 2], "high": [[[[3, 3, 3], [4, 4, 5], [6, 7, 8]]] * 3]}, SQUARE, 30),
        ({"low": [[[[0, 1, 2]] * 3] * 3], "high": 9}, SQUARE, 28),  # a list would be one of channels
        ({"low": [[0, 0.1, 0.2]], "high": [[1, 1, 1]]}, ROW, 4),
        ({"low": [[[[0]], [[1]], [[2]]]], "high": 3}, TensorType(np.dtype(np.float32), (1, 3, 1, 1)), 4),
        ("tokens", TOKENS, 2),
        ("pixels", BYTES, 2),
        ([{"x": [0, 0.3]}, {"x": [0.6, 1]}], HALVES, 4),
    ],
)
def test_what_a_model_was_pruned_for_is_read_back_to_the_last_bit(
    stated: Any, declared: TensorType, numbers: int
) -> None:
    domain, again, text = kept(stated, declared)
    assert again.digest == domain.digest
    assert again.boxes[0]["x"].low.dtype == declared.dtype
    assert len(re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", text)) == numbers


def test_a_domain_of_very_many_numbers_is_not_written() -> None:
    wide = TensorType(np.dtype(np.float32), (1, 5000))
    box = Box(np.linspace(0, 1, 5000, dtype=np.float32)[None], np.full((1, 5000), 2, np.float32))
    assert in_metadata(Domain(({"x": box},), "ends")) == ""
    assert kept("0:1", wide)[1].boxes[0]["x"].high.shape == (1, 5000)


@pytest.mark.parametrize("declared", [ROW, HALVES, BYTES, TOKENS, TensorType(np.dtype(np.bool_), (1, 2))])
def test_any_input_holds_every_number_of_the_type_and_every_row(declared: TensorType) -> None:
    domain, again, text = kept("any", declared)
    box = domain.boxes[0]["x"]
    if declared is TOKENS:
        assert (box.low == 0).all() and (box.high == 6).all()
    elif declared.dtype is not None and declared.dtype.kind == "f":
        assert not domain.bounded and text == '"any"' and again.digest == domain.digest
        assert box.high[0, 0] == np.finfo(declared.dtype).max
    else:
        assert domain.bounded and box.low.dtype == declared.dtype


@pytest.mark.parametrize(
    ("text", "message"), [("{", "is no JSON"), ('{"y": [0, 1]}', "speaks of 'y'"), ("[]", "neither"), ("3", "neither")]
)
def test_a_damaged_domain_in_a_model_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Reader({"x": ROW}, metadata={OWN_METADATA: text}).domain("model")


@pytest.mark.parametrize("dtype", [np.int64, np.uint64, np.int32, np.uint8])
def test_a_domain_up_to_the_largest_whole_number_is_that_wide(dtype: type) -> None:
    """It is none in double precision, and the next one in its type is 0, or below."""
    most = int(np.iinfo(dtype).max)
    found = box((0, most), TensorType(np.dtype(dtype), (1, 2)))
    assert found.low.dtype == found.high.dtype == dtype
    assert (found.low == 0).all() and (found.high == most).all()
