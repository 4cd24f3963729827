"""Settings of `check` from a file: `deadunits.toml`, or `[tool.deadunits]` in `pyproject.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analyzer.errors import InputError
from analyzer.facts.addresses import is_address
from analyzer.facts.budgets import Budgets, budgets_of
from analyzer.facts.domain_words import is_no_file
from analyzer.regular_files import check_regular

OWN_FILE, SHARED_FILE, TABLE = "deadunits.toml", "pyproject.toml", "deadunits"
SOURCES = ("probe", "holdout", "baseline", "domain")  # paths, relative to the file's folder, or addresses of data


@dataclass(frozen=True)
class Settings:
    """What a file says: budgets, and which probe, holdout, baseline, domain; `path` is the file, if there is one."""

    budgets: Budgets
    sources: Mapping[str, str]
    path: str | None = None


def read_settings(chosen: str | None = None, start: Path | None = None) -> Settings:
    """The settings of the chosen file, else of the first that is found from `start` (here) upward; empty without one.

    Raises:
        InputError: the file cannot be read, is no TOML, or has a key or a value that makes no sense.
    """
    if chosen is not None:
        path = Path(chosen)
        table = _table(path)
        if table is None:
            raise InputError(f"{path} has no table [tool.{TABLE}]: add one, or give a {OWN_FILE}.")
        return _settings(table, path)
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        for path in (folder / OWN_FILE, folder / SHARED_FILE):
            table = _table(path) if path.is_file() else None
            if table is not None:
                return _settings(table, path)
    return Settings(Budgets(), {})


def _table(path: Path) -> Mapping[str, Any] | None:
    """Our table in a TOML file: all of it, or of a pyproject.toml the part that is ours (None: it has none)."""
    try:
        content = tomllib.loads(check_regular(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:  # broken TOML, broken UTF-8
        raise InputError(f"{path} is no TOML file: {error}.") from error
    if path.name != SHARED_FILE:
        return content
    tools = content.get("tool", {})
    table = tools.get(TABLE) if isinstance(tools, dict) else None
    if table is not None and not isinstance(table, dict):
        raise InputError(f"{path}: tool.{TABLE} is not a table: write [tool.{TABLE}].")
    return table


def _settings(table: Mapping[str, Any], path: Path) -> Settings:
    sources = {key: _source(key, value, path) for key, value in table.items() if key in SOURCES}
    return Settings(budgets_of(table, str(path), SOURCES), sources, str(path))


def _source(key: str, value: Any, path: Path) -> str:
    if not isinstance(value, str) or not value:
        raise InputError(f"{path}: {key} = {value!r} is not a path.")
    if value.rpartition(":")[0].endswith(".py") or value.endswith(".py"):
        # A settings file may lie anywhere above the working directory: what it names is read, never run.
        raise InputError(f"{path}: {key} = {value!r} would be executed: give it with --{key}.")
    stays = is_address(value) or (key == "domain" and is_no_file(value))
    return value if stays else str(path.parent / value)
