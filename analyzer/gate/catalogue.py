"""Every finding there is, in the order of the codes. A new one is one more file and one more name here."""

from __future__ import annotations

from analyzer.errors import InputError
from analyzer.facts.wording import suggestion
from analyzer.gate import (
    baseline_incomparable,
    causes_not_measured,
    dead_above_baseline,
    expected_dead_alive,
    holdout_revives,
    input_features_dead,
    input_ignored,
    layer_dead,
    layer_dead_by_weights,
    layer_mostly_dead,
    newly_dead,
    no_probe,
    nonfinite,
    not_seen,
    nothing_audited,
    one_by_one,
    output_constant,
    over_budget,
    overridable,
    probe_too_small,
    prunable_over_budget,
    random_probe,
    samples_mix,
    stuck_at_bound,
)
from analyzer.gate.finding_kind import FindingKind

KINDS: tuple[FindingKind, ...] = (
    layer_dead.KIND,
    nonfinite.KIND,
    input_features_dead.KIND,
    input_ignored.KIND,
    output_constant.KIND,
    stuck_at_bound.KIND,
    probe_too_small.KIND,
    holdout_revives.KIND,
    dead_above_baseline.KIND,
    newly_dead.KIND,
    nothing_audited.KIND,
    random_probe.KIND,
    no_probe.KIND,
    layer_mostly_dead.KIND,
    *over_budget.KINDS,
    prunable_over_budget.KIND,
    expected_dead_alive.KIND,
    baseline_incomparable.KIND,
    samples_mix.KIND,
    one_by_one.KIND,
    overridable.KIND,
    not_seen.KIND,
    layer_dead_by_weights.KIND,
    causes_not_measured.KIND,
)
_BY_CODE = {kind.code: kind for kind in KINDS}


def kind_named(code: str) -> FindingKind:
    """The kind of a code.

    Raises:
        InputError: there is none.
    """
    found = _BY_CODE.get(code.upper())
    if found is None:
        raise InputError(f"There is no finding {code}{suggestion(code.upper(), _BY_CODE)}")
    return found
