"""Models whose files are links into a cache, as Hugging Face keeps them, load and run as plain ones do."""

from __future__ import annotations

import os
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import onnx
import pytest

import analyzer
from analyzer.errors import ModelError, OutputError
from analyzer.runtime.loading import load_model
from analyzer.runtime.session import Session
from tests.models import parse

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


def swapped(data: Path, folder: Path) -> None:
    """A link that leads out of the model's folder takes the place of the data, of the same size and time."""
    outside, status = folder / "outside.bin", data.stat()
    outside.write_bytes(bytes(len(data.read_bytes())))
    os.utime(outside, ns=(status.st_atime_ns, status.st_mtime_ns))
    data.unlink()
    data.symlink_to(outside)


def rewritten(data: Path, folder: Path) -> None:
    data.write_bytes(bytes(len(data.read_bytes())))
    os.utime(data, ns=(1, 1))


@pytest.mark.parametrize("change", [swapped, rewritten])
@pytest.mark.parametrize("reader", ["weights", "session", "sent graph", "sent model", "sent copy"])
def test_data_that_has_changed_is_never_read(change: Callable[[Path, Path], None], reader: str, tmp_path: Path) -> None:
    path = stored_beside(tmp_path / "model", "model.onnx", "weights.bin")
    loaded = load_model(path)
    things: dict[str, Callable[[], object]] = {
        "sent graph": lambda: loaded.graph,
        "sent model": lambda: loaded,
        "sent copy": loaded.copy,
    }
    sent = ForkingPickler.dumps(things[reader]()) if reader in things else b""
    change(path.with_name("weights.bin"), tmp_path)
    with pytest.raises(ModelError, match=r"changed since|outside its folder"):
        if reader == "session":
            Session(loaded)
        elif reader == "weights":
            loaded.graph.constant("0.weight")
        else:
            received = ForkingPickler.loads(sent)
            (received if reader == "sent graph" else received.graph).constant("0.weight")


def test_a_sent_copy_of_which_the_data_changed_is_refused_though_size_and_time_are_the_same(tmp_path: Path) -> None:
    path = stored_beside(tmp_path, "model.onnx", "weights.bin")
    data, sent = path.with_name("weights.bin"), ForkingPickler.dumps(load_model(path).copy())
    status = data.stat()
    data.write_bytes(bytes(status.st_size))
    os.utime(data, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(ModelError, match="changed since"):
        ForkingPickler.loads(sent)


def branching(folder: Path) -> Path:
    """An If whose branches keep their weights in `inner.bin`, behind two layers with dead units."""
    random = np.random.default_rng(0)
    text = """g (float[n, 6] x, bool f) => (float[n, 4] y)
        { a = MatMul(x, w) r = Relu(a) h = MatMul(r, v)
          y = If<then_branch = b () => (float[n, 4] p) { p = MatMul(h, U) },
                 else_branch = c () => (float[n, 4] q) { K = Constant<value = float[1] {2.0}>() q = Mul(h, K) }>(f) }"""
    w = random.standard_normal((6, 8)).astype(np.float32)
    w[:, :2] = 0
    model = parse(text, {"w": w, "v": random.standard_normal((8, 4)).astype(np.float32)})
    then, other = (a.g for a in sorted(model.graph.node[-1].attribute, key=lambda a: a.name, reverse=True))
    folder.mkdir()
    inner = np.concatenate([random.standard_normal(4 * 4), [3.0]]).astype(np.float32)
    inner.tofile(folder / "inner.bin")
    then.initializer.append(onnx.TensorProto(name="U", data_type=1, dims=[4, 4]))
    for tensor, offset in ((then.initializer[0], 0), (other.node[0].attribute[0].t, 64)):
        tensor.ClearField("float_data")
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        length = 4 if offset else 64
        for key, value in (("location", "inner.bin"), ("offset", str(offset)), ("length", str(length))):
            tensor.external_data.add(key=key, value=value)
    onnx.save(model, folder / "model.onnx")
    return folder / "model.onnx"


def test_weights_of_branches_in_files_of_their_own_count_and_go_along(tmp_path: Path) -> None:
    path = branching(tmp_path / "in")
    loaded, size = load_model(path), path.stat().st_size
    assert loaded.size == size + 17 * 4
    feeds = {"x": np.random.default_rng(1).standard_normal((5, 6)).astype(np.float32), "f": np.array(True)}
    audit = analyzer.audit(path, feeds)
    with pytest.raises(OutputError, match="is an input"):
        audit.to_json(path.with_name("inner.bin"))
    pruned = audit.prune(latency=False)
    assert pruned.changed
    (tmp_path / "out").mkdir()
    small = tmp_path / "out" / "small.onnx"
    assert [file.name for file in pruned.save(small)] == ["small.onnx"]  # none is large enough to lie beside
    for flag in (True, False):
        with Session(load_model(path)) as before, Session(load_model(small)) as after:
            one, two = (session.run({**feeds, "f": np.array(flag)})["y"] for session in (before, after))
        np.testing.assert_allclose(one, two, rtol=1e-5)


def test_an_unchanged_model_is_written_with_the_weights_of_its_branches(tmp_path: Path) -> None:
    path = branching(tmp_path / "in")
    pruned = analyzer.audit(path).prune(choice=analyzer.Choice(skip=("*",)), latency=False)
    assert not pruned.changed
    (tmp_path / "out").mkdir()
    assert len(pruned.save(tmp_path / "out" / "same.onnx")) == 2
    assert load_model(tmp_path / "out" / "same.onnx").sha256 == load_model(path).sha256


def test_the_fingerprint_is_of_the_weights_of_branches_too(tmp_path: Path) -> None:
    path = branching(tmp_path / "in")
    before = load_model(path).sha256
    data = path.with_name("inner.bin")
    data.write_bytes(bytes(data.stat().st_size))
    assert load_model(path).sha256 != before


def test_data_with_a_second_name_is_read(tmp_path: Path) -> None:
    """Backups and data caches link files hard."""
    path = stored_beside(tmp_path, "model.onnx", "weights.bin")
    (tmp_path / "kept").hardlink_to(tmp_path / "weights.bin")
    assert analyzer.audit(path, PROBE).facts.dead == 100
