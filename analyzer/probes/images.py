"""Images as probe data: a folder or a list of files, brought into the form the model was trained on."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.errors import ProbeError, first_line
from analyzer.facts.image_options import CHANNELS, INTERPOLATIONS, ImageOptions
from analyzer.graph.external_files import is_there
from analyzer.graph.view import TensorType
from analyzer.probes.element_types import family
from analyzer.probes.memory import check_shape
from analyzer.probes.skipped import Skipped
from analyzer.regular_files import check_regular

SUFFIXES = frozenset([".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp"])
# Of these alone: Pillow goes by what is in a file, and has PostScript rendered by another program.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
LIST_SUFFIXES = (".txt", ".lst")
_EIGHT_BIT = frozenset(["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB", "La", "RGBa"])


@dataclass(frozen=True, slots=True)
class ImageReader:
    """Options completed by what the model's input declares; `read` gives one image as one sample."""

    options: ImageOptions
    size: tuple[int, int]
    layout: str
    channels: str
    dtype: np.dtype[Any]

    @property
    def steps(self) -> dict[str, str]:
        """What is done to an image, by the names of the options, for reports."""
        options, resize = self.options, self.options.resize
        steps = {
            "size": "x".join(map(str, self.size)),
            "resize": f"crop of {options.crop_share:.4g}" if resize == "crop" else resize,
            "interpolation": options.interpolation,
            "channels": self.channels,
            "layout": self.layout,
        }
        if family(self.dtype) == "float":
            steps["scale"] = "1/255" if options.scale is None else f"{options.scale:.6g}"
            steps |= {name: ", ".join(f"{n:.6g}" for n in values) for name, values in
                      (("mean", options.mean), ("std", options.std)) if values}  # fmt: skip
        return steps

    def read(self, file: Path | bytes, name: str) -> Array:
        """The image as `[1, C, H, W]` or `[1, H, W, C]`, of a file or of what would be in one; `name` is for messages.

        Raises:
            ProbeError: it is no readable 8-bit image.
        """
        pixels = self._pixels(file, name)
        array = self._normalised(pixels) if family(self.dtype) == "float" else pixels.astype(self.dtype)

        array = array.transpose(2, 0, 1) if self.layout == "NCHW" else array
        return np.ascontiguousarray(array[np.newaxis])

    def _normalised(self, pixels: Array) -> Array:
        options = self.options
        array: Array = pixels.astype(np.float32) * np.float32(1 / 255 if options.scale is None else options.scale)
        if options.mean:
            array = array - np.asarray(options.mean, np.float32)
        if options.std:
            array = array / np.asarray(options.std, np.float32)
        return array

    def _pixels(self, file: Path | bytes, name: str) -> Array:
        """`[H, W, C]`, uint8, in the order in which the channels are fed."""
        from PIL import Image

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about palettes and metadata, which change no pixel
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                with Image.open(BytesIO(file) if isinstance(file, bytes) else file, formats=_FORMATS) as image:
                    if image.mode not in _EIGHT_BIT:
                        raise ProbeError(
                            f"{name} has {image.mode} pixels, not 8 bits per channel: convert it, or give an .npz file."
                        )
                    self._check_scaled(image, name)
                    resized = self._resized(image.convert("L" if self.channels == "gray" else "RGB"))
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise ProbeError(f"{name} is larger than any usual image: refused; scale it down.") from error
        except (OSError, SyntaxError, ValueError) as error:
            raise ProbeError(f"{name} is not a readable image or is truncated: {first_line(error)}") from error
        pixels = np.asarray(resized).reshape(*self.size, -1)
        return pixels[..., ::-1] if self.channels == "BGR" else pixels

    def _check_scaled(self, image: Any, name: str) -> None:
        """Refuse an image so narrow that scaling its short side takes the memory: a line of pixels is a small file."""
        if self.options.resize == "crop":
            scale = max(self.size[0] / image.height, self.size[1] / image.width) / self.options.crop_share
            check_shape(
                int(4 * scale**2 * image.height * image.width), f"{name}, scaled to be cropped,", "crop it first"
            )

    def _resized(self, image: Any) -> Any:
        """To the size, with the rounding of torchvision's Resize and CenterCrop."""
        height, width = self.size
        method = INTERPOLATIONS.index(self.options.interpolation)  # a number of Image.Resampling
        if self.options.resize == "stretch":
            return image.resize((width, height), method)
        if self.options.resize == "crop":
            return _cropped(image, height, width, self.options.crop_share, method)
        factor = min(width / image.width, height / image.height)
        inner = image.resize((max(1, round(image.width * factor)), max(1, round(image.height * factor))), method)
        left, top = (width - inner.width) // 2, (height - inner.height) // 2
        sheet = image.copy().resize((width, height))
        sheet.paste((self.options.fill,) * len(image.getbands()), (0, 0, width, height))
        sheet.paste(inner, (left, top))
        return sheet


def _cropped(image: Any, height: int, width: int, share: float, method: int) -> Any:
    tall, wide = round(height / share), round(width / share)
    if wide * image.height >= tall * image.width:
        target = (wide, max(height, int(wide * image.height / image.width)))
    else:
        target = (max(width, int(tall * image.width / image.height)), tall)
    image = image.resize(target, method)
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))


