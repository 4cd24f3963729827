"""Laws: run in parts, wherever it is taken apart, a model gives what it gives as a whole, and so do its audits."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import analyzer
from analyzer import Data, Run
from analyzer.probes.probe import open_probe
from analyzer.runtime import between_parts, in_parts, session
from analyzer.runtime.in_parts import run_in_parts
from analyzer.runtime.loading import load_model
from analyzer.runtime.opening import Optimization
from analyzer.runtime.session import Session
from tests.laws.shards import without_time

SAMPLES = Path(__file__).parents[2] / "sample_models"
MODELS = sorted(folder.name for folder in SAMPLES.iterdir() if (folder / "model.onnx").exists())
#: Of these the stored tensors are so small that all of them lie within the model.
TOO_SMALL = {"digits_keras_cnn", "saturated_tanh", "wine_sklearn_mlp"}
#: onnxruntime lays channels out in blocks where convolutions follow one another, and sums them in that order.
IN_BLOCKS = {"digits_cnn_dynamo", "digits_cnn_torchscript"}


@contextmanager
def _in_parts(monkeypatch: pytest.MonkeyPatch, size: int) -> Iterator[list[int]]:
    """Run in parts of about so many bytes of weights inside; the list gets how many parts each session has."""
    counts: list[int] = []
    split = Session._in_parts

    def counted(session: Session, given: Any) -> Any:
        steps = split(session, given)
        counts.append(len(steps[0]))
        return steps

    monkeypatch.setattr(in_parts, "PART", size)
    monkeypatch.setattr(Session, "_in_parts", counted)
    with run_in_parts(True):
        yield counts
    monkeypatch.setattr(Session, "_in_parts", split)


def _sizes(name: str, count: int) -> list[int]:
    """Random sizes of parts, between what the operator with the most weights has and all of them."""
    graph, chance = load_model(SAMPLES / name / "model.onnx").graph, random.Random(name)
    stored = graph.initializer_names
    bytes_of = {n: math.prod(graph.initializer_shape(n)) * graph.initializer_dtype(n).itemsize for n in stored}
    largest = max(sum(bytes_of[n] for n in {*node.inputs} & stored) for node in graph.nodes)
    return [chance.randrange(largest, sum(bytes_of.values())) for _ in range(count)]


@pytest.mark.parametrize("name", [name for name in MODELS if name not in TOO_SMALL])
@pytest.mark.parametrize("optimization", list(Optimization))
def test_outputs_are_the_same_to_the_bit(
    name: str, optimization: Optimization, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load_model(SAMPLES / name / "model.onnx")
    (batch,) = open_probe(SAMPLES / name / "probe.npz", inputs=loaded.graph.inputs).first(1)
    with Session(loaded, optimization=optimization) as session:
        whole = session.run(batch.feeds)
    for size in _sizes(name, 4):
        with _in_parts(monkeypatch, size) as counts, Session(loaded, optimization=optimization) as session:
            parts = session.run(batch.feeds)
        assert counts[0] > 1
        for output, array in whole.items():
            if name in IN_BLOCKS and optimization is Optimization.ALL:
                np.testing.assert_allclose(parts[output], array, rtol=1e-4, atol=1e-5)
            else:
                np.testing.assert_array_equal(parts[output], array)


def test_a_weight_that_is_larger_than_a_part_may_change_last_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not laid out anew, so that onnxruntime adds its products up in another order."""
    folder = SAMPLES / "digits_mlp_killed"
    loaded = load_model(folder / "model.onnx")
    (batch,) = open_probe(folder / "probe.npz", inputs=loaded.graph.inputs).first(1)
    with Session(loaded) as session:
        whole = session.run(batch.feeds)
    with _in_parts(monkeypatch, 1 << 12), Session(loaded) as session:
        parts = session.run(batch.feeds)
    for output, array in whole.items():
        np.testing.assert_allclose(parts[output], array, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in MODELS if name not in TOO_SMALL])
def test_audits_and_cuts_are_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, probe = SAMPLES / name / "model.onnx", SAMPLES / name / "probe.npz"
    whole = analyzer.audit(model, probe, run=Run(stream=False))
    cut = whole.prune(latency=False)
    (size,) = _sizes(name, 1)
    with _in_parts(monkeypatch, size) as counts:
        parts = analyzer.audit(model, probe, run=Run(stream=True))
        cut_in_parts = parts.prune()
    assert max(counts) > 1
    assert _facts(parts, exact=name not in IN_BLOCKS) == _facts(whole, exact=name not in IN_BLOCKS)
    assert cut_in_parts.facts.latency is None
    # the file states how far outputs are apart, in as many digits as that number has
    after = [replace(c.facts.after, bytes=0 if name in IN_BLOCKS else c.facts.after.bytes) for c in (cut, cut_in_parts)]
    assert after[0] == after[1]
    assert cut_in_parts.comparison is None or cut_in_parts.comparison.within


@pytest.mark.parametrize("kept", [1000, 1 << 27])
@pytest.mark.parametrize("name", [name for name in MODELS if name not in TOO_SMALL | IN_BLOCKS])
def test_whatever_lies_in_files_between_parts_feeds_of_a_pass_show_the_same(
    name: str, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data = SAMPLES / name / "model.onnx", Data(SAMPLES / name / "probe.npz", limit=20)
    run, (size,) = Run(stream=True, batch_size=2), _sizes(name, 1)
    with _in_parts(monkeypatch, size) as counts:
        with monkeypatch.context() as patch:
            patch.setattr(session, "MOST_TOGETHER", 1)
            expected, statistics = analyzer.audit(model, data, run=run), analyzer.take_statistics(model, data, run=run)
        monkeypatch.setattr(between_parts, "KEPT", kept)
        found, again = analyzer.audit(model, data, run=run), analyzer.take_statistics(model, data, run=run)
        cut = found.prune()
    assert max(counts) > 1
    assert found.to_dict() == expected.to_dict()
    assert without_time(again) == without_time(statistics)
    assert cut.comparison is None or cut.comparison.within


def _facts(audit: analyzer.Audit, *, exact: bool) -> Any:
    document = audit.to_dict()
    if exact:
        return document
    return [(layer["value"], layer["dead"], layer["near_dead"]) for layer in document["layers"]]
