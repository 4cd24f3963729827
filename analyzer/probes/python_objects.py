"""Probe data that a program holds: arrays, data frames, data sets of frameworks, anything that yields feeds."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from analyzer.errors import ProbeError
from analyzer.facts.probe_condition import LabelsInData
from analyzer.probes.array_files import from_table
from analyzer.probes.arrow_tables import from_arrow, from_data_set
from analyzer.probes.foreign_arrays import as_array
from analyzer.probes.input_names import quoted
from analyzer.probes.labels import without_labels
from analyzer.probes.opener import RICH, Opener, from_arrays, from_feeds, one_input
from analyzer.probes.ray_datasets import is_ray_dataset, read_batches
from analyzer.probes.source import Source
from analyzer.probes.tables import Columns, choose_columns, frame_columns, table_arrays
from analyzer.probes.user_code import user_code, user_parts


def from_object(data: Any, opener: Opener, name: str | None = None) -> Source:
    """Anything but a path: arrays, a mapping, a data frame, a data set, an iterable, or a function of these."""
    kind = type(data).__name__
    opener.check_options(name or "the probe", RICH if _is_arrow(data) or _is_data_set(data) else frozenset())
    if (pair := _with_labels(data)) is not None and len(opener.names) == 1:
        return from_object({opener.names[0]: pair[0], "labels": pair[1]}, opener, name or "arrays and labels")
    if is_ray_dataset(data):
        return _from_batches(lambda: read_batches(data), name or "Ray data set", opener)
    if _is_arrow(data):
        return from_arrow(data, name or f"Arrow {kind}", opener)
    if _is_data_set(data):
        return from_data_set(data, name or f"data set ({kind})", opener)
    if isinstance(data, Mapping):
        if data and all(_is_data_set(part) or _is_stream(part) for part in data.values()):
            raise ProbeError(
                f"{name or kind} holds the splits {quoted(data)}: give one of them, such as data[{next(iter(data))!r}]."
            )
        arrays = {str(k): as_array(v, f"'{k}'") for k, v in data.items()}
        arrays, labels = without_labels(arrays, opener.inputs)
        return from_arrays(arrays, name or "dict of arrays", opener, labels)
    if hasattr(data, "columns") and hasattr(data, "__getitem__"):
        return from_table(frame_columns(data), name or "data frame", opener)
    if _is_tensor(data):
        label = name or "array"
        return from_arrays(one_input(as_array(data, label), opener, label), label, opener)
    if callable(data) and not isinstance(data, Iterable):
        return _from_function(data, opener, name or f"function {getattr(data, '__name__', kind)}")
    if _is_stream(data):  # of TensorFlow
        return _from_feeds(data.as_numpy_iterator, name or f"data set ({kind})", opener, once=False)
    if isinstance(data, Iterable) and not isinstance(data, bytes):
        iterable, once = data, isinstance(data, Iterator)
        return _from_feeds(lambda: iter(iterable), name or f"iterable ({kind})", opener, once=once)
    if hasattr(data, "__getitem__") and hasattr(data, "__len__") and not isinstance(data, bytes):
        # A map-style dataset, as PyTorch has them.
        items = data
        return _from_feeds(
            lambda: (items[i] for i in range(len(items))), name or f"dataset ({kind})", opener, once=False
        )
    raise ProbeError(f"{name or 'The probe'} is of type {kind}: give a path, arrays, or an iterable of feeds.")


def _is_arrow(data: object) -> bool:
    return type(data).__module__.startswith("pyarrow") and hasattr(data, "schema")


def _is_data_set(data: Any) -> bool:
    """Whether it is one of Hugging Face's; one with a transform of the user's own is read row by row instead."""
    if not (hasattr(data, "with_format") and hasattr(data, "features")):
        return False
    form = getattr(data, "format", None)
    return not (isinstance(form, Mapping) and form.get("type") == "custom")


def _is_stream(data: object) -> bool:
    return callable(getattr(data, "as_numpy_iterator", None))


def _from_function(function: Callable[[], Any], opener: Opener, name: str) -> Source:
    result = function()
    if not isinstance(result, Iterator):
        return from_object(result, opener, name)
    first: list[Iterator[Any]] = [result]
    return _from_feeds(lambda: first.pop() if first else iter(function()), name, opener, once=False)


def _from_batches(open_batches: Callable[[], Iterator[Columns]], name: str, opener: Opener) -> Source:
    """Columns of so many rows at a time: an array for each input, or the numbers of a table."""
    fitter = opener.sampled.fitter
    labels: list[LabelsInData] = []

    def series() -> Iterator[tuple[str, Mapping[str, Any]]]:
        for columns in open_batches():
            chosen = choose_columns({n: column.ndim > 1 for n, column in columns.items()}, opener.inputs, name)
            labels[:] = chosen.labels
            yield name, table_arrays(columns, chosen, opener.inputs, name)

    return Source(name, lambda: fitter.parts(series()), labels=labels)


def _from_feeds(open_feeds: Callable[[], Iterator[Any]], name: str, opener: Opener, *, once: bool) -> Source:
    def feeds() -> Iterator[tuple[str, Mapping[str, Any]]]:
        for number, item in enumerate(open_feeds(), start=1):
            where = f"Feed {number} of {name}"
            yield where, _feed(item, opener, where)

    return from_feeds(feeds, name, opener, once=once)


def _feed(item: object, opener: Opener, where: str) -> Mapping[str, Any]:
    """One item of an iterable as arrays by input name; what a tuple has beyond the inputs is left out."""
    names = opener.names
    if isinstance(item, Mapping):
        return item
    if isinstance(item, tuple | list):
        if item and all(isinstance(i, int | float) for i in item):
            raise ProbeError(f"{where} is a list of plain numbers: give NumPy arrays instead of nested lists.")
        if item and isinstance(item[0], Mapping):
            return _feed(item[0], opener, where)
        if len(item) < len(names):
            raise ProbeError(
                f"{where} has {len(item)} items, but the model has {len(names)} inputs ({quoted(names)}): "
                "give one per input, in this order, or a dict by name."
            )
        return dict(zip(names, item, strict=False))
    if not _is_tensor(item):
        raise ProbeError(
            f"{where} is of type {type(item).__name__}: give arrays, tuples of arrays, or dicts by input name."
        )
    return one_input(item, opener, where)


def _with_labels(data: object) -> tuple[Any, Any] | None:
    """`(X, y)` as scikit-learn and Keras hand data on: samples, and a number for each of them."""
    if not isinstance(data, tuple) or len(data) != 2 or not all(map(_is_tensor, data)):
        return None
    samples, labels = (tuple(getattr(part, "shape", ())) for part in data)
    fits = len(samples) > 1 and labels in ((samples[0],), (samples[0], 1)) and samples[1:] != labels[1:]
    return data if fits else None


def _is_tensor(data: object) -> bool:
    return hasattr(data, "__array__") or hasattr(data, "detach") or hasattr(data, "__array_interface__")


def from_python(path: Path, attribute: str, opener: Opener) -> Source:
    """Execute the file that the user named and take what it calls `attribute`."""
    if not path.is_file():
        raise ProbeError(f"No Python file at {path}: check the path.")
    name = f"{path.name}:{attribute}"
    with user_code(name):
        module = _executed(path)
    if not hasattr(module, attribute):
        raise ProbeError(f"{path.name} defines no '{attribute}': name its generator function as {path.name}:NAME.")
    with user_code(name):
        source = from_object(getattr(module, attribute), opener, name)
    parts, pieces = source.parts, source.pieces
    guarded = lambda piece: replace(piece, read=lambda: user_parts(name, iter(piece.read())))  # noqa: E731
    return replace(
        source,
        name=name,
        parts=lambda: user_parts(name, parts()),
        pieces=None if pieces is None else lambda: map(guarded, pieces()),
    )


def _executed(path: Path) -> object:
    spec = importlib.util.spec_from_file_location(f"_probe_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ProbeError(f"{path.name} cannot be loaded as Python: check the file.")
    module = importlib.util.module_from_spec(spec)
    # The file may import what lies beside it, as a script may.
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.resolve().parent))
    return module
