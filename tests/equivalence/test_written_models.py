"""The written model equals the original where other pruners fail, and is as small as it can exactly be."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.equivalence.agree import pruned_and_checked
from tests.equivalence.cases import CASES, Case
from tests.equivalence.cases_forms import FORMS
from tests.equivalence.cases_moving import MOVING


@pytest.mark.parametrize("case", [*CASES, *MOVING, *FORMS], ids=lambda case: case.name.replace(" ", "-"))
def test_the_written_model_agrees_and_is_small(case: Case, tmp_path: Path) -> None:
    result = pruned_and_checked(case.model(), case.probe(), tmp_path, tolerance=case.tolerance)
    assert result.facts.after.parameters <= case.after
    assert not result.facts.refused
