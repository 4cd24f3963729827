"""What takes blocks that are run later than they are taken: what is wrong with them is said in their order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

from analyzer.errors import InputError

if TYPE_CHECKING:
    from analyzer.observe.block_observer import Counted


class InTurn(ABC):
    """A context manager, which frees what it has opened."""

    @abstractmethod
    def counted(self) -> Counted:
        """What was seen of all that was taken."""

    @abstractmethod
    def _close(self) -> None:
        """Free what was opened."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        try:
            if isinstance(error, InputError):
                self.counted()  # raises what is wrong with samples before those that cannot be read
        finally:
            self._close()
