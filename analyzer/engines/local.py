"""Where shards of a probe run: here, in this process, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

Shard = TypeVar("Shard")
Result = TypeVar("Result")


class Engine(Protocol):
    """Runs the same work on every shard and hands back the results, in any order: they merge commutatively."""

    def map(self, work: Callable[[Shard], Result], shards: Iterable[Shard]) -> Iterator[Result]:
        """Apply `work` to every shard; an error in one shard ends the run and is raised here."""
        ...


class LocalEngine:
    """One shard at a time: onnxruntime already uses all cores inside one run."""

    def map(self, work: Callable[[Shard], Result], shards: Iterable[Shard]) -> Iterator[Result]:
        """Apply `work` to each shard when its result is asked for."""
        return map(work, shards)
