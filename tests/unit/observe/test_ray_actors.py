"""The engine of Ray: what actors show is the same to the bit, whoever is killed; its data sets are probes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import analyzer
from analyzer import Data, InputError, Run, Statistics
from analyzer.facts.engine import Engine
from analyzer.observe.block_observer import Setup
from analyzer.probes.probe import open_probe
from analyzer.runtime.loading import load_model
from analyzer.runtime.providers import Provider
from tests.laws.shards import shards, without_time
from tests.models import parse

ray = pytest.importorskip("ray")
pytest.importorskip("ray.data")
from analyzer.observe import ray_actors  # noqa: E402

ROOT = Path(__file__).parents[3]
SAMPLES = ROOT / "sample_models"
KILLED = SAMPLES / "digits_mlp_killed"
COUNTS = (2, 7, 64) if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else (2,)
PATIENCE = 120.0

pytestmark = pytest.mark.filterwarnings("ignore")  # of Ray's


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    ray.init(address="local", num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()


def taken(model: Any, data: Any, engine: str) -> Statistics:
    return analyzer.take_statistics(model, data, run=Run(batch_size=4, engine=engine))


@pytest.mark.parametrize("name", ["digits_cnn_dynamo", "digits_gru_streaming"])
def test_actors_show_what_one_process_shows(name: str) -> None:
    model, data = SAMPLES / name / "model.onnx", Data(SAMPLES / name / "probe.npz", limit=103)
    assert without_time(taken(model, data, "ray:2")) == without_time(taken(model, data, "local"))


@pytest.mark.parametrize("count", COUNTS)
def test_shards_of_actors_merge_to_the_whole(count: int) -> None:
    model, data = KILLED / "model.onnx", Data(KILLED / "probe.npz", limit=270)
    parts = shards(model, data, count, Run(batch_size=4, engine="ray"))
    random.Random(count).shuffle(parts)
    assert without_time(analyzer.merge_statistics(parts)) == without_time(taken(model, data, "local"))


def actors() -> list[int]:
    """The processes of the actors that are alive."""
    alive = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "cmdline").read_bytes().startswith(b"ray::_Actor"):
                alive.append(int(folder.name))
        except OSError:  # it has just ended
            continue
    return alive


def test_an_actor_that_is_killed_is_replaced() -> None:
    pixels, killed = np.load(KILLED / "probe.npz")["pixels"], list[int]()

    def feeds() -> Iterator[dict[str, Any]]:
        for number, row in enumerate(pixels):
            if number == 40:
                wait_for(actors)
            if number in {40, 200} and (alive := actors()):
                killed.append(alive[0])
                os.kill(alive[0], signal.SIGKILL)
            yield {"pixels": row[None]}

    model = KILLED / "model.onnx"
    with_kills, whole = taken(model, Data(feeds()), "ray"), taken(model, Data({"pixels": pixels}), "local")
    assert killed
    assert with_kills.samples == whole.samples
    assert with_kills.fingerprint == whole.fingerprint
    one, other = (s._tallies.counted.statistics for s in (with_kills, whole))
    for value, seen in one.items():
        assert np.array_equal(seen.fired, other[value].fired)
        assert np.array_equal(seen.maximum, other[value].maximum)


def wait_for(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def in_time(work: Callable[[], Statistics]) -> Statistics:
    """What the work gives; fails where it does not end."""
    done: list[Statistics] = []
    thread = threading.Thread(target=lambda: done.append(work()), daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert done, "it does not end"
    return done[0]


@pytest.mark.parametrize(("engine", "count"), [("ray", 1), ("ray:2", 2), ("ray:3", 3)])
def test_readers_find_a_processor_beside_actors(engine: str, count: int) -> None:
    """Where actors held all that there are, it would not end."""
    pixels, others = np.load(KILLED / "probe.npz")["pixels"][:120], set(actors())

    def feeds() -> Iterator[dict[str, Any]]:
        yield from ({"pixels": row[None]} for row in pixels[:60])
        wait_for(lambda: len(set(actors()) - others) == count)
        for row in ray.data.from_numpy(pixels[60:]).map_batches(lambda batch: batch).iter_rows():
            yield {"pixels": row["data"][None]}

    read = in_time(lambda: taken(KILLED / "model.onnx", Data(feeds()), engine))
    assert read.fingerprint == taken(KILLED / "model.onnx", Data({"pixels": pixels}), "local").fingerprint


@pytest.mark.parametrize("engine", ["local", "ray"])
def test_data_sets_are_read_in_order(engine: str) -> None:
    pixels = np.load(KILLED / "probe.npz")["pixels"][:120]

    def slow_and_slower_at_first(batch: dict[str, Any]) -> dict[str, Any]:
        time.sleep(2.0 if (batch["data"][0] == pixels[0]).all() else 0.3)
        return batch

    data_set = ray.data.from_numpy(pixels).repartition(30).map_batches(slow_and_slower_at_first)
    model = KILLED / "model.onnx"
    read = in_time(lambda: taken(model, Data(data_set), engine))
    assert read.fingerprint == taken(model, Data({"pixels": pixels}), "local").fingerprint
    assert read.samples == read.total == 120


def test_rows_of_a_table_labels_and_lengths_that_differ() -> None:
    inputs = load_model(KILLED / "model.onnx").graph.inputs
    pixels = np.load(KILLED / "probe.npz")["pixels"][:20]
    named = ray.data.from_items([{"pixels": row, "label": i % 10} for i, row in enumerate(pixels)])
    columns = ray.data.from_items([{f"c{i}": float(x) for i, x in enumerate(row)} for row in pixels])
    expected = open_probe({"pixels": pixels}, inputs).fingerprint
    assert open_probe(named, inputs).fingerprint == expected
    assert [found.name for found in open_probe(named, inputs).labels] == ["label"]
    assert (
        open_probe(columns, inputs).fingerprint == open_probe({"pixels": pixels.astype(np.float64)}, inputs).fingerprint
    )
    sequences = load_model(parse("g (float[N, L] x) => (float[N, L] y) { y = Relu(x) }").SerializeToString())
    uneven = ray.data.from_items([{"x": np.ones(2 + i % 3, np.float32)} for i in range(9)])
    shapes = [batch.feeds["x"].shape for batch in open_probe(uneven, sequences.graph.inputs).batches(1)]
    assert shapes == [(1, 2 + i % 3) for i in range(9)]


def test_what_is_wrong_is_said_in_the_same_words() -> None:
    lookup = parse(
        "g (int64[N] ids) => (float[N, 3] y) { e = Gather<axis=0>(table, ids)\ny = Relu(e) }",
        {"table": np.ones((4, 3), np.float32)},
    ).SerializeToString()
    said = []
    for engine in ("local", "ray"):
        with pytest.raises(InputError) as error:
            taken(lookup, Data({"ids": np.arange(12) // 2}), engine)
        said.append((type(error.value), str(error.value)))
    assert said[0] == said[1]


def test_actors_declare_what_they_need() -> None:
    def needs(engine: str, threads: int | None = None, provider: str = "CPU", **resources: float) -> object:
        setup = Setup(None, 0.0, threads, Provider(f"{provider}ExecutionProvider"))  # type: ignore[arg-type]
        return ray_actors._actors(resources, Engine.of(engine), setup)

    assert needs("ray", CPU=8) == (7, {"num_cpus": 1})  # one is for what reads the data
    assert needs("ray", 2, CPU=8) == (3, {"num_cpus": 2})
    assert needs("ray:8", CPU=8) == (8, {"num_cpus": 0})  # nothing waits for ever
    assert needs("ray", CPU=1) == (1, {"num_cpus": 0})
    assert needs("ray", provider="CUDA", CPU=8, GPU=2) == (2, {"num_cpus": 1, "num_gpus": 1})
    with pytest.raises(InputError, match="knows of no GPU"):
        needs("ray", provider="CUDA", CPU=8)


@pytest.mark.usefixtures("heeded_signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_is_ended_takes_its_cluster_with_it(number: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        f"import time, numpy as np\ndef feeds():\n    for row in np.load({str(KILLED / 'probe.npz')!r})['pixels']:\n"
        "        time.sleep(0.2)\n        yield row[None]\n"
    )
    words = ["observe", KILLED / "model.onnx", "--probe", tmp_path / "slow.py:feeds", "-o", tmp_path / "out.stats"]
    others = set(actors())
    process = subprocess.Popen(
        [sys.executable, "-m", "analyzer", *map(str, words), "--engine", "ray", "-q", "--checkpoint", "0"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    wait_for(lambda: (tmp_path / "out.stats.partial").exists())
    assert set(actors()) - others
    os.killpg(process.pid, number)
    said = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 128 + number
    assert said.count("\n") == 1, said
    wait_for(lambda: not set(actors()) - others)
