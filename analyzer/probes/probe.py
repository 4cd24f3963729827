"""The data a model is run on: opened as people have it, checked, handed out in batches."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from analyzer.errors import ProbeError
from analyzer.facts.audio_options import AudioOptions
from analyzer.facts.image_options import ImageOptions
from analyzer.facts.probe_condition import FeatureAxis, ProbeCondition, TrainingScale
from analyzer.facts.text_options import TextOptions
from analyzer.graph.view import TensorType
from analyzer.probes.fitting import Feeds, Fitter, Part, Role
from analyzer.probes.input_names import check_constants
from analyzer.probes.opener import Opener
from analyzer.probes.random_data import random_source
from analyzer.probes.recognise import source_of
from analyzer.probes.sample_blocks import Batch, Block, in_blocks
from analyzer.probes.sample_record import SampleRecord
from analyzer.probes.skipped import Skipped
from analyzer.probes.source import Source


class Probe:
    """Samples for one model, checked as they are read; made by `open_probe` or `random_probe`.

    Attributes:
        source: what the data is, in words: "probe.npz", "dict of arrays", "random normal (seed 0)".
        random: whether it was drawn, not given.
        batchable: whether several samples may be fed at once, as far as the data goes (every input is sliced
            along axis 0, or fed unchanged).
        step: every batch holds a multiple of so many samples: the fixed batch size that the model declares, else 1.
        fixed: inputs that are fed unchanged with every sample.
        one_shot: whether they can be read only once.
        samples: how many samples there are; None until known (after one whole pass over a generator).
        preprocessing: how files became numbers, by what was set; empty for arrays.
        skipped: what was broken and left out, as far as it was met, each with its reason.
        labels: what else was in the data and is no input, or looks like labels.
        record: which samples were read, and what they show.
    """

    def __init__(self, source: Source, again: Callable[[], Probe], limit: int | None = None) -> None:
        """`again` opens the same data anew, in another process too."""
        self._again = again
        self.source = source.name
        self.random = source.random
        self.preprocessing = source.preprocessing
        self.skipped: Mapping[str, str] = source.skipped.reasons
        self.one_shot = source.one_shot
        self._make: Callable[[], Iterator[Part]] = source.parts
        self._opened: Iterator[Part] | None = source.parts()
        self._head: list[Part] = []
        self._chosen = None if source.pieces is None else source.chosen
        self.record = SampleRecord()
        self.labels = source.labels
        self._complete = False
        first = self._pull()
        if first is None:
            broken = source.skipped.all_of_it
            raise ProbeError(f"{self.source} holds no samples: {broken or 'give the model at least one'}.")
        self.batchable = first.batchable
        self.step = first.step
        self._types = first.types
        self.fixed = frozenset(n for n, role in first.roles.items() if role is Role.FIXED)
        self._limit = self._checked_limit(limit)
        self.samples = source.samples
        if self.samples is not None and self._limit is not None:
            self.samples = min(self.samples, self._limit)
        if self.samples is not None and self.samples % self.step:
            raise self._uneven(self.samples)

    def __repr__(self) -> str:
        samples = "samples not counted yet" if self.samples is None else f"{self.samples} samples"
        return f"Probe({self.source!r}, {samples})"

    def __reduce__(self) -> tuple[Callable[..., Probe], tuple[object, ...]]:
        """For another process, where the data is opened anew: a path is read there, arrays travel.

        Raises:
            ProbeError: the data can be read only once.
        """
        if self.one_shot:
            raise ProbeError(
                f"{self.source} can be read once, so no other process can: give a list, or a function of new ones."
            )
        return _opened_again, (self._again, self.source)

    @property
    def fingerprint(self) -> str:
        """`xxh3:...` over names, element types, shapes and bytes of all samples, whatever the batch size.

        Built up while `batches` runs; what it has not yet seen is read now, except from a source that can be
        read only once: there it covers the samples handed out so far.
        """
        if not self._complete and not self.one_shot:
            for _ in self._batches(self._parts(), max(self.step, 64)):
                pass
        return self.record.fingerprint

    def condition(self, axes: Mapping[str, FeatureAxis], scales: Sequence[TrainingScale]) -> ProbeCondition | None:
        """What the samples show of themselves, as far as the fingerprint covers them; None where they were drawn.

        `axes` says where the features of each input lie; `scales` is what the model showed of the data's scale.
        """
        return None if self.random else self.record.condition(axes, self.labels, scales)

    def first(self, n: int) -> list[Batch]:
        """The first (up to) n smallest feeds, one sample each (`step` samples), without consuming them."""
        return [batch for batch, _ in self._first(n)]

    def first_parts(self, n: int) -> list[Part]:
        """The same as parts, of which `stored_probe` makes a probe that gives the same feeds."""
        return [
            Part(
                {n: a[np.newaxis] if roles[n] is Role.STACKED else a for n, a in batch.feeds.items()},
                roles,
                self._types,
                batch.samples,
                self.step,
            )
            for batch, roles in self._first(n)
        ]

    def _first(self, n: int) -> list[tuple[Batch, dict[str, Role]]]:
        wanted = n * self.step
        while self._opened is not None and sum(p.samples for p in self._head) < wanted:
            if self._pull() is None:
                break
        held = sum(p.samples for p in self._head)
        parts: Iterator[Part] = iter(self._head)
        whole = self._complete and self.samples is not None and held >= self.samples
        if self._opened is None and held < wanted and not whole:
            if self.one_shot:
                raise self._used_up()
            parts = self._make()
        shown = self._shown(self._capped(parts), self.step)
        return list(itertools.islice(shown, n))

    def batches(self, size: int, *, first: int | None = None) -> Iterator[Batch]:
        """All samples in order, at most `size` at a time (at least `step`; always 1 when not batchable).

        `first`: how many samples the first batch holds at most. Samples of differing shape never share a batch. A
        second call reads the data again; ProbeError when it came from a generator, which can be read only once.
        """
        if size < 1:
            raise ProbeError(f"The batch size is {size}: it must be at least 1.")
        return self._batches(self._parts(), size, first)

    def block_size(self, size: int) -> int:
        """The largest multiple of `step` up to that size; at least one."""
        return max(self.step, size - size % self.step)

    def blocks(self, size: int, feed: int, chosen: Callable[[int], bool]) -> Iterator[Block]:
        """The chosen ones of the blocks of `size` samples (a multiple of `step`) that make up all the data.

        A feed holds at most `feed` samples; how those of a block are made up does not depend on which others are
        chosen. What is not chosen is not read where the source allows that.
        """
        if not self.random:
            ((first, roles),) = self._first(1)
            self.record.watch.begin(_rows(first, roles)[0])
        seen = 0
        wanted = lambda start, stop: any(map(chosen, range(start // size, -(-stop // size))))  # noqa: E731
        parts = self._parts() if self._chosen is None else self._chosen(wanted)
        for start, stop, held in in_blocks(parts, size, self._limit, chosen):
            if held:
                yield self._block(start, held, size, feed)
            seen = stop
        self.samples = seen
        self._complete = self.record.samples == seen

    def _block(self, start: int, parts: Sequence[Part], size: int, feed: int) -> Block:
        batches, at = [], start
        for batch, roles in self._shown(iter(parts), feed):
            if at + batch.samples > self.record.end:  # not yet noted in an earlier pass
                self._note(batch, roles, at, max(0, self.record.end - at))
            batches.append(batch)
            at += batch.samples
        return Block(start // size, tuple(batches))

    def _batches(self, parts: Iterator[Part], size: int, first: int | None = None) -> Iterator[Batch]:
        seen = 0
        for batch, roles in self._shown(self._capped(parts), size, first):
            if seen + batch.samples > self.record.samples:
                self._note(batch, roles, seen, self.record.samples - seen)
            seen += batch.samples
            yield batch
        if not seen:
            raise self._used_up()
        self.samples = seen
        self._complete = True

    def _note(self, batch: Batch, roles: Mapping[str, Role], start: int, known: int = 0) -> None:
        """Record the samples of this batch, which begins with number `start`, but for the first `known`."""
        rows, fixed = _rows(batch, roles)
        rows = {n: a if roles[n] is Role.STACKED else a[known:] for n, a in rows.items()}
        self.record.note(rows, fixed, batch.samples - known, start + known, watched=not self.random)

    def _parts(self) -> Iterator[Part]:
        """All parts from the start; the first call goes on with the pass that `__init__` opened."""
        if self._opened is None:
            if self.one_shot:
                raise self._used_up()
            return self._make()
        opened, self._opened = self._opened, None
        return itertools.chain(list(self._head), opened)

    def _pull(self) -> Part | None:
        """Read one more part that is not empty into the head."""
        if self._opened is None:
            return None
        try:
            part = next((p for p in self._opened if p.samples), None)
        except BaseException:
            # A generator that has raised looks finished afterwards; it must not pass for the end of the data.
            self._opened = None
            raise
        if part is not None:
            self._head.append(part)
        return part

    def _capped(self, parts: Iterator[Part]) -> Iterator[Part]:
        left = self._limit
        for part in parts:
            yield part if left is None else part.capped(left)
            if left is not None:
                left -= min(left, part.samples)
                if not left:
                    return

    def _shown(
        self, parts: Iterator[Part], size: int, first: int | None = None
    ) -> Iterator[tuple[Batch, dict[str, Role]]]:
        """Batches with the roles of their arrays; pieces of neighbouring parts are joined while they fit.

        The part that a smaller first batch was cut from is not joined with the next one: were all batches shifted, each
        would have to be put together from two parts.
        """
        held: list[tuple[Part, int, int]] = []
        wanted = size if first is None else min(first, size)
        for part in parts:
            if held and not held[-1][0].joins(part):
                yield self._join(held)
                held = []
            if not part.batchable:
                for i in range(part.samples):
                    yield Batch(part.take(i, i + 1), 1), part.roles
                continue
            start, cut = 0, False
            while start < part.samples:
                full = max(part.step, wanted - wanted % part.step)
                stop = min(part.samples, start + full - _length(held))
                held.append((part, start, stop))
                start = stop
                if _length(held) == full:
                    yield self._join(held)
                    held, wanted, cut = [], size, cut or wanted < size
            if cut and held and not _length(held) % part.step:
                yield self._join(held)
                held = []
        if held:
            yield self._join(held)

    def _join(self, held: Sequence[tuple[Part, int, int]]) -> tuple[Batch, dict[str, Role]]:
        first, samples = held[0][0], _length(held)
        if samples % first.step:
            raise self._uneven(samples)
        pieces: list[Feeds] = [part.take(start, stop) for part, start, stop in held]
        if len(pieces) == 1:
            return Batch(pieces[0], samples), first.roles
        feeds = {
            name: np.concatenate([p[name] for p in pieces]) if role is Role.SLICED else pieces[0][name]
            for name, role in first.roles.items()
        }
        return Batch(feeds, samples), first.roles

    def _checked_limit(self, limit: int | None) -> int | None:
        if limit is None:
            return None
        if limit < self.step:
            least = f"the model takes {self.step} samples at a time" if self.step > 1 else "it must be at least 1"
            raise ProbeError(f"The limit is {limit} samples: {least}.")
        return limit - limit % self.step

    def _uneven(self, samples: int) -> ProbeError:
        return ProbeError(
            f"{self.source}: the model takes exactly {self.step} samples at a time, and {samples} is not a "
            f"multiple of {self.step}: give {samples - samples % self.step or self.step} samples, or export "
            "the model with a free batch size."
        )

    def _used_up(self) -> ProbeError:
        return ProbeError(
            f"{self.source} can be read only once and has been: give a list, or a function that returns a "
            "new generator at every call."
        )


def open_probe(
    data: object,
    inputs: Mapping[str, TensorType],
    *,
    limit: int | None = None,
    constants: Sequence[str] = (),
    images: ImageOptions | None = None,
    usual_images: Path | None = None,
    audio: AudioOptions | None = None,
    texts: TextOptions | None = None,
    max_bad: int = 0,
) -> Probe:
    """Open probe data for a model and check its first part; the rest is checked as it is read.

    `data` may be a path or an address of files, or `file.py:name` (which is executed); an array or tensor (one-input
    models), a mapping of input name to array, a data frame, a table of Arrow, a data set of a framework; an iterable of
    feeds (mappings, tensors, or tuples whose first items are the inputs in order), or a function that returns one.

    An array of the input's rank is sliced along axis 0; one with one axis more holds one sample per entry; a rank-0
    array, or an input named in `constants`, is fed unchanged with every sample. Where the model declares first dims of
    different names or sizes for its inputs, none named after the batch, as for nodes and edges of a graph, arrays of
    the inputs' ranks are one sample together. `limit` caps the number of samples. `usual_images` is a file that says
    how images are prepared where `images` does not. Up to `max_bad` that cannot be read are left out and listed.

    Raises:
        ProbeError: the data cannot be read, is empty, or does not fit the model; says which input, and what came.
    """
    if isinstance(data, Probe):
        return data
    if not inputs:
        raise ProbeError("The model has no inputs, so it takes no probe data: leave the probe out.")
    again = partial(
        open_probe,
        data,
        dict(inputs),
        limit=limit,
        constants=tuple(constants),
        images=images,
        usual_images=usual_images,
        audio=audio,
        texts=texts,
        max_bad=max_bad,
    )
    fitter = Fitter(inputs, check_constants(constants, inputs))
    opener = Opener(inputs, fitter, limit, images, usual_images, audio, texts, Skipped(max_bad))
    source = source_of(data, opener)
    return Probe(source, again, limit)


def random_probe(
    inputs: Mapping[str, TensorType],
    *,
    samples: int,
    seed: int = 0,
    kind: str = "normal",
    free_dims: Mapping[str, int] | None = None,
    constants: Sequence[str] = (),
) -> Probe:
    """Drawn data, labelled as random: standard normal, or uniform over [0, 1), for float inputs.

    Integer and boolean inputs are drawn from 0 and 1, which every vocabulary holds. `free_dims` gives a size
    for each free dim other than the sample axis, by its name, or as "input:axis" where it has none; `constants`
    are drawn once and fed unchanged. The same seed draws the same samples whatever their number and the batch size.

    Raises:
        ProbeError: a free dim without a size, an input that cannot be drawn, an unknown kind, or no samples.
    """
    if not inputs:
        raise ProbeError("The model has no inputs, so it takes no probe data: leave the probe out.")
    known = check_constants(constants, inputs)
    sizes = free_dims or {}
    again = partial(
        random_probe, dict(inputs), samples=samples, seed=seed, kind=kind, free_dims=sizes, constants=tuple(constants)
    )
    source = random_source(inputs, samples=samples, seed=seed, kind=kind, free_dims=sizes, constants=known)
    return Probe(source, again)


def _rows(batch: Batch, roles: Mapping[str, Role]) -> tuple[Feeds, Feeds]:
    """The arrays of a feed that hold samples along axis 0, and those that belong to all of them.

    A stacked input's feed is the sample itself; a new first axis makes it look like a slice of one.
    """
    fixed = {n: a for n, a in batch.feeds.items() if roles[n] is Role.FIXED}
    varying = {n: a for n, a in batch.feeds.items() if n not in fixed}
    return {n: a[np.newaxis] if roles[n] is Role.STACKED else a for n, a in varying.items()}, fixed


def _opened_again(again: Callable[[], Probe], source: str) -> Probe:
    probe = again()
    probe.source = source
    return probe


def _length(held: Sequence[tuple[Part, int, int]]) -> int:
    return sum(stop - start for _, start, stop in held)
