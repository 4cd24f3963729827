"""From an audit to the smaller model: cut, compare, measure, record; nothing leaves that failed its comparison."""

from __future__ import annotations

import gc
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from analyzer.api.agreement import (
    agree,
    check_loads_by_default,
    compare_models,
    contradicted,
    disagreement,
    refusal_notes,
    usual_batches,
)
from analyzer.api.choosing import alive_units, by_value, choice_notes, on_data_alone, rests_on_proof
from analyzer.api.chosen_cut import asked_for, by_values, chosen_cut, shapes_of, timed
from analyzer.api.compared_in_parts import check_complete, compared_in_parts, missing_notes
from analyzer.api.cutting import CutModel
from analyzer.api.default_cut import takes_something
from analyzer.api.options import Progress
from analyzer.api.pruned_model import Pruned
from analyzer.api.rewritten import Source
from analyzer.api.saving import written_bytes
from analyzer.errors import ComparisonFailed, InputError
from analyzer.facts.audit import AuditFacts, LayerVerdicts
from analyzer.facts.choice import Choice
from analyzer.facts.evidence import Evidence
from analyzer.facts.experts import unchosen
from analyzer.facts.pruned import Comparison, PrunedFacts, Size
from analyzer.graph import LoadedModel
from analyzer.graph.save import stored_bytes
from analyzer.report.phrases import preprocessed
from analyzer.rewrite.metadata import stamp
from analyzer.rewrite.unit_moments import unit_moments
from analyzer.runtime.compared_sessions import WrittenSession, our_model, reference
from analyzer.runtime.loading import load_model
from analyzer.runtime.session import Session
from analyzer.version import __version__
from analyzer.walk import Walk, walk
from analyzer.walk.parameters import count_parameters
from analyzer.walk.plan import peak_activation

if TYPE_CHECKING:
    from analyzer.api.audit_result import Audit

WORTH_COLLECTING = 16 << 20  # bytes of weights; looking through all objects of a process may take a second
MOST_WITHDRAWALS = 20  # rounds of derived constants that the comparison contradicts


def prune_walk(
    source: Source,
    walked: Walk,
    choice: Choice,
    audit: Audit,
    *,
    lossy: Mapping[str, Sequence[int]] | None = None,
    latency: bool = True,
    progress: Progress | None = None,
) -> Pruned:
    """Cut to the choice, compare on probe and holdout, measure.

    Without a probe both models are run on random data: what the weights decide holds for every input that
    stays finite on the way.

    A derived constant that the comparison contradicts is withdrawn, and the model cut again without it.

    Raises:
        InputError: the choice asks for what the model does not have, or for what cannot go; or there is nothing to
            compare both models on.
        ComparisonFailed: the smaller model differs from the original on the probe.
    """
    source.check_comparable(in_parts=not lossy)
    named = by_value(walked.layers, lossy or {})
    choice = by_values(walked.layers, choice)
    if source.recalled is not None and source.probe is None:
        choice = source.recalled.compared_choice(choice)
        source = replace(source, probe=source.first)  # on these samples both models are run here, too
    source, walked = asked_for(source, walked, choice, audit, named)
    for _ in range(MOST_WITHDRAWALS):
        result = _cut_and_compared(source, walked, choice, audit, named, latency, progress)
        if isinstance(result, Pruned):
            return result
        source = replace(source, shapes=replace(source.shapes, contradicted=source.shapes.contradicted | result))
        walked = walk(source.loaded.graph, source.shapes, [layer.undecided() for layer in walked.layers])
    raise ComparisonFailed("Too many derived constants are not what the run shows: nothing was written.")


