"""Which engine runs the data, as people name it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from analyzer.errors import InputError

ENGINES = "local|processes[:N]"
MOST_WORKERS = 1024
_NAMED = re.compile(r"(local|processes)(?::([0-9]{1,9}))?")


@dataclass(frozen=True, slots=True)
class Engine:
    """`local`: this process; `processes`: so many others on this machine (None: as many as processors allow)."""

    kind: str
    workers: int | None = None

    @classmethod
    def of(cls, text: object) -> Engine:
        """`local`, `processes`, `processes:4`.

        Raises:
            InputError: there is none of that name.
        """
        named = _NAMED.fullmatch(text) if isinstance(text, str) else None
        if named is None or (named[1] == "local" and named[2]):
            raise InputError(f"engine is {text!r}: choose one of {ENGINES}.")
        workers = None if named[2] is None else int(named[2])
        if workers is not None and not 1 <= workers <= MOST_WORKERS:
            raise InputError(f"engine is {text!r}: give 1 to {MOST_WORKERS} workers.")
        return cls(named[1], workers)

    @property
    def is_local(self) -> bool:
        """Whether it is this process that runs the data."""
        return self.kind == "local"
