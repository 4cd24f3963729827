"""Calls with images, and lists of images, that something is wrong with."""

from __future__ import annotations

import io
import struct
import zlib
from functools import cache
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from tests.models import parse
from tests.mutants.attempts import OUT, Attempt
from tests.mutants.damaged_messages import damaged_bytes

MODES = ("1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "I", "I;16", "F", "YCbCr", "LAB", "HSV", "PA")
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
SUFFIXES = ("png", "jpg", "jpeg", "gif", "bmp", "tif", "webp", "ppm", "pgm", "PNG", "txt", "")
LINES = (
    "",
    "#",
    "gone.png",
    "a.png 3",
    "../a.png",
    "/etc/hostname",
    ".",
    "\x00",
    "a.png\x85b",
    "x" * 5000,
    "a.png\t1",
    "http://x/a.png",
)
FLAGS = (
    *[()] * 12,
    ("--limit", "1"),
    ("--json", f"{OUT}/a.json"),
    ("--image-preset", "imagenet"),
    ("--image-size", "8"),
    ("--image-size", "0"),
    ("--image-size", "99999999"),
    ("--layout", "NHWC"),
    ("--channels", "gray"),
    ("--std", "0"),
    ("--scale", "nan"),
    ("--mean", "1,2,3"),
    ("--std", "1,1"),
)


@cache
def model() -> bytes:
    """Colour images of 8 x 8 in, of any number."""
    weights = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)
    text = "net (float[n, 3, 8, 8] x) => (float[n, 4, 1, 1] y) { c = Conv (x, w) r = Relu (c) y = GlobalMaxPool (r) }"
    return parse(text, {"w": weights}).SerializeToString()


def damaged_image(random: Random) -> Attempt:
    """Images in a folder, one of them odd."""
    odd = random.choice((_bytes, _bytes, _mode, _mode, _suffix, _bomb, _animated, _sizes))(random)
    files = {"images/a.png": _saved(Image.new("RGB", (9, 9)), "PNG")}
    files[f"images/b.{odd[0]}"] = odd[1]
    return Attempt(
        {**files, "model.onnx": model()}, ("audit", "model.onnx", "--probe", "images", "--quiet", *random.choice(FLAGS))
    )


def damaged_list(random: Random) -> Attempt:
    """A text list of images."""
    image = _saved(Image.fromarray(np.full((8, 8, 3), 99, np.uint8)), "PNG")
    lines = ["a.png", *(random.choice(LINES) for _ in range(random.choice([0, 1, 2])))]
    random.shuffle(lines)
    content = "\n".join(lines).encode(random.choice(["utf-8", "utf-8", "utf-16", "utf-8-sig"]))
    if random.random() < 0.3:
        content = random.choice([b"", damaged_bytes(random, content), b"\xff\xfe\x00", content * 100])
    return Attempt(
        {"list.txt": content, "a.png": image, "model.onnx": model()},
        ("audit", "model.onnx", "--probe", "list.txt", "--quiet"),
    )


def _bytes(random: Random) -> tuple[str, bytes]:
    kind = random.choice(FORMATS)
    pixels = np.random.default_rng(random.randrange(1 << 30)).integers(0, 256, (8, 8, 3), np.uint8)
    return random.choice(SUFFIXES[:9]), damaged_bytes(random, _saved(Image.fromarray(pixels), kind))


def _mode(random: Random) -> tuple[str, bytes]:
    """Pixels of every kind, palettes with transparency among them."""
    image: Any = Image.new(random.choice(MODES), (random.choice([1, 8, 30]), 8))
    kind = random.choice(["PNG", "TIFF", "GIF", "WEBP"])
    extra = {"transparency": random.choice([0, 255, bytes(range(256))])} if image.mode == "P" and kind == "PNG" else {}
    try:
        return kind.lower(), _saved(image, kind, **extra)
    except (OSError, ValueError, TypeError):
        return "png", _saved(image.convert("RGB") if image.mode != "I;16" else Image.new("I;16", (8, 8)), "PNG")


def _suffix(random: Random) -> tuple[str, bytes]:
    return random.choice(SUFFIXES), random.choice(
        [_saved(Image.new("RGB", (8, 8)), random.choice(FORMATS)), b"", b"text", b"\x89PNG\r\n\x1a\n"]
    )


def _bomb(random: Random) -> tuple[str, bytes]:
    """A PNG whose header declares other sizes than its data fills."""
    width, height = random.choice([(1 << 31, 1), (100_000, 100_000), (0, 8), (8, 0), (12_000, 12_000), (65_000, 3)])
    header = struct.pack(
        ">IIBBBBB",
        width % (1 << 32),
        height,
        random.choice([1, 8, 16, 3]),
        random.choice([0, 2, 3, 4, 6, 9]),
        0,
        0,
        random.choice([0, 1, 7]),
    )
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\x00" * 1000)), (b"IEND", b"")]
    if random.random() < 0.3:
        chunks.insert(
            1,
            (
                random.choice([b"tEXt", b"iCCP", b"zTXt", b"eXIf", b"PLTE"]),
                b"a\x00\x00" + zlib.compress(b"b" * (1 << 20)),
            ),
        )
    body = b"".join(
        struct.pack(">I", len(c)) + kind + c + struct.pack(">I", zlib.crc32(kind + c)) for kind, c in chunks
    )
    return "png", b"\x89PNG\r\n\x1a\n" + body


def _animated(random: Random) -> tuple[str, bytes]:
    kind = random.choice(["GIF", "WEBP", "TIFF", "PNG"])
    frames: list[Any] = [Image.new("RGB", (8, 8), (i, i, i)) for i in range(5)]
    content = _saved(frames[0], kind, save_all=True, append_images=frames[1:])
    return kind.lower(), damaged_bytes(random, content) if random.random() < 0.5 else content


def _sizes(random: Random) -> tuple[str, bytes]:
    return "png", _saved(Image.new("RGB", random.choice([(1, 1), (1, 3000), (3000, 1), (7, 9)])), "PNG")


def _saved(image: Any, kind: str, **how: Any) -> bytes:
    with io.BytesIO() as stream:
        image.save(stream, kind, **how)
        return stream.getvalue()
