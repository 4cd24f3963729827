"""Preprocessing by the names that people use, and as a file beside the model says it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import analyzer
from analyzer.api.options import image_options
from analyzer.cli.main import run
from analyzer.errors import ProbeError
from analyzer.facts.image_options import PRESETS, ImageOptions
from analyzer.graph import TensorType
from analyzer.probes.preprocessor_config import NAME
from analyzer.probes.probe import open_probe

Image: Any = pytest.importorskip("PIL.Image")

VIT = {
    "do_resize": True, "size": {"height": 4, "width": 6}, "do_rescale": True, "rescale_factor": 0.00392156862745098,
    "do_normalize": True, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
}  # fmt: skip
CLIP = {
    "do_resize": True, "size": {"shortest_edge": 8}, "do_center_crop": True, "crop_size": {"height": 6, "width": 6},
    "do_normalize": True, "image_mean": [0.48, 0.45, 0.4], "image_std": [0.26, 0.26, 0.27],
}  # fmt: skip
OLD = {"do_resize": True, "size": 5, "do_normalize": False}


def fed(folder: Path, options: ImageOptions | None = None, usual: Path | None = None, **shape: int) -> Any:
    inputs = {"x": TensorType(np.dtype("f4"), (None, 3, shape.get("height", 4), shape.get("width", 6)))}
    probe = open_probe(folder, inputs, images=options, usual_images=usual)
    return probe, np.concatenate([batch.feeds["x"] for batch in probe.batches(8)])


@pytest.fixture
def image(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "a.png")
    return folder


def written(config: dict[str, Any], folder: Path) -> Path:
    (folder / NAME).write_text(json.dumps(config))
    return folder / NAME


def test_a_file_says_size_scale_and_normalisation(tmp_path: Path, image: Path) -> None:
    probe, array = fed(image, usual=written(VIT, tmp_path))
    with Image.open(image / "a.png") as shown:
        pixels = np.asarray(shown, np.float32).transpose(2, 0, 1) / 255
    np.testing.assert_allclose(array[0], (pixels - 0.5) / 0.5, atol=1e-6)
    assert probe.preprocessing["by"] == NAME


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({**VIT, "resample": 3}, {"size": (4, 6), "interpolation": "bicubic"}),
        ({**VIT, "resample": None}, {"interpolation": "bilinear"}),
        (CLIP, {"size": (6, 6), "resize": "crop", "crop_share": 0.75, "mean": (0.48, 0.45, 0.4)}),
        (OLD, {"size": (5, 5), "resize": "crop", "crop_share": 1.0, "mean": (), "scale": 1 / 255}),
        ({"do_rescale": False, "do_resize": False, "do_normalize": False}, {"size": None, "scale": 1.0}),
    ],
)
def test_forms_that_these_files_have(config: dict[str, Any], expected: dict[str, Any], tmp_path: Path) -> None:
    options = image_options(str(written(config, tmp_path)))
    assert {name: getattr(options, name) for name in expected} == expected


def test_what_is_asked_for_comes_first(tmp_path: Path, image: Path) -> None:
    probe, array = fed(image, ImageOptions(scale=1.0), written(VIT, tmp_path))
    assert array.max() > 2
    assert "by" not in probe.preprocessing


def test_a_file_that_does_not_fit_is_named(tmp_path: Path, image: Path) -> None:
    with pytest.raises(ProbeError, match=r"By .*preprocessor_config.json: Input 'x' expects images of 9x9"):
        fed(image, usual=written(VIT, tmp_path), height=9, width=9)


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[1]",
        '{"resample": 7}',
        '{"resample": -1}',
        '{"resample": [3]}',
        '{"size": {"longest": 3}}',
        '{"size": "big"}',
        '{"image_mean": [null]}',
    ],
)
def test_a_file_that_says_something_else_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(content)
    with pytest.raises(ProbeError):
        image_options(str(tmp_path / NAME))


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_as_their_frameworks_have_them(name: str, image: Path) -> None:
    _, array = fed(image, image_options(name, size=(4, 6), crop_share=1.0))
    with Image.open(image / "a.png") as shown:
        rgb = np.asarray(shown, np.float32)
    mean, std = np.array([0.485, 0.456, 0.406], "f4"), np.array([0.229, 0.224, 0.225], "f4")
    expected = {
        **dict.fromkeys(("imagenet", "torchvision", "timm"), (rgb / 255 - mean) / std),
        "keras-torch": (rgb / 255 - mean) / std,
        "keras-tf": rgb / 127.5 - 1,
        "keras-caffe": rgb[..., ::-1] - np.array([103.939, 116.779, 123.68], "f4"),
        "yolo": rgb / 255,
    }[name]
    np.testing.assert_allclose(array[0], expected.transpose(2, 0, 1), atol=1e-4)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
def test_pixels_between_others_are_reckoned_as_pillow_does(interpolation: str, resize: str, image: Path) -> None:
    options = ImageOptions(size=(8, 12), resize=resize, interpolation=interpolation, scale=1.0)
    probe, array = fed(image, options, height=8, width=12)
    with Image.open(image / "a.png") as shown:
        expected = np.asarray(shown.resize((12, 8), getattr(Image.Resampling, interpolation.upper())), np.float32)
    np.testing.assert_array_equal(array[0], expected.transpose(2, 0, 1))
    assert probe.preprocessing["interpolation"] == interpolation


def test_a_letterbox_has_its_fill_around_the_image(image: Path) -> None:
    _, array = fed(image, image_options("yolo"), height=8, width=6)
    assert array.shape == (1, 3, 8, 6)
    np.testing.assert_allclose(array[0, :, :2], 114 / 255, atol=1e-6)
    np.testing.assert_allclose(array[0, :, -2:], 114 / 255, atol=1e-6)


def test_the_file_beside_a_model_is_used_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = Path("sample_models/digits_cnn_torchscript/model.onnx")
    (tmp_path / "model.onnx").write_bytes(model.read_bytes())
    (tmp_path / "images").mkdir()
    for number in range(3):
        Image.fromarray(np.full((8, 8), 80 * number, np.uint8)).save(tmp_path / "images" / f"{number}.png")
    written({"size": {"height": 8, "width": 8}, "image_mean": [0.1], "image_std": [0.5]}, tmp_path)
    call = [str(tmp_path / "model.onnx"), "--probe", str(tmp_path / "images")]
    assert run(["audit", *call, "--no-causes"]) == 0
    assert "by preprocessor_config.json, size 8x8" in " ".join(capsys.readouterr().out.split())
    audit = analyzer.audit(tmp_path / "model.onnx", tmp_path / "images", causes=False)
    assert audit.probe is not None
    assert audit.probe.preprocessing["mean"] == "0.1"
    assert run(["audit", *call, "--image-preset", str(tmp_path / NAME), "--resize", "letterbox", "-q"]) == 0
