"""Statistics as a file: an uncompressed `.npz` with a description in JSON; the same statistics are the same bytes.

| array | holds |
|---|---|
| `description` | JSON in UTF-8: `Description` |
| `ranges` [ranges, 2] | start and stop of the numbers of the samples, counted from 0 over all of the data |
| `hashes` [samples] | half of the XXH3 of each sample among the first 2**20, in order of size |
| `fired`, `minimum`, … [units] | a field of `UnitStatistics` for the units of all layers, one layer after the other |
| `peaks` [halves, 2] | the largest entry of each value of half precision, and that of its negative |
| `spread_maximum`, `spread_minimum`, `spread_count` | of a second pass; the sums are in the description |
| `still_0`, … | for each input, in bits, which entries of a sample never varied |
| `feed_0`, … | the bytes of the arrays of the first feeds |
"""

from __future__ import annotations

import io
import math
import zipfile
from array import array as packed
from collections.abc import Mapping, Sequence
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from analyzer.algebra.pattern import Array
from analyzer.errors import InputError
from analyzer.facts.choice import Choice
from analyzer.facts.probe_condition import LabelsInData, TrainingScale
from analyzer.facts.sample_ranges import joined
from analyzer.facts.statistics import UnitStatistics, extreme_type
from analyzer.observe.block_observer import Counted
from analyzer.observe.exact_spread import ExactSpread, as_text, from_text
from analyzer.observe.output_differences import ComparedBlocks, Differences, Tally
from analyzer.observe.tallies import Beginning, ComparedCut, DataFacts, Job, SecondPass, Tallies
from analyzer.probes.data_watch import InputWatch
from analyzer.probes.memory import check_size
from analyzer.probes.numpy_files import read_stored_npz
from analyzer.probes.sample_record import SampleRecord
from analyzer.probes.stored_feeds import StoredFeed

_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the time of every member, so that the same statistics are the same bytes
BYTES_OF_BITS = 128  # of memory for each byte of bits, which become numbers of what is set
_EXTREMES = ("minimum", "maximum")
_SPREAD = {"maximum": np.float64, "minimum": np.float64, "count": np.int64}
_ARRAYS = tuple(field.name for field in fields(UnitStatistics) if field.name != "samples")


class LayerOfFile(Struct, frozen=True):
    """One layer, whose units lie behind those of the layers before."""

    value: str
    units: int
    dtype: str


class InputOfFile(Struct, frozen=True):
    """What the samples show of one input; see `InputWatch`."""

    floats: bool
    shape: tuple[int, ...]
    nonfinite: int
    finite: bool


class SecondOfFile(Struct, frozen=True):
    """A second pass; sums of entries and of their squares as hexadecimal numbers."""

    asked: str
    ranges: tuple[tuple[int, int], ...]
    sums: tuple[str | None, ...]
    squares: tuple[str | None, ...]


class OutputOfFile(Struct, frozen=True):
    """Differences of one output; see `Tally`. `absolute` is None where no number says how far both are apart."""

    name: str
    absolute: float | None
    scale: float
    same: int
    rows: int
    dtype: str
    classes: bool


class DifferencesOfFile(Struct, frozen=True):
    """What batches showed of both models; see `Differences`."""

    outputs: tuple[OutputOfFile, ...]
    samples: int
    refused: int


class CutOfFile(Struct, frozen=True):
    """A cut by these statistics, and how it was compared; see `ComparedCut` and `ComparedBlocks`."""

    cut: str
    choice: Choice
    ranges: tuple[tuple[int, int], ...]
    alone: DifferencesOfFile
    together: DifferencesOfFile


class Description(Struct, frozen=True, omit_defaults=True, tag_field="schema", tag="deadunits.statistics/1"):
    """Everything in the file that is no array; `digest` is the fingerprint before the number of samples is added."""

    job: Job
    tools: tuple[str, ...]
    microseconds: int
    source: str
    total: int | None
    preprocessing: dict[str, str]
    labels: tuple[LabelsInData, ...]
    scales: tuple[TrainingScale, ...]
    skipped: dict[str, str]
    samples: int
    layers: tuple[LayerOfFile, ...]
    feeds: tuple[StoredFeed, ...]
    digest: str
    nonfinite: int
    inputs: dict[str, InputOfFile]
    fixed: dict[str, int]
    peaks: bool
    assigned: tuple[int, int] | None
    second: SecondOfFile | None = None
    cut: CutOfFile | None = None


