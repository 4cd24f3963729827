"""The scale of the data, by what the first normalisation stored of it in training."""

from __future__ import annotations

import numpy as np
import pytest

import analyzer
from analyzer.facts.findings import Finding
from tests.models import Array, parse

RNG = np.random.default_rng(2)
KERNEL = RNG.normal(size=(8, 3, 3, 3)).astype(np.float32)
IMAGES = RNG.random((20, 3, 10, 10), dtype=np.float32)
DENSE = RNG.normal(size=(6, 8)).astype(np.float32)
ROWS = RNG.normal(size=(40, 6)).astype(np.float32)
CONVOLUTIONAL = """g (float[n, 3, 10, 10] x) => (float[n, 8, 8, 8] y) {
    {before} c = Conv({fed}, k) b = BatchNormalization(c, one, zero, mean, var) r = Relu(b)
    d = BatchNormalization(r, one, zero, mean, tiny) y = Relu(d)
}"""


def scaled(before: str = "", fed: str = "x", data: Array = IMAGES, dead: int = 0) -> tuple[Finding, ...]:
    """The findings about scale of a convolution that was trained on what `IMAGES` holds."""
    windows = np.lib.stride_tricks.sliding_window_view(IMAGES, (3, 3), axis=(2, 3))
    outputs = np.einsum("nchwij,ocij->nohw", windows, KERNEL)
    variance = outputs.var(axis=(0, 2, 3)).astype(np.float32)
    variance[:dead] = 1e-12
    model = parse(
        CONVOLUTIONAL.replace("{before}", before).replace("{fed}", fed),
        {
            "k": KERNEL,
            "one": np.ones(8, np.float32),
            "zero": np.zeros(8, np.float32),
            "mean": outputs.mean(axis=(0, 2, 3)).astype(np.float32),
            "var": variance,
            "tiny": np.full(8, 1e-6, np.float32),
            "s": np.full((), 1 / 255, np.float32),
        },
    )
    audit = analyzer.audit(model, {"x": data}, causes=False)
    return tuple(w for w in audit.warnings if w.name == "input-scale")


@pytest.mark.parametrize("factor", [1.0, 0.3, 3.0])
def test_data_of_about_the_same_scale_is_no_news(factor: float) -> None:
    assert scaled(data=IMAGES * np.float32(factor)) == ()
    assert scaled(data=IMAGES + np.float32(50)) == ()  # a shift is no scale


def test_pixels_up_to_255_are_seen_and_what_divides_them_is_too() -> None:
    (found,) = scaled(data=255 * IMAGES)
    assert found.value == "c"
    assert found.measured == pytest.approx(255, rel=0.2)
    assert "times as much" in found.message
    assert scaled("f = Mul(x, s)", "f", 255 * IMAGES) == ()
    (small,) = scaled(data=IMAGES / 255)
    assert small.measured == pytest.approx(1 / 255, rel=0.2)
    assert scaled("f = Mul(x, s)", "f", IMAGES)


def test_channels_that_died_in_training_count_for_nothing() -> None:
    assert scaled(dead=5) == ()
    assert scaled(data=255 * IMAGES, dead=5)


def test_a_normalisation_that_others_come_before_is_not_asked() -> None:
    """The second one of the model stored nonsense."""
    assert scaled() == ()


def test_too_little_data_and_data_that_never_varies_say_nothing() -> None:
    model = parse(
        """g (float[n, 6] x) => (float[n, 8] y) {
            h = MatMul(x, w) b = BatchNormalization(h, one, zero, zero, one) y = Relu(b)
        }""",
        {"w": DENSE, "one": np.ones(8, np.float32), "zero": np.zeros(8, np.float32)},
    )
    for data, names in ((ROWS[:1], []), (0 * ROWS, []), (ROWS, []), (1000 * ROWS, ["input-scale"])):
        audit = analyzer.audit(model, {"x": data}, causes=False)
        assert [w.name for w in audit.warnings if w.name == "input-scale"] == names
    random = analyzer.audit(model, analyzer.Data(random=20), causes=False)
    assert random.facts.probe is not None
    assert random.facts.probe.condition is None
