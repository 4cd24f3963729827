"""Where we write: never over an input, and known before the long work starts."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from analyzer.errors import OutputError
from analyzer.facts.addresses import is_address, without_secrets
from analyzer.report.outputs_elsewhere import standing_in


def check_output(path: str | Path, inputs: Iterable[Path] = ()) -> Path:
    """The path, once it is sure that a file can be written there; to be asked before the long work starts.

    What an address names is written to a file here that stands in for it.

    Raises:
        OutputError: it is an input or lies inside an input folder, or the folder is missing or not writable.
    """
    if isinstance(path, str) and is_address(path):
        there = Path(path)
        if any(there == given or given in there.parents for given in inputs):
            raise OutputError(f"{without_secrets(path)} is an input of this audit: write the result somewhere else.")
        return standing_in(path)
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
    writable = target if is_special(target) else target.parent
    if not os.access(writable, os.W_OK):
        raise OutputError(f"{target} cannot be written: no permission to write to {writable}.")
    return target


def is_special(path: Path) -> bool:
    """Whether a pipe or a device is there, which is written to and never replaced."""
    return path.exists() and not path.is_file()
