"""Which engine runs the data, as people name it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from analyzer.errors import InputError

ENGINES = "local|processes[:N]|ray[:N]|ray://ADDRESS"
MOST_WORKERS = 1024
_NAMED = re.compile(r"(local)|(processes|ray)(?::([0-9]{1,9}))?|(ray)://([^/\s]+)")


@dataclass(frozen=True, slots=True)
class Engine:
    """`local`: this process; `processes`: others on this machine; `ray`: actors of a Ray cluster.

    `workers` are so many of these (None: as many as processors allow). `address` is that of a cluster to join (None:
    the one that this process is in, or a new one on this machine).
    """

    kind: str
    workers: int | None = None
    address: str | None = None

    @classmethod
    def of(cls, text: object) -> Engine:
        """`local`, `processes`, `processes:4`, `ray`, `ray:4`, `ray://head:10001`.

        Raises:
            InputError: there is none of that name.
        """
        named = _NAMED.fullmatch(text) if isinstance(text, str) else None
        if named is None:
            raise InputError(f"engine is {text!r}: choose one of {ENGINES}.")
        workers = None if named[3] is None else int(named[3])
        if workers is not None and not 1 <= workers <= MOST_WORKERS:
            raise InputError(f"engine is {text!r}: give 1 to {MOST_WORKERS} workers.")
        return cls(named[1] or named[2] or named[4], workers, named[5])

    @property
    def is_local(self) -> bool:
        """Whether it is this process that runs the data."""
        return self.kind == "local"
