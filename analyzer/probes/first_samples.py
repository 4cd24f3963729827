"""The first samples of a probe, to be looked at: a wrong scale or a wrong order of channels shows at once."""

from __future__ import annotations

import io

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.errors import InputError
from analyzer.facts.fed import Fed, Row
from analyzer.probes.probe import Probe

SAMPLES = 4
NUMBERS = 8
SIDE = 112  # pixels of a picture at most


def first_samples(probe: Probe) -> Fed:
    """Pictures where some input has one or three channels of a plane, and Pillow is there; else numbers.

    Nothing where the data can be read only once.
    """
    try:
        samples = [batch.feeds for batch in probe.first(SAMPLES)]
    except InputError:
        return Fed()
    for name in samples[0] if samples else ():
        pictures = [picture(feeds[name], small=True) for feeds in samples if name in feeds]
        if all(pictures):
            return Fed(pictures=tuple(picture for picture in pictures if picture))
    rows = [_row(name, array) for feeds in samples for name, array in feeds.items()]
    return Fed(rows=tuple(rows[: 2 * SAMPLES]))


def _row(name: str, array: Array) -> Row:
    flat = np.asarray(array).reshape(-1)
    numbers = (f"{n:.3g}" if flat.dtype.kind in "fc" else str(n)[:12] for n in flat[:NUMBERS].tolist())
    return Row(name, tuple(array.shape), tuple(numbers), flat.size > NUMBERS)


def picture(
    array: Array, darkest: Array | None = None, lightest: Array | None = None, *, small: bool = False
) -> bytes | None:
    """The sample as a PNG, at its own size or a `small` one; None where it is no picture, or Pillow is not there.

    Its numbers are stretched over all shades, or those from `darkest` to `lightest` of each place.
    """
    plane = _plane(np.asarray(array))
    if plane is None:
        return None
    try:
        from PIL import Image
    except ImportError:
        return None
    numbers = np.nan_to_num(plane.astype(np.float64), posinf=0.0, neginf=0.0)
    ends = (
        (numbers.min(), numbers.max()) if darkest is None or lightest is None else (_plane(darkest), _plane(lightest))
    )
    low, high = (np.asarray(end, np.float64) for end in ends)
    whole = 0.0 if darkest is None else 0.5  # the nearest shade: such numbers may be whole ones already
    shades = (255 * (numbers - low) / np.where(high > low, high - low, 1) + whole).clip(0, 255).astype(np.uint8)
    image = Image.fromarray(shades[..., 0] if shades.shape[-1] == 1 else shades)
    if small:
        image.thumbnail((SIDE, SIDE))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def _plane(array: Array) -> Array | None:
    """`[H, W, C]` with one or three channels."""
    if array.ndim == 4:
        array = array[0]
    if array.ndim != 3 or array.dtype.kind not in "fiu" or min(array.shape) < 1:
        return None
    if array.shape[0] in (1, 3) and min(array.shape[1:]) > 3:
        return array.transpose(1, 2, 0)
    return array if array.shape[2] in (1, 3) and min(array.shape[:2]) > 3 else None
