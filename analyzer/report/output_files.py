"""Where we write: never over an input, and known before the long work starts."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from analyzer.errors import OutputError
from analyzer.facts.addresses import is_address, without_secrets
from analyzer.report.outputs_elsewhere import folder_and_name, place_of, standing_in


def check_output(path: str | Path, inputs: Iterable[Path] = ()) -> Path:
    """The path, once it is sure that a file can be written there; to be asked before the long work starts.

    What an address names is written to a file here that stands in for it.

    Raises:
        OutputError: it is an input or lies inside an input folder, or the folder is missing or not writable.
    """
    given = [_place(input_) for input_ in inputs]
    files = [there for system, there in given if not system]
    target = Path(path)
    try:
        if not (isinstance(path, str) and is_address(path)):
            target.resolve()
            return _checked(target, files)
        folder_and_name(path)
        system, there = place_of(path)
        if system:
            taken = any(system == other and (there == held or held in there.parents) for other, held in given)
        else:
            taken = _is_among(there, files)
    except (OSError, RuntimeError, ValueError) as error:  # a name too long, links in a circle, a NUL
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"{without_secrets(str(path))} cannot be written: {reason}.") from error
    if taken:
        raise OutputError(f"{without_secrets(path)} is an input of this audit: write the result somewhere else.")
    return standing_in(path)


def _place(given: Path) -> tuple[str, Path]:
    try:
        return place_of(given)
    except OutputError:  # nothing that could be written to
        return "", given


def _is_among(target: Path, inputs: Iterable[Path]) -> bool:
    """Whether a file is one of these, or lies in one of them."""
    return any(
        target.exists() and given.exists() and (target.samefile(given) or given.resolve() in target.resolve().parents)
        for given in inputs
    )


def _checked(target: Path, inputs: Iterable[Path]) -> Path:
    if _is_among(target, inputs):
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
