"""Outputs at addresses: written here first, in a folder that stands in for the one there, and sent once all are whole.

What a store has of its own to let a file appear whole is used, by fsspec's transactions: parts of an upload that count
when it is ended, or a name that is changed at last; in stores that have nothing of the kind, files appear as they are
sent. Files of a set appear one after the other.
"""

from __future__ import annotations

import posixpath
import re
import shutil
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from analyzer import unfinished
from analyzer.errors import OutputError, first_line
from analyzer.facts.addresses import is_address, without_secrets

if TYPE_CHECKING:
    from analyzer.graph.remote_files import Remote

_BLOCK = 1 << 20
_ONE_SLASH = re.compile(r"^([A-Za-z][\w+.-]+:)/(?!/)")  # what a Path makes of an address
_folders: dict[str, TemporaryDirectory[str]] = {}  # by the addresses that they stand in for
_addresses: dict[Path, str] = {}


def standing_in(address: str) -> Path:
    """The file here that is written in place of the one there, once it is sure that a file can be begun there.

    Raises:
        OutputError: the address names no file, or leads to where none can be made.
    """
    folder, name = folder_and_name(address)
    trial, remote = Sending(), _remote(address)
    beside = remote.path.rpartition("/")[0]  # under a name of its own: not every store keeps what is there until then
    remote.path = f"{beside}/.deadunits-{token_hex(4)}.part"
    try:
        with remote.reached("written"), trial.begin(remote):
            pass  # closed and never put in place: stores ask then whether they may be written to
    finally:
        trial.discard()
        with suppress(Exception):
            if remote.files.exists(remote.path):
                remote.files.rm_file(remote.path)
    if folder not in _folders:
        made = _folders[folder] = TemporaryDirectory(prefix="deadunits-", ignore_cleanup_errors=True)
        unfinished.undo.append(made.cleanup)
        _addresses[Path(made.name).resolve()] = folder
    return Path(_folders[folder].name).resolve() / name


def folder_and_name(address: str) -> tuple[str, str]:
    """The two parts of the address of a file.

    Raises:
        OutputError: it is that of a folder.
    """
    folder, _, name = address.rpartition("/")
    if not name:
        raise OutputError(f"{without_secrets(address)} is a folder: name a file inside it.")
    return folder, name


def place_of(named: str | Path) -> tuple[str, Path]:
    """The file system that a name leads to (empty: this one), and the path there; other names of a file have the same.

    Raises:
        OutputError: it is an address of a kind that is not known.
    """
    text = str(named) if isinstance(named, str) else _ONE_SLASH.sub(r"\1//", str(named))
    if not is_address(text) or Path(named).exists():
        return "", Path(named)
    remote = _remote(text)
    protocol = remote.files.protocol
    names = (protocol,) if isinstance(protocol, str) else tuple(protocol)
    if "file" in names:
        return "", Path(remote.path)
    return f"{names[0]} {remote.files.storage_options}", Path(posixpath.normpath(remote.path))


def guarded_place(address: str) -> Path:
    """An address among inputs, as `check_output` asks for it; the file itself where it is one of this file system."""
    with suppress(OutputError):
        system, path = place_of(address)
        return Path(address) if system else path
    return Path(address)


def address_of(path: Path) -> str | None:
    """The address of what a file stands in for; None: it is meant itself."""
    folder = _addresses.get(path.parent)
    return None if folder is None else f"{folder}/{path.name}"


def as_named(path: Path) -> str:
    """A file as messages name it."""
    address = address_of(path)
    return str(path) if address is None else without_secrets(address)


def is_there(path: Path) -> bool:
    """Whether there is such a file, or what it stands in for.

    Raises:
        OutputError: it cannot be asked.
    """
    if (address := address_of(path)) is None:
        return path.exists()
    remote = _remote(address)
    with remote.reached():
        return bool(remote.files.exists(remote.path))


def remove(path: Path) -> None:
    """Remove the file, or what it stands in for, where it is there.

    Raises:
        OutputError: it cannot be removed.
    """
    if (address := address_of(path)) is None:
        path.unlink(missing_ok=True)
    elif is_there(path):
        remote = _remote(address)
        with remote.reached("removed"):
            remote.files.rm_file(remote.path)


class Sending:
    """Files under way to where they were named; none appears before all are there."""

    def __init__(self) -> None:
        self._stores: list[Any] = []
        self._shown: list[str] = []

    def add(self, file: Path, stands_in: Path) -> None:
        """Send a file that is whole.

        Raises:
            OutputError: it cannot be sent.
        """
        remote = _remote(address_of(stands_in) or "")
        with remote.reached("written"), file.open("rb") as content, self.begin(remote) as stream:
            shutil.copyfileobj(content, stream, _BLOCK)

    def begin(self, remote: Remote) -> Any:
        """A file there that is to be filled.

        Raises:
            OutputError: none can be made.
        """
        with remote.reached("written"):
            if remote.files not in self._stores:
                remote.files.start_transaction()
                self._stores.append(remote.files)
            self._shown.append(remote.shown)
            stream = remote.files.open(remote.path, "wb")
            if not hasattr(stream, "commit"):  # as HDFS has it: what is written is there at once
                remote.files.transaction.files.remove(stream)
            return stream

    def appear(self) -> None:
        """Let all appear, in the order in which they were sent.

        Raises:
            OutputError: one does not; those before it have appeared.
        """
        while self._stores:
            try:
                self._stores.pop(0).end_transaction()
            except Exception as error:
                files = ", ".join(self._shown)
                reason = without_secrets(first_line(error))
                raise OutputError(
                    f"Not all of these could be put in place, in this order: {files} ({reason})."
                ) from error

    def discard(self) -> None:
        """Forget what has not appeared."""
        while self._stores:
            with suppress(Exception):
                self._stores.pop(0).transaction.complete(commit=False)


def _remote(address: str) -> Remote:
    from analyzer.graph.remote_files import Remote  # with all that reads models

    return Remote(address, OutputError, to_write=True)
