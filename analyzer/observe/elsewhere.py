"""An instrumented model of which another provider than the CPU computes the model, and the CPU what was added to it.

What a NaN becomes in a maximum, how a sum is rounded: each provider has kernels of its own for that. So statistics mean
the same everywhere only if the same kernels make them of what the provider computed. Activations are fetched for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from analyzer.algebra.pattern import Array
from analyzer.errors import RunError
from analyzer.graph import LoadedModel
from analyzer.graph.split import split
from analyzer.observe.targets import Target, elements
from analyzer.runtime.providers import Provider
from analyzer.runtime.session import Session
from analyzer.shapes.batching import BatchPlan

FETCHED = 1 << 26  # numbers of activations that one feed may bring back


def fetchable(plan: BatchPlan, targets: Sequence[Target]) -> BatchPlan:
    """The plan with so few samples to a feed that what is fetched of them fits into memory."""
    if not plan.batchable:
        return plan
    most = FETCHED // max(1, elements(replace(t, chosen=None) for t in targets))
    return replace(plan, size=min(plan.size, max(most, plan.inseparable + 1)))


class Elsewhere:
    """Runs like the session of the whole instrumented model; one feed at a time.

    Raises:
        RunError: the provider cannot load the model, or computes nothing of it.
    """

    fitting = 1

    def __init__(
        self,
        before: LoadedModel,
        instrumented: LoadedModel,
        provider: Provider,
        *,
        threads: int | None,
        few_runs: bool = False,
        eager: bool = False,
    ) -> None:
        """`before` is the model without what was added."""
        parts = split(before, instrumented)
        self._shared = parts.shared
        self._front = Session(parts.front, threads=threads, few_runs=few_runs, provider=provider)
        try:
            self.assigned = _assigned(self._front, provider)
            back, self._fed = parts.back({name: self._kind(name) for name in parts.shared})
            self._own = [name for name in back.refreshed().graph.inputs if name not in self._fed.values()]
            self._back = Session(back, threads=threads, few_runs=few_runs, eager=eager)
        except BaseException:
            self._front.close()
            raise

    def _kind(self, name: str) -> tuple[str, tuple[int | None, ...] | None]:
        dtype = self._front.output_types[name]
        if dtype is None:
            raise RunError(f"{name} is no tensor, so it cannot be observed on another provider.")
        return dtype, self._front.output_shapes[name] or None

    def run(self, feeds: Mapping[str, Array], *, last: bool = False) -> dict[str, Any]:
        """What the whole model gives out for one feed."""
        given = {name: array for name, array in feeds.items() if name not in self._own}
        shown = self._front.run(given, last=last)
        shared = {self._fed[name]: shown[name] for name in self._shared}
        return shown | self._back.run({**{name: feeds[name] for name in self._own}, **shared}, last=last)

    def run_each(self, feeds: Sequence[Mapping[str, Array]]) -> list[dict[str, Any]]:
        """The same for each of several feeds."""
        return [self.run(feed) for feed in feeds]

    def close(self) -> None:
        """Free both sessions."""
        self._front.close()
        self._back.close()


def _assigned(session: Session, provider: Provider) -> tuple[int, int] | None:
    if session.assigned is not None and not session.assigned[0]:
        raise RunError(f"{provider.name} computes no operator of this model: leave the provider out.")
    return session.assigned


def opened(
    before: LoadedModel,
    instrumented: LoadedModel,
    provider: Provider,
    *,
    threads: int | None,
    few_runs: bool = False,
    eager: bool = False,
) -> Session | Elsewhere:
    """A session of an instrumented model on a provider."""
    if provider.is_cpu:
        return Session(instrumented, threads=threads, few_runs=few_runs, eager=eager)
    return Elsewhere(before, instrumented, provider, threads=threads, few_runs=few_runs, eager=eager)
