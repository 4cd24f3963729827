"""Lengths that were stored because the file seems to fix them: a run has to show the same.

ONNX's shape inference and onnxruntime do not agree on all operators (windows that are rounded up, resizing by scales),
and one that is fixed is the same in every run, so that a single run can refute it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from analyzer.errors import RunError
from analyzer.graph import LoadedModel
from analyzer.graph.reveal import showing
from analyzer.probes.fitting import Feeds
from analyzer.probes.probe import Probe
from analyzer.runtime.session import Optimization, Session
from analyzer.shapes.trial_feeds import first_samples, guessed_samples


def with_confirmed_lengths(loaded: LoadedModel, probe: Probe | None, threads: int | None) -> LoadedModel:
    """The model, or where a run differs or none can be made, the one in which lengths are measured."""
    graph, measuring = loaded.graph, loaded.unfixed()
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


def _feeds(loaded: LoadedModel, probe: Probe | None) -> Iterator[Feeds]:
    if probe is not None:
        yield from first_samples(probe)
    else:
        yield from (samples[0] for samples in guessed_samples(loaded.graph.inputs))
