"""Statistics alone, of all data or of a part of it: for data too large for one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from analyzer.api.data_pass import NO_DATA, Checkpoint, DataPass, Shard
from analyzer.api.exporting import as_file
from analyzer.api.kept_statistics import Statistics, check_kept, statistics_of
from analyzer.api.options import Data, Progress, Run
from analyzer.api.outputs import guarded_files
from analyzer.api.planned_passes import planned
from analyzer.errors import InputError, OtherBranch
from analyzer.facts.thresholds import Thresholds
from analyzer.runtime.loading import accepted, load_model

CHECKPOINT = 30.0  # seconds between two files of what was done so far


def take_statistics(
    model: Any,
    data: Data | Any,
    *,
    shard: str | None = None,
    run: Run | None = None,
    thresholds: Thresholds | str = "default",
    plan: str | Path | Statistics | None = None,
    checkpoint: str | Path | None = None,
    every: float = CHECKPOINT,
    progress: Progress | None = None,
) -> Statistics:
    """Run a model on data and keep the statistics of its units, for audits without the data.

    Args:
        model: as for `audit()`.
        data: as for `audit()`, but for a holdout.
        shard: which part of the data, such as "2/8"; None: all. Statistics of all parts, merged in any order, are those
            of all data to the bit, where one kind of processor computes them.
        run: as for `audit()`; shards of one data set need the same batch size.
        thresholds: of those only where the flat region of a sigmoid or tanh begins; with a plan all.
        plan: statistics of all of the data. Then a second pass is made, over what their audit asks about: the causes of
            dead units, and how far they are from firing. Merged with the plan it goes into audits of that. With a cut
            in them (`Audit.for_comparison`) both models are compared instead, and merged with the plan they can be
            pruned.
        checkpoint: a file that statistics so far are written to, whole, every so many seconds. Where it is there, the
            pass goes on from it; it stays when all is done.
        every: seconds between two checkpoints.
        progress: called as samples are run.

    Raises:
        InputError: the model, the data or the call cannot be used; or the checkpoint is of something else.
        ComparisonFailed: the smaller model of a plan with a cut does not run.
        OutputError: the checkpoint cannot be written.
    """
    data, run, thresholds = Data.of(data), Run.of(run), Thresholds.of(thresholds)
    if data.statistics is not None or data.holdout is not None:
        raise InputError("Statistics are taken of one data set: give a probe alone.")
    if data.probe is None and data.random is None:
        raise InputError(NO_DATA)
    check_kept(thresholds)
    part = Shard(1, 1) if shard is None else Shard.of(shard)
    kept = None if checkpoint is None else Checkpoint(checkpoint, every, part)
    with run.limited():
        if plan is not None:
            later = planned(model, data, run, thresholds, statistics_of(plan))
            return Statistics(later.over(part, kept, progress), "statistics", guarded_files(model, data.probe, plan))
        return _taken(model, data, part, run, thresholds, kept, progress)


def _taken(
    model: Any,
    data: Data,
    shard: Shard,
    run: Run,
    thresholds: Thresholds,
    kept: Checkpoint | None,
    progress: Progress | None,
) -> Statistics:
    file, data = as_file(model, data)
    loaded = load_model(file)
    earlier = None if kept is None else kept.earlier
    varying = frozenset[str]() if earlier is None else frozenset(earlier.job.varying)
    with accepted(loaded, run.threads):
        begun = DataPass(loaded, data, run, thresholds, varying)
    while True:
        try:
            return Statistics(begun.over(shard, kept, progress), "statistics", guarded_files(model, data.probe))
        except OtherBranch as error:
            varying |= error.conditions
            if kept is not None:
                kept.earlier = None  # was taken as if all samples took one branch
        begun = DataPass(loaded, data, run, thresholds, varying)
