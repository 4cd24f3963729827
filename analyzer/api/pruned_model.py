"""The result of a prune: the smaller model, what was measured, and how both are written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from analyzer.api.options import Run
from analyzer.api.reporting import Reporting
from analyzer.api.saving import save_model
from analyzer.errors import InputError
from analyzer.facts.choice import Choice
from analyzer.facts.model_report import PruneReport
from analyzer.facts.pruned import Comparison, PrunedFacts
from analyzer.facts.units import ShapeTable
from analyzer.graph import LoadedModel
from analyzer.graph.open_branches import with_branches
from analyzer.probes.probe import Probe
from analyzer.report.console import ReportConsole
from analyzer.report.file_set import written_together
from analyzer.report.output_files import check_output
from analyzer.rewrite.masks import keep_masks, plan_document
from analyzer.walk import Walk

if TYPE_CHECKING:
    from analyzer.api.audit_result import Audit


@dataclass(frozen=True, eq=False)
class Source:
    """What an audit was made from, kept for the prune that follows."""

    loaded: LoadedModel
    shapes: ShapeTable
    probe: Probe | None
    holdout: Probe | None
    run: Run
    inputs: tuple[Path, ...]

    @property
    def computed(self) -> LoadedModel:
        """The model as it is run: what stored tensors choose stands in place.

        onnxruntime 1.32 does that itself, and breaks what nested choices read from around them.
        """
        return with_branches(self.loaded, self.loaded.graph.decided)

    @property
    def shown(self) -> LoadedModel:
        """The model with the branches in place that the probe takes, so that a run can show their values."""
        return with_branches(self.loaded, self.shapes.taken)


@dataclass(frozen=True, eq=False, repr=False)
class Pruned(Reporting):
    """A smaller model that agreed with the original, and what was measured."""

    _command: ClassVar[str] = "prune"
    facts: PrunedFacts
    audit: Audit
    choice: Choice
    _walk: Walk
    _source: Source
    _smaller: LoadedModel
    _bytes: bytes | None  # None: the weights go into a file of their own

    @property
    def comparison(self) -> Comparison | None:
        """Both models on the probe, or on random data without one (None: they could not be run)."""
        return self.facts.comparison

    @property
    def changed(self) -> bool:
        """Whether anything was removed."""
        return self.facts.changed

    @property
    def data(self) -> bytes:
        """The bytes of the smaller model's file; the original's where nothing was removed.

        Raises:
            InputError: its weights lie in a file of their own.
        """
        if self._bytes is None:
            raise InputError("This model keeps its weights beside its file: write both with save(path).")
        return self._bytes

    def save(self, path: str | Path) -> tuple[Path, ...]:
        """Write the model and its weights, whole or not at all; one of which nothing went is written byte for byte.

        A model whose weights lie beside its file, or that is too large for one file, gets its weights in `path`.data;
        an unchanged one finds them under their old name. Returns the model's files, its own first.

        Raises:
            OutputError: a file cannot be written, is one of the inputs, or would take the place of other weights.
            ComparisonFailed: what was written is not valid; it is removed again.
        """
        return save_model(self._source.loaded, self._smaller, self._bytes, path, self._source.inputs, self.changed)

    @property
    def _stored(self) -> set[str]:
        return set(self._source.loaded.graph.initializer_names)

    def masks(self) -> dict[str, np.ndarray[Any, np.dtype[np.bool_]]]:
        """Per stored tensor the elements that stay, in the original's shape."""
        return keep_masks(self._walk.context, self._walk.cut, self._stored, self._kept_rows)

    @property
    def _kept_rows(self) -> dict[str, np.ndarray[Any, np.dtype[Any]]]:
        """The rows that stay of embeddings and of stacked experts that lost some."""
        tables, experts = self.audit.facts.vocabulary or (), self.audit.facts.experts or ()
        kept = {t.table: t.kept(self.choice.unseen_id) for t in tables if t.table in self.facts.removed_rows}
        for router in (r for r in experts if r.router in self.facts.removed_experts):
            kept |= {name: np.array(router.seen) for name in router.tensors if self._rows(name) < router.experts}
        return kept

    def _rows(self, name: str) -> int:
        graph = self._smaller.refreshed().graph
        return graph.initializer_shape(name)[0] if name in graph.initializer_names else 0

    def save_masks(self, path: str | Path) -> None:
        """Write `masks()` as .npz, and the plan beside it as `plan.json`: both or none.

        Raises:
            OutputError: a file cannot be written.
        """
        target = check_output(path, self._source.inputs)
        beside = check_output(target.with_name("plan.json"), self._source.inputs)
        walked, kept = self._walk, (self._stored, self._kept_rows)
        masks, document = plan_document(walked.context, walked.cut, walked.layers, walked.removable, self.choice, *kept)
        with written_together() as files:
            files.write(target, masks)
            files.write(beside, document)

    def to_html(self, path: str | Path) -> None:
        """Write the audit's report, and what the prune changed, as one HTML page that works offline.

        Raises:
            OutputError: the file cannot be written, or is one of the inputs.
        """
        self.save_report(path, "html")

    def show(self, *, show_all: bool = False, written: str = "") -> None:
        """Print the report for a person; `show_all` shows every layer, `written` says what became of the model."""
        from analyzer.report.prune.terminal import render

        render(self.audit.facts, self.facts, ReportConsole(), show_all=show_all, written=written)

    @property
    def _reported(self) -> PruneReport:
        return PruneReport(self.audit.facts, self.audit.picture, self.audit._fed, pruned=self.facts)

    @property
    def _guarded(self) -> tuple[Path, ...]:
        return self._source.inputs

    def __repr__(self) -> str:
        before, after = self.facts.before, self.facts.after
        return f"<Pruned: {before.parameters} -> {after.parameters} parameters, {self._difference()}>"

    def _difference(self) -> str:
        if self.comparison is None:
            return "not compared on data"
        return f"largest difference {self.comparison.max_abs_difference:.3g} on {self.comparison.samples} samples"
