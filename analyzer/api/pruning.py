"""From an audit to the smaller model: cut, compare, measure, record. Nothing is handed out that failed its comparison."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from analyzer.errors import ComparisonFailed, InputError, Refusal
from analyzer.facts.choice import Choice
from analyzer.facts.pruned import Comparison, PrunedFacts, Refused, Size
from analyzer.facts.units import ShapeTable
from analyzer.graph import LoadedModel, load_model, serialize
from analyzer.observe.probe import Probe
from analyzer.observe.shapes import plan_batches
from analyzer.propagate import Walk, walk
from analyzer.propagate.plan import count_parameters, peak_activation
from analyzer.report.output import check_output, write_whole
from analyzer.rewrite.bisect import first_difference
from analyzer.rewrite.compare import compare, perturbed
from analyzer.rewrite.latency import measure_latency
from analyzer.rewrite.masks import keep_masks, plan_document
from analyzer.rewrite.record import check, stamp
from analyzer.rewrite.shrink import shrink
from analyzer.runtime.session import Session
from analyzer.version import __version__

MOST_REFUSALS = 50
PERTURBED_SAMPLES = 16


@dataclass(frozen=True, eq=False)
class Source:
    """What an audit was made from, kept for the prune that follows."""

    loaded: LoadedModel
    shapes: ShapeTable
    probe: Probe | None
    holdout: Probe | None
    batch_size: int
    threads: int | None
    inputs: tuple[Path, ...]


@dataclass(frozen=True, eq=False, repr=False)
class Pruned:
    """A smaller model that agreed with the original, and what was measured."""

    facts: PrunedFacts
    walk: Walk
    data: bytes
    _source: Source

    @property
    def comparison(self) -> Comparison | None:
        """Both models on the probe (None when no data was given)."""
        return self.facts.comparison

    @property
    def changed(self) -> bool:
        """Whether anything was removed."""
        return self.facts.changed

    def save(self, path: str | Path) -> None:
        """Write the model, whole or not at all; a model of which nothing went is written byte for byte.

        Raises:
            OutputError: the file cannot be written, or is one of the inputs.
        """
        write_whole(check_output(path, self._source.inputs), self.data)

    def masks(self) -> dict[str, np.ndarray[Any, np.dtype[np.bool_]]]:
        """Per stored tensor the elements that stay, in the original's shape."""
        return keep_masks(self.walk.context, self.walk.cut)

    def save_masks(self, path: str | Path) -> None:
        """Write `masks()` as .npz, and the plan beside it as `plan.json`.

        Raises:
            OutputError: a file cannot be written.
        """
        target = check_output(path, self._source.inputs)
        masks, document = plan_document(self.walk.context, self.walk.cut, self.walk.layers, self.walk.removable)
        write_whole(target, masks)
        write_whole(check_output(target.with_name("plan.json"), self._source.inputs), document)

    def __repr__(self) -> str:
        before, after = self.facts.before, self.facts.after
        return f"<Pruned: {before.parameters} -> {after.parameters} parameters, {self._difference()}>"

    def _difference(self) -> str:
        if self.comparison is None:
            return "not compared on data"
        return f"largest difference {self.comparison.max_abs_difference:.3g} on {self.comparison.samples} samples"


def prune_walk(
    source: Source,
    found: Walk,
    choice: Choice,
    *,
    sha256: str,
    fingerprint: str | None,
    latency: bool = True,
    progress: Callable[[str, int, int | None], None] | None = None,
) -> Pruned:
    """Cut to the choice, compare on probe and holdout, measure.

    Raises:
        ComparisonFailed: the smaller model differs from the original on the probe.
    """
    chosen, smaller, refused = _cut(source, found, choice)
    changed = _changed(chosen)
    if not changed:
        size = _size(source.loaded, chosen, len(source.loaded.raw))
        facts = PrunedFacts(size, size, changed=False, comparison=None, refused=refused)
        return Pruned(facts, chosen, source.loaded.raw, source)
    quantised = any(node.op_type == "QuantizeLinear" or node.op_type.startswith("QLinear") for node in source.loaded.graph.nodes)
    with Session(source.loaded, threads=source.threads) as before, Session(smaller, threads=source.threads) as after:
        results: dict[str, Comparison | None] = {"probe": None, "holdout": None, "perturbed": None}
        for name, probe in (("probe", source.probe), ("holdout", source.holdout)):
            if probe is not None:
                batches = _batches(source, probe, name, progress)
                results[name] = compare(before, after, batches, source=probe.source, quantised=quantised)
        if source.probe is not None:
            few = [(b.feeds, b.samples) for b in source.probe.first(PERTURBED_SAMPLES)]
            results["perturbed"] = compare(before, after, perturbed(few), source="probe with noise", quantised=quantised)
            if not (results["probe"] and results["probe"].within):
                _fail(source, chosen, smaller, results["probe"])
        measured = None
        if latency and source.probe is not None:
            batch = source.probe.first(1)[0]
            measured = measure_latency(before, after, batch.feeds, batch=batch.samples)
    stamp(smaller, _record(chosen, choice, sha256, fingerprint, results["probe"]))
    data = serialize(smaller)
    check(source.loaded, data)
    again = load_model(data) if source.loaded.folder is None else smaller
    facts = PrunedFacts(
        before=_size(source.loaded, chosen, source.loaded.size),
        after=_after(chosen, again, len(data)),
        changed=True,
        comparison=results["probe"],
        holdout=results["holdout"],
        perturbed=results["perturbed"],
        latency=measured,
        refused=refused,
        removed_units=_removed_units(chosen),
    )
    return Pruned(facts, chosen, data, source)


