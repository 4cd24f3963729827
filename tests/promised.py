"""What every JSON document must satisfy: the schema that we ship, and what its version promised from the beginning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema

from tests.shipped import schema_of

PROMISED = Path(__file__).parent / "schemas" / "promised"


def satisfies(command: str, document: Any) -> None:
    """Fails where the document does not satisfy both, or holds what the schema that we ship does not describe."""
    jsonschema.validate(document, promised(command))
    jsonschema.validate(document, closed(schema_of(command)))


def promised(command: str) -> Any:
    """The schema by which a command's documents were first written; that of a prune comes on top of the audit's."""
    own = json.loads((PROMISED / f"{command}.json").read_text(encoding="utf-8"))
    if command != "prune":
        return own
    audit = promised("audit")
    merged = {part: {**audit.get(part, {}), **own.get(part, {})} for part in ("properties", "$defs")}
    return {**own, **merged, "required": [*audit["required"], *own["required"]]}


def closed(schema: Any) -> Any:
    """The same schema, forbidding what it does not describe."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {key: closed(part) for key, part in schema.items()}
    return {**parts, "additionalProperties": False} if "properties" in schema and "type" in schema else parts
