"""A guard against data that declares more than the machine can hold."""

from __future__ import annotations

from analyzer.errors import ProbeError
from analyzer.free_memory import available_memory, readable_size

LARGEST_SAMPLE = 1 / 4  # of the free memory; what a network computes is larger than its input


def check_size(declared: int, where: str) -> None:
    """Raise ProbeError when data that declares so many bytes cannot be held."""
    available = available_memory()
    if declared > available:
        raise ProbeError(
            f"{where} unpacks to {readable_size(declared)}, more than the {readable_size(available)} of memory that "
            "are free: give fewer samples, or save each array as .npy, which is read piece by piece."
        )


def check_shape(nbytes: int, where: str, advice: str) -> None:
    """Raise ProbeError when one sample that is made here leaves the run of a model too little memory."""
    available = available_memory()
    if nbytes > available * LARGEST_SAMPLE:
        raise ProbeError(
            f"{where} takes {readable_size(nbytes)} of the {readable_size(available)} of memory that are free, and "
            f"running the model on it several times as much: {advice}."
        )
