"""The laws are worth something: each of these wrong rules breaks one, and the rule as it is holds where that shows."""

from __future__ import annotations

from random import Random

import pytest

from tests.laws import laws
from tests.laws.cases import FAULTS, case_of
from tests.laws.draws import GENERATORS
from tests.laws.faults_axes import AXES_FAULTS

TRIES = 400


def _is_caught(
    patch: laws.Patch, rule: tuple[str, str], law: laws.Law, monkeypatch: pytest.MonkeyPatch, *errors: type[Exception]
) -> None:
    """The law fails on some case; on that case it holds without the patch.

    Otherwise a rule that is wrong in just this way might pass where the laws try few cases.
    """
    with monkeypatch.context() as patched:
        patch(patched)
        seed = next((seed for seed in range(TRIES) if _breaks(rule, law, seed, errors)), None)
    assert seed is not None, "no case shows that the rule is wrong"
    assert not _breaks(rule, law, seed, errors), f"the rule is wrong in this way (seed {seed})"


def _breaks(rule: tuple[str, str], law: laws.Law, seed: int, errors: tuple[type[Exception], ...]) -> bool:
    random = Random(seed)
    try:
        law(case_of(rule, random), random)
    except errors:
        return True
    return False


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
    # a part of a QLinearConcat that is cut alone makes shapes that no longer fit
    errors = (AssertionError, ValueError) if rule[0] else (AssertionError,)
    _is_caught(patch, rule, law, monkeypatch, *errors)


@pytest.mark.parametrize(("what", "patch", "op_type", "law"), AXES_FAULTS, ids=[what for what, *_ in AXES_FAULTS])
def test_a_wrong_letter_breaks_a_law(
    what: str, patch: laws.Patch, op_type: str, law: laws.Law, monkeypatch: pytest.MonkeyPatch
) -> None:
    _is_caught(patch, ("", op_type), law, monkeypatch, AssertionError)
