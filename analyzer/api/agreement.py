"""Whether the smaller model gives what the original gives: one sample at a time, and as many as it is used with."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from analyzer import unfinished
from analyzer.api.options import Progress
from analyzer.api.rewritten import Source
from analyzer.errors import ComparisonFailed, DeadunitsError, InputError, OutputError, RunError, RunFailure
from analyzer.facts.pruned import Comparison, OutputDifference
from analyzer.graph import LoadedModel
from analyzer.graph.coarsest import coarsest_types
from analyzer.graph.lend import runnable
from analyzer.graph.open_branches import with_branches
from analyzer.graph.save import save_beside
from analyzer.observe.output_differences import ComparedBlocks
from analyzer.observe.pair_observer import SINGLE_SAMPLES
from analyzer.ops.operator import is_quantised
from analyzer.probes.fitting import Feeds
from analyzer.probes.probe import Probe
from analyzer.rewrite.bisect import first_difference, moving_values
from analyzer.rewrite.comparison import compare, perturbed, rows_depend_on_others
from analyzer.rewrite.moved_types import types_after_cut
from analyzer.rewrite.nudge import nudged
from analyzer.runtime.default_load import loads_by_default
from analyzer.runtime.in_parts import part_size
from analyzer.runtime.opening import DIES_OF_CASTS, WITHOUT
from analyzer.runtime.session import Session
from analyzer.shapes.batching import plan_batches
from analyzer.shapes.trial_feeds import drawn_feeds
from analyzer.walk import Walk

PERTURBED_SAMPLES = 16
NUDGES = 4  # how often the last digits of the weights are changed, at random, to see what rounding does

Batches = Iterator[tuple[Feeds, int]]


def compare_models(
    source: Source,
    smaller: LoadedModel,
    before: Session,
    after: Session,
    progress: Progress | None,
    ids: Collection[str] = (),
    domain: Iterable[Feeds] = (),
    kept: ComparedBlocks | None = None,
) -> dict[str, Comparison | None]:
    """Both models on probe, holdout and probe with noise; on random data without a probe.

    `ids` are inputs that hold ids of rows, of which some went, or decide where tokens are routed: no noise is put on
    them. `domain` are inputs of the domain for which the smaller model was proven to be the same. `kept` is what parts
    of the data showed.

    Raises:
        InputError: there is no data, and the model does not run on data that is made up.
    """
    allowed: Any = {"types": _types(source, smaller), "quantised": is_quantised(source.loaded.graph)}
    results: dict[str, Comparison | None] = {"probe": None, "holdout": None, "perturbed": None, "domain": None}
    of_domain = ((feeds, source.shapes.samples) for feeds in domain)
    everywhere = compare(before, after, of_domain, source="the domain", leave_out=True, **allowed)
    results["domain"] = everywhere if everywhere.samples else None
    for name, probe in (("probe", source.probe), ("holdout", source.holdout)):
        if probe is not None:
            results[name] = _on_data(source, before, after, probe, name, progress, allowed)
    if kept is not None and (here := results["probe"]) is not None:
        results["probe"] = _in_parts(source, smaller, before, kept).joined(here)
    if source.probe is not None:
        if source.loaded.graph.inputs.keys() <= set(ids):
            return results
        few = [(b.feeds, b.samples) for b in source.probe.first(PERTURBED_SAMPLES)]
        noisy = compare(before, after, perturbed(few, ids), source="probe with noise", leave_out=True, **allowed)
        results["perturbed"] = noisy if noisy.samples else None
        return results
    feeds = drawn_feeds(source.loaded.graph.inputs, source.shapes)
    on_random_data = compare(before, after, feeds, source="random data", leave_out=True, **allowed)
    if not on_random_data.samples:
        raise InputError(
            "A smaller model could not be compared with the original, which does not run on inputs made up from its "
            "declaration, or gives nothing finite: give data that it runs on with --probe. Nothing was written."
        )
    results["probe"] = on_random_data
    return results


def _on_data(
    source: Source,
    before: Session,
    after: Session,
    probe: Probe,
    name: str,
    progress: Progress | None,
    allowed: Mapping[str, Any],
) -> Comparison:
    """Several samples at once where the model takes that, and one at a time: all of them in at least one way."""
    size, alone, together = several_samples(source, probe), source.shapes.samples, None
    if size:
        batches = _batches(probe, size, name, progress)
        together = compare(before, after, batches, source=probe.source, leave_out=True, **allowed)
    enough = together is not None and together.samples > 0 and not together.refused
    singles = _batches(probe, alone, name, None if enough else progress)
    if enough:
        singles = islice(singles, max(1, SINGLE_SAMPLES // alone))
    one_by_one = compare(before, after, singles, source=probe.source, **allowed)
    return _together(source, before, probe, size, one_by_one, together)


def _in_parts(source: Source, smaller: LoadedModel, before: Session, kept: ComparedBlocks) -> Comparison:
    """What parts of the data showed of both models, which were run elsewhere.

    Raises:
        InputError: they showed nothing finite; or samples influence each other.
    """
    probe = source.first
    assert probe is not None
    alone, together = (
        shown.comparison(probe.source, types=_types(source, smaller), quantised=is_quantised(source.loaded.graph))
        for shown in (kept.alone, kept.together)
    )
    if tuple(output.name for output in alone.outputs) != before.output_names:
        raise InputError("The comparison is of a model with other outputs: make it again. Nothing was written.")
    size = several_samples(source, probe)
    return _together(source, before, probe, size, alone, together if together.outputs else None)


def _together(
    source: Source, before: Session, probe: Probe, size: int, one_by_one: Comparison, together: Comparison | None
) -> Comparison:
    """Both comparisons as one, where that tells anything; `size` samples were run at once."""
    result = one_by_one
    if together is not None:
        result = one_by_one.joined(together) if together.samples else one_by_one
        result = replace(result, refused=together.refused)
    if result.within and not result.samples:
        raise InputError(
            f"There is nothing finite to compare: no sample of {probe.source} gives a number that is. Give data on "
            "which the model computes something. Nothing was written."
        )
    if one_by_one.within and not result.within and _influence_each_other(source, before, probe, size):
        raise InputError(
            f"Samples influence each other in this model: cut, it gives the same for one at a time, and something else "
            f"for {size} at once. If it is used on one at a time, say so with --batch-size 1. Nothing was written."
        )
    return result


def refusal_notes(source: Source, comparisons: Iterable[Comparison | None]) -> list[str]:
    """What is said where the original does not take as many samples at once as it was audited with."""
    refused = sum(c.refused for c in comparisons if c is not None) if source.probe is not None else 0
    if not refused:
        return []
    many = "1 sample was" if refused == 1 else f"{refused} samples were"
    return [
        f"The model does not run on {source.run.batch_size} samples at once everywhere, so {many} compared one at a "
        "time only."
    ]


def check_loads_by_default(source: Source, smaller: LoadedModel, data: bytes | None) -> list[str]:
    """What is said where onnxruntime loads neither file by itself: our sessions may leave a rewriting out that ends it.

    `data`: the bytes of the smaller model's file; None: its weights go beside it.

    Raises:
        ComparisonFailed: it loads the original, but not the smaller model.
        OutputError: the files to try it on cannot be written.
    """
    if not (written := runnable(smaller)).casts_transposed:
        return []
    if part_size(written.weights) is not None:
        return ["Whether onnxruntime loads the file with its default options was not tried, as it is run in parts."]
    try:
        with unfinished.temporary_folder() as folder:
            file, given = folder / "smaller.onnx", source.loaded.path or folder / "original.onnx"
            if data is None:
                save_beside(smaller, folder, file.name)
            else:
                file.write_bytes(data)
            if source.loaded.path is None:
                given.write_bytes(source.loaded.raw)
            if loads_by_default(file):
                return []
            loads_given = loads_by_default(given)
    except OSError as error:
        raise OutputError(
            f"The smaller model cannot be tried in a temporary folder: {error.strerror or error}."
        ) from error
    if loads_given:
        raise ComparisonFailed(
            f"With its default options onnxruntime loads the original, but not the pruned model: its {DIES_OF_CASTS} "
            "ends the process where a MatMul reads a Cast of what a Transpose makes (halves are cast by onnxruntime "
            "itself). Nothing was written."
        )
    return [
        "onnxruntime loads neither the original nor the smaller model with its default options: leave its "
        f"{DIES_OF_CASTS} out ({WITHOUT})."
    ]


def _types(source: Source, smaller: LoadedModel) -> Mapping[str, str]:
    return types_after_cut(source.loaded.graph, smaller.refreshed().graph, source.shapes.dtypes)


def several_samples(source: Source, probe: Probe) -> int:
    """How many samples share a run when the model is used as it was audited; 0: the file takes one at a time."""
    alone, inputs = source.shapes.samples, source.loaded.graph.inputs
    size = source.run.batch_size - source.run.batch_size % alone
    numbered = any(isinstance((t.shape or (None,))[0], int) for n, t in inputs.items() if n not in probe.fixed)
    return 0 if numbered or not probe.batchable or size <= alone else size


def _influence_each_other(source: Source, before: Session, probe: Probe, size: int) -> bool:
    graph = source.loaded.graph
    quantised, types = is_quantised(graph), coarsest_types(graph, source.shapes.dtypes)
    pairs = zip(probe.batches(size), _groups(probe.batches(source.shapes.samples), size), strict=False)
    for batch, singles in islice(pairs, SINGLE_SAMPLES // size + 1):
        try:
            alone = [single.feeds for single in singles]
            if rows_depend_on_others(before, batch.feeds, alone, types=types, quantised=quantised):
                return True
        except RunError as error:  # what several samples at once are refused for says nothing of others
            if error.kind is RunFailure.MEMORY:
                raise
    return False


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
    loaded, threads, moved = source.computed, source.run.threads, 0.0
    for seed in range(NUDGES):
        with suppress(RunError), Session(loaded, threads=threads) as before, nudged(loaded, threads, seed) as after:
            few = islice(usual_batches(source, "rounding"), PERTURBED_SAMPLES)
            moved = max(moved, compare(before, after, few, source="", leave_out=True).max_relative_difference)
    return moved


def _difference(source: Source, chosen: Walk, smaller: LoadedModel, worst: OutputDifference | None) -> str:
    where = None
    with suppress(RunError):  # all values at once may not fit into memory
        where = first_difference(
            source.shown,
            with_branches(smaller.refreshed(), source.shapes.taken),
            chosen.closure.keeps,
            {name: mask for name, mask in chosen.needs.masks.items() if name not in chosen.reordered.values},
            usual_batches(source, "search"),
            worst.name if worst is not None else source.loaded.graph.outputs[0],
            types=_types(source, smaller),
            quantised=is_quantised(source.loaded.graph),
        )
    place = f"; the first value that differs is {where}" if where else ""
    much = f"{worst.name} by {worst.relative:.2g} of its scale (allowed {worst.tolerance:.2g})" if worst else "?"
    return f"The pruned model differs from the original in {much}{place}: nothing was written."


def contradicted(source: Source, walked: Walk) -> frozenset[str]:
    """Computed values that are not what was derived for them, when all are looked at."""
    shown = source.shown
    visible = shown.graph.producer.keys() - shown.graph.inside - shown.graph.static_values
    derived = {name: facts for name, facts in walked.facts.items() if facts.any and name in visible}
    fresh = {name: facts for name, facts in derived.items() if name not in source.shapes.contradicted}
    with suppress(RunError):  # all values at once may not fit into memory
        return moving_values(shown, fresh, usual_batches(source, "search"))
    return frozenset()
