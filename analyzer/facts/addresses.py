"""Addresses where people give the path of a model: `https://…`, `hf://org/repo/file.onnx`, `file:///…`."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)  # of two letters at least: one is a drive of Windows
_USER = re.compile(r"(?<!hf:)//[^/@]*@")  # where @ stands behind the name of a repository, a revision follows
_QUERY = re.compile(r"[?#].*?(?=::|$)")


def is_address(given: object) -> bool:
    """Whether a text is an address; one of a local file is a path like any other."""
    return isinstance(given, str) and _SCHEME.match(given) is not None and not given.lower().startswith("file:")


def as_path(given: str | Path) -> Path:
    """The path, also of an address of a local file."""
    if not (isinstance(given, str) and given.lower().startswith("file://")):
        return Path(given)
    from urllib.request import url2pathname  # with all that it takes to speak to a server

    return Path(url2pathname(urlsplit(given).path))


def within(folder: str | Path, name: str) -> str | Path:
    """A file in a folder, which may be an address."""
    return f"{str(folder).rstrip('/')}/{name}" if is_address(folder) else Path(folder) / name


def beside(file: str, name: str) -> str:
    """Another file in the folder of one, which may be at an address."""
    return f"{file.rpartition('/')[0]}/{name}" if is_address(file) else str(Path(file).parent / name)


def without_secrets(address: str) -> str:
    """An address as reports may show it: without the name of a user, a password, and what stands behind a `?`."""
    return _QUERY.sub("", _USER.sub("//", address)) if is_address(address) else address