def takes_images(inputs: Mapping[str, TensorType]) -> bool:
    """Whether a model has one input, and it may be of the shape of images."""
    shape = next(iter(inputs.values())).shape
    return len(inputs) == 1 and (shape is None or len(shape) in (3, 4))


def image_reader(inputs: Mapping[str, TensorType], options: ImageOptions | None) -> ImageReader:
    """Complete the options from the model's one input.

    Raises:
        ProbeError: the model has several inputs or none that takes images, a setting contradicts what it declares, or
            Pillow is not installed.
    """
    if find_spec("PIL") is None:
        raise ProbeError("Reading images needs Pillow: pip install 'deadunits[images]'.")
    if len(inputs) != 1:
        raise ProbeError(f"Images fit a model with one input, this one has {len(inputs)}: give an .npz file.")
    options = options or ImageOptions()
    name, declared = next(iter(inputs.items()))
    shape = declared.shape
    if shape is not None and len(shape) not in (3, 4):
        raise ProbeError(f"Input '{name}' expects {len(shape)} axes, so it takes no images: give an .npz file.")
    dims = (None, None, None) if shape is None else shape[-3:]
    layout = options.layout or _layout(dims, name)
    depth, plane = (dims[0], dims[1:]) if layout == "NCHW" else (dims[2], dims[:2])
    channels = options.channels or ("gray" if depth == 1 else "RGB")
    if isinstance(depth, int) and depth != CHANNELS[channels]:
        raise ProbeError(
            f"Input '{name}' expects {depth} channels in layout {layout}, but {channels} images have "
            f"{CHANNELS[channels]}: set the layout or the channels (--layout, --channels)."
        )
    size = _size(plane, options, name)
    dtype = declared.dtype or np.dtype(np.float32)
    if family(dtype) not in ("float", "integer"):
        raise ProbeError(f"Input '{name}' takes {dtype.name}, not the numbers of an image: give an .npz file.")
    if family(dtype) == "integer" and (options.scale not in (None, 1) or options.mean or options.std):
        raise ProbeError(f"Input '{name}' takes {dtype.name} pixels as they are: leave scale, mean and std out.")
    for what, values in (("mean", options.mean), ("std", options.std)):
        if len(values) not in (0, 1, CHANNELS[channels]):
            raise ProbeError(f"The images' {what} has {len(values)} numbers for {CHANNELS[channels]} channels.")
    # pixels as numbers, and a copy of them while they are scaled
    needed = size[0] * size[1] * CHANNELS[channels] * 2 * max(dtype.itemsize, np.dtype(np.float32).itemsize)
    check_shape(needed, f"An image of {size[0]}x{size[1]}", "give a smaller size")
    return ImageReader(options, size, layout, channels, dtype)


def _layout(dims: Sequence[Any], name: str) -> str:
    first, last = dims[0] in (1, 3), dims[2] in (1, 3)
    if first == last:
        raise ProbeError(
            f"Whether input '{name}' takes NCHW or NHWC images is not known: set the layout (--layout NCHW)."
        )
    return "NHWC" if last else "NCHW"


def _size(plane: Sequence[Any], options: ImageOptions, name: str) -> tuple[int, int]:
    declared = [d if isinstance(d, int) else None for d in plane]
    size = options.size or tuple(declared)
    if None in size:
        raise ProbeError(f"Input '{name}' leaves the image size free: set a size (--image-size 224).")
    height, width = size
    for want, have in zip(declared, (height, width), strict=True):
        if want not in (None, have):
            raise ProbeError(
                f"Input '{name}' expects images of {declared[0] or '?'}x{declared[1] or '?'}, not "
                f"{height}x{width}: change the size (--image-size)."
            )
    return int(height or 0), int(width or 0)


def image_files(folder: Path) -> list[Path]:
    """All image files in a folder and its subfolders, in order of path."""
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())


def listed_files(path: Path, skipped: Skipped) -> list[Path]:
    """The files that a text list names, one per line, relative to the list; labels are left out.

    Raises:
        OSError: the list is unreadable.
        ProbeError: it is no text, or names a file that is missing.
    """
    try:
        lines = check_regular(path).read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ProbeError(f"{path.name} is no text list of image files: write one path per line as UTF-8.") from error
    files = []
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        where = f"line {number}"
        image = skipped.read(where, partial(_listed, path, text, f"{path.name}, {where}"), f"{path.name}, {where}")
        if image is not None:
            files.append(image)
    return files


def _listed(path: Path, text: str, where: str) -> Path:
    named = [path.parent / text, path.parent / text.rsplit(maxsplit=1)[0]]
    image = next((p for p in named if is_there(p)), None)
    if image is None:
        raise ProbeError(f"{where}: no image file {text}; paths are relative to the list.")
    return image


def listed_images(*sources: Any) -> tuple[Path, ...]:
    """The images that text lists among the sources name; a folder guards its own."""
    images: list[Path] = []
    for source in sources:
        if isinstance(source, str | Path) and Path(source).suffix.lower() in LIST_SUFFIXES:
            with suppress(OSError, ProbeError):
                images += listed_files(Path(source), Skipped(most=sys.maxsize))
    return tuple(images)
