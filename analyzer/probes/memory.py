"""A guard against data that declares more than the machine can hold."""

from __future__ import annotations

import os
from pathlib import Path

from analyzer.errors import ProbeError

_MEMINFO = Path("/proc/meminfo")
LARGEST_SAMPLE = 1 / 4  # of the free memory; what a network computes is larger than its input
_ASSUMED = 16 << 30  # where the system does not say


def available_memory() -> int:
    """Bytes that can be allocated without swapping; an assumption where the system does not say."""
    try:
        for line in _MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    except (OSError, ValueError):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return _ASSUMED


def check_size(declared: int, where: str) -> None:
    """Raise ProbeError when data that declares so many bytes cannot be held."""
    available = available_memory()
    if declared > available:
        raise ProbeError(
            f"{where} unpacks to {_readable(declared)}, more than the {_readable(available)} of memory that "
            "are free: give fewer samples, or save each array as .npy, which is read piece by piece."
        )


def check_shape(nbytes: int, where: str, advice: str) -> None:
    """Raise ProbeError when one sample that is made here leaves the run of a model too little memory."""
    available = available_memory()
    if nbytes > available * LARGEST_SAMPLE:
        raise ProbeError(
            f"{where} takes {_readable(nbytes)} of the {_readable(available)} of memory that are free, and running the "
            f"model on it several times as much: {advice}."
        )


def _readable(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB" if size >= 1 << 30 else f"{size / (1 << 20):.1f} MiB"
