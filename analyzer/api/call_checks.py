"""Calls that make no sense are refused before any work: nothing that was asked for is left out in silence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from analyzer.errors import InputError

MOST_THREADS = 256  # onnxruntime takes minutes to start thousands


def check_call(
    probe: Any,
    holdout: Any,
    *,
    random: int | None,
    constants: Sequence[str],
    dims: Mapping[str, int] | None,
    images: Any,
    limit: int | None,
    batch_size: int,
    threads: int | None,
) -> None:
    """Refuse arguments that contradict each other, or that nothing would come of.

    Raises:
        InputError: what to change.
    """
    if probe is not None and random is not None:
        raise InputError("Give either a probe or a number of random samples, not both.")
    if holdout is not None and probe is None:
        raise InputError("A holdout is held against a probe: give a probe as well.")
    for name, count in {"limit": limit, "batch_size": batch_size, "threads": threads, "random": random}.items():
        if count is not None and count < 1:
            raise InputError(f"{name} is {count}: give at least 1.")
    if threads is not None and threads > MOST_THREADS:
        raise InputError(f"threads is {threads}: give at most {MOST_THREADS}; more than there are cores do not help.")
    if isinstance(constants, str):
        raise InputError(f"constants is the text {constants!r}: give a list of names, such as [{constants!r}].")
    if probe is None:
        for name, given in {"limit": limit, "images": images}.items():
            if given is not None:
                raise InputError(f"{name} says how a probe is read, and there is none: give a probe, or leave it out.")
        if random is None and constants:
            raise InputError("constants says how data is fed, and there is none: give a probe, or leave it out.")
    if random is None and dims:
        raise InputError("dims gives sizes to random samples, and none are drawn: leave it out.")
