"""Whoever runs the blocks, what they show is the same to the bit, and so is what is said where they cannot be run."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import analyzer
from analyzer import Data, InputError, Run
from tests.laws.shards import differences, shards, without_time
from tests.models import branching, parse
from tests.random_graphs.generator import make
from tests.random_graphs.quantised import make_dynamic
from tests.random_graphs.recurrent import make_recurrent

SAMPLES = Path(__file__).parents[2] / "sample_models"
MODELS = ("digits_cnn_dynamo", "digits_transformer", "digits_gru_streaming", "saturated_tanh")
COUNTS = (2, 7, 64) if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else (2,)
KILLED = SAMPLES / "digits_mlp_killed"


def run(engine: str, batch_size: int = 4) -> Run:
    return Run(batch_size=batch_size, engine=engine)


def the_same(model: Any, data: Data, engine: str, batch_size: int = 4) -> None:
    local = analyzer.take_statistics(model, data, run=run("local", batch_size))
    assert without_time(analyzer.take_statistics(model, data, run=run(engine, batch_size))) == without_time(local)


@pytest.mark.parametrize("name", MODELS)
def test_processes_show_what_one_process_shows(name: str) -> None:
    the_same(SAMPLES / name / "model.onnx", Data(SAMPLES / name / "probe.npz", limit=103), "processes:2")


@pytest.mark.parametrize("maker", [make, make_dynamic, make_recurrent])
def test_random_graphs(maker: Any) -> None:
    made = maker(3)
    the_same(made.model.SerializeToString(), Data(dict(made.probe)), "processes:2", 2)


@pytest.mark.parametrize("count", COUNTS)
def test_shards_of_processes_merge_to_the_whole(count: int) -> None:
    model, data = KILLED / "model.onnx", Data(KILLED / "probe.npz", limit=150)
    whole = analyzer.take_statistics(model, data, run=run("local", 2))
    parts = shards(model, data, count, run("processes:2", 2))
    random.Random(count).shuffle(parts)
    assert without_time(analyzer.merge_statistics(parts)) == without_time(whole)


@pytest.mark.parametrize("broken", [np.nan, 1e30])
def test_samples_that_are_not_finite_or_large(broken: float) -> None:
    folder = SAMPLES / "digits_cnn_dynamo"
    with np.load(folder / "probe.npz") as archive:
        arrays = {name: archive[name][:40].copy() for name in archive.files}
    for array in arrays.values():
        array[[3, 17, 38], ..., 5] = broken
    the_same(folder / "model.onnx", Data(arrays), "processes:2")


def some_rows(others: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Rows of positive numbers; so many of them are negative."""
    rows = np.abs(np.random.default_rng(0).standard_normal((24, 1, 3))).astype(np.float32)
    rows[5 : 5 + others] *= -1
    return rows


@pytest.mark.parametrize("others", [0, 1])
def test_a_branch_that_few_samples_take_is_seen_by_workers(others: int) -> None:
    model, data = branching().SerializeToString(), Data(some_rows(others))
    the_same(model, data, "processes:2", 1)
    local, elsewhere = (
        analyzer.audit(model, data, run=run(engine, 1)).to_dict() for engine in ("local", "processes:2")
    )
    assert not [*differences(local, elsewhere)]


@pytest.mark.parametrize("name", ["digits_mlp_killed", "digits_cnn_dynamo"])
def test_an_audit_by_processes_is_the_audit(name: str) -> None:
    folder = SAMPLES / name
    data = Data(folder / "probe.npz", folder / "holdout.npz", limit=120)
    local, elsewhere = (
        analyzer.audit(folder / "model.onnx", data, run=run(engine)).to_dict() for engine in ("local", "processes:2")
    )
    assert not [*differences(local, elsewhere)]
    assert local["layers"]


def test_a_smaller_model_by_processes_is_the_smaller_model() -> None:
    made = [
        analyzer.prune(KILLED / "model.onnx", KILLED / "probe.npz", latency=False, run=Run(engine=engine))
        for engine in ("local", "processes:1")
    ]
    assert made[0].facts.removed_units == made[1].facts.removed_units
    assert made[0].facts.after == made[1].facts.after


def lookup() -> bytes:
    """A row of a table by its id: ids from 4 on are refused by a run."""
    return parse(
        "g (int64[N] ids) => (float[N, 3] y) { e = Gather<axis=0>(table, ids)\ny = Relu(e) }",
        {"table": np.ones((4, 3), np.float32)},
    ).SerializeToString()


def feeds(last: Any) -> Iterator[dict[str, Any]]:
    """A generator, whose last sample is none."""
    for _ in range(11):
        yield {"ids": np.zeros(1, np.int64)}
    yield {"ids": last}


@pytest.mark.parametrize("last", [np.array([9]), np.array(["9"]), np.zeros((1, 2, 3)), None], ids=str)
def test_what_is_wrong_with_a_sample_is_said_in_the_same_words(last: Any) -> None:
    said = []
    for engine in ("local", "processes:2"):
        with pytest.raises(InputError) as error:
            analyzer.take_statistics(lookup(), Data(feeds(last)), run=run(engine, 2))
        said.append((type(error.value), str(error.value)))
    assert said[0] == said[1]


def test_a_generator_is_read_here() -> None:
    def once() -> Iterator[dict[str, Any]]:
        for number in range(40):
            yield {"ids": np.array([number % 4])}

    seen = [analyzer.take_statistics(lookup(), Data(once()), run=run(e)) for e in ("local", "processes:2")]
    assert seen[0].samples == seen[1].samples == 40
    assert without_time(seen[0]) == without_time(seen[1])


def test_presets_that_count_positions_are_refused() -> None:
    with pytest.raises(InputError, match="counts positions"):
        analyzer.audit(KILLED / "model.onnx", KILLED / "probe.npz", run=run("processes:1"), thresholds="apoz")


def looping(body: str) -> bytes:
    """As many rounds as the largest number of a sample says."""
    text = f"""g (float[n, 4] x) => (float[n, 4] y) {{
        more = Constant <value = bool {{1}}> ()
        m = ReduceMax<keepdims=0>(x)
        rounds = Cast<to=7>(m)
        h = Loop (rounds, more, x) <body = body (int64 i, bool c, float[n, 4] a) => (bool co, float[n, 4] b) {{
            co = Identity(c) {body} }}>
        y = Relu(h)
    }}"""
    return parse(text, {}).SerializeToString()


@pytest.mark.parametrize(
    "body", ["one = Constant <value_float = 1.0> () b = Add(a, one)", "b = Identity(a)"], ids=["adds", "nothing"]
)
def test_a_run_without_end_is_ended_in_a_worker_too(body: str) -> None:
    rows = np.ones((12, 4), np.float32)
    rows[9] = 1e18
    limited = Run(batch_size=1, run_limit=0.5, engine="processes:2")
    with pytest.raises(InputError, match=r"longer than 0\.5 s, maybe in a loop: raise the limit"):
        analyzer.take_statistics(looping(body), Data(rows), run=limited)
