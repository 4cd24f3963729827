"""What a written model says of itself, and whether its bytes are valid."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from analyzer.errors import ComparisonFailed
from analyzer.graph import LoadedModel
from analyzer.graph.validate import complaint

PREFIX = "deadunits."


def stamp(loaded: LoadedModel, facts: Mapping[str, str]) -> None:
    """Write the facts into the model's metadata, each key behind `deadunits.`."""
    properties = loaded.model.metadata_props
    for key in [k for k in properties if k.startswith(PREFIX)]:
        del properties[key]
    properties.update({PREFIX + key: value for key, value in facts.items() if value})


def check(original: LoadedModel, rewritten: bytes | Path) -> None:
    """What was written must satisfy `onnx.checker` with full shape inference wherever the original did.

    Raises:
        ComparisonFailed: it does not: a bug of ours.
    """
    before = original.path if original.path and isinstance(rewritten, Path) else original.raw
    if complaint(before) is None and (problem := complaint(rewritten)) is not None:
        raise ComparisonFailed(f"The pruned model is not valid ({problem}): nothing was written; please report it.")
