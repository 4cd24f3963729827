"""Weights are read through mapped files, whose pages the system counts as memory of the process once they were read.

They hold nothing that is not in the file, so the system may take them back at any time, but it waits until memory is
short. Here a thread lets them go as soon as many were read, whoever reads them: they are read again where needed.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any
from weakref import WeakSet

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.errors import OutputError
from analyzer.free_memory import readable_size

MOST = 1 << 27  # bytes of pages of files that a process keeps
TICK = 0.02  # seconds between two looks

_mapped: WeakSet[mmap.mmap] = WeakSet()
_threads: list[threading.Thread] = []


def watch(mapping: mmap.mmap) -> None:
    """Let the pages of this file go, too, once many were read."""
    _mapped.add(mapping)
    if not (_threads and _threads[0].is_alive()):  # a forked process has none
        _threads[:] = [threading.Thread(target=_keep_few, daemon=True)]
        _threads[0].start()


def let_go() -> None:
    """Let the pages of all mapped files go."""
    for mapping in (*_mapped,):
        if hasattr(mapping, "madvise"):
            mapping.madvise(mmap.MADV_DONTNEED)


def on_disk(array: Array) -> Array:
    """A copy of a large array that is mapped from a file without a name, which goes with it.

    Raises:
        OutputError: the temporary folder has no room for it, or there is none.
    """
    try:
        with tempfile.TemporaryFile() as stream:
            stream.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
            stream.flush()
            mapping = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise OutputError(
            f"{readable_size(array.nbytes)} that do not stay in memory cannot be written into the temporary folder: "
            "make room there, name another one with TMPDIR, or lower --batch-size."
        ) from error
    watch(mapping)
    flat: np.ndarray[Any, np.dtype[Any]] = np.frombuffer(mapping, array.dtype)
    return flat.reshape(array.shape)


def pages() -> int:
    """Bytes of pages of files that this process has; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[2]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return 0


def _keep_few() -> None:
    others = pages()  # of libraries, and of what sessions map
    while _mapped:
        if pages() - others > MOST:
            let_go()
            others = min(others, pages())
        time.sleep(TICK)
