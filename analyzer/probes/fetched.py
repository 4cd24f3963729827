"""Data at addresses: files are copied from there when they are read, and kept while there is room for them."""

from __future__ import annotations

import re
import shutil
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path

from analyzer import unfinished
from analyzer.errors import InputError, ProbeError
from analyzer.facts.addresses import without_secrets
from analyzer.free_memory import readable_size
from analyzer.graph.remote_files import Remote

_SHARE_OF_DISK = 1 / 2  # of what is free, that copies may take
_BLOCK = 1 << 20
_MOST = 1_000_000  # files
_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_BRACES = re.compile(r"\{(?:([0-9]{1,9})\.\.([0-9]{1,9})|([^{}]*,[^{}]*))\}")


class Fetched:
    """Files that lie at one address, by their paths there."""

    def __init__(self, address: str) -> None:
        """Find the file system.

        Raises:
            InputError: fsspec is missing, or does not know such addresses.
        """
        self._remote = Remote(address, InputError)
        self.shown = self._remote.shown
        self._names: dict[Path, str] = {}  # what the file system calls them
        self._copies: dict[Path, Path] = {}  # the oldest first
        self._folder: Path | None = None
        self._made = 0

    def is_folder(self) -> bool:
        """Whether a folder lies there.

        Raises:
            InputError: it cannot be asked.
        """
        with self._remote.reached():
            return bool(self._remote.files.isdir(self._remote.path))

    def is_file(self) -> bool:
        """Whether a file lies there.

        Raises:
            InputError: it cannot be asked.
        """
        with self._remote.reached():
            return bool(self._remote.files.isfile(self._remote.path))

    def file(self) -> Path:
        """The one that the address names."""
        return self._named(self._remote.path)

    def matching(self) -> list[Path]:
        """The files that the address names as a pattern, in their order.

        Raises:
            InputError: they cannot be listed.
        """
        with self._remote.reached():
            found = [name for pattern in alternatives(self._remote.path) for name in self._remote.files.glob(pattern)]
            return [self._named(name) for name in found if self._remote.files.isfile(name)]

    def below(self) -> list[Path]:
        """All files in the folder there and in those inside, in their order.

        Raises:
            InputError: they cannot be listed.
        """
        with self._remote.reached():
            return sorted(map(self._named, self._remote.files.find(self._remote.path)))

    def local(self, file: Path) -> Path:
        """A copy of a file, made now unless there is one.

        Raises:
            InputError: it cannot be read there, or there is no room for it.
        """
        if file in self._copies:
            return self._copies[file]
        name = self._names[file]
        with self._remote.reached():
            size = self._remote.files.info(name).get("size")
            target = self._room(size or 0) / f"{self._made}" / (file.name or "data")
            self._made += 1
            target.parent.mkdir()
            with self._remote.files.open(name, "rb") as source, target.open("xb") as copy:
                shutil.copyfileobj(source, copy, _BLOCK)
        self._remote.check_whole(target.stat().st_size, size)
        self._copies[file] = target
        return target

    def _named(self, name: str) -> Path:
        """A path that shows no secrets, and stands for what the file system calls so."""
        path = Path(_SCHEME.sub("", without_secrets(name)))
        self._names[path] = name
        return path

    def _room(self, size: int) -> Path:
        """The folder of copies, of which the oldest go where a new one needs the room."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="deadunits-"))
            unfinished.undo.append(weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True))
        free = shutil.disk_usage(self._folder).free
        for old in [*self._copies]:
            if size <= free * _SHARE_OF_DISK:
                break
            with suppress(OSError):
                self._copies[old].unlink()
            del self._copies[old]
            free = shutil.disk_usage(self._folder).free
        if size > free * _SHARE_OF_DISK:
            raise InputError(
                f"{self.shown} has {readable_size(size)}, and copies may take half of the {readable_size(free)} that "
                f"are free: make room in {self._folder.parent}."
            )
        return self._folder


def alternatives(pattern: str) -> list[str]:
    """Patterns without braces: `{0..2}` stands for 0, 1 and 2 (`{00..12}` with zeros in front), `{a,b}` for a and b.

    Raises:
        ProbeError: these are too many.
    """
    found = _BRACES.search(pattern)
    if found is None:
        return [pattern]
    first, last, words = found.groups()
    if words is None:
        if int(last) - int(first) > _MOST:
            raise ProbeError(f"{pattern} stands for more than {_MOST:,} files: name fewer.")
        inside = [f"{number:0{len(first)}}" for number in range(int(first), int(last) + 1)]
    else:
        inside = words.split(",")
    before, after = pattern[: found.start()], pattern[found.end() :]
    return [one for each in inside for one in alternatives(f"{before}{each}{after}")]
