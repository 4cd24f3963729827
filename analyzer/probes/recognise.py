"""Recognise what kind of probe data was given, and make a source of it."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from analyzer.errors import ProbeError
from analyzer.facts.addresses import is_address, without_secrets
from analyzer.facts.image_options import ImageOptions
from analyzer.facts.probe_condition import LabelsInData
from analyzer.graph.view import TensorType
from analyzer.probes.fitting import Fitter, Part
from analyzer.probes.foreign_arrays import as_array
from analyzer.probes.images import LIST_SUFFIXES, SUFFIXES, ImageReader, image_files, image_reader, listed_files
from analyzer.probes.input_names import has_sample_axis, quoted
from analyzer.probes.json_lines import SUFFIXES as JSON_LINES
from analyzer.probes.json_lines import read_json_lines
from analyzer.probes.labels import without_labels
from analyzer.probes.numpy_files import large_npz, mapping_of, npz_pieces, npz_shapes, read_npy, read_npz
from analyzer.probes.onnx_data_sets import data_set_folders, read_data_sets
from analyzer.probes.preprocessor_config import options_of
from analyzer.probes.ray_datasets import is_ray_dataset, read_batches
from analyzer.probes.skipped import Skipped
from analyzer.probes.source import Source
from analyzer.probes.tables import Columns, frame_columns, read_csv, read_parquet, table_arrays
from analyzer.probes.user_code import user_code, user_parts
from analyzer.regular_files import check_regular

Inputs = Mapping[str, TensorType]

_PYTHON = re.compile(r"(?P<file>.+\.py)(?::(?P<name>\w+))?")
_KNOWN = (
    ".npz, .npy, .csv, .tsv, .jsonl, .parquet, a folder of .npz, an image, a folder or text list (.txt) of images, a "
    "test_data_set_* folder, a pattern ('images/*.png'), or file.py:name"
)


@dataclass(frozen=True)
class _Opener:
    """What every kind of source needs to know about the model."""

    inputs: Inputs
    fitter: Fitter
    images: ImageOptions | None
    limit: int | None
    usual_images: Path | None = None
    skipped: Skipped = field(default_factory=Skipped)

    @property
    def whole(self) -> set[str]:
        """Inputs that are fed as they are, not sample by sample."""
        return {n for n in self.inputs if n in self.fitter.constants or not has_sample_axis(n, self.inputs)}

    @property
    def names(self) -> list[str]:
        return list(self.inputs)


def runs_code(path: str) -> bool:
    """Whether a path of probe data is a Python file, which would be executed."""
    return _PYTHON.fullmatch(path) is not None


def source_of(
    data: object,
    inputs: Inputs,
    constants: frozenset[str],
    images: ImageOptions | None,
    limit: int | None = None,
    usual_images: Path | None = None,
    skipped: Skipped | None = None,
) -> Source:
    """The source for any supported kind of data, of which at most `limit` samples are asked for.

    Raises:
        ProbeError: the kind is not known, or the data cannot be read or does not fit.
    """
    opener = _Opener(inputs, Fitter(inputs, constants), images, limit, usual_images, skipped or Skipped())
    if isinstance(data, str | Path):
        try:
            return _from_path(str(data), opener)
        except OSError as error:
            raise ProbeError(f"{data} cannot be read: {error.strerror or error}.") from error
    if images is not None:
        raise ProbeError("Image options were given, but the probe is no folder or list of images: leave them out.")
    return _from_object(data, opener, None)


def _from_path(text: str, opener: _Opener) -> Source:
    match, path = _PYTHON.fullmatch(text), Path(text)
    name = path.name or text
    if match is not None:
        _no_image_options(opener, name)
        return _from_python(Path(match["file"]), match["name"] or "feeds", opener)
    if not check_regular(path).exists():
        return _from_pattern(text, opener)
    suffix = path.suffix.lower()
    if path.is_dir():
        return _from_folder(path, opener)
    if suffix in LIST_SUFFIXES:
        return _from_images(listed_files(path, opener.skipped), name, opener)
    if suffix in SUFFIXES:
        return _from_images([path], name, opener)
    _no_image_options(opener, name)
    if suffix == ".npz":
        unnamed = opener.whole and len(opener.names) == 1  # the only input's array may have any name
        as_it_is = unnamed or opener.fitter.is_one_feed(npz_shapes(path))
        limit = None if as_it_is else opener.limit
        if not as_it_is and (samples := large_npz(path, limit, opener.whole)) is not None:
            return _from_pieces(path, samples, opener)
        arrays, labels = without_labels(read_npz(path, limit, opener.whole), opener.inputs)
        return _from_arrays(mapping_of(arrays, opener.names), name, opener, labels)
    if suffix == ".npy":
        return _from_arrays(_one_input(read_npy(path), opener, name), name, opener)
    if suffix in (".csv", ".tsv"):
        return _from_table(read_csv(path, opener.skipped), name, opener)
    if suffix == ".parquet":
        return _from_table(read_parquet(path), name, opener)
    if suffix in JSON_LINES:
        arrays, labels = without_labels(_lines(read_json_lines(path, opener.skipped), name, opener), opener.inputs)
        sampled = replace(opener, fitter=replace(opener.fitter, sampled=True))
        return _from_arrays(arrays, name, sampled, labels)
    raise ProbeError(f"{path.name} is no known kind of probe data: give {_KNOWN}.")


def _from_pattern(text: str, opener: _Opener) -> Source:
    """Files that a shell pattern names, in their order: images, or packs of arrays."""
    path = Path(text)
    root = next(parent for parent in (*path.parents, Path()) if parent.exists())  # brackets in it are no pattern
    pattern = str(path.relative_to(root)) if any(c in text for c in "*?[") else ""
    try:
        files = sorted(check_regular(file) for file in root.glob(pattern) if file.is_file()) if pattern else []
    except ValueError as error:
        raise ProbeError(f"{text} is no pattern of files: write it as 'images/*.png' or 'images/**/*.png'.") from error
    if not files:
        if is_address(text):
            raise ProbeError(f"{without_secrets(text)} is an address, and data is read from files: download it first.")
        raise ProbeError(f"No probe data at {text}: check the path.")
    kinds = {file.suffix.lower() for file in files}
    if kinds <= SUFFIXES:
        return _from_images(files, text, opener)
    if kinds == {".npz"}:
        _no_image_options(opener, text)
        return _from_packs(files, text, opener)
    raise ProbeError(f"{text} names files of several kinds, or of others than images and .npz: name one kind.")


def _from_folder(path: Path, opener: _Opener) -> Source:
    name = path.name or str(path)
    if sets := data_set_folders(path):
        _no_image_options(opener, name)
        fitter = Fitter(opener.inputs, opener.fitter.constants, uneven=True)
        parts = lambda: fitter.parts(read_data_sets(sets, opener.names, opener.skipped))  # noqa: E731
        return Source(name, parts, skipped=opener.skipped)
    if files := image_files(path):
        return _from_images(files, name, opener)
    if packs := sorted(check_regular(p) for p in path.iterdir() if p.suffix.lower() == ".npz"):
        _no_image_options(opener, name)
        return _from_packs(packs, name, opener)
    raise ProbeError(f"The folder {path} holds no images, no .npz and no test_data_set_*: give {_KNOWN}.")


def _from_packs(packs: list[Path], name: str, opener: _Opener) -> Source:
    """Files of arrays, one after another: samples, or a graph each."""

    def readable() -> Iterator[tuple[Path, dict[str, Any], tuple[LabelsInData, ...]]]:
        for pack in packs:
            arrays = opener.skipped.read(pack.name, partial(read_npz, pack))
            if arrays is not None:
                yield pack, *without_labels(arrays, opener.inputs)

    def series() -> Iterator[tuple[str, dict[str, Any]]]:
        return ((pack.name, mapping_of(arrays, opener.names)) for pack, arrays, _ in readable())

    labels = next((found for *_, found in readable()), ())
    limit = "" if opener.limit is None else f", limit {opener.limit}"
    name = f"{name} ({len(packs)} files{limit})"
    return Source(name, lambda: opener.fitter.parts(series()), labels=labels, skipped=opener.skipped)


def _from_images(files: list[Path], name: str, opener: _Opener) -> Source:
    reader, steps = _reader(opener)
    (key,) = opener.names
    root = os.path.commonpath([file.parent for file in files]) if files else ""

    def read(file: Path) -> Part | None:
        array = opener.skipped.read(os.path.relpath(file, root), partial(reader.read, file), file.name)
        return None if array is None else opener.fitter.part({key: array}, file.name)

    # An image is one entry, whatever number of samples the model fixes.
    source = Source(
        name,
        lambda: (part for part in map(read, files) if part is not None),
        preprocessing=steps,
        skipped=opener.skipped,
    )
    if opener.skipped.allowed:  # which are samples is known once they are read
        return source
    singly = lambda wanted: (read(file) if wanted(i) else None for i, file in enumerate(files))  # noqa: E731
    return replace(source, samples=len(files), singly=singly)


def _reader(opener: _Opener) -> tuple[ImageReader, dict[str, str]]:
    """What reads images, and what it does: as it was asked for, else as the file beside the model says."""
    if opener.images is not None or opener.usual_images is None:
        reader = image_reader(opener.inputs, opener.images)
        return reader, reader.steps
    try:
        reader = image_reader(opener.inputs, options_of(opener.usual_images))
    except ProbeError as error:
        raise ProbeError(
            f"By {opener.usual_images}: {error} Options of your own come first (--image-size, …)."
        ) from error
    return reader, {"by": opener.usual_images.name, **reader.steps}


def _from_arrays(raw: Mapping[str, Any], name: str, opener: _Opener, labels: tuple[LabelsInData, ...] = ()) -> Source:
    part = opener.fitter.part(raw, name)
    if part.whole:
        name = f"{name} (one sample: its inputs have no number of samples in common)"
    return Source(name, lambda: iter((part,)), samples=part.samples, labels=labels, skipped=opener.skipped)


def _from_pieces(path: Path, samples: int, opener: _Opener) -> Source:
    def arrays() -> Iterator[dict[str, Any]]:
        return (mapping_of(without_labels(p, opener.inputs)[0], opener.names) for p in npz_pieces(path, opener.whole))

    _, labels = without_labels(next(npz_pieces(path, opener.whole)), opener.inputs)
    fitter = replace(opener.fitter, sampled=True)
    return Source(path.name, lambda: (fitter.part(a, path.name) for a in arrays()), samples=samples, labels=labels)


def _from_table(columns: Columns, name: str, opener: _Opener) -> Source:
    arrays, labels = table_arrays(columns, opener.inputs, name)
    return _from_arrays(arrays, name, replace(opener, fitter=replace(opener.fitter, sampled=True)), labels)


def _from_object(data: object, opener: _Opener, name: str | None) -> Source:
    """Anything but a path: arrays, a mapping, a data frame, an iterable, or a function of these."""
    if (pair := _with_labels(data)) is not None and len(opener.names) == 1:
        return _from_object({opener.names[0]: pair[0], "labels": pair[1]}, opener, name or "arrays and labels")
    if is_ray_dataset(data):
        return _from_batches(lambda: read_batches(data), name or "Ray data set", opener)
    if isinstance(data, Mapping):
        arrays = {str(k): as_array(v, f"'{k}'") for k, v in data.items()}
        arrays, labels = without_labels(arrays, opener.inputs)
        return _from_arrays(arrays, name or "dict of arrays", opener, labels)
    if hasattr(data, "columns") and hasattr(data, "__getitem__"):
        return _from_table(frame_columns(data), name or "data frame", opener)
    if _is_tensor(data):
        label = name or "array"
        return _from_arrays(_one_input(as_array(data, label), opener, label), label, opener)
    if callable(data) and not isinstance(data, Iterable):
        return _from_function(data, opener, name or f"function {getattr(data, '__name__', type(data).__name__)}")
    if isinstance(data, Iterable) and not isinstance(data, bytes):
        iterable, once = data, isinstance(data, Iterator)
        return _from_feeds(lambda: iter(iterable), name or f"iterable ({type(data).__name__})", opener, once=once)
    if hasattr(data, "__getitem__") and hasattr(data, "__len__") and not isinstance(data, bytes):
        # A map-style dataset, as PyTorch has them.
        items = data
        label = name or f"dataset ({type(data).__name__})"
        return _from_feeds(lambda: (items[i] for i in range(len(items))), label, opener, once=False)
    raise ProbeError(
        f"{name or 'The probe'} is of type {type(data).__name__}: give a path, arrays, or an iterable of feeds."
    )


def _from_function(function: Callable[[], Any], opener: _Opener, name: str) -> Source:
    result = function()
    if not isinstance(result, Iterator):
        return _from_object(result, opener, name)
    first: list[Iterator[Any]] = [result]
    return _from_feeds(lambda: first.pop() if first else iter(function()), name, opener, once=False)


def _from_batches(open_batches: Callable[[], Iterator[Columns]], name: str, opener: _Opener) -> Source:
    """Columns of so many rows at a time: an array for each input, or the numbers of a table."""
    fitter = replace(opener.fitter, sampled=True)
    labels: list[LabelsInData] = []

    def series() -> Iterator[tuple[str, Mapping[str, Any]]]:
        for columns in open_batches():
            if all(column.ndim == 1 for column in columns.values()) and len(columns) > 1:
                arrays, found = table_arrays(columns, opener.inputs, name)
            else:
                arrays, found = without_labels(columns, opener.inputs)
            labels[:] = found
            yield name, mapping_of(arrays, opener.names)

    return Source(name, lambda: fitter.parts(series()), labels=labels)


def _from_feeds(open_feeds: Callable[[], Iterator[Any]], name: str, opener: _Opener, *, once: bool) -> Source:
    fitter = Fitter(opener.inputs, opener.fitter.constants, single=True)
    labels: list[LabelsInData] = []

    def series() -> Iterator[tuple[str, Mapping[str, Any]]]:
        for number, item in enumerate(open_feeds(), start=1):
            where = f"Feed {number} of {name}"
            arrays, found = without_labels(_feed(item, opener, where), opener.inputs, row=True)
            labels[:] = found
            yield where, mapping_of(arrays, opener.names)

    return Source(name, lambda: fitter.parts(series()), one_shot=once, labels=labels)


def _feed(item: object, opener: _Opener, where: str) -> Mapping[str, Any]:
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
    return _one_input(item, opener, where)


def _with_labels(data: object) -> tuple[Any, Any] | None:
    """`(X, y)` as scikit-learn and Keras hand data on: samples, and a number for each of them."""
    if not isinstance(data, tuple) or len(data) != 2 or not all(map(_is_tensor, data)):
        return None
    samples, labels = (tuple(getattr(part, "shape", ())) for part in data)
    fits = len(samples) > 1 and labels in ((samples[0],), (samples[0], 1)) and samples[1:] != labels[1:]
    return data if fits else None


def _is_tensor(data: object) -> bool:
    return hasattr(data, "__array__") or hasattr(data, "detach") or hasattr(data, "__array_interface__")


def _lines(samples: dict[str, Any] | Any, name: str, opener: _Opener) -> Mapping[str, Any]:
    return samples if isinstance(samples, dict) else _one_input(samples, opener, name)


def _one_input(array: Any, opener: _Opener, where: str) -> dict[str, Any]:
    if len(opener.names) != 1:
        raise ProbeError(
            f"{where} is a single array, but the model has {len(opener.names)} inputs "
            f"({quoted(opener.names)}): give arrays by name (an .npz file or a dict)."
        )
    return {opener.names[0]: array}


def _no_image_options(opener: _Opener, name: str) -> None:
    if opener.images is not None:
        raise ProbeError(f"Image options were given, but {name} is no folder or list of images: leave them out.")


def _from_python(path: Path, attribute: str, opener: _Opener) -> Source:
    """Execute the file that the user named and take what it calls `attribute`."""
    if not path.is_file():
        raise ProbeError(f"No Python file at {path}: check the path.")
    name = f"{path.name}:{attribute}"
    with user_code(name):
        module = _executed(path)
    if not hasattr(module, attribute):
        raise ProbeError(f"{path.name} defines no '{attribute}': name its generator function as {path.name}:NAME.")
    with user_code(name):
        source = _from_object(getattr(module, attribute), opener, name)
    parts = source.parts
    return replace(source, name=name, parts=lambda: user_parts(name, parts()))


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
