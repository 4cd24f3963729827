"""From an audit to the same model with its dead units fresh: drawn, read by no output, compared, looked at again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.pattern import Array, Mask
from analyzer.api.agreement import agree, compare_models, refusal_notes, usual_batches
from analyzer.api.choosing import by_value, check_choice, check_evidence, on_data_alone, rests_on_proof
from analyzer.api.cutting import MOST_REFUSALS
from analyzer.api.options import Progress
from analyzer.api.rewritten import Rewritten, Source
from analyzer.api.saving import written_bytes
from analyzer.errors import ComparisonFailed, InputError, Refusal
from analyzer.facts.audit import LayerVerdicts
from analyzer.facts.choice import Choice
from analyzer.facts.model_report import ReviveReport
from analyzer.facts.pruned import Comparison, Refused
from analyzer.facts.revived import RevivedFacts
from analyzer.facts.verdicts import verdicts_of
from analyzer.graph import LoadedModel
from analyzer.graph.open_branches import with_branches
from analyzer.observe.observation import observe
from analyzer.probes.fitting import Feeds
from analyzer.report.console import ReportConsole
from analyzer.report.file_set import written_together
from analyzer.report.output_files import check_output
from analyzer.rewrite.duplicates import merge_duplicates
from analyzer.rewrite.masks import archive
from analyzer.rewrite.metadata import stamp
from analyzer.rewrite.revive import revive
from analyzer.runtime.compared_sessions import WrittenSession, reference
from analyzer.version import __version__
from analyzer.walk import Walk, walk

if TYPE_CHECKING:
    from analyzer.api.audit_result import Audit


@dataclass(frozen=True, eq=False, repr=False)
class Revived(Rewritten):
    """A model of the same shape and outputs, in which units that were dead can learn again."""

    _command: ClassVar[str] = "revive"
    facts: RevivedFacts
    _fresh: Mapping[str, tuple[Array, Mask]]

    def state(self) -> dict[str, np.ndarray[Any, np.dtype[Any]]]:
        """Every stored tensor that changed, whole, by its name in the file (of a PyTorch export: in `state_dict`)."""
        return {name: array for name, (array, _) in self._fresh.items()}

    def masks(self) -> dict[str, np.ndarray[Any, np.dtype[np.bool_]]]:
        """Per changed tensor the elements that stay: others are fresh, and so should an optimiser's moments be."""
        return {name: kept for name, (_, kept) in self._fresh.items()}

    def save_state(self, path: str | Path) -> None:
        """Write `state()` as .npz.

        Raises:
            OutputError: the file cannot be written.
        """
        self._save_archive(path, self.state())

    def save_masks(self, path: str | Path) -> None:
        """Write `masks()` as .npz.

        Raises:
            OutputError: the file cannot be written.
        """
        self._save_archive(path, self.masks())

    def _save_archive(self, path: str | Path, arrays: Mapping[str, Array]) -> None:
        target = check_output(path, self._source.inputs)
        with written_together() as files:
            files.write(target, archive(arrays))

    def show(self, *, show_all: bool = False, written: str = "") -> None:
        """Print the report for a person; `show_all` lists every layer, `written` says what became of the model."""
        from analyzer.report.revive.terminal import render

        render(self._reported, ReportConsole(), show_all=show_all, written=written)

    @property
    def _reported(self) -> ReviveReport:
        return ReviveReport(self.audit.facts, self.facts)

    def __repr__(self) -> str:
        many = sum(map(len, self.facts.units.values()))
        return f"<Revived: {many} units with fresh weights move; {self.audit.facts.dead} were dead>"


def revive_walk(
    source: Source,
    layers: Sequence[LayerVerdicts],
    choice: Choice,
    audit: Audit,
    *,
    seed: int,
    progress: Progress | None,
) -> Revived:
    """Draw fresh weights for what the choice would cut, compare, and look which units move.

    Raises:
        InputError: the choice asks for what the model does not have, or what only a cut can do; or there is nothing to
            compare both models on.
        ComparisonFailed: the outputs are not the same.
    """
    source.check_comparable()
    check_evidence(choice, audit.proof)
    choice = _checked(layers, choice)
    walked, model, refused = _fresh_model(source, layers, choice, seed)
    gone = {
        layer.value: np.flatnonzero(~walked.closure.keeps.get((layer.value, layer.audited.axis)))
        for layer in layers
        if layer.value in walked.closure.keeps and walked.closure.keeps.alive(layer.value)
    }
    gone = {value: units for value, units in gone.items() if len(units)}
    facts = RevivedFacts(seed, refused=refused, modules={layer.value: layer.audited.module for layer in layers})
    if not gone:
        left = {layer.value: tuple(layer.dead) for layer in layers if layer.dead}
        return Revived(replace(facts, left=left), audit, source, source.loaded, source.loaded.raw, {})
    proof = None if on_data_alone(layers, choice) else audit.proof
    proven = proof is not None and rests_on_proof(layers, choice)
    results = _compared(source, model, progress, () if proof is None else proof.feeds())
    asleep = _asleep(source, model, layers, gone, audit, progress)
    facts = replace(
        facts,
        units=_units({value: np.setdiff1d(units, asleep.get(value, ())) for value, units in gone.items()}),
        asleep=_units(asleep),
        left=_units({layer.value: np.setdiff1d(layer.dead, gone.get(layer.value, ())) for layer in layers}),
        comparison=results["probe"],
        holdout=results["holdout"],
        domain=results["domain"],
        proven=proven,
        notes=tuple(refusal_notes(source, (results["probe"], results["holdout"]))),
    )
    fresh = _changed_tensors(source.loaded, model)
    facts = replace(facts, tensors=tuple(fresh))
    record = {"tool": "deadunits", "version": __version__, "source_sha256": source.loaded.sha256, "revived": str(seed)}
    stamp(model, record | (proof.metadata() if proof is not None and proven else {}))
    return Revived(facts, audit, source, model, written_bytes(source.loaded, model), fresh)


