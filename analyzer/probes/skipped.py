"""What of the data cannot be read: refused, or listed and left out where that was asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from analyzer.errors import ProbeError, first_line

Read = TypeVar("Read")


@dataclass(frozen=True)
class Skipped:
    """Broken files, lines and rows, by name, with the reason of each, as they are met; `allowed`: left out."""

    allowed: bool = False
    reasons: dict[str, str] = field(default_factory=dict)

    def read(self, name: str, reader: Callable[[], Read], own_name: str = "") -> Read | None:
        """What the reader gives; None for what is left out. `own_name` is what its message begins with.

        Raises:
            ProbeError: it cannot be read, and leaving out is not allowed.
        """
        try:
            return reader()
        except (ProbeError, OSError) as error:
            said = first_line(error)
            if not self.allowed:
                raise ProbeError(f"{said} --skip-bad lists what is broken and leaves it out.") from error
            self.reasons[name] = said.removeprefix(own_name or name).lstrip(" :,").removesuffix(".")
            return None

    @property
    def all_of_it(self) -> str:
        """The end of a sentence on data of which nothing is left; nothing where there was none."""
        if not self.reasons:
            return ""
        name, reason = next(iter(self.reasons.items()))
        return f"{len(self.reasons)} broken and left out, the first, {name}: {reason}"
