"""What a written model says of itself, and whether its bytes are valid."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import onnx

from analyzer.errors import ComparisonFailed
from analyzer.graph import LoadedModel

PREFIX = "deadunits."


def stamp(loaded: LoadedModel, facts: Mapping[str, str]) -> None:
    """Write the facts into the model's metadata, each key behind `deadunits.`."""
    properties = loaded.model.metadata_props
    for key in [k for k in properties if k.startswith(PREFIX)]:
        del properties[key]
    properties.update({PREFIX + key: value for key, value in facts.items() if value})


def check(original: LoadedModel, rewritten: bytes) -> None:
    """The written bytes must satisfy `onnx.checker` with full shape inference wherever the original did.

    Raises:
        ComparisonFailed: they do not: a bug of ours.
    """
    _check(_complaint(onnx.ModelProto.FromString(original.raw)), lambda: onnx.ModelProto.FromString(rewritten))


def check_file(original: LoadedModel, written: Path) -> None:
    """The same for a model whose weights lie in files beside it.

    Raises:
        ComparisonFailed: it is not valid: a bug of ours.
    """
    _check(_complaint(original.path or onnx.ModelProto.FromString(original.raw)), lambda: written)


def _check(before: str | None, rewritten: Callable[[], onnx.ModelProto | Path]) -> None:
    if before is None and (complaint := _complaint(rewritten())) is not None:
        raise ComparisonFailed(f"The pruned model is not valid ({complaint}): nothing was written; please report it.")


def _complaint(model: onnx.ModelProto | Path) -> str | None:
    try:
        if isinstance(model, Path):  # inference on a file writes it anew, so only its graph is inferred
            onnx.checker.check_model(str(model))
            model = onnx.load(str(model), load_external_data=False)
            onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
        else:
            onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # noqa: BLE001 - the checker raises several kinds
        lines = str(error).strip().splitlines()
        return lines[0] if lines else type(error).__name__
    return None
