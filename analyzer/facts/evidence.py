"""What shows that a unit is dead."""

from __future__ import annotations

from enum import StrEnum


class Evidence(StrEnum):
    """What shows that a unit is dead."""

    STRUCTURAL = "structural"  # the weights alone, for every input that stays finite on the way
    PROVEN = "proven"  # bounds, for every input of a stated domain
    OBSERVED = "observed"  # no sample of the probe moved it
    REFUTED = "refuted"  # the same, but an input of the domain is known that moves it

    @property
    def code(self) -> int:
        """What stands for it in an array of evidence, where 0 stands for a unit that is not dead."""
        return _CODES[self]

    @classmethod
    def of_code(cls, code: int) -> Evidence | None:
        """The evidence that a number in an array stands for; None for 0."""
        return tuple(cls)[code - 1] if code else None


_CODES = {kind: code for code, kind in enumerate(Evidence, 1)}
