"""JSON documents: typed structs and their text. Within a schema's version fields are only ever added."""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar

import msgspec

from analyzer.version import __version__

Shown = TypeVar("Shown")

_UNPRINTABLE = re.compile("[^ -~\n]")  # or not: most of them are letters


class Tool(msgspec.Struct, frozen=True):
    """What wrote the document."""

    name: str = "deadunits"
    version: str = __version__


def shown_as(kind: type[Shown], facts: object) -> Shown:
    """Facts as a struct: each of its fields is the attribute of that name."""
    return msgspec.convert(facts, kind, from_attributes=True)


def plain(kind: type[Shown], facts: object) -> dict[str, Any]:
    """The same as dicts and lists."""
    return dict(msgspec.to_builtins(shown_as(kind, facts)))


def text_of(document: msgspec.Struct) -> str:
    """The document as JSON that ends in a newline; what is not finite is null."""
    try:
        return escaped(msgspec.json.format(msgspec.json.encode(document), indent=1).decode()) + "\n"
    except UnicodeEncodeError:
        # Half a character, as in the name of a file that is not UTF-8, can only be written as an escape.
        finite = json.loads(json.dumps(msgspec.to_builtins(document)), parse_constant=lambda _: None)
        return json.dumps(finite, indent=1) + "\n"


def escaped(text: str) -> str:
    """The same JSON with escapes for what a terminal would obey: DEL, C1, and marks that turn the order of a line.

    JSON itself escapes only C0.
    """
    return _UNPRINTABLE.sub(lambda match: match[0] if match[0].isprintable() else json.dumps(match[0])[1:-1], text)
