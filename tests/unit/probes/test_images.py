"""Images: found, read, resized, ordered, scaled, laid out; and what is no usable image."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analyzer.errors import ProbeError
from analyzer.facts.image_options import ImageOptions
from analyzer.graph import TensorType
from analyzer.probes.probe import open_probe

Image: Any = pytest.importorskip("PIL.Image")

FLOAT = np.dtype("f4")
NCHW = {"x": TensorType(FLOAT, (None, 3, 4, 6))}
NHWC = {"x": TensorType(FLOAT, (None, 4, 6, 3))}


def pixels(height: int = 4, width: int = 6, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def saved(array: Any, path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def fed(data: Path, inputs: dict[str, TensorType] = NCHW, **options: Any) -> np.ndarray[Any, Any]:
    probe = open_probe(data, inputs, images=ImageOptions(**options) if options else None)
    return np.concatenate([b.feeds["x"] for b in probe.batches(8)])


def refusal(data: Path, inputs: dict[str, TensorType] = NCHW, options: ImageOptions | None = None) -> str:
    with pytest.raises(ProbeError) as caught:
        list(open_probe(data, inputs, images=options).batches(4))
    return str(caught.value)


def test_a_folder_is_read_with_its_subfolders_in_order_of_name(tmp_path: Path) -> None:
    for seed, name in enumerate(["a/1.png", "a/2.png", "b/0.bmp"]):
        saved(pixels(seed=seed), tmp_path / name)
    (tmp_path / "a" / "notes.md").touch()
    probe = open_probe(tmp_path, NCHW)
    assert (probe.samples, probe.batchable) == (3, True)
    (batch,) = probe.batches(8)
    expected = np.stack([pixels(seed=s) for s in range(3)]).transpose(0, 3, 1, 2) / np.float32(255)
    assert np.allclose(batch.feeds["x"], expected, rtol=1e-6)


def test_a_text_list_names_files_relative_to_itself_with_or_without_labels(tmp_path: Path) -> None:
    saved(pixels(seed=1), tmp_path / "a" / "x y.png")
    saved(pixels(seed=2), tmp_path / "a" / "z.png")
    (tmp_path / "list.txt").write_text("# mine\na/z.png 7\n\na/x y.png\n")
    assert np.allclose(
        fed(tmp_path / "list.txt") * 255, np.stack([pixels(seed=2), pixels(seed=1)]).transpose(0, 3, 1, 2)
    )


def test_the_layout_follows_the_models_dims_and_can_be_set(tmp_path: Path) -> None:
    saved(pixels(), tmp_path / "a.png")
    assert np.allclose(fed(tmp_path, NHWC)[0] * 255, pixels())
    free = {"x": TensorType(FLOAT, (None, None, None, None))}
    assert fed(tmp_path, free, layout="NHWC", size=(4, 6)).shape == (1, 4, 6, 3)
    assert fed(tmp_path, free, layout="NCHW", size=(2, 3)).shape == (1, 3, 2, 3)


def test_a_model_without_a_batch_axis_takes_one_image_at_a_time(tmp_path: Path) -> None:
    saved(pixels(), tmp_path / "a.png")
    saved(pixels(), tmp_path / "b.png")
    probe = open_probe(tmp_path, {"x": TensorType(FLOAT, (3, 4, 6))})
    assert [b.feeds["x"].shape for b in probe.batches(8)] == [(3, 4, 6)] * 2


def test_scale_mean_and_std_apply_in_the_order_of_the_fed_channels(tmp_path: Path) -> None:
    saved(pixels(), tmp_path / "a.png")
    array = fed(tmp_path, NHWC, scale=2.0, mean=(1, 2, 3), std=(4, 5, 6), channels="BGR")
    expected = (pixels()[..., ::-1] * 2.0 - [1, 2, 3]) / [4, 5, 6]
    assert np.allclose(array[0], expected)


def test_gray_models_get_gray_images(tmp_path: Path) -> None:
    gray = pixels()[..., 0]
    saved(gray, tmp_path / "a.png")
    array = fed(tmp_path, {"x": TensorType(FLOAT, (None, 1, 4, 6))})
    assert np.allclose(array[0, 0] * 255, gray)
    assert np.allclose(fed(tmp_path)[0] * 255, np.stack([gray] * 3))


def test_integer_models_get_the_pixels_as_they_are(tmp_path: Path) -> None:
    saved(pixels(), tmp_path / "a.png")
    inputs = {"x": TensorType(np.dtype("u1"), (None, 4, 6, 3))}
    array = fed(tmp_path, inputs)
    assert array.dtype == np.uint8
    assert np.array_equal(array[0], pixels())
    assert "uint8 pixels as they are" in refusal(tmp_path, inputs, ImageOptions(mean=(0.5,)))


def test_half_precision_models_get_half_precision(tmp_path: Path) -> None:
    saved(pixels(), tmp_path / "a.png")
    assert fed(tmp_path, {"x": TensorType(np.dtype("f2"), (None, 3, 4, 6))}).dtype == np.float16


def test_stretching_crops_nothing_and_padding_fills_with_zeros(tmp_path: Path) -> None:
    saved(np.full((8, 4, 3), 255, np.uint8), tmp_path / "a.png")
    inputs = {"x": TensorType(FLOAT, (None, 3, 8, 8))}
    assert fed(tmp_path, inputs).min() == 1
    padded = fed(tmp_path, inputs, resize="pad")[0, 0]
    assert padded[:, 2:6].min() == 1
    assert padded[:, :2].max() == padded[:, 6:].max() == 0


def test_cropping_cuts_out_the_centre(tmp_path: Path) -> None:
    array = np.zeros((8, 16, 3), np.uint8)
    array[:, 4:12] = 255
    saved(array, tmp_path / "a.png")
    inputs = {"x": TensorType(FLOAT, (None, 3, 8, 8))}
    assert fed(tmp_path, inputs, resize="crop").min() == 1
    small = {"x": TensorType(FLOAT, (None, 3, 4, 4))}
    assert np.array_equal(fed(tmp_path, small, resize="crop", crop_share=0.5)[0, 0], np.ones((4, 4)))


def test_the_imagenet_preset_is_resize_256_and_centre_crop_224(tmp_path: Path) -> None:
    saved(pixels(300, 500), tmp_path / "a.png")
    inputs = {"x": TensorType(FLOAT, (None, 3, 224, 224))}
    (batch,) = open_probe(tmp_path, inputs, images=ImageOptions.preset("imagenet")).batches(1)
    resized = Image.fromarray(pixels(300, 500)).resize((int(256 * 500 / 300), 256), Image.Resampling.BILINEAR)
    left, top = round((resized.width - 224) / 2), 16
    cut = np.asarray(resized.crop((left, top, left + 224, top + 224))).astype(np.float32) / 255
    expected = ((cut - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]).transpose(2, 0, 1)
    assert np.allclose(batch.feeds["x"][0], expected, atol=1e-5)


def test_a_preset_can_be_changed() -> None:
    options = ImageOptions.preset("imagenet", channels="BGR", size=(299, 299))
    assert (options.mean[0], options.std[0], options.size) == (0.406, 0.225, (299, 299))
    with pytest.raises(ProbeError, match="'cifar' is no image preset: choose one of imagenet"):
        ImageOptions.preset("cifar")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"resize": "zoom"}, "'zoom' is no resize setting for images: choose one of stretch, crop, pad."),
        ({"layout": "HWC"}, "'HWC' is no layout setting for images: choose one of NCHW, NHWC."),
        ({"channels": "CMYK"}, "choose one of RGB, BGR, gray."),
        ({"size": (0, 4)}, "image size is 0x4"),
        ({"crop_share": 0}, "crop share is 0"),
        ({"std": (1.0, 0.0)}, "std holds a 0"),
    ],
)
def test_impossible_options_are_refused(settings: Any, message: str) -> None:
    with pytest.raises(ProbeError) as caught:
        ImageOptions(**settings)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("inputs", "settings", "message"),
    [
        ({**NCHW, "y": NCHW["x"]}, {}, "Images fit a model with one input, this one has 2"),
        ({"x": TensorType(FLOAT, (None, 3))}, {}, "expects 2 axes, so it takes no images"),
        ({"x": TensorType(FLOAT, (None, 9, 4, 6))}, {}, "is not known: set the layout"),
        ({"x": TensorType(FLOAT, (None, 9, 4, 6))}, {"layout": "NCHW"}, "expects 9 channels in layout NCHW"),
        ({"x": TensorType(FLOAT, (None, 3, None, None))}, {}, "free: set a size (--image-size 224)"),
        (NCHW, {"size": (8, 8)}, "expects images of 4x6, not 8x8"),
        (NCHW, {"channels": "gray"}, "expects 3 channels in layout NCHW, but gray images have 1"),
        (NCHW, {"mean": (1.0, 2.0)}, "mean has 2 numbers for 3 channels"),
        ({"x": TensorType(np.dtype("?"), (None, 3, 4, 6))}, {}, "takes bool, not the numbers of an image"),
    ],
)
def test_what_contradicts_the_model_is_refused(tmp_path: Path, inputs: Any, settings: Any, message: str) -> None:
    saved(pixels(), tmp_path / "a.png")
    assert message in refusal(tmp_path, inputs, ImageOptions(**settings))


def test_unreadable_images_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(pixels(64, 64), tmp_path / "a.png")
    whole = path.read_bytes()
    path.write_bytes(whole[:500])
    assert refusal(tmp_path).startswith("a.png is not a readable image or is truncated: ")
    path.write_bytes(b"hello")
    assert refusal(tmp_path).startswith("a.png is not a readable image")
    path.write_bytes(whole)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4000)
    assert refusal(tmp_path).startswith("a.png is larger than any usual image: refused; scale it down. --max-bad")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)
    assert "refused" in refusal(tmp_path)


def test_nothing_but_pixels_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow goes by the content, and would hand PostScript to Ghostscript."""
    ran: list[Any] = []
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *given, **named: ran.append(given))
    Image.fromarray(pixels()).save(tmp_path / "a.eps")
    (tmp_path / "a.eps").rename(tmp_path / "a.png")
    assert "a.png is not a readable image" in refusal(tmp_path)
    assert not ran


