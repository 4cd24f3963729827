"""Workers elsewhere that run blocks of samples, fed and put together from here.

The data is read here, whatever it is; each block goes to whichever worker is free, as the same feeds that a single
process would run. What was shown merges exactly, so it does not matter who ran what, nor how many there are.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from typing import Protocol, Self

from analyzer.errors import InputError
from analyzer.observe.block_observer import Counted
from analyzer.observe.in_turn import InTurn
from analyzer.probes.sample_blocks import Block

TRIES = 3  # workers that may be lost over one block, or while they begin
TOGETHER = 64  # blocks that are sent at a time, at most
WORTH_SENDING = 0.05  # seconds that what is sent at a time should take


class WorkerLost(Exception):
    """A worker ended before it answered; says how."""


class Worker(Protocol):
    """Another process that runs blocks; all but `close` are called by one thread."""

    def ready(self) -> None:
        """Wait until it can be asked.

        Raises:
            WorkerLost: it ended.
            InputError: it cannot begin.
        """

    def ask(self, blocks: Sequence[Block]) -> Counted:
        """What these blocks show.

        Raises:
            WorkerLost: it ended.
            InputError: as for `BlockObserver.take`.
        """

    def close(self) -> None:
        """End it at once, whatever it does; from any thread, and more than once."""


class Workers(InTurn):
    """An observer of blocks, like `BlockObserver`, that has them run by so many workers."""

    def __init__(self, nothing: Counted, start: Callable[[], Worker], count: int) -> None:
        """`start` returns a new worker at once, which may not be ready yet."""
        self._nothing, self._start, self._count = nothing, start, count
        self._sum = nothing
        self._held: list[Block] = []
        self._together = 1
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._pending: deque[_Task] = deque()
        self._workers: set[Worker] = set()
        self._closing = threading.Lock()
        self._closed = False
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(count)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def take(self, block: Block) -> None:
        """Have the feeds of a block run, soon; waits while workers have enough to do.

        Raises:
            InputError: a block that was taken before cannot be run.
        """
        self._held.append(block)
        if len(self._held) >= self._together:
            self._send()

    def counted(self) -> Counted:
        """What all blocks show that were taken, once they have been run.

        Raises:
            InputError: one of them cannot be run; of several the first.
        """
        self._send()
        while self._pending:
            self._settle()
        return self._sum

    def _send(self) -> None:
        """Hand out what is held, once less than what keeps all busy is under way."""
        while len(self._pending) >= self._count + min(self._count, 4):
            self._settle()
        if self._held:
            task = _Task(self._held, self._nothing)
            self._held = []
            self._pending.append(task)
            self._tasks.put(task)

    def _settle(self) -> None:
        """Wait for the task that was sent first, so that errors come in the order of the data."""
        task = self._pending.popleft()
        try:
            self._sum = self._sum.merge(task.answer.result())
        except InputError:
            self._pending.clear()  # what comes after it does not matter any more
            self._held = []
            raise
        self._together = max(1, min(TOGETHER, round(len(task.blocks) * WORTH_SENDING / max(task.seconds, 1e-6))))

    def _serve(self) -> None:
        """One thread per worker: it hands over one task after the other, and starts a worker anew that ended."""
        worker: Worker | None = None
        while True:
            trouble: BaseException | None = None
            try:
                worker = worker or self._begun()
            except BaseException as error:  # noqa: BLE001  raised again where the answer is waited for
                trouble = error
            task = self._tasks.get()
            if task is None or self._closed:
                return
            if worker is None:
                task.answer.set_exception(trouble)
            elif not self._done(task, worker):
                self._end(worker)
                worker = None

    def _begun(self) -> Worker:
        """A worker that is ready.

        Raises:
            InputError: none can begin.
        """
        how = "the program is ending"
        for _ in range(TRIES):
            with self._closing:
                if self._closed:
                    break
                worker = self._start()
                self._workers.add(worker)
            try:
                worker.ready()
                return worker
            except WorkerLost as error:
                self._end(worker)
                how = str(error)
            except BaseException:
                self._end(worker)
                raise
        raise InputError(f"{TRIES} workers ended while they began ({how}): use --engine local.")

    def _done(self, task: _Task, worker: Worker) -> bool:
        """Whether the worker ran the task, or said why it cannot be run; another one gets what is left if not."""
        begin = time.monotonic()
        try:
            while task.left:
                asked = task.left[: 1 if task.singly else None]
                task.sum = task.sum.merge(worker.ask(asked))
                task.left, task.lost = task.left[len(asked) :], 0
        except WorkerLost as error:
            task.lost += len(asked) == 1
            task.singly = True  # so that the block that costs workers is found
            if task.lost < TRIES:
                self._tasks.put(task)
            else:
                task.answer.set_exception(_given_up(asked[0], error))
            return False
        except BaseException as error:  # noqa: BLE001  raised again where the answer is waited for
            task.answer.set_exception(error)
            return True
        task.seconds = time.monotonic() - begin
        task.answer.set_result(task.sum)
        return True

    def _end(self, worker: Worker) -> None:
        self._workers.discard(worker)
        worker.close()

    def _close(self) -> None:
        with self._closing:
            self._closed = True
        for worker in list(self._workers):
            worker.close()
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            with suppress(RuntimeError):  # it never began
                thread.join()


class _Task:
    """Blocks that are run together, by one worker; `left` of them are not yet part of `sum`."""

    def __init__(self, blocks: list[Block], nothing: Counted) -> None:
        self.blocks, self.left, self.sum = blocks, blocks, nothing
        self.answer: Future[Counted] = Future()
        self.singly = False
        self.lost = 0  # workers, over the first of those that are left alone
        self.seconds = 0.0


def _given_up(block: Block, error: WorkerLost) -> InputError:
    return InputError(
        f"{TRIES} workers ended over block {block.number} of the data (of --batch-size samples each, from 0; {error}): "
        "lower --batch-size or the number of workers if memory is short, or find the sample with --engine local."
    )
