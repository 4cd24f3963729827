"""Sources of files that hold arrays: `.npz`, folders of them, `.npy`, lines of JSON, `.csv`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from analyzer.facts.probe_condition import LabelsInData
from analyzer.probes.json_lines import read_json_lines
from analyzer.probes.labels import without_labels
from analyzer.probes.numpy_files import large_npz, mapping_of, npz_pieces, npz_shapes, read_npy, read_npz
from analyzer.probes.opener import Opener, from_arrays, one_input
from analyzer.probes.source import Source
from analyzer.probes.tables import Columns, choose_columns, read_csv, table_arrays


def open_npz(path: Path, opener: Opener) -> Source:
    """Arrays by name; large ones are read in pieces."""
    unnamed = opener.whole and len(opener.names) == 1  # the only input's array may have any name
    as_it_is = unnamed or opener.fitter.is_one_feed(npz_shapes(path))
    limit = None if as_it_is else opener.limit
    if not as_it_is and (samples := large_npz(path, limit, opener.whole)) is not None:
        return _from_pieces(path, samples, opener)
    arrays, labels = without_labels(read_npz(path, limit, opener.whole), opener.inputs)
    return from_arrays(mapping_of(arrays, opener.names), path.name, opener, labels)


def _from_pieces(path: Path, samples: int, opener: Opener) -> Source:
    def arrays() -> Iterator[dict[str, Any]]:
        return (mapping_of(without_labels(p, opener.inputs)[0], opener.names) for p in npz_pieces(path, opener.whole))

    _, labels = without_labels(next(npz_pieces(path, opener.whole)), opener.inputs)
    fitter = opener.sampled.fitter
    return Source(path.name, lambda: (fitter.part(a, path.name) for a in arrays()), samples=samples, labels=labels)


def open_packs(packs: Sequence[Path], name: str, opener: Opener) -> Source:
    """`.npz` files, one after another: samples, or a graph each."""

    def readable() -> Iterator[tuple[Path, dict[str, Any], tuple[LabelsInData, ...]]]:
        for pack in packs:
            arrays = opener.skipped.read(pack.name, partial(lambda pack: read_npz(opener.local(pack)), pack))
            if arrays is not None:
                yield pack, *without_labels(arrays, opener.inputs)

    def series() -> Iterator[tuple[str, dict[str, Any]]]:
        return ((pack.name, mapping_of(arrays, opener.names)) for pack, arrays, _ in readable())

    labels = next((found for *_, found in readable()), ())
    limit = "" if opener.limit is None else f", limit {opener.limit}"
    name = f"{name} ({len(packs)} files{limit})"
    return Source(name, lambda: opener.fitter.parts(series()), labels=labels, skipped=opener.skipped)


def open_npy(path: Path, opener: Opener) -> Source:
    """The only input's array."""
    return from_arrays(one_input(read_npy(path), opener, path.name), path.name, opener)


def open_csv(path: Path, opener: Opener) -> Source:
    """Columns of numbers or words."""
    return from_table(read_csv(path, opener.skipped), path.name, opener)


def from_table(columns: Columns, name: str, opener: Opener) -> Source:
    """Columns by name, in memory."""
    chosen = choose_columns({n: column.ndim > 1 for n, column in columns.items()}, opener.inputs, name)
    arrays = table_arrays(columns, chosen, opener.inputs, name)
    return from_arrays(arrays, name, opener.sampled, chosen.labels)


def open_json_lines(path: Path, opener: Opener) -> Source:
    """One sample per line, as an object by name or as a list."""
    samples = read_json_lines(path, opener.skipped)
    named: Mapping[str, Any] = samples if isinstance(samples, dict) else one_input(samples, opener, path.name)
    arrays, labels = without_labels(named, opener.inputs)
    return from_arrays(mapping_of(arrays, opener.names), path.name, opener.sampled, labels)
