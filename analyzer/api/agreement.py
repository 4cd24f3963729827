"""Whether the smaller model gives what the original gives: one sample at a time, and as many as it is used with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any

import numpy as np

from analyzer.api.pruned_model import Source
from analyzer.errors import ComparisonFailed, DeadunitsError, InputError, RunError, RunFailure
from analyzer.facts.pruned import Comparison, OutputDifference
from analyzer.graph import LoadedModel
from analyzer.ops.operator import is_quantised
from analyzer.probes.probe import Probe
from analyzer.rewrite.bisect import first_difference, moving_values
from analyzer.rewrite.comparison import Feeds, compare, perturbed, rows_depend_on_others
from analyzer.rewrite.nudge import nudged
from analyzer.runtime.session import Session
from analyzer.shapes.batching import plan_batches
from analyzer.shapes.trial_feeds import drawn_feeds
from analyzer.walk import Walk

PERTURBED_SAMPLES = 16
NUDGES = 4  # how often the last digits of the weights are changed, at random, to see what rounding does
SINGLE_SAMPLES = 64  # how many are compared one at a time as well, where several share a run

Progress = Callable[[str, int, int | None], None]
Batches = Iterator[tuple[Feeds, int]]


@contextmanager
def our_model() -> Iterator[None]:
    """What onnxruntime refuses in here is a model that we wrote from one that ran: no fault of the user."""
    try:
        yield
    except RunError as error:
        if error.kind is RunFailure.MEMORY:
            raise
        reason = str(error).rstrip(".")
        raise ComparisonFailed(
            f"The pruned model does not run, which is a bug of deadunits: nothing was written ({reason})."
        ) from error


class WrittenSession(Session):
    """A session of a model that we wrote; runs only what the original has run."""

    def __init__(self, model: LoadedModel, *, threads: int | None) -> None:
        with our_model():
            super().__init__(model, threads=threads)

    def run(  # noqa: D102
        self, feeds: Mapping[str, Any], outputs: Sequence[str] | None = None, *, last: bool = False
    ) -> dict[str, Any]:
        with our_model():
            return super().run(feeds, outputs, last=last)


def compare_models(
    source: Source, before: Session, after: Session, progress: Progress | None
) -> dict[str, Comparison | None]:
    """Both models on probe, holdout and probe with noise; on random data without a probe.

    Raises:
        InputError: there is no data, and the model does not run on data that is made up.
    """
    quantised = is_quantised(source.loaded.graph)
    results: dict[str, Comparison | None] = {"probe": None, "holdout": None, "perturbed": None}
    for name, probe in (("probe", source.probe), ("holdout", source.holdout)):
        if probe is not None:
            results[name] = _on_data(source, before, after, probe, name, progress)
    if source.probe is not None:
        few = [(b.feeds, b.samples) for b in source.probe.first(PERTURBED_SAMPLES)]
        results["perturbed"] = compare(before, after, perturbed(few), source="probe with noise", quantised=quantised)
        return results
    feeds = drawn_feeds(source.loaded.graph.inputs, source.shapes)
    on_random_data = compare(before, after, feeds, source="random data", quantised=quantised, made_up=True)
    if not on_random_data.samples:
        raise InputError(
            "A smaller model could not be compared with the original, which does not run on inputs made up from its "
            "declaration: give data that it runs on with --probe. Nothing was written."
        )
    results["probe"] = on_random_data
    return results


def _on_data(
    source: Source, before: Session, after: Session, probe: Probe, name: str, progress: Progress | None
) -> Comparison:
    """Several samples at once where the model takes that, and one at a time: all of them in at least one way."""
    quantised, alone = is_quantised(source.loaded.graph), source.shapes.samples
    together: Comparison | None = None
    if size := _several(source, probe):
        with suppress(RunError):
            batches = _batches(probe, size, name, progress)
            together = compare(before, after, batches, source=probe.source, quantised=quantised)
    singles = _batches(probe, alone, name, progress if together is None else None)
    if together is not None:
        singles = islice(singles, SINGLE_SAMPLES // alone)
    one_by_one = compare(before, after, singles, source=probe.source, quantised=quantised)
    if together is None:
        return one_by_one
    if one_by_one.within and not together.within and _influence_each_other(source, before, probe, size):
        raise InputError(
            f"Samples influence each other in this model: cut, it gives the same for one at a time, and something else "
            f"for {size} at once. If it is used on one at a time, say so with --batch-size 1. Nothing was written."
        )
    return together.joined(one_by_one)


def _several(source: Source, probe: Probe) -> int:
    """How many samples share a run when the model is used as it was audited; 0: the file takes one at a time."""
    size, alone = source.run.batch_size, source.shapes.samples
    return 0 if source.shapes.free_inputs or not probe.batchable or size <= alone else size


def _influence_each_other(source: Source, before: Session, probe: Probe, size: int) -> bool:
    quantised = is_quantised(source.loaded.graph)
    pairs = zip(probe.batches(size), _groups(probe.batches(source.shapes.samples), size), strict=False)
    return any(
        rows_depend_on_others(before, batch.feeds, [single.feeds for single in singles], quantised=quantised)
        for batch, singles in islice(pairs, SINGLE_SAMPLES // size + 1)
    )


def _groups(batches: Any, size: int) -> Iterator[list[Any]]:
    group: list[Any] = []
    for batch in batches:
        group.append(batch)
        if sum(member.samples for member in group) >= size:
            yield group
            group = []
    if group:
        yield group


def usual_batches(source: Source, name: str, progress: Progress | None = None) -> Batches:
    """The feeds that the models are run on: the probe's as it was audited, else random ones."""
    if source.probe is None:
        return drawn_feeds(source.loaded.graph.inputs, source.shapes)
    plan = plan_batches(source.shapes, source.probe, source.run.batch_size)
    return _batches(source.probe, source.shapes.samples if plan.free_inputs else plan.size, name, progress)


