"""When models are run in parts: asked for, or where memory is short."""

from __future__ import annotations

import pytest

from analyzer import Run
from analyzer.runtime import in_parts
from analyzer.runtime.in_parts import PART, TIMES, asked_for_parts, part_size, run_in_parts


@pytest.fixture(autouse=True)
def free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_parts, "available_memory", lambda: TIMES * 4 * PART)


def test_what_fits_into_memory_is_run_whole() -> None:
    assert part_size(4 * PART) is None
    assert part_size(4 * PART + 1) == PART


def test_what_is_asked_for_goes_before_memory() -> None:
    with run_in_parts(True):
        assert part_size(1) == PART
        with run_in_parts(False):
            assert part_size(1 << 40) is None
        assert part_size(1) == PART


@pytest.mark.parametrize("stream", [None, True, False])
def test_a_run_says_it_for_what_is_run_inside(stream: bool | None) -> None:
    with Run(stream=stream).limited():
        assert asked_for_parts() is stream
    assert asked_for_parts() is None