def _checked(layers: Sequence[LayerVerdicts], choice: Choice) -> Choice:
    if choice.only_for_cuts:
        name = choice.only_for_cuts[0]
        raise InputError(f"{name} says how a model gets smaller, and a revived one keeps its size: leave it out.")
    if choice.units is not None:
        choice = replace(choice, units=by_value(layers, choice.units))
    check_choice(layers, choice)
    return choice


def _units(units: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    return {value: tuple(int(unit) for unit in chosen) for value, chosen in units.items() if len(chosen)}


def _fresh_model(
    source: Source, layers: Sequence[LayerVerdicts], choice: Choice, seed: int
) -> tuple[Walk, LoadedModel, tuple[Refused, ...]]:
    """The walk and the model, in which no output depends on what is fresh, whatever the input."""
    loaded, pinned, refused = source.loaded, set[str](), list[Refused]()
    if choice.merge_duplicates:
        loaded, _ = merge_duplicates(loaded, walk(loaded.graph, source.shapes, layers, choice).context)

    def feeds() -> Any:
        return (feeds for feeds, _ in usual_batches(source, "centre"))

    for _ in range(MOST_REFUSALS):
        walked = walk(loaded.graph, source.shapes, layers, choice, pinned)
        try:
            model = revive(loaded, walked, feeds, seed=seed, threads=source.run.threads)
        except Refusal as refusal:
            refused.append(Refused(refusal.node, refusal.reason, refusal.detail))
            node = next(n for n in loaded.graph.nodes if n.name == refusal.node)
            around = {name for name in (*node.inputs, *node.outputs) if name}
            pinned |= around if not around <= pinned else set(source.shapes.shapes)  # else nothing would change
            continue
        read = _read(walked, walk(model.graph, source.shapes, ()))
        if not read:
            return walked, model, tuple(refused)
        pinned |= read
    raise ComparisonFailed("Too many nodes cannot take fresh weights: nothing was written; please report this model.")


def _read(walked: Walk, fresh: Walk) -> set[str]:
    """Values of which an index that is fresh would be read by some output, whatever the weights are taken to decide."""
    keeps, read = walked.closure.keeps, set[str]()
    for value in walked.context.graph.producer:
        if value not in keeps or not keeps.alive(value):
            continue
        vectors = keeps.vectors(value)
        needed = fresh.needs.of(value, len(vectors))
        for axis, kept in enumerate(vectors):
            if not kept.all() and (pattern.per_index(needed, axis, len(kept), every=False) & ~kept).any():
                read.add(value)
    return read


def _compared(
    source: Source, model: LoadedModel, progress: Progress | None, domain: Iterable[Feeds]
) -> dict[str, Comparison | None]:
    with (
        reference(source.loaded, threads=source.run.threads) as before,
        WrittenSession(model, threads=source.run.threads) as after,
    ):
        results = compare_models(source, model, before, after, progress, domain=domain)
    everywhere = results["domain"]
    if not agree(results["probe"], lossy=False) or (everywhere is not None and not agree(everywhere, lossy=False)):
        raise ComparisonFailed("The revived model differs from the original: nothing was written; please report it.")
    return results


def _asleep(
    source: Source,
    model: LoadedModel,
    layers: Sequence[LayerVerdicts],
    gone: Mapping[str, Array],
    audit: Audit,
    progress: Progress | None,
) -> dict[str, Array]:
    """Fresh units that are as constant on the data as before."""
    if source.probe is None:
        return {}
    thresholds, audited = audit.facts.thresholds, [layer.audited for layer in layers if layer.value in gone]
    seen = observe(
        with_branches(model, source.shapes.taken),
        source.probe,
        audited,
        source.shapes,
        batch_size=source.run.batch_size,
        threads=source.run.threads,
        progress=None if progress is None else lambda done, total: progress("revived", done, total),
        thresholds=thresholds,
    )
    still = {a.value: verdicts_of(a, seen.statistics[a.value], thresholds).dead for a in audited}
    return {value: np.intersect1d(units, still[value]) for value, units in gone.items()}


def _changed_tensors(loaded: LoadedModel, model: LoadedModel) -> dict[str, tuple[Array, Mask]]:
    """Per tensor that changed what it is now, and which elements are what they were."""
    changed = {}
    for name in sorted(loaded.graph.initializer_names):
        before, after = loaded.graph.constant(name), model.graph.constant(name)
        if before is not None and after is not None and before is not after:
            kept = np.asarray(before == after) | (
                np.isnan(before) & np.isnan(after) if before.dtype.kind == "f" else False
            )
            if not kept.all():
                changed[name] = after, kept
    return changed
