"""Reducers beside the activations: nodes that turn each audited value into one number per sample and unit.

Every activation is reduced where it is made and all results leave through one Concat, so onnxruntime frees each
activation as early as in the plain run and whole activations are never fetched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import groupby
from typing import Any

import numpy as np
import onnx

from analyzer.facts.units import AuditedValue, SampleAxis, ShapeTable
from analyzer.graph import Extension, Graph, LoadedModel
from analyzer.observe.shapes import BatchPlan
from analyzer.runtime.session import CPU, Session

Array = np.ndarray[Any, np.dtype[Any]]
Ints = np.ndarray[Any, np.dtype[np.int64]]

# Opset from which a reduction takes its axes as an input.
AXES_AS_INPUT = {"ReduceMax": 18, "ReduceMin": 18, "ReduceMean": 18, "ReduceSum": 13}
WIDE = frozenset(("float64", "int32", "int64", "uint32", "uint64"))  # float32 does not hold all their values


class Statistic(Enum):
    """What is computed per sample and unit over all positions.

    MEAN is there because it turns any NaN or infinity into one, which onnxruntime's maxima and minima do not.
    DEFECT is the exact form of that: zero, or NaN when some position is not finite.
    """

    MAXIMUM = "ReduceMax"
    MINIMUM = "ReduceMin"
    MEAN = "ReduceMean"
    DEFECT = "ReduceSum of x - x"
    NONZERO = "ReduceSum of x != 0"
    ABSOLUTE = "ReduceSum of |x|"

    @property
    def reduction(self) -> str:
        """The operator that joins positions."""
        return self.value.split(" ", 1)[0]


POOLS = {Statistic.MAXIMUM: "GlobalMaxPool", Statistic.MEAN: "GlobalAveragePool"}


@dataclass(frozen=True, slots=True)
class Target:
    """An audited value ready to be reduced; its units lie at start:stop among all units of the observation."""

    audited: AuditedValue
    sample: SampleAxis
    dtype: str
    start: int
    chosen: tuple[int, ...] | None = None  # only these units are wanted (None: all)

    @property
    def width(self) -> int:
        """How many units are wanted."""
        return self.audited.units if self.chosen is None else len(self.chosen)

    @property
    def units(self) -> Ints:
        """Places of the wanted units among all units."""
        return self.start + np.arange(self.audited.units) if self.chosen is None else self.start + np.array(self.chosen)

    @property
    def stop(self) -> int:
        """End of its units among all units."""
        return self.start + self.audited.units

    @property
    def positions(self) -> tuple[int, ...]:
        """Axes that hold positions: neither samples nor units."""
        return tuple(a for a in range(self.audited.rank) if a not in (self.sample.axis, self.audited.axis))

    @property
    def flat(self) -> bool:
        """Whether each unit has a single position per sample, so that every extreme is the value itself."""
        return not self.positions and self.sample.rows == 1


@dataclass(frozen=True, slots=True)
class Block:
    """Results of one statistic: column j of `array` [samples, columns] belongs to unit `units[j]` of all units."""

    statistic: Statistic
    units: Ints
    array: Array


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything one feed showed. `sizes`: elements of each target, where they were asked for."""

    blocks: list[Block]
    samples: int
    sizes: Array | None = None


def targets_of(
    audited: Iterable[AuditedValue], graph: Graph, shapes: ShapeTable, batched: bool
) -> tuple[list[Target], list[str]]:
    """Targets for the values that the run can show, in the order of the graph, and names of those it cannot."""
    targets: list[Target] = []
    unseen: list[str] = []
    start = 0
    for value in sorted(audited, key=lambda a: graph.producer[a.value].index if a.value in graph.producer else -1):
        sample = shapes.sample_axes.get(value.value, SampleAxis(None)) if batched else SampleAxis(None)
        shape = shapes.shapes.get(value.value)
        fits = shape is not None and value.axis < len(shape) and shape[value.axis] == value.units
        if shape is None or not fits or sample.axis == value.axis:
            unseen.append(value.value)
            continue
        targets.append(Target(value, sample, shapes.dtypes.get(value.value, "float32"), start))
        start = targets[-1].stop
    return targets, unseen


