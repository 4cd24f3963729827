"""Workers that are lost, refuse or are slow: what is counted, what is said, and that it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from random import Random

import numpy as np
import pytest

from analyzer.errors import InputError
from analyzer.facts.statistics import UnitStatistics
from analyzer.observe.block_observer import Counted
from analyzer.observe.workers import TRIES, WorkerLost, Workers
from analyzer.probes.sample_blocks import Batch, Block

NOTHING = Counted({"r": UnitStatistics.empty(3)}, 0)


def block(number: int) -> Block:
    return Block(number, (Batch({"x": np.full((2, 3), number, np.float32)}, 2),))


class Fake:
    """A worker that counts each block's number; `happens` may raise first."""

    def __init__(self, happens: Callable[[int], None] = lambda _: None, begins: Callable[[], None] = lambda: None):
        self._happens, self._begins = happens, begins
        self.closed = threading.Event()

    def ready(self) -> None:
        self._begins()

    def ask(self, blocks: Sequence[Block]) -> Counted:
        sum_ = NOTHING
        for asked in blocks:
            self._happens(asked.number)
            seen = UnitStatistics.empty(3)
            fields = {name: getattr(seen, name) for name in seen.__slots__}
            fields |= {"samples": 2, "fired": np.array([2, asked.number, 0])}
            sum_ = sum_.merge(Counted({"r": UnitStatistics(**fields)}, 2))
        return sum_

    def close(self) -> None:
        self.closed.set()


def taken(start: Callable[[], Fake], count: int, blocks: int) -> list[int]:
    """How often each unit fired over so many blocks."""
    with Workers(NOTHING, start, count) as workers:
        for number in range(blocks):
            workers.take(block(number))
        counted = workers.counted()
    assert counted.samples == 2 * blocks
    return [int(fired) for fired in counted.statistics["r"].fired]


@pytest.mark.parametrize("count", [1, 2, 7])
def test_each_block_counts_once(count: int) -> None:
    assert taken(Fake, count, 50) == [100, sum(range(50)), 0]


def test_no_block_is_nothing() -> None:
    assert taken(Fake, 2, 0) == [0, 0, 0]


def test_blocks_of_lost_workers_are_run_by_others() -> None:
    started, chance = list[Fake](), Random(0)

    def lost(number: int) -> None:
        if chance.random() < 0.05:
            raise WorkerLost("ended by SIGKILL")

    def start() -> Fake:
        started.append(Fake(lost))
        return started[-1]

    assert taken(start, 3, 60) == [120, sum(range(60)), 0]
    assert len(started) > 3
    assert all(worker.closed.is_set() for worker in started)


def test_a_block_that_always_costs_the_worker_is_given_up() -> None:
    runs = list[int]()

    def lost(number: int) -> None:
        if number == 9:
            runs.append(number)
            raise WorkerLost("ended by SIGKILL")

    with pytest.raises(InputError, match=rf"{TRIES} workers ended over block 9 of .*ended by SIGKILL"):
        taken(lambda: Fake(lost), 2, 30)
    assert len(runs) in (TRIES, TRIES + 1)  # the first time maybe together with others


def test_a_worker_that_never_begins_is_given_up() -> None:
    def ends() -> None:
        raise WorkerLost("exit code 1")

    with pytest.raises(InputError, match=rf"{TRIES} workers ended while they began \(exit code 1\)"):
        taken(lambda: Fake(begins=ends), 2, 3)


def test_what_is_wrong_at_the_beginning_is_said_as_it_is() -> None:
    def refuses() -> None:
        raise InputError("model.onnx has changed since it was loaded: start again.")

    with pytest.raises(InputError, match="has changed since"):
        taken(lambda: Fake(begins=refuses), 2, 3)


@pytest.mark.parametrize("seed", range(5))
def test_of_several_errors_the_first_of_the_data_is_raised(seed: int) -> None:
    chance = Random(seed)

    def refused(number: int) -> None:
        time.sleep(0.002 * chance.random())
        if number in {5, 6, 8}:
            raise InputError(f"block {number}")

    with pytest.raises(InputError, match="block 5"):
        taken(lambda: Fake(refused), 3, 20)


def test_an_error_of_the_data_comes_after_those_of_blocks_before_it() -> None:
    def refused(number: int) -> None:
        time.sleep(0.05)
        if number == 1:
            raise InputError("block 1")

    def read(last: int) -> None:
        with Workers(NOTHING, lambda: Fake(refused), 2) as workers:
            for number in range(last):
                workers.take(block(number))
            raise InputError("the file is damaged")

    with pytest.raises(InputError, match="block 1"):
        read(2)
    with pytest.raises(InputError, match="damaged"):
        read(1)


def test_whoever_stops_does_not_wait() -> None:
    """Ctrl-C while a worker computes for long: it is ended, and its thread with it."""
    started = list[Fake]()

    def start() -> Fake:
        worker = Fake()

        def long(_: int) -> None:
            assert worker.closed.wait(60)
            raise WorkerLost("ended")

        worker._happens = long
        started.append(worker)
        return worker

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt), Workers(NOTHING, start, 2) as workers:
        workers.take(block(0))
        raise KeyboardInterrupt
    assert threading.active_count() == before
    assert all(worker.closed.is_set() for worker in started)