def _batches(probe: Probe, size: int, name: str, progress: Progress | None) -> Batches:
    done = 0
    for batch in probe.batches(size):
        yield batch.feeds, batch.samples
        done += batch.samples
        if progress is not None:
            progress(f"compare ({name})", done, probe.samples)


def agree(comparison: Comparison | None, *, lossy: bool) -> bool:
    """Whether a cut may be written; a lossy one differs, but never by its shapes or by what is not finite."""
    return comparison is not None and (
        comparison.within or (lossy and bool(np.isfinite(comparison.max_abs_difference)))
    )


def disagreement(source: Source, chosen: Walk, smaller: LoadedModel, comparison: Comparison | None) -> DeadunitsError:
    """Why nothing is written: the models differ, by our fault or because the original makes much of rounding."""
    worst = max(comparison.outputs, key=lambda o: o.relative) if comparison is not None else None
    if worst is not None and (moved := _rounding_shows(source)) > worst.tolerance:
        return InputError(
            f"This model makes much of rounding: with the last digit of its weights changed its outputs move by "
            f"{moved:.2g} of their scale, and cut, {worst.name} moves by {worst.relative:.2g} (allowed "
            f"{worst.tolerance:.2g}), which tells nothing. Nothing was written."
        )
    return ComparisonFailed(_difference(source, chosen, smaller, worst))


def _rounding_shows(source: Source) -> float:
    """How far the original's outputs move, relative to their scale, when its weights' last digits do."""
    loaded, threads, moved = source.loaded, source.run.threads, 0.0
    for seed in range(NUDGES):
        with suppress(RunError), Session(loaded, threads=threads) as before, nudged(loaded, threads, seed) as after:
            few = islice(usual_batches(source, "rounding"), PERTURBED_SAMPLES)
            moved = max(moved, compare(before, after, few, source="", made_up=True).max_relative_difference)
    return moved


def _difference(source: Source, chosen: Walk, smaller: LoadedModel, worst: OutputDifference | None) -> str:
    where = None
    with suppress(RunError):  # all values at once may not fit into memory
        where = first_difference(
            source.loaded,
            smaller.refreshed(),
            chosen.closure.keeps,
            chosen.needs.masks,
            usual_batches(source, "search"),
            worst.name if worst is not None else source.loaded.graph.outputs[0],
            quantised=is_quantised(source.loaded.graph),
        )
    place = f"; the first value that differs is {where}" if where else ""
    much = f"{worst.name} by {worst.relative:.2g} of its scale (allowed {worst.tolerance:.2g})" if worst else "?"
    return f"The pruned model differs from the original in {much}{place}: nothing was written."


def contradicted(source: Source, walked: Walk) -> frozenset[str]:
    """Computed values that are not what was derived for them, when all are looked at."""
    derived = {
        name: facts
        for name, facts in walked.facts.items()
        if facts.any and name in source.loaded.graph.producer and name not in source.loaded.graph.static_values
    }
    fresh = {name: facts for name, facts in derived.items() if name not in source.shapes.contradicted}
    with suppress(RunError):  # all values at once may not fit into memory
        return moving_values(source.loaded, fresh, usual_batches(source, "search"))
    return frozenset()