def _cut(source: Source, found: Walk, choice: Choice) -> tuple[Walk, LoadedModel, tuple[Refused, ...]]:
    """Cut; a node that refuses is left whole and the walk is taken again."""
    pinned: set[str] = set()
    refused: list[Refused] = []
    for _ in range(MOST_REFUSALS):
        chosen = walk(source.loaded.graph, source.shapes, found.layers, choice, pinned)
        try:
            return chosen, shrink(source.loaded, chosen.context, chosen.cut), tuple(refused)
        except Refusal as refusal:
            refused.append(Refused(refusal.node, refusal.reason, refusal.detail))
            node = next(n for n in source.loaded.graph.nodes if n.name == refusal.node)
            pinned |= {name for name in (*node.inputs, *node.outputs) if name}
    raise ComparisonFailed("Too many nodes refuse the cut: nothing was written; please report this model.")


def _changed(chosen: Walk) -> bool:
    """Whether the cut takes anything of what is stored, or any node that computes."""
    keeps, graph = chosen.closure.keeps, chosen.context.graph
    for name in graph.initializer_names:
        if graph.consumers.get(name) and name in keeps and not all(v.all() for v in keeps.vectors(name)):
            return True
    return len(chosen.closure.nodes) < len(chosen.context.calls)


def _batches(
    source: Source, probe: Probe, name: str, progress: Callable[[str, int, int | None], None] | None
) -> Iterator[tuple[Mapping[str, Any], int]]:
    # The models are compared as they are, so only a batch dimension that is free in the file takes several samples.
    plan = plan_batches(source.shapes, probe, source.batch_size)
    size = plan.size if not plan.free_inputs else source.shapes.samples
    done = 0
    for batch in probe.batches(size):
        yield batch.feeds, batch.samples
        done += batch.samples
        if progress is not None:
            progress(f"compare ({name})", done, probe.samples)


def _fail(source: Source, chosen: Walk, smaller: LoadedModel, found: Comparison | None) -> None:
    worst = max(found.outputs, key=lambda o: o.relative) if found is not None else None
    where = None
    if source.probe is not None:
        values = [layer.value for layer in chosen.layers]
        batch = source.probe.first(1)[0]
        where = first_difference(source.loaded, smaller.refreshed(), chosen.closure.keeps, values, batch.feeds)
    place = f"; the first value that differs is {where}" if where else ""
    much = f"{worst.name} by {worst.relative:.2g} of its scale (allowed {worst.tolerance:.2g})" if worst else "?"
    raise ComparisonFailed(f"The pruned model differs from the original in {much}{place}: nothing was written.")


def _record(
    chosen: Walk, choice: Choice, sha256: str, fingerprint: str | None, found: Comparison | None
) -> dict[str, str]:
    samples = max((layer.samples for layer in chosen.layers), default=0)
    bounds = [layer.firing_bound for layer in chosen.layers if layer.firing_bound is not None and layer.dead]
    observed = any(set(choice.allowed(layer)) - set(layer.structural) for layer in chosen.layers)
    return {
        "tool": "deadunits",
        "version": __version__,
        "source_sha256": sha256,
        "evidence": "observed" if observed else "structural",
        "probe_fingerprint": fingerprint or "",
        "probe_samples": str(samples) if fingerprint else "",
        "firing_bound_95": f"{max(bounds):.3g}" if observed and bounds else "",
        "max_abs_difference": f"{found.max_abs_difference:.3g}" if found is not None else "",
        "max_relative_difference": f"{found.max_relative_difference:.3g}" if found is not None else "",
        "tolerance": f"{found.tolerance:.3g}" if found is not None else "",
    }


def _size(loaded: LoadedModel, chosen: Walk, size: int) -> Size:
    peak = peak_activation(chosen.context, chosen.context.shapes.__getitem__)
    return Size(chosen.parameters, chosen.multiply_adds, size, peak)


def _after(chosen: Walk, smaller: LoadedModel, size: int) -> Size:
    keeps = chosen.closure.keeps
    return Size(
        parameters=count_parameters(smaller.graph),
        multiply_adds=chosen.multiply_adds - chosen.removable.multiply_adds,
        bytes=size,
        peak_activation=peak_activation(chosen.context, keeps.shape, chosen.closure),
    )


def _removed_units(chosen: Walk) -> dict[str, tuple[int, ...]]:
    keeps, removed = chosen.closure.keeps, {}
    for layer in chosen.layers:
        if layer.value in keeps:
            vector = keeps.get((layer.value, layer.audited.axis))
            gone = tuple(int(i) for i in np.flatnonzero(~vector))
            if gone:
                removed[layer.value] = gone
    return removed


def choice_from_plan(document: Mapping[str, Any], base: Choice) -> Choice:
    """The choice that an edited plan states: its units marked `removed`, and no other observed unit.

    Raises:
        InputError: the document is not a plan.
    """
    if document.get("schema") != "deadunits.plan/1" or not isinstance(document.get("units"), dict):
        raise InputError("The plan is not a deadunits plan (schema deadunits.plan/1): write one with --masks.")
    units = {
        value: tuple(int(entry["unit"]) for entry in entries if entry.get("removed"))
        for value, entries in document["units"].items()
    }
    return replace(base, units=units)
