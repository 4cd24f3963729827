"""The laws are worth something: each of these wrong rules breaks one."""

from __future__ import annotations

from random import Random

import pytest

from tests.laws import laws
from tests.laws.cases import FAULTS, case_of
from tests.laws.draws import GENERATORS
from tests.laws.faults_axes import AXES_FAULTS

TRIES = 400


@pytest.mark.parametrize(
    ("patch", "op_type", "law"),
    FAULTS,
    ids=lambda v: v if isinstance(v, str) else v.__name__.strip("_"),
)
def test_a_wrong_rule_breaks_a_law(
    patch: laws.Patch, op_type: str, law: laws.Law, monkeypatch: pytest.MonkeyPatch
) -> None:
    domain, _, name = op_type.rpartition(":")
    rule = next(rule for rule in ((domain, name), ("com.microsoft", name)) if rule in GENERATORS)
    patch(monkeypatch)
    # a part of a QLinearConcat that is cut alone makes shapes that no longer fit
    with pytest.raises((AssertionError, ValueError) if rule[0] else AssertionError):
        for seed in range(TRIES):
            random = Random(seed)
            law(case_of(rule, random), random)


@pytest.mark.parametrize(("what", "patch", "op_type", "law"), AXES_FAULTS, ids=[what for what, *_ in AXES_FAULTS])
def test_a_wrong_letter_breaks_a_law(
    what: str, patch: laws.Patch, op_type: str, law: laws.Law, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch(monkeypatch)
    with pytest.raises(AssertionError):
        for seed in range(TRIES):
            random = Random(seed)
            law(case_of(("", op_type), random), random)