def to_bytes(tallies: Tallies) -> bytes:
    """The file."""
    record, watch, data, counted = tallies.record, tallies.record.watch, tallies.data, tallies.counted
    described = Description(
        job=tallies.job,
        tools=tallies.tools,
        microseconds=tallies.microseconds,
        source=data.source,
        total=data.total,
        preprocessing=dict(data.preprocessing),
        labels=data.labels,
        scales=data.scales,
        skipped=dict(data.skipped),
        samples=counted.samples,
        layers=tuple(LayerOfFile(v, s.units, _dtype(s)) for v, s in counted.statistics.items()),
        feeds=tallies.beginning.feeds,
        digest=f"{record.digest.total:032x}",
        nonfinite=watch.nonfinite,
        inputs={n: InputOfFile(i.floats, i.shape, i.nonfinite, i.finite) for n, i in sorted(watch.inputs.items())},
        fixed=dict(sorted(watch.fixed.items())),
        peaks=counted.peaks is not None,
        assigned=counted.assigned,
        second=_second_of_file(tallies),
        cut=_cut_of_file(tallies),
    )
    arrays = {
        "description": np.frombuffer(msgspec.json.encode(described), np.uint8),
        "ranges": np.array(record.ranges, np.int64).reshape(-1, 2),
        "hashes": np.sort(np.frombuffer(watch.hashes, np.uint64)) if watch.hashes else np.zeros(0, np.uint64),
        "peaks": np.zeros((0, 2)) if counted.peaks is None else np.asarray(counted.peaks, np.float64),
        **{name: _row(name, counted.statistics) for name in _ARRAYS},
        **({} if counted.spread is None else {f"spread_{n}": getattr(counted.spread, n) for n in _SPREAD}),
        **{f"still_{i}": _bits(watch.inputs[name]) for i, name in enumerate(described.inputs)},
        **{f"feed_{i}": np.frombuffer(c, np.uint8) for i, c in enumerate(tallies.beginning.contents)},
    }
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy", _LONG_AGO), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
    return stream.getvalue()


def read_statistics(path: Path) -> Tallies:
    """What `to_bytes` made the file of.

    Raises:
        InputError: it cannot be read, is no such file, or is damaged.
    """
    try:
        return _tallies(read_stored_npz(path))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (InputError, _DamagedError, msgspec.MsgspecError, KeyError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path} is no file that `deadunits observe` or `merge` wrote, or is damaged: make it again."
        ) from error


class _DamagedError(Exception):
    """Parts of a file do not fit together."""


def _tallies(arrays: Mapping[str, Array]) -> Tallies:
    described = msgspec.json.decode(arrays["description"].tobytes(), type=Description)
    units = sum(layer.units for layer in described.layers)
    _check(all(layer.units >= 0 for layer in described.layers) and described.samples >= 0)
    _check(all(arrays[n].dtype == t and arrays[n].shape == (units,) for n, t in _TYPES.items()))
    counts = [arrays[name] for name, dtype in _TYPES.items() if dtype == np.int64]
    _check(all(not array.size or array.min() >= 0 for array in counts))
    _check(all(not arrays[n].size or arrays[n].max() <= described.samples for n in ("fired", "nonfinite")))
    _check(described.total is None or described.total > 0)
    peaks = arrays["peaks"]
    _check(peaks.dtype == np.float64 and peaks.ndim == 2 and peaks.shape[1] == 2)
    contents = tuple(arrays[f"feed_{i}"].tobytes() for i in range(sum(len(f.arrays) for f in described.feeds)))
    data = described
    return Tallies(
        job=described.job,
        beginning=Beginning(described.feeds, contents),
        data=DataFacts(data.source, data.total, data.preprocessing, data.labels, data.scales, data.skipped),
        record=_record(described, arrays),
        counted=Counted(
            _statistics(described, arrays),
            described.samples,
            peaks if described.peaks else None,
            described.assigned,
            _spread(described, arrays),
            None if data.cut is None else ComparedBlocks(_differences(data.cut.alone), _differences(data.cut.together)),
        ),
        microseconds=described.microseconds,
        tools=described.tools,
        second=None if data.second is None else SecondPass(data.second.asked, joined(data.second.ranges)),
        cut=_cut(described),
    )


