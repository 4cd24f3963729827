"""Statistics of shards, merged in any order, are those of one run to the bit; an audit of them is that of the data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analyzer import Data, Run
from tests.laws.shards import merged_is_whole, reports_the_same
from tests.random_graphs.generator import make
from tests.random_graphs.quantised import make_dynamic
from tests.random_graphs.recurrent import make_recurrent

SAMPLES = Path(__file__).parents[2] / "sample_models"
MODELS = ("digits_mlp_killed", "digits_cnn_dynamo", "digits_transformer", "digits_gru_streaming", "saturated_tanh")


def of_sample(name: str, limit: int) -> tuple[Path, Data]:
    folder = SAMPLES / name
    return folder / "model.onnx", Data(folder / "probe.npz", limit=limit)


@pytest.mark.parametrize("name", MODELS)
def test_shards_of_sample_models_merge_to_the_whole(name: str, tmp_path: Path) -> None:
    merged_is_whole(*of_sample(name, 26), 7, Run(batch_size=4), tmp_path)  # the last block is cut short


@pytest.mark.parametrize(("count", "limit"), [(1, 45), (2, 45), (64, 103)])  # of 64 some are empty
def test_1_2_and_64_shards_merge_to_the_whole(count: int, limit: int, tmp_path: Path) -> None:
    merged_is_whole(*of_sample("digits_mlp_killed", limit), count, Run(batch_size=2), tmp_path)


@pytest.mark.parametrize("name", MODELS)
def test_an_audit_of_statistics_is_the_audit_of_the_data(name: str) -> None:
    reports_the_same(*of_sample(name, 300), Run(batch_size=16))


@pytest.mark.parametrize("preset", ["strict", "sagemaker"])
def test_presets_judge_statistics_as_they_judge_data(preset: str) -> None:
    reports_the_same(*of_sample("saturated_tanh", 100), Run(), thresholds=preset)


@pytest.mark.parametrize("maker", [make, make_dynamic, make_recurrent])
@pytest.mark.parametrize("seed", range(2))
def test_random_graphs(maker: object, seed: int, tmp_path: Path) -> None:
    made = maker(seed)  # type: ignore[operator]
    model, data = made.model.SerializeToString(), Data(dict(made.probe))
    merged_is_whole(model, data, 2, Run(batch_size=2), tmp_path)
    reports_the_same(model, data, Run(batch_size=2))


@pytest.mark.parametrize("broken", [np.nan, -np.inf, 1e30])
def test_samples_that_are_not_finite_or_large_show_in_one_shard_as_in_all(broken: float, tmp_path: Path) -> None:
    folder = SAMPLES / "digits_cnn_dynamo"
    with np.load(folder / "probe.npz") as archive:
        arrays = {name: archive[name][:40].copy() for name in archive.files}
    for array in arrays.values():
        array[[3, 17, 38], ..., 5] = broken
    merged_is_whole(folder / "model.onnx", Data(arrays), 3, Run(batch_size=4), tmp_path)
    reports_the_same(folder / "model.onnx", Data(arrays), Run(batch_size=4))
