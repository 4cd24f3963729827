"""A fault to be found: whatever is dead on the probe counts as proven."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from analyzer.facts.evidence import Evidence
from analyzer.facts.proof import with_proofs


def all_dead_proven(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every proof over a domain be one of all that is dead."""

    def wrong(layer: Any, units: Any) -> Any:
        fixed = with_proofs(layer, units)
        return replace(fixed, evidence=np.where(fixed.evidence == 0, 0, Evidence.PROVEN.code))

    monkeypatch.setattr("analyzer.api.with_proof.with_proofs", wrong)