class Instrument:
    """A session that computes the wanted statistics of each target."""

    def __init__(
        self,
        loaded: LoadedModel,
        wanted: Mapping[Statistic, Sequence[Target]],
        plan: BatchPlan,
        *,
        sizes: Sequence[Target] = (),
        threads: int | None = None,
        providers: Sequence[str] = CPU,
        once: bool = False,
    ) -> None:
        """`sizes` are targets whose number of elements is wanted too; `once`: it is meant for one or two runs."""
        extension = Extension(loaded, share=True)
        if plan.free_inputs:
            extension.free_batch(plan.free_inputs)
        extension.drop_outputs()
        self._groups = _groups(wanted)
        self._outputs = [_joined(extension, group) for group in self._groups]
        self._sizes = _joined_sizes(extension, sizes) if sizes else None
        for name in (*self._outputs, *filter(None, [self._sizes])):
            extension.output(name)
        self._session = (
            Session(extension, threads=threads, providers=providers, few_runs=once, eager=not self._pools)
            if self._outputs
            else None
        )

    def run(self, feeds: Mapping[str, Array], samples: int, *, last: bool = False) -> Reading:
        """Statistics of one feed that holds so many samples; values without a sample axis count for each of them.

        `last`: another session is likely to follow, so memory goes back.
        """
        results = self._session.run(feeds, last=last) if self._session is not None else {}
        blocks: list[Block] = []
        for group, name in zip(self._groups, self._outputs, strict=True):
            rows = results[name]
            if not group.sampled:
                rows = np.broadcast_to(rows, (samples, rows.shape[1]))
            blocks.extend(pick.block(rows) for pick in group.picks)
        return Reading(blocks, samples, None if self._sizes is None else results[self._sizes])

    @property
    def _pools(self) -> bool:
        """Whether pooling operators reduce: onnxruntime's own order suits them, and others come too late there."""
        return any(p.pooled for group in self._groups for p in group.pieces)

    def close(self) -> None:
        """Free the session."""
        if self._session is not None:
            self._session.close()


@dataclass(frozen=True, slots=True)
class _Piece:
    """One statistic of one target."""

    statistic: Statistic
    target: Target
    pooled: int | None  # rank, when GlobalMaxPool and its like apply

    @property
    def negated(self) -> bool:
        """Whether it comes out with the wrong sign."""
        return self.pooled is not None and self.statistic is Statistic.MINIMUM


@dataclass(frozen=True, slots=True)
class _Pick:
    """Where one statistic lies in a group's output, and the units that it belongs to."""

    statistic: Statistic
    columns: slice | Ints
    units: Ints
    negated: bool

    def block(self, rows: Array) -> Block:
        """The statistic in the group's output."""
        shown = rows[:, self.columns]
        return Block(self.statistic, self.units, -shown if self.negated else shown)


@dataclass(frozen=True, slots=True)
class _Group:
    """Pieces that leave through one output: same element type, all with samples or all without.

    They lie in the order of the graph, all statistics of a value together: onnxruntime runs them in this order, and
    keeps an activation until its last reducer has run.
    """

    sampled: bool
    pieces: tuple[_Piece, ...]
    picks: tuple[_Pick, ...]


def _groups(wanted: Mapping[Statistic, Sequence[Target]]) -> list[_Group]:
    found: dict[tuple[bool, bool], list[_Piece]] = {}
    for statistic, targets in wanted.items():
        for target in targets:
            key = (target.dtype in WIDE, target.sample.axis is not None)
            found.setdefault(key, []).append(_Piece(statistic, target, _pooled_rank(target, statistic)))
    groups = []
    for (_, sampled), pieces in found.items():
        pieces.sort(key=lambda p: p.target.start)
        groups.append(_Group(sampled, tuple(pieces), tuple(_picks(pieces))))
    return groups


def _picks(pieces: Sequence[_Piece]) -> Iterator[_Pick]:
    kinds = list(dict.fromkeys((p.statistic, p.negated) for p in pieces))
    widths = [p.target.width for p in pieces]
    kind_of = np.repeat([kinds.index((p.statistic, p.negated)) for p in pieces], widths)
    units = np.concatenate([p.target.units for p in pieces])
    for kind, (statistic, negated) in enumerate(kinds):
        columns = np.flatnonzero(kind_of == kind)
        whole = columns[-1] - columns[0] + 1 == len(columns)
        shown = slice(int(columns[0]), int(columns[-1]) + 1) if whole else columns
        yield _Pick(statistic, shown, units[columns], negated)


def _pooled_rank(target: Target, statistic: Statistic) -> int | None:
    """Rank of the value when a global pooling operator reduces it: [N, C, positions...], one row per sample."""
    audited, sample = target.audited, target.sample
    fits = sample.axis in (0, None) and sample.rows == 1 and audited.axis == 1 and audited.rank in (3, 4, 5)
    poolable = statistic in POOLS or statistic is Statistic.MINIMUM
    return audited.rank if fits and poolable and target.dtype not in WIDE else None


def _joined(extension: Extension, group: _Group) -> str:
    """Append the reducers of a group; returns one value [rows, columns] that joins them."""
    casts: dict[str, str] = {}
    joined: list[str] = []
    for pooled, run in groupby(group.pieces, key=lambda p: p.pooled):
        if pooled:
            names = [_pooled(extension, p.target, p.statistic, casts) for p in run]
            joined.append(extension.add("Flatten", [_concat(extension, names)], axis=1))
        else:
            joined += [_reduced(extension, p.target, p.statistic, casts) for p in run]
    # Even a single piece goes through a node of its own, since it may be a value that is an output already.
    return _concat(extension, joined) if len(joined) > 1 else extension.add("Identity", joined)


