"""Under which names data comes, before a model says what it takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from analyzer.probes.numpy_files import npz_shapes


def names_in(data: object) -> list[str]:
    """Names of arrays, of columns, or of the first feed's arrays; none where positions stand for them.

    Raises:
        ProbeError: a file cannot be read.
    """
    if isinstance(data, Mapping):
        return [str(name) for name in data]
    if isinstance(data, str | Path):
        return [*npz_shapes(Path(data))] if str(data).endswith(".npz") and Path(data).exists() else []
    if hasattr(data, "columns"):
        return [str(name) for name in data.columns]
    if isinstance(data, Iterable) and not hasattr(data, "__array__"):
        first = next(iter(data), None)
        return names_in(first[0] if isinstance(first, tuple | list) and first else first)
    return []
