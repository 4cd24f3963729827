"""File systems that an address leads to, by fsspec, and what goes wrong on the way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from analyzer.errors import InputError, first_line
from analyzer.facts.addresses import without_secrets


class Remote:
    """Where an address leads: to a name (`path`) in a file system (`files`); `shown` has no secrets."""

    def __init__(self, address: str, error: type[InputError], *, to_write: bool = False) -> None:
        """Find the file system; what is wrong is raised as an `error`. `to_write`: what for, where it cannot be found.

        Raises:
            InputError: fsspec, or what it needs for such addresses, is missing, or they are not known.
        """
        self.shown = without_secrets(address)
        self._address, self._error = address, error
        scheme = address.partition(":")[0].lower()
        self._install = f'pip install "deadunits[{"hub" if scheme == "hf" else "urls"}]"'
        self._installs = scheme in ("hf", "http", "https")
        try:
            from fsspec.core import url_to_fs
        except ImportError as missing:
            doing = f"{'writing' if to_write else 'reading'} it needs fsspec"
            instead = "or name a file here" if to_write else "or download it first"
            raise error(f"{self.shown} is an address, and {doing}: {self._install}, {instead}.") from missing
        self.files: Any
        self.path: str
        with self.reached("written" if to_write else "read"):
            self.files, self.path = url_to_fs(address)

    @contextmanager
    def reached(self, done: str = "read") -> Iterator[None]:
        """Around what asks the file system: every one has classes of its own for what goes wrong."""
        try:
            yield
        except InputError:
            raise
        except ImportError as error:
            advice = f"{self._install}." if self._installs else first_line(error)
            raise self._error(f"{self.shown} cannot be {done} without another package: {advice}") from error
        except FileNotFoundError as error:
            raise self._error(f"There is nothing at {self.shown}, or no way there: check the address.") from error
        except NotImplementedError as error:
            raise self._error(f"{self.shown} cannot be {done}: such addresses are only read.") from error
        except Exception as error:
            reason = without_secrets(first_line(error).replace(self._address, self.shown))
            raise self._error(f"{self.shown} cannot be {done}: {reason}") from error

    def check_whole(self, read: int, stated: int | None) -> None:
        """Refuse what has another length than was said.

        Raises:
            InputError: it broke off.
        """
        if stated is not None and read != stated:
            raise self._error(f"{self.shown} broke off after {read} of {stated} bytes: try again.")