def _cut_and_compared(
    source: Source,
    walked: Walk,
    choice: Choice,
    audit: Audit,
    named: Mapping[str, Sequence[int]],
    latency: bool,
    progress: Progress | None,
) -> Pruned | frozenset[str]:
    """The smaller model; or the values whose derived constants made it differ from the original."""
    if alive := alive_units(walked.layers, named):
        choice = replace(choice, lossy=_constants_for(source, walked, alive))
    made = chosen_cut(source, walked, choice, audit)
    cut_model, vocabulary = made.model, made.vocabulary
    if stored_bytes(source.loaded) >= WORTH_COLLECTING:
        gc.collect()  # a graph refers to itself: those that were cut again would hold their weights until much later
    chosen, smaller, refused = cut_model.walk, cut_model.smaller, cut_model.refused
    notes = (*choice_notes(walked.layers, choice), *_withdrawal_notes(source), *cut_model.notes, *made.notes)
    notes = (*notes, *(_notes_of_the_form(source, chosen) if cut_model.takes_anything else ()))
    if not cut_model.takes_anything:
        notes = notes or _left_by_choice(source, walked, choice)
        size = _size(source.loaded, chosen, source.loaded.size)
        facts = PrunedFacts(size, size, changed=False, comparison=None, refused=refused, notes=notes)
        return Pruned(facts, audit, source, source.loaded, source.loaded.raw, choice, chosen)
    kept = compared_in_parts(source, cut_model, choice)
    notes = (*notes, *missing_notes(source))
    threads = source.run.threads
    decided = bool(source.loaded.graph.decided)
    basis = on_data_alone(chosen.layers, choice, cut_model.merged_relus)
    chosen_by_data = bool(cut_model.removed_rows) or unchosen(audit.facts.experts, cut_model.removed_experts)
    observed = bool(basis or source.shapes.settled or chosen_by_data)
    evidence = _evidence(chosen, choice, cut_model.merged_relus, observed=observed)
    notes = (*notes, *_limits_of(audit, evidence))
    with (
        reference(source.loaded, threads=source.run.threads) as before,
        WrittenSession(smaller, threads=threads) as after,
    ):
        ids = {name for table in vocabulary if table.table in cut_model.removed_rows for name in table.inputs}
        ids |= source.loaded.graph.inputs.keys() if cut_model.removed_experts else set()  # noise may route elsewhere
        everywhere = audit.proof if evidence in (Evidence.STRUCTURAL, Evidence.PROVEN) else None
        of_domain = () if everywhere is None else everywhere.feeds()
        results = compare_models(source, smaller, before, after, progress, ids, of_domain, kept)
        if not agree(results["probe"], lossy=bool(choice.lossy)):
            if kept is None and (moving := contradicted(source, walked)):
                return moving
            if kept is not None:
                check_complete(source)
            raise disagreement(source, chosen, smaller, results["probe"])
        if results["domain"] is not None and not agree(results["domain"], lossy=False):
            raise disagreement(source, chosen, smaller, results["domain"])
        measured, untimed = None, list[str]()
        if latency and (before.in_parts or after.in_parts):
            untimed = ["Run in parts (--stream), a model's latency cannot be measured."]
        elif latency:
            with Session(source.computed, threads=threads) if decided else nullcontext(before) as optimised:
                measured = timed(source, optimised, after)
    taken = "as the probe takes them" if source.shapes.settled else ""
    record = _record(basis, cut_model, choice, audit.facts, results["probe"], evidence, branches=taken)
    stamp(smaller, record | (audit.proof.metadata() if audit.proof and evidence == Evidence.PROVEN else {}))
    data, after_size = _written(source, cut_model)
    unloadable = check_loads_by_default(source, smaller, data)
    removed = _removed_units(chosen)
    facts = PrunedFacts(
        before=_size(source.loaded, walked, source.loaded.size),
        after=after_size,
        changed=True,
        comparison=results["probe"],
        holdout=results["holdout"],
        perturbed=results["perturbed"],
        domain=results["domain"],
        proven=evidence == Evidence.PROVEN,
        latency=measured,
        refused=refused,
        removed_units=removed,
        notes=(*notes, *refusal_notes(source, (results["probe"], results["holdout"])), *untimed, *unloadable),
        lossy_units={v: tuple(sorted(units)) for v, units in (choice.lossy or {}).items()},
        removed_relus=cut_model.merged_relus,
        observed=observed,
        removed_rows=cut_model.removed_rows,
        removed_experts=cut_model.removed_experts,
    )
    return Pruned(facts, audit, source, smaller, data, choice, chosen)


def _notes_of_the_form(source: Source, chosen: Walk) -> list[str]:
    """What is said of choices that are made for good, and of a model that is written in another form than it had."""
    decided, settled, notes = len(chosen.context.decided), source.shapes.settled, list[str]()
    if source.loaded.read_back:
        notes.append(
            "onnxruntime had optimised this file for one processor, with channels in blocks. What is written has "
            "standard operators: optimise it again where it will run."
        )
    if decided:
        many = "1 choice between branches is" if decided == 1 else f"{decided} choices between branches are"
        always = "" if settled else ", as nothing changes it" if decided == 1 else ", as nothing changes them"
        notes.append(f"{many} made for good{always}: the branch that is taken stands in its place.")
    if decided and settled:
        notes.append("For inputs that would take another branch the smaller model computes something else.")
    return notes


def _withdrawal_notes(source: Source) -> list[str]:
    """What the comparison contradicted, with the operators that were believed."""
    nodes = [node for node in source.loaded.graph.nodes if source.shapes.contradicted.intersection(node.outputs)]
    if not nodes:
        return []
    first = f"{nodes[0].op_type} {nodes[0].name}"
    others = f" and {len(nodes) - 1} more" if len(nodes) > 1 else ""
    return [f"The run contradicts the constant that was derived for {first}{others}: what follows from it stays."]


