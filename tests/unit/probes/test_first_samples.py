"""A look at the first samples: pictures where they are some, numbers else, nothing that reads the data up."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

from analyzer.graph.view import TensorType
from analyzer.probes.first_samples import SAMPLES, SIDE, first_samples
from analyzer.probes.probe import open_probe

FLOAT = np.dtype(np.float32)


def opened(array: Any, *shape: int | str) -> Any:
    return open_probe({"x": array}, {"x": TensorType(FLOAT, ("batch", *shape))})


@pytest.mark.parametrize("shape", [(1, 9, 7), (3, 9, 7), (9, 7, 1), (9, 7, 3)])
def test_planes_of_one_or_three_channels_are_pictures(shape: tuple[int, ...]) -> None:
    image = pytest.importorskip("PIL.Image")
    array = np.random.default_rng(0).random((6, *shape), np.float32) * 40 - 20
    fed = first_samples(opened(array, *shape))
    assert len(fed.pictures) == SAMPLES
    assert fed.rows == ()
    for picture, sample in zip(fed.pictures, array, strict=False):
        with image.open(io.BytesIO(picture)) as shown:
            pixels = np.asarray(shown).reshape(9, 7, -1)
        plane = sample if shape[-1] in (1, 3) else sample.transpose(1, 2, 0)
        assert (pixels.min(), pixels.max()) == (0, 255)
        assert np.unravel_index(pixels.argmax(), pixels.shape) == np.unravel_index(plane.argmax(), plane.shape)


def test_large_pictures_become_small_ones() -> None:
    image = pytest.importorskip("PIL.Image")
    fed = first_samples(opened(np.zeros((1, 3, 300, 600), np.float32), 3, 300, 600))
    with image.open(io.BytesIO(fed.pictures[0])) as shown:
        assert shown.size == (SIDE, SIDE // 2)


@pytest.mark.parametrize("number", [np.nan, np.inf, 3.0])
def test_a_picture_of_nothing_is_no_error(number: float) -> None:
    pytest.importorskip("PIL.Image")
    assert first_samples(opened(np.full((2, 1, 5, 5), number, np.float32), 1, 5, 5)).pictures


def test_other_samples_are_rows_of_numbers() -> None:
    fed = first_samples(opened(np.arange(60, dtype=np.float32).reshape(5, 12) / 7, 12))
    assert fed.pictures == ()
    assert [row.name for row in fed.rows] == ["x"] * SAMPLES
    assert fed.rows[0].numbers[:3] == ("0", "0.143", "0.286")
    assert fed.rows[0].more


def test_data_that_is_read_once_stays_unread() -> None:
    probe = open_probe((row for row in np.ones((3, 1, 4), np.float32)), {"x": TensorType(FLOAT, ("batch", 4))})
    list(probe.batches(2))
    assert first_samples(probe).rows == ()
