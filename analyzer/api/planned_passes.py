"""Later passes over the same data, planned by statistics: for what an audit asks, or for how a cut compares."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from analyzer.api.agreement import several_samples
from analyzer.api.audit_result import Audit
from analyzer.api.auditing import audit
from analyzer.api.compared_in_parts import cut_for, cut_hash
from analyzer.api.data_pass import NO_DATA, DataPass
from analyzer.api.diagnosing import measuring_of
from analyzer.api.exporting import as_file
from analyzer.api.kept_statistics import Recalled, Statistics
from analyzer.api.options import Data, Run, provider_of
from analyzer.api.rewritten import Source
from analyzer.api.stages import opened_data
from analyzer.causes.diagnose import inquire
from analyzer.errors import InputError
from analyzer.facts.engine import Engine
from analyzer.facts.sample_ranges import Ranges
from analyzer.facts.thresholds import Thresholds
from analyzer.graph.save import LARGEST_INSIDE, stored_bytes
from analyzer.observe.block_observer import Counted
from analyzer.observe.engines import Observer
from analyzer.observe.pair_observer import PairSetup
from analyzer.observe.sent import AnySetup
from analyzer.observe.spread_observer import SpreadSetup, asked_hash
from analyzer.observe.tallies import Beginning, ComparedCut, Tallies
from analyzer.observe.tallies import SecondPass as Second
from analyzer.probes.probe import Probe
from analyzer.probes.stored_feeds import stored
from analyzer.shapes.trial_feeds import CANDIDATES
from analyzer.version import __version__
from analyzer.walk import Walk


def planned(model: Any, data: Data, run: Run, thresholds: Thresholds, plan: Statistics) -> PlannedPass:
    """The pass that the plan asks for.

    Raises:
        InputError: the plan is of another model or of other data.
        ComparisonFailed: no consistent cut was found.
    """
    file, data = as_file(model, data)
    tallies, here = plan._tallies, replace(run, provider="CPU", provider_options={}, engine="local")
    causes = tallies.cut is not None and tallies.cut.choice.min_distance > 0
    audited = audit(file, Data(statistics=plan), run=here, thresholds=thresholds, causes=causes)
    source = audited._source
    assert source is not None
    probe, _ = opened_data(data, source.loaded)
    if probe is None:
        raise InputError(NO_DATA)
    feeds, contents = stored(probe.first_parts(CANDIDATES))
    if Beginning(feeds, tuple(contents)) != tallies.beginning:
        raise InputError(f"{plan.name} is of other data: a later pass is made over the same.")
    run = replace(run, batch_size=tallies.job.batch_size)
    if tallies.cut is not None:
        return ComparingPass(probe, run, tallies, audited, plan.name)
    provider = provider_of(run)
    if ("" if provider.is_cpu else provider.name) != tallies.job.provider:
        raise InputError(f"{plan.name} was taken on another provider: give the same (--provider).")
    return SecondPass(probe, run, tallies, source, audited._walk, Recalled.of(plan, source.loaded, thresholds))


class PlannedPass(DataPass):
    """A pass over the data of `plan` again, or over a part of it."""

    def __init__(self, probe: Probe, run: Run, plan: Tallies) -> None:
        self._begin = time.perf_counter()
        self._probe, self._run, self._plan = probe, run, plan
        self._job, self._beginning, self._data = plan.job, plan.beginning, plan.data

    def _tallies(self, observer: Observer, earlier: Tallies | None) -> Tallies:
        shown = observer.counted()
        none = Tallies(
            job=self._job,
            beginning=self._beginning,
            data=self._facts(),
            counted=self._plan.nothing,
            record=self._plan.record.nothing(),
            microseconds=round(1e6 * (time.perf_counter() - self._begin)),
            tools=(f"deadunits {__version__}",),
        )
        tallies = self._with(none, shown, self._probe.record.ranges)
        return tallies if earlier is None else tallies.merge(earlier)

    def _with(self, none: Tallies, shown: Counted, ranges: Ranges) -> Tallies:
        """What was shown of samples."""
        raise NotImplementedError


class SecondPass(PlannedPass):
    """For what an audit of the plan asks about."""

    def __init__(self, probe: Probe, run: Run, plan: Tallies, source: Source, walked: Walk, recalled: Recalled) -> None:
        super().__init__(probe, run, plan)
        inquiry = inquire(walked, recalled.job.flat_gradient, every=True)
        measuring, named = measuring_of(source.shown, inquiry, source.shapes, recalled)
        self._setup: AnySetup = SpreadSetup(measuring, run.threads, provider_of(run))
        self._feed, self._asked = measuring.plan.size, asked_hash(measuring, named)

    def _with(self, none: Tallies, shown: Counted, ranges: Ranges) -> Tallies:
        counted = replace(none.counted, spread=shown.spread)
        return replace(none, counted=counted, second=Second(self._asked or "", ranges))


class ComparingPass(PlannedPass):
    """For how the smaller model of a plan compares with the original."""

    def __init__(self, probe: Probe, run: Run, plan: Tallies, audited: Audit, name: str) -> None:
        """`name` is that of the plan.

        Raises:
            InputError: another cut is made here than was planned, or the engine cannot take the models.
        """
        super().__init__(probe, run, plan)
        source, cut = audited._source, plan.cut
        assert source is not None
        assert cut is not None
        self._cut, self._asked = cut, cut.cut
        if not provider_of(run).is_cpu:
            raise InputError("Both models are compared on the CPU: leave provider out.")
        cut_model = cut_for(source, audited._walk, cut.choice, audited)
        if cut_hash(source, cut_model, cut.choice) != cut.cut:
            raise InputError(
                f"{name} plans another cut than is made here: plan it again (`deadunits prune --to-compare`) with the "
                "same version of deadunits and the same options (--preset, --independent)."
            )
        if not Engine.of(run.engine).is_local and stored_bytes(cut_model.smaller) > LARGEST_INSIDE:
            raise InputError("This model is too large to be sent to workers: leave engine out, and give each a shard.")
        source = replace(source, run=replace(source.run, batch_size=run.batch_size))
        alone, several = source.shapes.samples, several_samples(source, probe)
        self._feed = several or alone
        block = probe.block_size(run.batch_size)
        self._setup = PairSetup(
            source.loaded, cut_model.smaller, block, alone, several, frozenset(probe.fixed), run.threads
        )

    def _with(self, none: Tallies, shown: Counted, ranges: Ranges) -> Tallies:
        counted = replace(none.counted, compared=shown.compared)
        return replace(none, counted=counted, cut=ComparedCut(self._cut.cut, self._cut.choice, ranges))
