"""Who runs the blocks of the data: this process, or others. What they show is the same to the bit."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from functools import partial
from typing import Protocol, Self

from analyzer.facts.engine import Engine
from analyzer.observe.block_observer import Counted, Setup
from analyzer.observe.observation import Observation, Progress
from analyzer.observe.sent import AnySetup, packed_setup
from analyzer.probes.probe import Probe
from analyzer.probes.sample_blocks import Block


class Observer(Protocol):
    """What all engines are: a context manager that takes blocks, and says what they show."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None: ...

    def take(self, block: Block) -> None:
        """Run the feeds of a block, now or soon."""

    def counted(self) -> Counted:
        """What all blocks show that were taken."""


def opened(engine: Engine, setup: AnySetup) -> Observer:
    """An observer of blocks of this engine. Each of several workers has one thread, if nothing else is asked for."""
    if engine.is_local:
        return setup.observer()
    setup = replace(setup, threads=setup.threads or 1)
    if engine.kind == "ray":
        from analyzer.observe.ray_actors import RayObserver

        return RayObserver(engine, setup)
    from analyzer.observe.worker_process import ProcessWorker
    from analyzer.observe.workers import Workers

    count = engine.workers or max(1, usable_processors() // (setup.threads or 1))
    return Workers(setup.nothing, partial(ProcessWorker, packed_setup(setup)), count)


def usable_processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def observe_in_blocks(
    engine: Engine, setup: Setup, probe: Probe, batch_size: int, progress: Progress | None = None
) -> Observation:
    """All samples of a probe, run by an engine: what `observe` shows.

    Raises:
        RunError: the model fails on some feed, or memory runs out.
        ProbeError: the data does not fit the model.
    """
    begin, done = time.perf_counter(), 0
    with opened(engine, setup) as observer:
        for block in probe.blocks(probe.block_size(batch_size), setup.subject.plan.size, _all):
            observer.take(block)
            done += block.samples
            if progress is not None:
                progress(done, probe.samples)
        counted = observer.counted()
    return counted.observation(setup.subject, time.perf_counter() - begin)


def _all(_: int) -> bool:
    return True
