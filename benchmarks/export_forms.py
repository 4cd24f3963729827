"""The forms in which exported models are deployed, made with onnxruntime's own tools."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime import quantization as q

logging.disable(logging.WARNING)


@dataclass(frozen=True)
class Form:
    """`apply(path, probe)` rewrites a file; `nets` it is tried on (None: all, by both exporters).

    `constants`: units that are stuck at another value than 0 are killed too, else all are 0. `units`: these are killed.
    """

    name: str
    apply: Callable[[Path, Any], None]
    nets: tuple[str, ...] | None = None
    tolerance: float = 2e-2
    constants: bool = True
    units: list[int] = field(default_factory=list)
    exporter: str = "dynamo"


def _halves(path: Path, probe: Any) -> None:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(path), keep_io_types=True), path)


class _Calibration(q.CalibrationDataReader):
    def __init__(self, probe: Any) -> None:
        count = len(next(iter(probe.values())))
        self._feeds = iter([{name: array[i : i + 4] for name, array in probe.items()} for i in range(0, count, 4)])

    def get_next(self) -> dict[str, np.ndarray[Any, Any]] | None:
        return next(self._feeds, None)


def _prepared(path: Path) -> Path:
    ready = path.with_name("ready.onnx")
    q.quant_pre_process(path, ready, skip_symbolic_shape=True)
    return ready


def _qdq(path: Path, probe: Any) -> None:
    q.quantize_static(_prepared(path), path, _Calibration(probe), per_channel=True, quant_format=q.QuantFormat.QDQ)


def _dynamic(path: Path, probe: Any) -> None:
    q.quantize_dynamic(_prepared(path), path)


def _int4(path: Path, probe: Any) -> None:
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    made = MatMulNBitsQuantizer(onnx.load(path), block_size=32, is_symmetric=True)
    made.process()
    made.model.save_model_to_file(str(path))


def _fused(path: Path, probe: Any) -> None:
    from onnxruntime.transformers import optimizer

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        made = optimizer.optimize_model(str(path), model_type="bert", num_heads=4, hidden_size=64, opt_level=0)
    made.save_model_to_file(str(path))


def _optimised(path: Path, probe: Any) -> None:
    _saved(path, ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED)


def _in_blocks(path: Path, probe: Any) -> None:
    _saved(path, ort.GraphOptimizationLevel.ORT_ENABLE_ALL)


def _saved(path: Path, level: ort.GraphOptimizationLevel) -> None:
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    options.optimized_model_filepath = str(path.with_name("ready.onnx"))
    ort.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    path.write_bytes(path.with_name("ready.onnx").read_bytes())


FORMS = (
    Form("float32", lambda path, probe: None, tolerance=5e-5),
    Form("float16", _halves, ("BERT", "GPT-2", "Llama", "Llama, its stream", "LSTM", "YOLO-like")),
    Form("QDQ", _qdq, ("BERT", "TCN", "DLRM", "YOLO-like", "U-Net")),
    Form("dynamic int8", _dynamic, ("BERT", "GPT-2", "T5", "LSTM", "DLRM"), constants=False),
    Form("int4", _int4, ("BERT", "Llama", "T5", "Mixtral-like"), units=[*range(32, 64)]),
    Form("fused", _fused, ("BERT", "BERT, a head", "GPT-2", "T5"), tolerance=5e-5, exporter="TorchScript"),
    Form("in blocks", _in_blocks, ("YOLO-like", "U-Net"), tolerance=5e-5),
    Form(
        "optimised",
        _optimised,
        ("BERT", "Llama", "Llama, its stream", "Whisper", "LSTM", "YOLO-like", "U-Net"),
        tolerance=5e-5,
    ),
)
