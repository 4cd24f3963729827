"""What is sent to a worker, and what a worker does with it, wherever it is.

Between the two ends of one program objects go as the standard library pickles them; nobody else can write there.
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from multiprocessing.reduction import ForkingPickler

from analyzer.observe.block_observer import Counted, Setup
from analyzer.observe.pair_observer import PairSetup
from analyzer.observe.spread_observer import SpreadSetup
from analyzer.probes.sample_blocks import Block
from analyzer.runtime.in_parts import asked_for_parts, run_in_parts
from analyzer.runtime.providers import provider_named
from analyzer.runtime.run_limit import present_limit, runs_limited

AnySetup = Setup | SpreadSetup | PairSetup


class OtherEnd:
    """An observer of blocks in a worker, which forgets what it has answered."""

    def __init__(self, setup: bytes) -> None:
        """`setup` is what `packed_setup` returns.

        Raises:
            InputError: the model cannot be read here, or there is no such provider.
        """
        given: tuple[AnySetup, tuple[float, str] | None, bool | None] = ForkingPickler.loads(setup)
        self._setup, self._limit, self._in_parts = given
        provider_named(self._setup.provider.name, dict(self._setup.provider.options))  # registers it in this process
        self._observer = self._setup.observer()

    def answer(self, blocks: Sequence[Block]) -> Counted | Exception:
        """What these blocks show, or what is wrong with one of them, for the other end to raise."""
        self._observer.restart()
        try:
            with nullcontext() if self._limit is None else runs_limited(*self._limit), run_in_parts(self._in_parts):
                for block in blocks:
                    self._observer.take(block)
                return self._observer.counted()
        except Exception as error:  # noqa: BLE001  the other end raises it
            return error


def packed_setup(setup: AnySetup) -> bytes:
    """What a worker is sent first; the limit of runs around the call, and whether they are in parts, go with it."""
    return packed((setup, present_limit(), asked_for_parts()))


def packed(thing: object) -> bytes:
    """Bytes for the other end; an error keeps the place where it came from as a note."""
    if isinstance(thing, Exception):
        thing.add_note("In a worker:\n" + "".join(traceback.format_exception(thing)))
        with suppress(Exception):
            return bytes(ForkingPickler.dumps(thing))
        thing = RuntimeError(f"{type(thing).__name__}: {thing}")
    return bytes(ForkingPickler.dumps(thing))
