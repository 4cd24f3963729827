"""Files that appear together: all of them whole, or none, and then what was there before is still there.

Drafts lie beside their targets as `.NAME.XXXXXXXX.part`, NAME cut to 40 characters. Once all are complete, the last
step renames them, in milliseconds during which signals wait. What a name led to before is kept as `.NAME.XXXXXXXX.old`
until all names are taken, and put back if one cannot be. A process that is killed outright in between leaves each name
with a whole file, the old or the new one, and a model never beside weights of another: it is missing then, in `.old`.
Files at addresses appear before these, as far as their store allows that (`outputs_elsewhere`).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from analyzer import unfinished
from analyzer.errors import OutputError
from analyzer.report.output_files import is_special
from analyzer.report.outputs_elsewhere import Sending, address_of, as_named

_NAME_SHOWN = 40  # characters of a target's name in those of its drafts, so that these stay within 255 bytes


@dataclass(frozen=True, slots=True)
class _Draft:
    """A complete file, and the name that it will have; `beside` is a file that it is of no use without."""

    file: Path
    path: Path  # as it was named
    target: Path  # where that leads
    beside: Path | None


class FileSet:
    """The files of one set; made by `written_together`. They appear in the reverse order of their writing."""

    def __init__(self) -> None:
        self._drafts: dict[Path, _Draft] = {}
        self._streams: list[tuple[Path, bytes]] = []
        self._begun: list[Path] = []
        self._sending = Sending()

    def write(self, path: Path, content: str | bytes) -> None:
        """Add a file of this content; a pipe or a device gets it just before the files of the set appear.

        Raises:
            OutputError: it cannot be written.
        """
        data = content.encode("utf-8") if isinstance(content, str) else content
        if is_special(path):
            self._streams.append((path, data))
        else:
            self._fill(path, lambda stream: stream.write(data))

    def copy(self, source: Path, path: Path) -> None:
        """Add the copy of a file of any size.

        Raises:
            OutputError: it cannot be written.
        """
        with _named(path), source.open("rb") as content:
            self._fill(path, lambda stream: shutil.copyfileobj(content, stream))

    @contextmanager
    def folder(self, path: Path) -> Iterator[Path]:
        """A folder for drafts of a file and of those that go with it, for `add`; goes with the set.

        Raises:
            OutputError: something inside fails to be written.
        """
        with _named(path):
            folder = _hidden(path.resolve(), ".part")
            with unfinished.held():
                self._begun.append(folder)
                folder.mkdir(mode=0o700)
            yield folder

    def add(self, file: Path, path: Path, beside: Path | None = None) -> None:
        """Add a complete file of this file system; `beside` is one of the set that it is of no use without.

        Raises:
            OutputError: it cannot be read, or another file of the set has the same name.
        """
        with _named(path), file.open("r+b") as stream:
            os.fsync(stream.fileno())
            if (target := path.resolve()).exists():
                file.chmod(target.stat().st_mode)
        self._register(file, path, beside)

    def _fill(self, path: Path, fill: Callable[[BinaryIO], object]) -> None:
        with _named(path):
            target = path.resolve()
            file = _hidden(target, ".part")
            with unfinished.held():
                self._begun.append(file)
                stream = file.open("xb")
            with stream:
                if target.exists():  # before others could read what they must not
                    file.chmod(target.stat().st_mode)
                fill(stream)
                stream.flush()
                os.fsync(stream.fileno())
        self._register(file, path)

    def _register(self, file: Path, path: Path, beside: Path | None = None) -> None:
        target = path.resolve()  # through a symbolic link, so that the link stays one
        if target in self._drafts:
            raise OutputError(f"Two outputs have the same name, {as_named(path)}: give each its own.")
        self._drafts[target] = _Draft(file, path, target, beside and beside.resolve())

    def appear(self) -> None:
        """Give all files their names.

        Raises:
            OutputError: one cannot have its name; nothing has changed.
        """
        for path, content in self._streams:
            with _named(path):
                path.write_bytes(content)
        drafts = [*reversed(self._drafts.values())]
        for draft in drafts:
            if address_of(draft.target) is not None:
                self._sending.add(draft.file, draft.target)
        with unfinished.held():
            self._sending.appear()
            _rename([draft for draft in drafts if address_of(draft.target) is None])
            written = (as_named(draft.path) for draft in self._drafts.values())
            unfinished.written += [path for path in written if path not in unfinished.written]

    def discard(self) -> None:
        """Take away what was begun and has not appeared."""
        self._sending.discard()
        for path in self._begun:
            for _ in range(3):  # another thread may be writing into the folder
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
            if not path.is_dir():
                with suppress(OSError):
                    path.unlink(missing_ok=True)


_current: ContextVar[FileSet | None] = ContextVar("_current", default=None)


@contextmanager
def written_together() -> Iterator[FileSet]:
    """The files that are written inside appear at its end, or none does; inside another one, at the end of that.

    Raises:
        OutputError: a file cannot be written; none was, and what was there before is still there.
    """
    outer = _current.get()
    if outer is not None:
        yield outer
        return
    files = FileSet()
    before = _current.set(files)
    unfinished.undo.append(files.discard)
    try:
        yield files
        files.appear()
    finally:
        _current.reset(before)
        with unfinished.held():
            unfinished.undo.remove(files.discard)
            files.discard()


def _rename(drafts: list[_Draft]) -> None:
    """Give drafts their names in this order, or none."""
    undo: list[Callable[[], object]] = []
    kept: list[Path] = []
    replaced = {draft.target for draft in drafts if draft.target.exists()}
    try:
        for draft in drafts:
            if draft.target in replaced and draft.beside in replaced:
                _set_aside(draft, undo, kept, link=False)
        for draft in drafts:
            with _named(draft.path):
                for folder in reversed([p for p in draft.target.parents if not p.exists()]):
                    folder.mkdir()
                    undo.append(folder.rmdir)
            if draft.target.exists() and draft is not drafts[-1]:  # nothing that may fail comes after the last
                _set_aside(draft, undo, kept, link=True)
            with _named(draft.path):
                draft.file.replace(draft.target)
            undo.append(partial(draft.target.unlink, missing_ok=True))
    except BaseException as error:
        for step in reversed(undo):
            with suppress(OSError):
                step()
        left = [str(path) for path in kept if path.exists()]
        if left:
            raise OutputError(f"{error} What was there before lies in {', '.join(left)}.") from error
        raise
    for path in kept:
        with suppress(OSError):
            path.unlink()


def _set_aside(draft: _Draft, undo: list[Callable[[], object]], kept: list[Path], *, link: bool) -> None:
    """Keep what a name leads to; with `link` the name stays, too, where the file system has hard links."""
    old = _hidden(draft.target, ".old")
    with _named(draft.path):
        if not (link and _linked(old, draft.target)):
            draft.target.rename(old)
    kept.append(old)
    undo.append(partial(_put_back, old, draft.target))


def _linked(old: Path, target: Path) -> bool:
    try:
        old.hardlink_to(target)
    except OSError:  # a file system without hard links, or another user's file
        return False
    return True


def _put_back(old: Path, target: Path) -> None:
    if target.exists():  # still the same file: renaming one of its names to the other would leave both
        old.unlink()
    else:
        old.replace(target)


def _hidden(target: Path, suffix: str) -> Path:
    """A name that is free, in the target's folder, or in the nearest one that there is."""
    folder = next(folder for folder in target.parents if folder.is_dir())
    return folder / f".{target.name[:_NAME_SHOWN]}.{os.urandom(4).hex()}{suffix}"


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"{as_named(path)} cannot be written: {error.strerror or error}.") from error
