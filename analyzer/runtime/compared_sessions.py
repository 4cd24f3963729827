"""The two sessions of a comparison: of the file that was given, and of the model that we made of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from analyzer.errors import ComparisonFailed, RunError, RunFailure
from analyzer.graph import LoadedModel
from analyzer.graph.lend import as_given
from analyzer.runtime.opening import Optimization
from analyzer.runtime.session import Session


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

    def run_each(self, feeds: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:  # noqa: D102
        with our_model():
            return super().run_each(feeds)


def reference(loaded: LoadedModel, *, threads: int | None) -> Session:
    """A session of the file itself.

    What stored tensors choose is not optimised: onnxruntime 1.32 would break what nested choices read from around them.
    """
    plain = Optimization.NONE if loaded.graph.decided else Optimization.ALL
    return Session(as_given(loaded), threads=threads, optimization=plain)
