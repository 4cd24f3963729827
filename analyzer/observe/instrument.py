"""Reducers beside the activations: nodes that turn each audited value into one number per sample and unit.

Every activation is reduced where it is made and all results leave through one Concat, so onnxruntime frees each
activation as early as in the plain run and whole activations are never fetched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.errors import RunError
from analyzer.facts.statistics import Ints
from analyzer.graph import Editor, LoadedModel
from analyzer.graph.open_branches import check_conditions, show_conditions
from analyzer.observe.elsewhere import opened
from analyzer.observe.reducers import Reducers, pooled_rank
from analyzer.observe.statistics.minimum import Minimum
from analyzer.observe.statistics.statistic import Block, Statistic
from analyzer.observe.targets import Target
from analyzer.probes.sample_blocks import Batch
from analyzer.runtime.providers import CPU, Provider
from analyzer.shapes.batching import BatchPlan


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything one feed showed. `sizes`: elements of each target, where they were asked for.

    `peaks` [values, 2]: the largest entry of each further value that was asked for, and that of its negative.
    """

    blocks: list[Block]
    samples: int
    sizes: Array | None = None
    peaks: Array | None = None

    @property
    def alarmed(self) -> bool:
        """Whether some value may hold a NaN or an infinity."""
        return any(not np.isfinite(b.array).all() for b in self.blocks if b.statistic.alarms)

    def positions(self, targets: Sequence[Target]) -> Ints | None:
        """How many positions one sample has for each unit of these targets, whose sizes were asked for."""
        if self.sizes is None:
            return None
        units = np.array([t.audited.units for t in targets])
        each = [self.samples if t.sample.axis is not None else 1 for t in targets]
        return np.repeat(self.sizes // (units * each), units)


class Instrument:
    """A session that computes the wanted statistics of each target."""

    def __init__(
        self,
        loaded: LoadedModel,
        wanted: Mapping[type[Statistic], Sequence[Target]],
        plan: BatchPlan,
        *,
        sizes: Sequence[Target] = (),
        values: Sequence[str] = (),
        threads: int | None = None,
        once: bool = False,
        steps: bool = True,
        provider: Provider = CPU,
    ) -> None:
        """`sizes` are targets whose number of elements is wanted too; `once`: it is meant for one or two runs.

        `values` are further values, whose extremes as a whole are wanted.

        `steps`: reduce long rows of positions in two steps, which is faster but runs only where the number of positions
        is a multiple of the step that fits the shapes seen before.
        """
        self._loaded, editor = loaded, Editor(loaded.copy())
        if plan.free_inputs:
            editor.free_batch(plan.free_inputs)
        editor.clear_outputs()
        self._groups = _groups(wanted)
        self._reducers = Reducers(editor, steps=steps)
        self._outputs = [self._joined(editor, group) for group in self._groups]
        self._sizes = self._reducers.sizes(sizes) if sizes else None
        self._extremes = self._reducers.extremes(values) if values else None
        for name in (*self._outputs, *filter(None, [self._sizes, self._extremes])):
            editor.output(name)
        self._conditions = show_conditions(editor)
        self._session = (
            opened(loaded, editor.loaded, provider, threads=threads, few_runs=once, eager=not self._pools)
            if self._outputs or values
            else None
        )

    def run(self, feeds: Mapping[str, Array], samples: int, *, last: bool = False) -> Reading:
        """Statistics of one feed that holds so many samples; values without a sample axis count for each of them.

        `last`: another session is likely to follow, so memory goes back.
        """
        results = self._session.run(self._fed(feeds, samples), last=last) if self._session is not None else {}
        return self._reading(results, samples)

    def run_each(self, batches: Sequence[Batch]) -> Iterator[Reading]:
        """The same of several feeds, which are run together before the first is shown.

        Raises:
            RunError: one of them cannot be run, whichever; or what the next one gave is not what was expected.
        """
        results: list[dict[str, Any]] = [{} for _ in batches]
        if self._session is not None:
            results = self._session.run_each([self._fed(batch.feeds, batch.samples) for batch in batches])
        for batch, shown in zip(batches, results, strict=True):
            yield self._reading(shown, batch.samples)

    @property
    def fitting(self) -> int:
        """How many feeds are best run together."""
        return 1 if self._session is None else self._session.fitting

    def _fed(self, feeds: Mapping[str, Array], samples: int) -> Mapping[str, Array]:
        if self._reducers.samples is None:
            return feeds
        return {**feeds, self._reducers.samples: np.array([samples], np.int64)}

    def _reading(self, results: Mapping[str, Any], samples: int) -> Reading:
        if self._session is not None:
            check_conditions(self._loaded, self._conditions, results)
        blocks: list[Block] = []
        for group, name in zip(self._groups, self._outputs, strict=True):
            rows = results[name]
            if rows.shape[1] != group.width:
                raise RunError(
                    f"A feed shows {rows.shape[1]} units where the first samples showed {group.width}: give samples of "
                    "one length, or those of each length as a probe of their own."
                )
            if group.sampled and len(rows) != samples:
                raise RunError(
                    f"A feed of {samples} samples shows {len(rows)} rows in a layer, unlike the first samples: give "
                    "samples of one length, or those of each length as a probe of their own."
                )
            if not group.sampled:
                rows = np.broadcast_to(rows, (samples, rows.shape[1]))
            blocks.extend(pick.block(rows) for pick in group.picks)
        sizes = None if self._sizes is None else results[self._sizes]
        peaks = None if self._extremes is None else results[self._extremes].reshape(-1, 2) * (1, -1)
        return Reading(blocks, samples, sizes, peaks)

    @property
    def assigned(self) -> tuple[int, int] | None:
        """Nodes that another provider than the CPU computes, and nodes in all, where that is known."""
        return None if self._session is None else self._session.assigned

    @property
    def stepped(self) -> bool:
        """Whether it depends on the number of positions being the one seen before, or a fitting one."""
        return self._reducers.stepped

    @property
    def _pools(self) -> bool:
        """Whether pooling operators reduce: onnxruntime's own order suits them, and others come too late there."""
        return any(p.pooled for group in self._groups for p in group.pieces)

    def close(self) -> None:
        """Free the session."""
        if self._session is not None:
            self._session.close()

    def _joined(self, editor: Editor, group: _Group) -> str:
        """Append the reducers of a group; returns one value [rows, columns] that joins them."""
        joined: list[str] = []
        for pooled, run in groupby(group.pieces, key=lambda p: p.pooled):
            if pooled:
                names = [self._reducers.pooled(p.target, p.statistic) for p in run]
                joined.append(editor.add("Flatten", [_concat(editor, names)], axis=1))
            else:
                joined += [self._reducers.reduced(p.target, p.statistic) for p in run]
        # Even a single piece goes through a node of its own, since it may be a value that is an output already.
        return _concat(editor, joined) if len(joined) > 1 else editor.add("Identity", joined)


@dataclass(frozen=True, slots=True)
class _Piece:
    """One statistic of one target."""

    statistic: type[Statistic]
    target: Target
    pooled: int | None  # rank, when GlobalMaxPool and its like apply

    @property
    def negated(self) -> bool:
        """Whether it comes out with the wrong sign."""
        return self.pooled is not None and self.statistic is Minimum


@dataclass(frozen=True, slots=True)
class _Pick:
    """Where one statistic lies in a group's output, and the units that it belongs to."""

    statistic: type[Statistic]
    columns: tuple[slice, ...]
    units: Ints
    negated: bool

    def block(self, rows: Array) -> Block:
        """The statistic in the group's output, row after row in memory: so reductions over samples are fast."""
        parts = [rows[:, columns] for columns in self.columns]
        shown = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
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

    @property
    def width(self) -> int:
        """Columns of the output."""
        return sum(p.target.width for p in self.pieces)


def _groups(wanted: Mapping[type[Statistic], Sequence[Target]]) -> list[_Group]:
    found: dict[tuple[str, bool], list[_Piece]] = {}
    for statistic, targets in wanted.items():
        for target in targets:
            key = (statistic.element_type(target.dtype), target.sample.axis is not None)
            found.setdefault(key, []).append(_Piece(statistic, target, pooled_rank(target, statistic)))
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
        runs = np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1)
        shown = tuple(slice(int(run[0]), int(run[-1]) + 1) for run in runs)
        yield _Pick(statistic, shown, units[columns], negated)


def _concat(editor: Editor, names: Sequence[str]) -> str:
    return editor.add("Concat", names, axis=1) if len(names) > 1 else names[0]
