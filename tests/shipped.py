"""The JSON Schemas that the package ships, and how they are made from the structs of the documents."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

import analyzer.report

SCHEMAS = Path(analyzer.report.__path__[0]) / "schema"
COMMANDS = ("audit", "prune", "revive", "prove", "verify", "check", "compare")


def schema_file(command: str) -> Path:
    """Where the package keeps the schema of a command's document."""
    return SCHEMAS / f"{command}.schema.json"


def schema_of(command: str) -> dict[str, Any]:
    """The JSON Schema that every document of a command satisfies, made from `Document` in report/COMMAND/json.py."""
    document = import_module(f"analyzer.report.{command}.json").Document
    title = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"deadunits {command}"}
    return {**title, **_as_written(msgspec.json.schema(document))}


def _as_written(part: Any) -> Any:
    """Everything is written always, so every property is required and none has a default."""
    if isinstance(part, list):
        return [_as_written(entry) for entry in part]
    if not isinstance(part, dict):
        return part
    entries = {key: _as_written(entry) for key, entry in part.items() if key != "default"}
    if "properties" in entries:
        entries["required"] = list(entries["properties"])
    if "description" in entries and isinstance(entries["description"], str):
        entries["description"] = " ".join(entries["description"].split())
    return entries
