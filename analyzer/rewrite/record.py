"""What a written model says of itself, and whether its bytes are valid."""

from __future__ import annotations

from collections.abc import Mapping

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
    if original.folder is not None and any("external" in str(type(t)).lower() for t in _tensors(original)):
        return  # the checker wants the data beside the file; the session has loaded it already
    if _complaint(original.raw) is None and (complaint := _complaint(rewritten)) is not None:
        raise ComparisonFailed(f"The pruned model is not valid ({complaint}): nothing was written; please report it.")


def _tensors(loaded: LoadedModel) -> list[object]:
    return [v.const_value for v in loaded.model.graph.initializers.values()]


def _complaint(raw: bytes) -> str | None:
    try:
        onnx.checker.check_model(onnx.ModelProto.FromString(raw), full_check=True)
    except Exception as error:  # noqa: BLE001 - the checker raises several kinds
        lines = str(error).strip().splitlines()
        return lines[0] if lines else type(error).__name__
    return None
