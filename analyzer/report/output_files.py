"""Files that we write: whole or not at all, and never over an input."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

from analyzer.errors import OutputError


def check_output(path: str | Path, inputs: Iterable[Path] = ()) -> Path:
    """The path, once it is sure that a file can be written there; to be asked before the long work starts.

    Raises:
        OutputError: it is an input or lies inside an input folder, or the folder is missing or not writable.
    """
    target = Path(path)
    try:
        target.resolve()
        return _checked(target, inputs)
    except (OSError, RuntimeError, ValueError) as error:  # a name too long, links in a circle, a NUL
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"{target} cannot be written: {reason}.") from error


def _checked(target: Path, inputs: Iterable[Path]) -> Path:
    for given in inputs:
        if (
            target.exists()
            and given.exists()
            and (target.samefile(given) or given.resolve() in target.resolve().parents)
        ):
            raise OutputError(f"{target} is an input of this audit: write the result somewhere else.")
    if target.is_dir():
        raise OutputError(f"{target} is a folder: name a file inside it.")
    if not target.parent.is_dir():
        raise OutputError(f"{target} cannot be written: the folder {target.parent} does not exist; create it first.")
    writable = target if _is_special(target) else target.parent
    if not os.access(writable, os.W_OK):
        raise OutputError(f"{target} cannot be written: no permission to write to {writable}.")
    return target


def write_whole(path: Path, content: str | bytes) -> None:
    """Write beside the target and rename, so that a reader never sees half a file.

    Raises:
        OutputError: the file cannot be written; what was there before is still there.
    """
    try:
        if _is_special(path):  # a pipe or /dev/stdout cannot be renamed over
            path.write_bytes(_encoded(content))
        else:
            data = _encoded(content)
            _write_and_rename(path, lambda stream: stream.write(data))
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from error


def copy_whole(source: Path, path: Path) -> None:
    """Copy a file of any size as `write_whole` writes one.

    Raises:
        OutputError: the copy cannot be written.
    """
    try:
        with source.open("rb") as content:
            _write_and_rename(path, lambda stream: shutil.copyfileobj(content, stream))
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from error


def _encoded(content: str | bytes) -> bytes:
    return content.encode("utf-8") if isinstance(content, str) else content


def _is_special(path: Path) -> bool:
    return path.exists() and not path.is_file()


def _write_and_rename(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    target = path.resolve()  # through a symbolic link, so that the link stays one
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    draft = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            fill(stream)
            stream.flush()
            os.fsync(stream.fileno())
        draft.chmod(target.stat().st_mode if target.exists() else 0o666 & ~_umask())
        draft.replace(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
