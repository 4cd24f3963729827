"""Lengths that were stored because the file seems to fix them, channels that were put in order: a run has to show it.

ONNX's shape inference and onnxruntime do not agree on all operators (windows that are rounded up, resizing by scales),
and one that is fixed is the same in every run, so that a single run can refute it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.errors import RunError
from analyzer.facts.tolerances import REORDERED
from analyzer.graph import LoadedModel
from analyzer.graph.reveal import showing
from analyzer.probes.fitting import Feeds
from analyzer.probes.probe import Probe
from analyzer.runtime.opening import Optimization
from analyzer.runtime.session import Session
from analyzer.shapes.trial_feeds import first_samples, guessed_samples


def with_confirmed_lengths(loaded: LoadedModel, probe: Probe | None, threads: int | None) -> LoadedModel:
    """The model, or where a run differs or none can be made, the one in which lengths are measured."""
    graph, measuring = loaded.graph, loaded.unfixed()
    if loaded.read_back and not _gives_the_same(loaded, measuring, probe, threads):
        return measuring
    names = graph.measured & graph.initializer_names & measuring.graph.types.keys()
    if not names:
        return loaded
    stored = {name: graph.constant(name) for name in names}
    shown = showing(measuring, stored)
    try:
        with Session(shown, threads=threads, optimization=Optimization.NONE, few_runs=True) as session:
            for feeds in _feeds(loaded, probe):
                try:
                    seen = session.run(feeds, [*stored])
                except RunError:
                    continue
                same = all(array is not None and np.array_equal(seen[name], array) for name, array in stored.items())
                return loaded if same else measuring
    except RunError:
        pass
    return measuring


def _gives_the_same(loaded: LoadedModel, measuring: LoadedModel, probe: Probe | None, threads: int | None) -> bool:
    """Whether channels in order give what the file gives, whose channels lie in blocks, on the first feed it takes."""
    sessions = (Session(model, threads=threads, few_runs=True) for model in (measuring, loaded))
    try:
        with next(sessions) as in_blocks, next(sessions) as in_order:
            for feeds in _feeds(loaded, probe):
                try:
                    expected = in_blocks.run(feeds)
                except RunError:
                    continue
                given = in_order.run(feeds)
                return all(_is_close(given[name], array) for name, array in expected.items())
    except RunError:
        pass
    return False


def _is_close(given: Array, expected: Array) -> bool:
    if given.dtype.kind != "f":
        return np.array_equal(given, expected)
    allowed = REORDERED.get(given.dtype.name, 0.0) * np.abs(expected).max(initial=0.0)
    return given.shape == expected.shape and bool((np.abs(given - expected) <= allowed).all())


def _feeds(loaded: LoadedModel, probe: Probe | None) -> Iterator[Feeds]:
    if probe is not None:
        yield from first_samples(probe)
    else:
        yield from (samples[0] for samples in guessed_samples(loaded.graph.inputs))
