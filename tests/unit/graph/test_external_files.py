"""Models whose files are links into a cache, as Hugging Face keeps them, load and run as plain ones do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import analyzer
from analyzer.errors import ModelError
from analyzer.runtime.loading import load_model

MLP = Path("sample_models/digits_mlp_killed")
PROBE = MLP / "probe.npz"


def stored_beside(folder: Path, name: str, data: str, smallest: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    model = onnx.load(MLP / "model.onnx")
    onnx.save(model, folder / name, save_as_external_data=True, location=data, size_threshold=smallest)
    return folder / name


def cached(folder: Path, smallest: int = 0) -> Path:
    """`snapshots/1/model.onnx` and its data are links to files of other names in `blobs`."""
    blobs, snapshot = folder / "blobs", folder / "snapshots" / "1"
    snapshot.mkdir(parents=True)
    stored_beside(blobs, "m", "model.onnx_data", smallest)
    (blobs / "m").rename(blobs / "aaa")
    (blobs / "model.onnx_data").rename(blobs / "bbb")
    (snapshot / "model.onnx").symlink_to("../../blobs/aaa")
    (snapshot / "model.onnx_data").symlink_to("../../blobs/bbb")
    return snapshot / "model.onnx"


@pytest.mark.parametrize("smallest", [0, 10_000])
def test_a_model_in_a_cache_of_links_is_audited_cut_and_copied(tmp_path: Path, smallest: int) -> None:
    """With the larger limit some weights lie in the model's own file, which onnxruntime reads them from."""
    path = cached(tmp_path, smallest)
    found, plain = analyzer.audit(path, PROBE), analyzer.audit(MLP / "model.onnx", PROBE)
    assert [layer.dead for layer in found.layers] == [layer.dead for layer in plain.layers]
    pruned = found.prune(latency=False)
    target = tmp_path / "out" / "small.onnx"
    target.parent.mkdir()
    pruned.save(target)
    assert analyzer.audit(target, PROBE).facts.dead == 0


def test_a_model_in_a_cache_has_the_fingerprint_of_a_plain_one(tmp_path: Path) -> None:
    plain = stored_beside(tmp_path / "plain", "model.onnx", "model.onnx_data")
    assert load_model(cached(tmp_path / "cache")).sha256 == load_model(plain).sha256


def test_a_link_to_a_model_finds_the_data_beside_the_model(tmp_path: Path) -> None:
    model = stored_beside(tmp_path / "real", "model.onnx", "weights.bin")
    link = tmp_path / "link.onnx"
    link.symlink_to(model)
    assert analyzer.audit(link, PROBE).facts.dead == 100


def test_a_linked_model_with_its_data_beside_the_link_runs(tmp_path: Path) -> None:
    model = stored_beside(tmp_path / "real", "m.onnx", "weights.bin")
    folder = tmp_path / "here"
    folder.mkdir()
    (model.parent / "weights.bin").rename(folder / "weights.bin")
    (folder / "model.onnx").symlink_to(model)
    assert analyzer.audit(folder / "model.onnx", PROBE).facts.dead == 100


def test_a_link_in_a_cache_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    path = cached(tmp_path)
    data = path.with_name("model.onnx_data")
    secret = tmp_path / "secret"
    secret.write_bytes(data.read_bytes())
    data.unlink()
    data.symlink_to(secret)
    with pytest.raises(ModelError, match="outside its folder"):
        load_model(path)


def test_weights_of_a_cached_model_are_read(tmp_path: Path) -> None:
    weights = load_model(cached(tmp_path)).graph.constant("0.weight")
    plain = load_model(MLP / "model.onnx").graph.constant("0.weight")
    assert weights is not None
    assert plain is not None
    assert np.array_equal(weights, plain)


def test_data_with_a_second_name_is_read(tmp_path: Path) -> None:
    """Backups and data caches link files hard."""
    path = stored_beside(tmp_path, "model.onnx", "weights.bin")
    (tmp_path / "kept").hardlink_to(tmp_path / "weights.bin")
    assert analyzer.audit(path, PROBE).facts.dead == 100