def _constants_for(source: Source, walked: Walk, units: Mapping[str, Sequence[int]]) -> dict[str, dict[int, float]]:
    """What takes the place of units that are not dead: their mean on the probe."""
    if source.probe is None:
        raise InputError("--lossy puts the mean of a unit in its place: give a probe to take it from.")
    axes = {layer.value: layer.audited.axis for layer in walked.layers if layer.value in units}
    feeds = (feeds for feeds, _ in usual_batches(source, "means"))
    moments = unit_moments(source.shown, axes, feeds, source.run.threads)
    return {value: {unit: float(moments[value][0][unit]) for unit in chosen} for value, chosen in units.items()}


def _written(source: Source, cut_model: CutModel) -> tuple[bytes | None, Size]:
    """The bytes of the file, checked (None: the weights go beside it), and how large the model is."""
    smaller = cut_model.smaller
    data = written_bytes(source.loaded, smaller)
    if data is None:
        return None, _after(source, cut_model, smaller, stored_bytes(smaller))
    return data, _after(source, cut_model, load_model(data), len(data))


def _left_by_choice(source: Source, walked: Walk, choice: Choice) -> tuple[str, ...]:
    """What is said where nothing goes only because the choice leaves it."""

    def would_change(wider: Choice) -> bool:
        return takes_something(walk(source.loaded.graph, source.shapes, walked.layers, wider))

    if choice == Choice() or not would_change(Choice()):
        return ()
    if choice.round_to > 1 and would_change(replace(choice, round_to=1)):
        return (f"Dead units could go, but widths were to stay multiples of {choice.round_to}.",)
    return ("Dead units could go, but the choice leaves them where they are.",)


def _evidence(chosen: Walk, choice: Choice, merged_relus: Collection[str], *, observed: bool) -> str:
    """The weakest of what shows that the smaller model is the same."""
    if choice.lossy or observed:
        return "lossy" if choice.lossy else Evidence.OBSERVED
    proven = rests_on_proof(chosen.layers, choice) or merged_relus
    return Evidence.PROVEN if proven else Evidence.STRUCTURAL


def _limits_of(audit: Audit, evidence: str) -> tuple[str, ...]:
    """For which inputs a proof does not speak, where the cut rests on it."""
    return audit.proof.facts.notes if audit.proof is not None and evidence == Evidence.PROVEN else ()


def _record(
    basis: Sequence[LayerVerdicts],
    cut_model: CutModel,
    choice: Choice,
    audit: AuditFacts,
    comparison: Comparison | None,
    evidence: str,
    *,
    branches: str,
) -> dict[str, str]:
    probe = audit.probe
    random = probe is not None and probe.random
    # a bound speaks of data like the probe, and random data is like none
    bounds = [layer.firing_bound for layer in basis if layer.firing_bound is not None and not random]
    return {
        "tool": "deadunits",
        "version": __version__,
        "source_sha256": audit.model.sha256,
        "evidence": str(evidence),
        "branches": branches,
        "rows_removed": ", ".join(f"{table} {rows}" for table, rows in cut_model.removed_rows.items()),
        "experts_removed": ", ".join(f"{router} {len(gone)}" for router, gone in cut_model.removed_experts.items()),
        "probe": "random data" if random else "",
        "probe_fingerprint": probe.fingerprint if probe is not None else "",
        "independence": "stated" if audit.conditions.stated else "",
        "preprocessing": "" if probe is None else preprocessed(probe),
        "probe_samples": str(probe.samples) if probe is not None else "",
        "firing_bound_95": f"{max(bounds):.3g}" if bounds else "",
        "compared_samples": str(comparison.samples) if comparison is not None else "",
        "max_abs_difference": f"{comparison.max_abs_difference:.3g}" if comparison is not None else "",
        "max_relative_difference": f"{comparison.max_relative_difference:.3g}" if comparison is not None else "",
        "tolerance": f"{comparison.tolerance:.3g}" if comparison is not None else "",
    }


def _size(loaded: LoadedModel, chosen: Walk, size: int) -> Size:
    peak = peak_activation(chosen.context, chosen.context.shapes.__getitem__)
    return Size(count_parameters(loaded.graph), chosen.multiply_adds, size, peak)


def _after(source: Source, cut_model: CutModel, smaller: LoadedModel, size: int) -> Size:
    if cut_model.merged_relus:  # the walk that cut the model knows nothing of the merge, so the result is counted anew
        with our_model():
            return _size(smaller, walk(smaller.graph, shapes_of(source, smaller), ()), size)
    chosen = cut_model.walk
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
