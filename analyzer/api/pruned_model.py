"""The result of a prune: the smaller model, what was measured, and how both are written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from analyzer.api.reporting import WithPage
from analyzer.api.rewritten import Rewritten
from analyzer.facts.choice import Choice
from analyzer.facts.model_report import PruneReport
from analyzer.facts.pruned import PrunedFacts
from analyzer.report.console import ReportConsole
from analyzer.report.file_set import written_together
from analyzer.report.output_files import check_output
from analyzer.rewrite.masks import keep_masks, plan_document
from analyzer.walk import Walk


@dataclass(frozen=True, eq=False, repr=False)
class Pruned(Rewritten, WithPage):
    """A smaller model that agreed with the original, and what was measured."""

    _command: ClassVar[str] = "prune"
    facts: PrunedFacts
    choice: Choice
    _walk: Walk

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
            kept |= {name: np.array(router.left) for name in router.tensors if self._rows(name) < router.experts}
        return kept

    def _rows(self, name: str) -> int:
        graph = self._model.refreshed().graph
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

    def show(self, *, show_all: bool = False, written: str = "") -> None:
        """Print the report for a person; `show_all` shows every layer, `written` says what became of the model."""
        from analyzer.report.prune.terminal import render

        render(self.audit.facts, self.facts, ReportConsole(), show_all=show_all, written=written)

    @property
    def _reported(self) -> PruneReport:
        return PruneReport(
            self.audit.facts, self.audit.picture, self.audit._fed, self.audit._witnesses, pruned=self.facts
        )

    def __repr__(self) -> str:
        before, after = self.facts.before, self.facts.after
        return f"<Pruned: {before.parameters} -> {after.parameters} parameters, {self._difference()}>"

    def _difference(self) -> str:
        if self.comparison is None:
            return "not compared on data"
        return f"largest difference {self.comparison.max_abs_difference:.3g} on {self.comparison.samples} samples"
