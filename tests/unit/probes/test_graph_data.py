"""Graphs, whose nodes and edges have no number of samples in common, and folders of arrays."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper

from analyzer.errors import ProbeError
from analyzer.graph import TensorType
from analyzer.probes.probe import Probe, open_probe, random_probe

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
    assert probe.source == f"{tmp_path.name} (3 files)"


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


# Nodes and edges with features, and the same with names that an exporter made up.
FEATURES = {"x": TensorType(FLOAT, ("nodes", 4)), "e": TensorType(FLOAT, ("edges", 4))}
MADE_UP = {
    "x": TensorType(FLOAT, ("unk__7", 4)),
    "e": TensorType(FLOAT, ("e_dynamic_axes_1", 4)),
}


def features(nodes: int, edges: int) -> dict[str, Any]:
    return {"x": np.full((nodes, 4), nodes, np.float32), "e": np.full((edges, 4), edges, np.float32)}


def shapes(probe: Probe) -> list[tuple[int, ...]]:
    return [tuple(len(array) for array in batch.feeds.values()) for batch in probe.batches(8)]


def series(kind: str, folder: Path, graphs: list[dict[str, Any]]) -> Any:
    """The same graphs as each kind of data with several parts."""
    if kind == "list":
        return graphs
    if kind == "generator":
        return lambda: iter(graphs)
    for i, arrays in enumerate(graphs):
        if kind == "packs":
            np.savez(folder / f"{i}.NPZ", **arrays)
            (folder / f"{i}.NPZ.npz").rename(folder / f"{i}.NPZ")
            continue
        (folder / f"test_data_set_{i}").mkdir()
        for j, array in enumerate(arrays.values()):
            content = numpy_helper.from_array(array).SerializeToString()
            (folder / f"test_data_set_{i}" / f"input_{j}.pb").write_bytes(content)
    return folder


KINDS = ["list", "generator", "packs", "data sets"]


@pytest.mark.parametrize("sizes", [[(5, 7), (6, 6)], [(6, 6), (5, 7)], [(6, 6)]])
@pytest.mark.parametrize("kind", KINDS)
def test_each_of_several_graphs_is_one_feed_whatever_its_sizes(kind: str, sizes: Any, tmp_path: Path) -> None:
    data = series(kind, tmp_path, [features(*size) for size in sizes])
    assert shapes(open_probe(data, FEATURES)) == sizes
    assert shapes(open_probe(data, FEATURES, limit=1)) == sizes[:1]


@pytest.mark.parametrize("sizes", [[(5, 7), (6, 6)], [(6, 6), (5, 7)]])
@pytest.mark.parametrize("kind", KINDS)
def test_parts_of_samples_beside_parts_that_are_one_are_refused(kind: str, sizes: Any, tmp_path: Path) -> None:
    data = series(kind, tmp_path, [features(*size) for size in sizes])
    with pytest.raises(ProbeError, match="does not say whether axis 0 counts samples: give all arrays with one axis"):
        shapes(open_probe(data, MADE_UP))
    assert shapes(open_probe([features(5, 7), features(7, 6)], MADE_UP)) == [(5, 7), (7, 6)]


@pytest.mark.parametrize("limit", [1, 3])
@pytest.mark.parametrize("sizes", [(10, 6), (6, 6)])
def test_a_limit_leaves_one_feed_as_it_is(limit: int, sizes: tuple[int, int], tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", **features(*sizes))
    for data in (tmp_path / "p.npz", features(*sizes)):
        (plain,), (limited,) = (open_probe(data, FEATURES, limit=n).batches(8) for n in (None, limit))
        assert {n: a.tolist() for n, a in limited.feeds.items()} == {n: a.tolist() for n, a in plain.feeds.items()}
        assert len(limited.feeds["x"]) == sizes[0]


def test_a_large_graph_is_not_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analyzer.probes.numpy_files.PIECES_FROM", 10)
    np.savez(tmp_path / "p.npz", **features(6, 6))
    assert shapes(open_probe(tmp_path / "p.npz", FEATURES)) == [(6, 6)]


@pytest.mark.parametrize("dims", [("unk__7", "e_dynamic_axes_1"), ("s0", "s77"), ("u0", "s0")])
def test_names_that_an_exporter_made_up_leave_samples_samples(dims: tuple[str, str]) -> None:
    made_up = {n: TensorType(FLOAT, (dim, 4)) for n, dim in zip(("x", "e"), dims, strict=True)}
    probe = open_probe(features(6, 6), made_up)
    assert probe.samples == 6
    assert shapes(open_probe([features(2, 2)] * 3, made_up)) == [(6, 6)]


@pytest.mark.parametrize("dim", ["batch", "N", "batch_size"])
def test_a_batch_is_never_one_sample(dim: str) -> None:
    declared = {"x": TensorType(FLOAT, (dim, 4)), "p": TensorType(FLOAT, (5, 4))}
    data = {"x": np.ones((32, 4), np.float32), "p": np.ones((5, 4), np.float32)}
    with pytest.raises(ProbeError, match="--constant"):
        open_probe(data, declared)
    assert open_probe(data, declared, constants=["p"]).samples == 32


def test_stacked_graphs_lie_beside_single_ones(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **(features(5, 7) | {"y": np.arange(5)}))
    stacks: dict[str, Any] = {n: np.stack([a] * 3) for n, a in features(6, 6).items()}
    np.savez(tmp_path / "b.npz", **stacks)
    assert shapes(open_probe(tmp_path, FEATURES)) == [(5, 7)] + [(6, 6)] * 3
    limited = open_probe(tmp_path, FEATURES, limit=2)
    assert shapes(limited) == [(5, 7), (6, 6)]
    assert limited.source == f"{tmp_path.name} (2 files, limit 2)"
    condition = limited.condition({}, ())
    assert condition is not None
    assert [entry.name for entry in condition.labels] == ["y"]
    with pytest.raises(ProbeError, match=r"'x' has one entry per sample.*give all inputs with one axis more"):
        open_probe(features(3, 3) | {"x": np.ones((3, 3, 4), np.float32)}, FEATURES)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes")
def test_a_pipe_in_a_folder_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p.npz")
    with pytest.raises(ProbeError, match="it is a pipe"):
        open_probe(tmp_path, FEATURES)


def test_rows_of_a_table_and_drawn_data_are_samples(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("a,b\n1,2\n3,4\n5,6\n", encoding="utf-8")
    declared = {n: TensorType(FLOAT, (f"{n}s", 1)) for n in "ab"}
    assert open_probe(tmp_path / "p.csv", declared).samples == 3
    assert shapes(random_probe(declared, samples=6)) == [(6, 6)]
