"""Where two models part: the first value, in the order of the graph, that differs beyond its tolerance."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from analyzer.facts.keeps import Keeps
from analyzer.graph import Extension, LoadedModel
from analyzer.ops.edit import cut_array
from analyzer.rewrite.compare import TOLERANCE
from analyzer.runtime.session import Session


def first_difference(
    original: LoadedModel, rewritten: LoadedModel, keeps: Keeps, values: Collection[str], feeds: Mapping[str, Any]
) -> str | None:
    """Name of the first of `values` whose kept part differs between the models; None when none does."""
    after = {name for node in rewritten.graph.nodes for name in node.outputs if name}
    names = [
        name
        for node in original.graph.nodes
        for name in node.outputs
        if name in after and name in values and name in keeps and keeps.alive(name)
    ]
    runs = []
    for loaded in (original, rewritten):
        extension = Extension(loaded)
        for name in names:
            if name not in loaded.graph.outputs:
                extension.output(name)
        with Session(extension.serialize(), folder=extension.folder) as session:
            runs.append(session.run(dict(feeds), names))
    for name in names:
        one, two = (run[name] for run in runs)
        if not isinstance(one, np.ndarray) or one.dtype.kind != "f":
            continue
        vectors = keeps.vectors(name)
        if one.ndim == len(vectors):
            fitting = [v if len(v) == d else np.ones(d, np.bool_) for v, d in zip(vectors, one.shape, strict=True)]
            one = cut_array(one, fitting)
        if one.shape != two.shape:
            return name
        scale = float(np.abs(one).max(initial=0.0)) or 1.0
        if float(np.abs(one.astype(np.float64) - two).max(initial=0.0)) > scale * TOLERANCE.get(one.dtype.name, 1e-4):
            return name
    return None
