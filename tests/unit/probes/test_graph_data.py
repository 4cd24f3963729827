"""Graphs, whose nodes and edges have no number of samples in common, and folders of arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analyzer.errors import ProbeError
from analyzer.graph import TensorType
from analyzer.probes.probe import open_probe

FLOAT = np.dtype("f4")
ROWS = np.arange(30, dtype=np.float32).reshape(10, 3)
GRAPH = {"x": TensorType(FLOAT, ("nodes", 3)), "edges": TensorType(np.dtype("i8"), (2, "edges"))}


def graph(nodes: int, edges: int) -> dict[str, Any]:
    random = np.random.default_rng(nodes)
    return {"x": random.normal(size=(nodes, 3)).astype("f4"), "edges": random.integers(0, nodes, (2, edges))}


def test_inputs_without_a_common_number_of_samples_are_one_feed(tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", **graph(7, 12))
    probe = open_probe(tmp_path / "p.npz", GRAPH)
    (batch,) = probe.batches(4)
    assert batch.samples == 1
    assert batch.feeds["x"].shape == (7, 3)
    assert "no number of samples in common" in probe.source
    assert [b.feeds["x"].shape for b in open_probe([graph(7, 12), graph(5, 3)], GRAPH).batches(4)] == [(7, 3), (5, 3)]


def test_a_folder_of_graphs_is_one_feed_per_file_whatever_their_sizes(tmp_path: Path) -> None:
    for i, (nodes, edges) in enumerate(((7, 12), (2, 5), (5, 5))):  # two nodes are as many as an edge has ends
        np.savez(tmp_path / f"{i}.npz", **graph(nodes, edges))
    probe = open_probe(tmp_path, GRAPH)
    assert [b.feeds["x"].shape[0] for b in probe.batches(4)] == [7, 2, 5]
    assert probe.samples == 3
    assert "each one sample" in probe.source


def test_a_folder_of_files_of_samples_is_read_one_after_another(tmp_path: Path) -> None:
    for i in range(2):
        np.savez(tmp_path / f"{i}.npz", x=ROWS[5 * i : 5 * i + 5])
    read = open_probe(tmp_path, {"x": TensorType(FLOAT, (None, 3))}).batches(4)
    assert np.concatenate([batch.feeds["x"] for batch in read]).tolist() == ROWS.tolist()


@pytest.mark.parametrize("dims", [("N", "N"), (None, None), (None, "N"), ("N", 5)])
def test_inputs_that_may_share_their_first_axis_must_agree(dims: tuple[Any, Any]) -> None:
    declared = {n: TensorType(FLOAT, (dim, 3)) for n, dim in zip(("x", "y"), dims, strict=True)}
    with pytest.raises(ProbeError, match="disagree on the number of samples"):
        open_probe({"x": ROWS[:7], "y": ROWS[:6]}, declared)
