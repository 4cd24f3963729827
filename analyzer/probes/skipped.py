"""What of the data cannot be read: refused, or listed and left out as far as that was asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from analyzer.errors import ProbeError, first_line
from analyzer.facts.wording import number

Read = TypeVar("Read")


@dataclass(frozen=True)
class Skipped:
    """Broken files, lines and rows, by name, with the reason of each, as they are met; at `most` so many."""

    most: int = 0
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def allowed(self) -> bool:
        """Whether any may be left out."""
        return self.most > 0

    def read(self, name: str, reader: Callable[[], Read], own_name: str = "") -> Read | None:
        """What the reader gives; None for what is left out. `own_name` is what its message begins with.

        Raises:
            ProbeError: it cannot be read, and no more may be left out.
        """
        try:
            return reader()
        except (ProbeError, OSError) as error:
            said = first_line(error)
            if not self.allowed:
                raise ProbeError(f"{said} --max-bad N leaves out and lists up to N that are broken.") from error
            self.leave_out(name, said.removeprefix(own_name or name).lstrip(" :,").removesuffix("."))
            return None

    def leave_out(self, name: str, reason: str) -> None:
        """List one that is broken, once.

        Raises:
            ProbeError: no more may be left out.
        """
        if name not in self.reasons and len(self.reasons) >= self.most:
            first = ", ".join([*self.reasons][:3])
            raise ProbeError(
                f"{name}: {reason}. That is one more than the {number(self.most)} broken ones that --max-bad allows, "
                f"which were {first}{', …' if self.most > 3 else ''}."
            )
        self.reasons[name] = reason

    @property
    def all_of_it(self) -> str:
        """The end of a sentence on data of which nothing is left; nothing where there was none."""
        if not self.reasons:
            return ""
        name, reason = next(iter(self.reasons.items()))
        return f"{len(self.reasons)} broken and left out, the first, {name}: {reason}"
