"""An audit, and what is made of it, in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from analyzer.api.auditing import Model, audit, audit_with_source
from analyzer.api.kept_statistics import asked_choice
from analyzer.api.options import Data, Progress, Run
from analyzer.api.pruned_model import Pruned
from analyzer.api.reviving import Revived
from analyzer.api.with_proof import check_claims, domain_for, over_domain
from analyzer.facts.choice import Choice
from analyzer.facts.thresholds import Thresholds
from analyzer.report.notebook_progress import shown_in_notebook


def prune(
    model: Model,
    data: Data | Any = None,
    *,
    choice: Choice | None = None,
    lossy: Mapping[str, Sequence[int]] | None = None,
    latency: bool = True,
    run: Run | None = None,
    thresholds: Thresholds | str = "default",
    causes: bool = True,
    domain: Any = None,
    budget: float = 60.0,
    progress: Progress | None = None,
) -> Pruned:
    """Audit a model and cut it: `audit(model, data, …).prune(choice=…, lossy=…, latency=…)`.

    Without a probe only what the weights alone decide goes, for every input that stays finite on the way. With the
    evidence "proven" and no domain stated, what goes is what holds whatever is fed.

    Raises:
        InputError: the model, the data or the call cannot be used.
        ComparisonFailed: the smaller model differs from the original on the probe; nothing is handed out.
        ProofContradicted: an input does what was proven to be impossible: a bug of ours.
    """
    data, run = Data.of(data), Run.of(run)
    asked = asked_choice(Choice.of(choice), data)
    chosen = Thresholds.of(thresholds), causes or asked.min_distance > 0, asked.vocabulary, asked.experts
    domain = domain_for(asked, domain)
    check_claims(data, domain)
    with run.limited(), shown_in_notebook(progress) as shown:
        every = asked.min_distance > 0
        audited, _ = audit_with_source(model, data, run, *chosen, progress=shown, every_suspect=every)
        audited = over_domain(audited, domain, budget, shown)
    return audited.prune(choice=choice, lossy=lossy, latency=latency, progress=progress)


def revive(
    model: Model,
    data: Data | Any = None,
    *,
    seed: int = 0,
    choice: Choice | None = None,
    run: Run | None = None,
    thresholds: Thresholds | str = "default",
    domain: Any = None,
    budget: float = 60.0,
    progress: Progress | None = None,
) -> Revived:
    """Audit a model and give its dead units fresh weights: `audit(model, data, …).revive(seed=…, choice=…)`.

    With a `domain`, as for `audit()`, units that an input of it moves stay as they are: they wake by themselves. With
    the evidence "proven" and no domain stated, fresh are units that are dead whatever is fed.

    Raises:
        InputError: the model, the data or the call cannot be used.
        ComparisonFailed: the outputs are not the same; nothing is handed out.
        ProofContradicted: an input does what was proven to be impossible: a bug of ours.
    """
    audited = audit(
        model,
        data,
        run=run,
        thresholds=thresholds,
        causes=False,
        domain=domain_for(Choice.of(choice), domain),
        budget=budget,
        progress=progress,
    )
    return audited.revive(seed=seed, choice=choice, progress=progress)
