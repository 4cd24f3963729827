"""The result of an audit: everything it found, and what can be done with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from analyzer.api.options import Progress
from analyzer.api.reporting import WithPage
from analyzer.api.rewritten import Source
from analyzer.errors import InputError
from analyzer.facts.audit import (
    AuditFacts,
    LayerVerdicts,
    Locked,
    ModelSummary,
    OperatorWithoutRule,
    ProbeSummary,
    Removable,
    layer_named,
)
from analyzer.facts.choice import Choice
from analyzer.facts.findings import Finding
from analyzer.facts.judged import Judged
from analyzer.facts.wording import did_you_mean
from analyzer.report.result_tables import Findings, Layers
from analyzer.walk import Walk

# What can be done with a result is loaded when somebody asks for it: an audit alone needs none of it.
if TYPE_CHECKING:
    import pandas as pd

    from analyzer.api.kept_statistics import Statistics
    from analyzer.api.proof_result import Proof
    from analyzer.api.pruned_model import Pruned
    from analyzer.api.reviving import Revived
    from analyzer.facts.fed import Fed, WitnessPicture
    from analyzer.facts.model_report import AuditReport
    from analyzer.facts.picture import GraphPicture


@dataclass(frozen=True, eq=False, repr=False)
class Audit(WithPage):
    """What an audit found. Everything is read-only; `layers[i].dead` are unit indices of one activation.

    `proof` is what became of its claims over a domain, where one was stated (None: none was).
    """

    _command: ClassVar[str] = "audit"
    facts: AuditFacts
    _walk: Walk
    _graph_values: Mapping[str, bool] = field(default_factory=dict)  # value name -> is it a stored tensor
    _inputs: tuple[Path, ...] = ()  # files that must never be written over
    _source: Source | None = None
    proof: Proof | None = None

    @property
    def model(self) -> ModelSummary:
        """The audited file: where from, how large."""
        return self.facts.model

    @property
    def probe(self) -> ProbeSummary | None:
        """The data the model was run on; None when the weights alone were looked at."""
        return self.facts.probe

    @property
    def layers(self) -> tuple[LayerVerdicts, ...]:
        """Verdicts per audited activation, in the order of the graph."""
        return Layers(self.facts.layers)

    @property
    def removable(self) -> Removable:
        """Parameters and multiply-adds that can go without changing any output on the probe."""
        return self.facts.removable

    @property
    def locked(self) -> tuple[Locked, ...]:
        """Dead units that stay, each with its reason."""
        return self.facts.locked

    @property
    def operators_without_rule(self) -> tuple[OperatorWithoutRule, ...]:
        """Operators the walk could not see through; they may cost savings, never correctness."""
        return self.facts.operators_without_rule

    @property
    def judged(self) -> Judged:
        """How much of the model was looked at, and what was left out."""
        return self.facts.judged

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """What to know before trusting the result: the findings of `check` that need no budgets."""
        return Findings(self.facts.warnings)

    def explain_unit(self, value: str, index: int) -> list[str]:
        """The chain, in sentences, from one unit to the parameters it frees or to the reason why it stays.

        `value` is a tensor, or the name of a layer's module. Where a domain was stated, what became of the unit over it
        is said, too: proven, refuted or open, how, its bounds, and the input that refutes it.

        Raises:
            InputError: the model has no such value, or the value no such unit.
        """
        values = [name for name, stored in self._graph_values.items() if not stored]
        layer = layer_named(self.layers, value)
        value = value if layer is None else layer.value
        _require_known(value, [*values, *(layer.audited.module for layer in self.layers)], "value")
        if layer is not None and not 0 <= index < layer.units:
            raise InputError(f"{value} has units 0 to {layer.units - 1}, no unit {index}: choose one of them.")
        if index < 0:
            raise InputError(f"Unit {index} of {value} does not exist: units count from 0.")
        diagnosis = next((entry for entry in self.facts.diagnoses if entry.value == value), None)
        state, *chain = self._walk.explain_unit(value, index)
        if diagnosis is not None and layer is not None and index in layer.dead and diagnosis.cause_of(index) is None:
            chain = ["Why it is dead was not asked (DU028): there are too many dead units.", *chain]
        over_domain = [] if self.proof is None else self.proof._explained(value, index)
        return [state, *over_domain, *([] if diagnosis is None else diagnosis.sentences(index)), *chain]

    def explain_parameter(self, name: str) -> list[str]:
        """Why parts of a stored tensor can go, or why none can, in sentences.

        Raises:
            InputError: the model stores no tensor of that name.
        """
        _require_known(name, [name for name, stored in self._graph_values.items() if stored], "parameter")
        return self._walk.explain_parameter(name)

    def prune(
        self,
        *,
        choice: Choice | None = None,
        lossy: Mapping[str, Sequence[int]] | None = None,
        latency: bool = True,
        progress: Progress | None = None,
    ) -> Pruned:
        """Write the plan into a smaller model, run both on the probe and the holdout, and measure.

        `choice` narrows what may go; `lossy` names units, by value, that go although they are not dead: their mean
        takes their place, and the difference is reported instead of refused; `latency` times both models. The data
        must be readable a second time.

        Raises:
            InputError: the choice names what the model does not have, or what is not dead.
            ComparisonFailed: the smaller model differs from the original on the probe; nothing is handed out.
            ProbeError: the probe is a generator that can be read only once.
        """
        if self._source is None:
            raise InputError("This audit was made without its model: call analyzer.audit() and prune its result.")
        from analyzer.api.pruning import prune_walk

        with self._source.run.limited():
            return prune_walk(
                self._source,
                self._walk,
                Choice.of(choice),
                self,
                lossy=lossy,
                latency=latency,
                progress=progress,
            )

    def for_comparison(self, *, choice: Choice | None = None) -> Statistics:
        """The statistics of this audit with the cut that `prune` would make: a plan to compare both models by.

        `take_statistics(model, data, plan=…)` compares them, on all of the data or in parts; merged with the plan, what
        that returns is all that `prune` needs.

        Raises:
            InputError: it is no audit of statistics alone; the choice names what the model does not have, or goes by
                time; or nothing goes.
            ComparisonFailed: no consistent cut was found: a bug of ours.
        """
        if self._source is None:
            raise InputError("This audit was made without its model: call analyzer.audit() and plan by its result.")
        from analyzer.api.compared_in_parts import planned_cut

        with self._source.run.limited():
            return planned_cut(self._source, self._walk, Choice.of(choice), self)

    def revive(self, *, seed: int = 0, choice: Choice | None = None, progress: Progress | None = None) -> Revived:
        """Give dead units fresh incoming and zero outgoing weights: the outputs stay, and the units can learn again.

        The fresh weights are drawn from `seed`; `choice` narrows which units. With `merge_duplicates` units that
        compute the same are merged into the first of them, and the others are fresh. The data must be readable again.

        Raises:
            InputError: the choice asks for what a revival cannot do.
            ComparisonFailed: the outputs are not the same; nothing is handed out.
            ProbeError: the probe is a generator that can be read only once.
        """
        if self._source is None:
            raise InputError("This audit was made without its model: call analyzer.audit() and revive its result.")
        from analyzer.api.reviving import revive_walk

        with self._source.run.limited():
            return revive_walk(self._source, self._walk.layers, Choice.of(choice), self, seed=seed, progress=progress)

    def prove(
        self,
        *,
        domain: Any,
        budget: float = 60.0,
        seed: int = 0,
        arithmetic: str = "float32",
        progress: Progress | None = None,
    ) -> Proof:
        """Ask whether what the probe says of units, dead or always on, holds for every input of a domain.

        `domain` and `arithmetic` are stated as for `analyzer.prove()`; `budget` are the seconds that proofs and the
        search for inputs which refute a claim may take; `seed` decides which are tried. The data must be readable a
        second time.

        Raises:
            InputError: the domain is not understood or does not fit, or a sample lies outside of it.
            ProofContradicted: an input does what was proven to be impossible: a bug of ours.
            ProbeError: the probe is a generator that can be read only once.
        """
        if self._source is None:
            raise InputError("This audit was made without its model: call analyzer.audit() and prove its result.")
        from analyzer.api.settling import settle
        from analyzer.api.with_proof import NOT_OF_STATISTICS

        if self._source.first is not self._source.probe:
            raise InputError(NOT_OF_STATISTICS)
        with self._source.run.limited():
            return settle(
                self._source,
                self._walk,
                self,
                domain,
                budget=budget,
                seed=seed,
                arithmetic=arithmetic,
                progress=progress,
            )

    def with_proof(self, proof: Proof) -> Audit:
        """This audit with what a proof of its claims shows of each dead unit: `layers[i].evidence_of(unit)`.

        Units that an input of the domain moves are dead on the probe only, and no longer go.

        Raises:
            InputError: the proof is about another audit, or the holdout leaves the domain.
            ProofContradicted: the holdout moves a unit that is proven dead: a bug of ours.
        """
        from analyzer.api.with_proof import with_evidence

        if self._source is None or proof.facts.model.sha256 != self.model.sha256 or proof.facts.probe != self.probe:
            raise InputError("This proof is about other claims: make one with the audit's own prove().")
        walked, facts = with_evidence(self._source, self._walk, self.facts, proof.facts, proof._domain)
        return replace(self, facts=facts, _walk=walked, proof=proof)

    def annotate(self, path: str | Path) -> tuple[Path, ...]:
        """Write a copy of the model whose nodes say in `metadata_props` what was found; returns its files.

        Viewers such as Netron show it. The model computes what it did.

        Raises:
            InputError: the audit was made without its model.
            OutputError: a file cannot be written, or is one of the inputs.
        """
        if self._source is None:
            raise InputError("This audit was made without its model: call analyzer.audit() and annotate its result.")
        from analyzer.api.saving import save_model
        from analyzer.graph.annotate import annotated
        from analyzer.report.phrases import notes_of

        loaded = self._source.loaded
        notes = {layer.value: notes_of(layer, self.locked) for layer in self.layers}
        return save_model(loaded, loaded, annotated(loaded.raw, notes), path, self._inputs, changed=False)

    def show(self, *, show_all: bool = False, arguments: str | None = None) -> None:
        """Print the report for a person; `show_all` shows everything, `arguments` go into the next command."""
        from analyzer.report.audit.terminal import render
        from analyzer.report.console import ReportConsole

        render(self.facts, ReportConsole(), show_all=show_all, arguments=arguments)

    @property
    def _reported(self) -> AuditReport:
        from analyzer.facts.model_report import AuditReport

        return AuditReport(self.facts, self.picture, self._fed, self._witnesses)

    def _fed(self) -> Fed:
        """The first samples, for a look at them."""
        from analyzer.facts.fed import Fed
        from analyzer.probes.first_samples import first_samples

        probe = None if self._source is None else self._source.first
        return Fed() if probe is None else first_samples(probe)

    def _witnesses(self) -> tuple[WitnessPicture, ...]:
        return () if self.proof is None else self.proof._pictured()

    def picture(self) -> GraphPicture:
        """The network as boxes and edges: inputs, audited layers, joins, outputs; small models whole."""
        from analyzer.api.network import picture_of

        return picture_of(self._walk.context.graph, [layer.value for layer in self.layers])

    def _repr_html_(self) -> str:
        """What a notebook shows: the totals and one line per layer."""
        from analyzer.report.notebook import render_snippet

        return render_snippet(self.facts)

    def to_frame(self) -> pd.DataFrame:
        """One row per unit (needs pandas).

        Raises:
            InputError: pandas is not installed.
        """
        from analyzer.report.frame import to_frame

        return to_frame(self.facts)

    def __repr__(self) -> str:
        facts = self.facts
        seen = f"{facts.probe.samples} samples" if facts.probe else "no probe"
        return (
            f"<Audit of {facts.model.path}: {facts.dead} of {facts.units} units dead on {seen}, "
            f"{facts.removable.parameters} of {facts.model.parameters} parameters removable>"
        )


def _require_known(name: str, known: Sequence[str], what: str) -> None:
    if name not in known:
        hint = did_you_mean(name, known, 3) or "`deadunits audit MODEL --all` shows names."
        raise InputError(f"The model has no {what} named {name!r}: {hint}")
