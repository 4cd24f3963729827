"""Calls with settings, baselines and masks that something is wrong with."""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import analyzer
from tests.mutants.attempts import Attempt
from tests.mutants.damaged_arrays import one_input
from tests.mutants.damaged_messages import damaged_bytes

ODD: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1 << 70,
    1.5,
    float("nan"),
    "",
    "x",
    "5%",
    "\x1b[2J",
    [],
    {},
    [[]],
    [None],
    {"a": 1},
    [1 << 70],
    "a" * 5000,
    [-1],
    [0, 0],
    [1e999],
    ["0"],
)
SETTINGS = (
    'max-dead = "5%"',
    "max-dead = 3",
    'max-dead-layer = { "*" = 10, "r" = "50%" }',
    "min-samples = 300",
    'ignore = ["DU014"]',
    'severity = { DU014 = "error" }',
    'expect-dead = ["r:0-3,7"]',
    'baseline = "baseline.json"',
    'probe = "gone.npz"',
    'max-prunable = "10%"',
)
VALUES = (
    "1",
    "-1",
    "1e9",
    "nan",
    "inf",
    '"5%"',
    '"-5%"',
    '"200%"',
    '"x"',
    '""',
    "[]",
    "{}",
    "[1]",
    '["DU014", 3]',
    "true",
    "1979-05-27",
    '{ DU999 = "error" }',
    '{ DU014 = "fatal" }',
    '"r:9-1"',
    '["r:0-99999999999"]',
    "9" * 5000,
    '"' + "a" * 5000 + '"',
    '"\\u001b[2J"',
    '["[a"]',
    '{ "*" = [] }',
    '"/dev/zero"',
    '"."',
    '"model.onnx"',
    '"x.py:feeds"',
)


@cache
def report() -> bytes:
    """What `audit --json` wrote of the small model."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(one_input())
        return analyzer.audit(path, analyzer.Data(random=8)).report("json").encode()


def damaged_baseline(random: Random) -> Attempt:
    """An earlier report with something else in it, or bytes that are damaged."""
    content = report()
    if random.random() < 0.3:
        content = damaged_bytes(random, content)
    else:
        document = json.loads(content)
        for _ in range(random.choice([1, 1, 2])):
            document = _changed(random, document)
        content = json.dumps(document).encode(random.choice(["utf-8", "utf-8", "utf-16", "utf-8-sig"]))
    if random.random() < 0.1:
        content = random.choice(
            [b"", b"null", b"[]", b"{}", b"[" * 100_000, b'{"a":' * 5000, b"\xff", b"1e999", b"9" * 5000, b'"\\ud800"']
        )
    return Attempt(
        {"model.onnx": one_input(), "baseline.json": content},
        ("check", "model.onnx", "--random", "8", "--baseline", "baseline.json", "-q", "--no-config"),
    )


def damaged_config(random: Random) -> Attempt:
    """A settings file with odd keys and values."""
    lines = random.sample(SETTINGS, random.randint(0, 3))
    for _ in range(random.choice([0, 1, 1, 2])):
        key = random.choice(
            [
                *(line.partition(" ")[0] for line in SETTINGS),
                "nonsense",
                "max_dead",
                '""',
                "holdout",
                '"a.b"',
                "max-dead-layer.x",
            ]
        )
        lines.append(f"{key} = {random.choice(VALUES)}")
    name = random.choice(["deadunits.toml", "deadunits.toml", "pyproject.toml"])
    if name == "pyproject.toml":
        lines.insert(
            0,
            random.choice(
                ["[tool.deadunits]", "[tool.deadunits]", "[tool]\ndeadunits = 3", "tool = 1", "[[tool.deadunits]]", ""]
            ),
        )
    content = "\n".join(lines).encode()
    if random.random() < 0.25:
        content = damaged_bytes(random, content)
    chosen = random.choice([(), ("--config", name)])
    return Attempt(
        {"model.onnx": one_input(), "baseline.json": report(), name: content},
        ("check", "model.onnx", "--random", "8", "-q", *chosen),
    )


def _changed(random: Random, document: Any) -> Any:
    """The document with one of its entries replaced, removed or repeated."""
    places: list[tuple[Any, Any]] = []
    pending = [document] if isinstance(document, dict | list) else []
    while pending:
        inner = pending.pop()
        for key, value in inner.items() if isinstance(inner, dict) else enumerate(inner):
            places.append((inner, key))
            if isinstance(value, dict | list):
                pending.append(value)
    if not places or random.random() < 0.02:
        return random.choice(ODD)
    # A place that has a few others beside it, as often as one in a long list.
    near = [place for place in places if len(place[0]) < 12]
    container, key = random.choice(random.choice([places, near or places]))
    match random.choice(("replace", "replace", "replace", "remove", "repeat")):
        case "replace":
            container[key] = random.choice(ODD)
        case "remove":
            del container[key]
        case "repeat" if isinstance(container, list):
            container.append(container[key])
    return document