def _joined_sizes(extension: Extension, targets: Sequence[Target]) -> str:
    """One value [targets] with the number of elements of each."""
    one = extension.constant(np.array([1]))
    # Size has kernels for fewer types than Cast.
    sizes = [extension.add("Size", [_as_float(extension, t, {})]) for t in targets]
    names = [extension.add("Reshape", [size, one]) for size in sizes]
    return extension.add("Concat", names, axis=0)


def _concat(extension: Extension, names: Sequence[str]) -> str:
    return extension.add("Concat", names, axis=1) if len(names) > 1 else names[0]


def _pooled(extension: Extension, target: Target, statistic: Statistic, casts: dict[str, str]) -> str:
    name = _as_float(extension, target, casts)
    if statistic is Statistic.MINIMUM:
        name, statistic = _picked_negated(extension, target, name), Statistic.MAXIMUM
    name = extension.add(POOLS[statistic], [name])
    if target.sample.axis is None:
        # One sample may have any number of rows here, and another number in the next feed.
        return reduce_axes(extension, statistic.reduction, name, [0], keep=True)
    return name


def _picked_negated(extension: Extension, target: Target, name: str) -> str:
    """All or a few chosen channels with the other sign, by a convolution: their maximum is the minimum negated.

    Exact, since everything else is multiplied by zero; and it stays in the layout of the convolutions around it.
    """
    units, window = target.audited.units, [1] * (target.audited.rank - 2)
    if target.chosen is None:
        kernel = np.full((units, 1, *window), -1, np.float32)
        return extension.add("Conv", [name, extension.constant(kernel)], group=units)
    kernel = np.zeros((target.width, units, *window), np.float32)
    kernel[np.arange(target.width), target.chosen] = -1
    return extension.add("Conv", [name, extension.constant(kernel)])


def _reduced(extension: Extension, target: Target, statistic: Statistic, casts: dict[str, str]) -> str:
    """[rows, units] for any layout: positions away, samples in front, rows of one sample joined."""
    name = _prepared(extension, statistic, target, _as_float(extension, target, casts))
    if target.chosen is not None:
        picks = extension.constant(np.array(target.chosen, np.int64))
        name = extension.add("Gather", [name, picks], axis=target.audited.axis)
    audited, sample = target.audited, target.sample
    if target.positions:
        name = reduce_axes(extension, statistic.reduction, name, target.positions)
    if sample.axis is not None and sample.axis > audited.axis:
        name = extension.add("Transpose", [name], perm=[1, 0])
    if sample.axis is None:
        return extension.add("Reshape", [name, extension.constant(np.array([1, target.width]))])
    if sample.rows > 1:
        folded = extension.constant(np.array([-1, sample.rows, target.width]))
        name = extension.add("Reshape", [name, folded])
        name = reduce_axes(extension, statistic.reduction, name, [1])
    return name


def _prepared(extension: Extension, statistic: Statistic, target: Target, name: str) -> str:
    """The elements that the statistic joins."""
    match statistic:
        case Statistic.DEFECT:
            return extension.add("Sub", [name, name])
        case Statistic.ABSOLUTE:
            return extension.add("Abs", [name])
        case Statistic.NONZERO:
            # A cast to bool tests against zero in every opset and type; Equal does not take floats before 11.
            marked = extension.add("Cast", [name], to=int(onnx.TensorProto.BOOL))
            return extension.add("Cast", [marked], to=_float_type(target))
    return name


def reduce_axes(extension: Extension, op_type: str, name: str, axes: Sequence[int], *, keep: bool = False) -> str:
    """Append a reduction over these axes in the form that the model's opset wants; `keep` leaves them as length 1."""
    if extension.opset >= AXES_AS_INPUT[op_type]:
        return extension.add(op_type, [name, extension.constant(np.array(axes, np.int64))], keepdims=int(keep))
    return extension.add(op_type, [name], axes=list(axes), keepdims=int(keep))


def _as_float(extension: Extension, target: Target, casts: dict[str, str]) -> str:
    """The value as float32, or float64 where float32 would lose digits; one cast for all statistics."""
    name = target.audited.value
    if target.dtype in ("float32", "float64"):
        return name
    if name not in casts:
        casts[name] = extension.add("Cast", [name], to=_float_type(target))
    return casts[name]


def _float_type(target: Target) -> int:
    return int(onnx.TensorProto.DOUBLE if target.dtype in WIDE else onnx.TensorProto.FLOAT)
