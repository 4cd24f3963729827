"""Where two models part: the first value, in the order of the graph, that differs beyond its tolerance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import numpy as np

from analyzer.algebra.constants import Constants
from analyzer.algebra.keeps import Keeps
from analyzer.algebra.pattern import Array, Mask
from analyzer.facts.pruned import OutputDifference
from analyzer.facts.tolerances import REORDERED
from analyzer.graph import LoadedModel
from analyzer.graph.reveal import showing
from analyzer.observe.output_differences import NO_TYPES, Tally
from analyzer.ops.node_edit import cut_array
from analyzer.probes.fitting import Feeds
from analyzer.runtime.session import Session


def first_difference(
    original: LoadedModel,
    rewritten: LoadedModel,
    keeps: Keeps,
    needs: Mapping[str, Mask],
    batches: Iterable[tuple[Feeds, int]],
    output: str,
    *,
    types: Mapping[str, str],
    quantised: bool = False,
) -> str | None:
    """Name of the first value that differs on the batch on which this output differs most; None when none does.

    `types` are the coarsest element types on the way to each value. Compared is what both have and what some output
    needs: what stays without being needed may hold anything.
    """
    after = rewritten.graph.producer.keys() - rewritten.graph.inside - original.graph.inside
    names = [
        name
        for node in original.graph.nodes
        for name in node.outputs
        if name in after and name in needs and name in keeps and keeps.alive(name)
    ]
    most, first = -1.0, None
    with Session(showing(original, names)) as before, Session(showing(rewritten, names)) as behind:
        for feeds, samples in batches:
            one, two = (session.run(dict(feeds), list({*names, output})) for session in (before, behind))
            much = _difference(output, one[output], two[output], samples).absolute
            if much > most:
                pairs = (
                    (name, *_needed(one[name], two[name], keeps.vectors(name), needs[name]))
                    for name in names
                    if _are_numbers(one[name])
                )
                shown = ((name, _difference(name, a, b, samples, types, quantised)) for name, a, b in pairs)
                differ = (name for name, difference in shown if not difference.within)
                most, first = much, next(differ, None)
    return first


def moving_values(
    original: LoadedModel, derived: Mapping[str, Constants], batches: Iterable[tuple[Feeds, int]]
) -> frozenset[str]:
    """Of the values with derived constants those that are something else on a batch, by more than rounding.

    Raises:
        RunError: the model does not run on any batch, or not with all these values shown.
    """
    moving: set[str] = set()
    with Session(showing(original, derived)) as session:
        for feeds, _ in batches:
            values = session.run(dict(feeds), [name for name in derived if name not in moving])
            moving.update(
                n for n, value in values.items() if isinstance(value, np.ndarray) and _moves(value, derived[n])
            )
    return frozenset(moving)


def _moves(value: Array, derived: Constants) -> bool:
    if not (_fits(derived.known, value) and _fits(derived.number, value)) or value.dtype.kind in "SUO":
        return False
    seen, known = value.astype(np.float64), np.broadcast_to(derived.known, value.shape)
    scale = float(np.abs(seen).max(initial=0.0, where=np.isfinite(seen)))
    return bool((known & ~(np.abs(seen - derived.number) <= REORDERED.get(value.dtype.name, 0.0) * scale)).any())


def _difference(
    name: str, one: Array, two: Array, samples: int, types: Mapping[str, str] = NO_TYPES, quantised: bool = False
) -> OutputDifference:
    tally = Tally(name)
    if isinstance(cast("object", one), np.ndarray):
        tally.add(one, two, samples)
    return tally.result(types.get(name, ""), quantised=quantised)


def _are_numbers(value: object) -> bool:
    """Whether it is a tensor of floats; sequences are not compared, whole numbers may step by one."""
    return isinstance(value, np.ndarray) and value.dtype.kind in "fV"


def _needed(one: Array, two: Array, vectors: Sequence[Mask], needed: Mask) -> tuple[Array, Array]:
    """The kept part of the original's value and the rewritten's, zero where nothing needs them."""
    if one.ndim != len(vectors):
        return one, two
    asked = np.broadcast_to(needed, one.shape) if _fits(needed, one) else np.ones(one.shape, np.bool_)
    fitting = [v if len(v) == d else np.ones(d, np.bool_) for v, d in zip(vectors, one.shape, strict=True)]
    one, asked = cut_array(one, fitting), cut_array(asked, fitting)
    if one.shape != two.shape:
        return one, two
    nothing = np.zeros((), one.dtype)
    return np.where(asked, one, nothing), np.where(asked, two, nothing)


def _fits(mask: Mask, array: Array) -> bool:
    return mask.ndim == array.ndim and all(m in (1, d) for m, d in zip(mask.shape, array.shape, strict=True))