def test_a_line_of_pixels_is_not_scaled_into_memory(tmp_path: Path) -> None:
    saved(np.zeros((60_000, 1, 3), np.uint8), tmp_path / "a.png")
    inputs = {"x": TensorType(FLOAT, (None, 3, 1000, 1000))}
    assert "a.png, scaled to be cropped, takes" in refusal(
        tmp_path, inputs, ImageOptions.preset("imagenet", size=(1000, 1000))
    )


def test_images_of_more_than_8_bits_are_refused(tmp_path: Path) -> None:
    saved(np.zeros((4, 6), np.uint16), tmp_path / "a.png")
    assert "not 8 bits per channel" in refusal(tmp_path)


@pytest.mark.parametrize("drives", [1, 2])
def test_a_list_names_files_relative_to_itself_and_anywhere_else(
    drives: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def several(_: object) -> str:
        raise ValueError("Paths don't have the same drive")

    if drives > 1:
        monkeypatch.setattr("os.path.commonpath", several)
    far = saved(pixels(seed=2), tmp_path / "far" / "b.png")
    saved(pixels(seed=1), tmp_path / "near" / "a.png")
    (tmp_path / "near" / "list.txt").write_text(f"{far}\na.png\n")
    monkeypatch.chdir(tmp_path / "near")
    expected = np.stack([pixels(seed=2), pixels(seed=1)]).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(fed(Path("list.txt")) * 255, expected, atol=1e-3)


def test_a_list_that_names_a_missing_file_or_nothing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("# nothing\nmissing.png\n")
    said = "list.txt, line 2: no image file missing.png; paths are relative to the list. --max-bad"
    assert refusal(path).startswith(said)
    path.write_text("# nothing\n")
    assert refusal(path) == "list.txt holds no samples: give the model at least one."
    path.write_bytes(b"\xff\xfe\xff")
    assert "no text list of image files" in refusal(path)


def test_images_without_pillow_say_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(pixels(), tmp_path / "a.png")
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert refusal(tmp_path) == "Reading images needs Pillow: pip install 'deadunits[images]'."


def test_a_size_larger_than_memory_is_refused(tmp_path: Path) -> None:
    saved(pixels(), tmp_path / "a.png")
    free = {"x": TensorType(FLOAT, (None, 3, None, None))}
    said = refusal(tmp_path, free, ImageOptions(size=(10**7, 10**7)))
    assert said.startswith("An image of 10000000x10000000 takes ")


def test_what_was_done_to_images_is_recorded(tmp_path: Path) -> None:
    saved(pixels(), tmp_path / "a.png")
    options = ImageOptions.preset("imagenet", size=(4, 6))
    assert open_probe(tmp_path, NCHW, images=options).preprocessing == {
        "size": "4x6",
        "resize": "crop of 0.875",
        "interpolation": "bilinear",
        "channels": "RGB",
        "layout": "NCHW",
        "scale": "0.00392157",
        "mean": "0.485, 0.456, 0.406",
        "std": "0.229, 0.224, 0.225",
    }
    assert open_probe(tmp_path, NHWC).preprocessing["scale"] == "1/255"
    assert open_probe(np.zeros((2, 3, 4, 6), "f4"), NCHW).preprocessing == {}
