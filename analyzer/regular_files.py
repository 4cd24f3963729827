"""Inputs are files: they are read more than once, so nothing else will do."""

from __future__ import annotations

import errno
from pathlib import Path


def check_regular(path: Path) -> Path:
    """The path, unless it leads to a pipe or a socket, which may never send anything, or to a device without an end.

    Raises:
        OSError: it does, or is `-`; says what to do.
    """
    if path.exists():
        if not path.is_file() and not path.is_dir():
            raise OSError(errno.ESPIPE, "it is a pipe, a socket or a device; write what it holds to a file first")
    elif str(path) == "-":
        raise OSError(errno.ENOENT, "standard input is not read; name a file")
    return path
