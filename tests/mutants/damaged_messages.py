"""Damage without meaning: a field of a protobuf message changed, removed or repeated, or some bytes of a file."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

NUMBERS = (0, 1, 2, 3, -1, -2, 7, 255, 1 << 20, 1 << 31, (1 << 63) - 1, -(1 << 63))
REALS = (0.0, -1.0, 1.0, 1e30, float("nan"), float("inf"))
WORDS = (
    "",
    "x",
    "y",
    "Relu",
    "Conv",
    "Gemm",
    "Loop",
    "If",
    "com.microsoft",
    "ai.onnx.ml",
    "axis",
    "B",
    "\u202e",
    "\x1b[2J",
)
INTEGER = (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_ENUM)
UNSIGNED = (FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64)


def damaged_bytes(random: Random, content: bytes) -> bytes:
    """The content with some bytes overwritten, cut out, repeated or cut off at the end."""
    data = bytearray(content or b"\x00")
    for _ in range(random.randint(1, 4)):
        place = random.randrange(len(data))
        match random.choice(("overwrite", "overwrite", "remove", "repeat", "end")):
            case "overwrite":
                data[place] = random.randrange(256)
            case "remove":
                del data[place : place + random.randint(1, 16)]
            case "repeat":
                data[place:place] = data[place : place + random.randint(1, 64)]
            case "end":
                del data[place:]
        data = data or bytearray(b"\x00")
    return bytes(data)


def damage_field(random: Random, message: Message) -> None:
    """Change one field of one message in it, each kind of message as likely as another."""
    by_kind: dict[str, list[Message]] = {}
    for inner in _messages(message):
        by_kind.setdefault(inner.DESCRIPTOR.name, []).append(inner)
    message = random.choice(by_kind[random.choice(sorted(by_kind))])
    fields = list(message.DESCRIPTOR.fields) if random.random() < 0.2 else [f for f, _ in message.ListFields()]
    if not fields:
        return
    field: Any = random.choice(fields)  # of a descriptor's two implementations
    if field.is_repeated:
        _change_list(random, getattr(message, field.name), field)
    elif random.random() < 0.25:
        message.ClearField(field.name)
    elif field.cpp_type != FieldDescriptor.CPPTYPE_MESSAGE:
        setattr(message, field.name, _value(random, field, getattr(message, field.name)))


def _messages(message: Message) -> Iterator[Message]:
    yield message
    for field, value in message.ListFields():
        if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
            for inner in value if field.is_repeated else (value,):
                yield from _messages(inner)


def _change_list(random: Random, entries: Any, field: Any) -> None:
    place = random.randrange(len(entries)) if len(entries) else None
    kind = random.choice(("remove", "repeat", "change", "clear"))
    if kind == "clear":
        del entries[:]
    elif kind == "remove" and place is not None:
        del entries[place]
    elif field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
        if place is not None:
            entries.add().CopyFrom(entries[place])
    elif kind == "change" and place is not None:
        entries[place] = _value(random, field, entries[place])
    else:
        entries.append(_value(random, field, None))


def _value(random: Random, field: Any, before: Any) -> Any:
    """Another value of the field's type; one that it cannot hold is cut to what fits."""
    if field.cpp_type in INTEGER:
        if field.enum_type is not None:
            return random.choice([v.number for v in field.enum_type.values])
        value = random.choice(NUMBERS)
        return value if field.cpp_type == FieldDescriptor.CPPTYPE_INT64 else max(min(value, 2**31 - 1), -(2**31))
    if field.cpp_type in UNSIGNED:
        return abs(random.choice(NUMBERS)) % 2**31
    if field.type == FieldDescriptor.TYPE_BYTES:
        return damaged_bytes(random, before or b"\x00")
    if field.type == FieldDescriptor.TYPE_STRING:
        return random.choice(WORDS)
    return random.choice(REALS)
