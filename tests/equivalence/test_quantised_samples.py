"""A quantised model has the dead units of the original, at its zero points, and is cut without a difference."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

quantization = pytest.importorskip("onnxruntime.quantization")

import analyzer  # noqa: E402

SAMPLES = Path(__file__).parents[2] / "sample_models"


class Reader(quantization.CalibrationDataReader):  # type: ignore[misc, name-defined]
    """Feeds for the calibration, twenty samples at a time."""

    def __init__(self, name: str, data: np.ndarray[Any, Any]) -> None:
        self._feeds: Iterator[dict[str, Any]] = iter([{name: data[i : i + 20]} for i in range(0, 200, 20)])

    def get_next(self) -> dict[str, Any] | None:
        """The next feed, or None."""
        return next(self._feeds, None)


@pytest.mark.parametrize("layout", ["QDQ", "QOperator"])
@pytest.mark.parametrize("activations", ["QUInt8", "QInt8"])
@pytest.mark.filterwarnings("ignore")
def test_the_killed_network_is_as_dead_when_quantised(tmp_path: Path, layout: str, activations: str) -> None:
    folder = SAMPLES / "digits_mlp_killed"
    with np.load(folder / "probe.npz") as archive:
        (name,) = archive.files
        data = archive[name]
    path = tmp_path / "quantised.onnx"
    quantization.quantize_static(
        folder / "model.onnx",
        path,
        Reader(name, data),
        quant_format=quantization.QuantFormat[layout],
        activation_type=quantization.QuantType[activations],
        weight_type=quantization.QuantType.QInt8,
    )
    plain = analyzer.audit(folder / "model.onnx", {name: data}, causes=False)
    audit = analyzer.audit(path, {name: data}, causes=False)
    dead = [set(layer.dead) for layer in audit.layers[:3]]
    assert all(before <= after for before, after in zip((set(la.dead) for la in plain.layers), dead, strict=False))
    assert not any(layer.constant for layer in audit.layers)  # at the zero point is zero
    pruned = audit.prune(latency=False)
    assert pruned.comparison is not None
    assert pruned.comparison.max_abs_difference == 0
    assert pruned.facts.after.parameters < 0.25 * pruned.facts.before.parameters
