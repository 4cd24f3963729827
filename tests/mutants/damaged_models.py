"""Calls with a model that something is wrong with."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path
from random import Random

import onnx
from onnx.backend.test.case.node import collect_testcases

from tests.mutants.attempts import OUT, Attempt
from tests.mutants.damaged_graphs import DAMAGES
from tests.mutants.damaged_messages import damage_field, damaged_bytes
from tests.mutants.damaged_nodes import Files
from tests.random_graphs.generator import make

SAMPLES = Path(__file__).parents[2] / "sample_models"
LARGEST_BASE = 200_000  # bytes; larger models only make the damage rarer
DATA = ((), ("--random", "4"), ("--random", "3", "--batch-size", "2"))
CALLS = (
    ("audit", "--json", f"{OUT}/audit.json"),
    ("audit",),
    ("audit", "--html", f"{OUT}/audit.html", "--no-causes"),
    ("check", "--max-dead", "5%", "--format", "json"),
    ("prune", "-o", f"{OUT}/small.onnx", "--no-latency", "--masks", f"{OUT}/masks.npz"),
    ("prune", "-o", f"{OUT}/small.onnx", "--no-latency", "--merge-duplicates", "--residual", "params"),
)


@cache
def bases() -> tuple[bytes, ...]:
    """Small valid models: one per operator case that ONNX ships, our samples, random graphs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = [case.model.SerializeToString() for case in collect_testcases(None) if case.model is not None]
    samples = [path.read_bytes() for path in sorted(SAMPLES.glob("*/model.onnx"))]
    return tuple(content for content in (*cases, *samples * 20) if len(content) < LARGEST_BASE)


def base(random: Random) -> bytes:
    """A valid model, as often of many nodes as of one."""
    if random.random() < 0.5:
        return make(random.randrange(1 << 20)).model.SerializeToString()
    return random.choice(bases())


def damaged_graph(random: Random) -> Attempt:
    """One to three things in a model are not as an exporter writes them."""
    model, files = onnx.ModelProto.FromString(base(random)), Files()
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        random.choice(DAMAGES)(random, model, files)
    return _call(random, model.SerializeToString(), files)


def damaged_message(random: Random) -> Attempt:
    """One to three fields of a model's protobuf are changed, or some bytes of it."""
    content = base(random)
    if random.random() < 0.2:
        return _call(random, damaged_bytes(random, content), {})
    model = onnx.ModelProto.FromString(content)
    for _ in range(random.randint(1, 3)):
        damage_field(random, model)
    return _call(random, model.SerializeToString(), {})


def _call(random: Random, content: bytes, files: Files) -> Attempt:
    command, *flags = random.choice(CALLS)
    quiet = () if command == "check" else ("--quiet",)
    return Attempt({**files, "model.onnx": content}, (command, "model.onnx", *random.choice(DATA), *flags, *quiet))