def _record(described: Description, arrays: Mapping[str, Array]) -> SampleRecord:
    ranges, hashes = arrays["ranges"], arrays["hashes"]
    _check(ranges.dtype == np.int64 and ranges.ndim == 2 and ranges.shape[1] == 2 and hashes.dtype == np.uint64)
    bounds = [0, *ranges.reshape(-1).tolist()]
    _check(all(a <= b for a, b in pairwise(bounds)) and joined(ranges.tolist()) == tuple(map(tuple, ranges.tolist())))
    record = SampleRecord(map(tuple, ranges.tolist()), int(described.digest, 16))
    watch = record.watch
    _check(described.total is None or bounds[-1] <= described.total)
    _check(hashes.shape == (0 if described.job.random else watch.most_compared(record.ranges),))
    watch.samples, watch.nonfinite = (0 if described.job.random else record.samples), described.nonfinite
    watch.hashes = packed("Q", hashes.tobytes())
    watch.fixed = dict(described.fixed)
    for number, (name, shown) in enumerate(described.inputs.items()):
        still = arrays[f"still_{number}"]
        _check(still.dtype == np.uint8 and all(length >= 0 for length in shown.shape))
        _check(-(-math.prod(shown.shape) // 8) == still.size)
        check_size(BYTES_OF_BITS * still.size, name)
        watched = watch.inputs[name] = InputWatch(shown.floats, shown.shape)
        watched.still = np.flatnonzero(np.unpackbits(still, count=math.prod(shown.shape)))
        watched.nonfinite, watched.finite = shown.nonfinite, shown.finite
    return record


def _second_of_file(tallies: Tallies) -> SecondOfFile | None:
    second, spread = tallies.second, tallies.counted.spread
    if second is None or spread is None:
        return None
    return SecondOfFile(second.asked, second.ranges, as_text(spread.sums), as_text(spread.squares))


def _spread(described: Description, arrays: Mapping[str, Array]) -> ExactSpread | None:
    second = described.second
    if second is None:
        return None
    shown = {name: arrays[f"spread_{name}"] for name in _SPREAD}
    units = len(second.sums)
    _check(all(shown[name].dtype == dtype and shown[name].shape == (units,) for name, dtype in _SPREAD.items()))
    _check(len(second.squares) == units and not (units and shown["count"].min() < 0))
    _check_order(second.ranges)
    return ExactSpread(**shown, sums=from_text(second.sums), squares=from_text(second.squares))


def _cut_of_file(tallies: Tallies) -> CutOfFile | None:
    cut, shown = tallies.cut, tallies.counted.compared or ComparedBlocks()
    if cut is None:
        return None
    return CutOfFile(cut.cut, cut.choice, cut.ranges, _of_file(shown.alone), _of_file(shown.together))


def _of_file(shown: Differences) -> DifferencesOfFile:
    outputs = (OutputOfFile(**{**vars(t), "absolute": _or_none(t.absolute)}) for t in shown.outputs)
    return DifferencesOfFile(tuple(outputs), shown.samples, shown.refused)


def _or_none(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _cut(described: Description) -> ComparedCut | None:
    cut = described.cut
    if cut is None:
        return None
    _check_order(cut.ranges)
    together, alone = (tuple(t.name for t in shown.outputs) for shown in (cut.together, cut.alone))
    _check(not together or alone == together)
    return ComparedCut(cut.cut, cut.choice, joined(cut.ranges))


def _differences(kept: DifferencesOfFile) -> Differences:
    tallies = []
    for output in kept.outputs:
        absolute = math.inf if output.absolute is None else output.absolute
        _check(absolute >= 0 and 0 <= output.scale < math.inf and 0 <= output.same <= output.rows)
        tallies.append(
            Tally(output.name, absolute, output.scale, output.same, output.rows, output.dtype, output.classes)
        )
    _check(kept.samples >= 0 and kept.refused >= 0)
    return Differences(tuple(tallies), kept.samples, kept.refused)


def _check_order(ranges: Sequence[tuple[int, int]]) -> None:
    """Ranges that follow one another."""
    _check(all(a <= b for a, b in pairwise([0, *(bound for both in ranges for bound in both)])))


def _statistics(described: Description, arrays: Mapping[str, Array]) -> dict[str, UnitStatistics]:
    statistics, start = {}, 0
    for layer in described.layers:
        part = slice(start, start + layer.units)
        each: dict[str, Any] = {name: arrays[name][part] for name in _ARRAYS}
        each |= {name: each[name].view(extreme_type(layer.dtype)) for name in _EXTREMES}
        _check(not any(np.isnan(each[name]).any() for name in _EXTREMES))
        statistics[layer.value] = UnitStatistics(described.samples, **each)
        start = part.stop
    return statistics


def _row(name: str, statistics: Mapping[str, UnitStatistics]) -> Array:
    """One field of all layers; 64-bit integers among extremes by their bits."""
    parts = [getattr(seen, name).view(_TYPES[name]) for seen in statistics.values()]
    return np.concatenate(parts) if parts else np.zeros(0, _TYPES[name])


def _bits(watched: InputWatch) -> Array:
    still = np.zeros(math.prod(watched.shape), np.bool_)
    still[watched.still] = True
    return np.packbits(still)


def _dtype(seen: UnitStatistics) -> str:
    """The element type, as far as it matters to extremes."""
    return "int64" if seen.minimum.dtype == np.int64 else "float64"


def _check(fits: object) -> None:
    if not fits:
        raise _DamagedError


_TYPES: Mapping[str, np.dtype[Any]] = {
    name: empty.dtype for name in _ARRAYS if isinstance(empty := getattr(UnitStatistics.empty(0), name), np.ndarray)
}
