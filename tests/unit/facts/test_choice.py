"""A choice takes only what it can mean."""

from __future__ import annotations

from typing import Any

import pytest

from analyzer import Choice, Evidence, InputError
from tests.made import first_dead


@pytest.mark.parametrize(("written", "meant"), [("observed", [0, 1]), ("structural", [])])
def test_evidence_may_be_written_as_its_name(written: Any, meant: list[int]) -> None:
    choice = Choice(evidence=written)
    assert choice.evidence is Evidence(written)
    assert choice.allowed(first_dead(4, 2, "a")) == meant


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"evidence": "hearsay"}, "evidence is 'hearsay': choose structural, proven or observed"),
        ({"evidence": Evidence.REFUTED}, "evidence is 'refuted': choose structural, proven or observed"),
        ({"evidence": None}, "evidence is None"),
        ({"round_to": 0}, "round_to is 0: give a whole number of at least 1"),
        ({"round_to": -3}, "round_to is -3"),
        ({"round_to": 8.0}, "round_to is 8.0"),
        ({"round_to": True}, "round_to is True"),
        ({"min_samples": -1}, "min_samples is -1"),
        ({"min_samples": "9"}, "min_samples is '9'"),
        ({"max_firing_bound": 1.5}, "max_firing_bound is 1.5: give a share from 0 to 1"),
        ({"max_firing_bound": "1%"}, "max_firing_bound is '1%'"),
        ({"max_firing_bound": float("nan")}, "max_firing_bound is nan"),
        ({"min_distance": -0.5}, "min_distance is -0.5: give a number of at least 0"),
        ({"min_distance": None}, "min_distance is None"),
        ({"residual": "bogus"}, "residual is 'bogus': choose off, params or latency"),
        ({"residual": None}, "residual is None"),
        ({"only": "a"}, r"only is 'a': give a list of patterns"),
        ({"skip": "a"}, r"skip is 'a': give a list of patterns"),
        ({"skip": (3,)}, r"skip is \(3,\): give a list of patterns"),
        ({"units": [1]}, r"units is \[1\]: give the units of each value as a dict"),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Choice(**given)


def test_numbers_of_numpy_are_numbers() -> None:
    np = pytest.importorskip("numpy")
    assert Choice(round_to=np.int64(8), min_samples=np.int32(3), max_firing_bound=np.float32(0.5)).round_to == 8
