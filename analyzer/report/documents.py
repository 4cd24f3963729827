"""JSON documents: typed structs, their text, and the JSON Schemas that are made from them.

`python -m analyzer.report.documents write|check` writes the schemas of all commands, or says whether they are current.
Within a schema's version fields are only ever added.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from analyzer.version import __version__

Shown = TypeVar("Shown")
COMMANDS = ("audit", "prune", "check", "compare")


class Tool(msgspec.Struct, frozen=True):
    """What wrote the document."""

    name: str = "deadunits"
    version: str = __version__


def shown_as(kind: type[Shown], facts: object) -> Shown:
    """Facts as a struct: each of its fields is the attribute of that name."""
    return msgspec.convert(facts, kind, from_attributes=True)


def text_of(document: msgspec.Struct) -> str:
    """The document as JSON that ends in a newline; what is not finite is null."""
    try:
        return msgspec.json.format(msgspec.json.encode(document), indent=1).decode() + "\n"
    except UnicodeEncodeError:
        # Half a character, as in the name of a file that is not UTF-8, can only be written as an escape.
        finite = json.loads(json.dumps(msgspec.to_builtins(document)), parse_constant=lambda _: None)
        return json.dumps(finite, indent=1) + "\n"


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


def schema_file(command: str) -> Path:
    """Where the package keeps the schema of a command's document."""
    return Path(__file__).parent / "schema" / f"{command}.schema.json"


def schema_text(command: str) -> str:
    """What that file must hold."""
    return json.dumps(schema_of(command), indent=1) + "\n"


def _main(arguments: Sequence[str]) -> int:
    if list(arguments) == ["write"]:
        for command in COMMANDS:
            schema_file(command).write_text(schema_text(command), encoding="utf-8")
        return 0
    if list(arguments) == ["check"]:
        old = [c for c in COMMANDS if schema_file(c).read_text(encoding="utf-8") != schema_text(c)]
        sys.stderr.writelines(f"{schema_file(c)} is out of date: run this with `write`.\n" for c in old)
        return 1 if old else 0
    sys.stderr.write("usage: python -m analyzer.report.documents write|check\n")
    return 2


if __name__ == "__main__":
    raise SystemExit(_main(sys.argv[1:]))
