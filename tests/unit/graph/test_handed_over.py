"""Models that are no file on this machine: at addresses, as objects of other libraries."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import onnx_ir as ir
import pytest

import analyzer
from analyzer.cli.main import run
from analyzer.errors import ModelError
from analyzer.facts.addresses import as_path, is_address, without_secrets
from analyzer.graph import handed_over
from analyzer.runtime.loading import load_model

FOLDER = Path("sample_models/digits_mlp")
MODEL, PROBE = FOLDER / "model.onnx", FOLDER / "probe.npz"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """File systems of fsspec: one in memory, and one that stands in for the hub of Hugging Face."""
    fsspec = pytest.importorskip("fsspec")
    from fsspec.implementations.memory import MemoryFileSystem

    class Hub(MemoryFileSystem):  # type: ignore[misc]  # untyped
        protocol = "hf"

        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            return "/" + path.removeprefix("hf://").strip("/")

    Hub.store, Hub.pseudo_dirs = {}, [""]
    monkeypatch.setitem(sys.modules["fsspec.registry"]._registry, "hf", Hub)
    yield fsspec
    fsspec.filesystem("memory").store.clear()


@pytest.mark.parametrize("address", ["memory://models/net.onnx", "hf://org/repo/onnx/model.onnx"])
def test_a_model_at_an_address(hub: Any, address: str, capsys: pytest.CaptureFixture[str]) -> None:
    files, path = hub.core.url_to_fs(address)
    files.pipe(path, MODEL.read_bytes())
    audit = analyzer.audit(address, str(PROBE), causes=False)
    assert audit.facts.model.path == address
    assert audit.facts.model.sha256 == analyzer.audit(MODEL).facts.model.sha256
    assert run(["audit", address, "--no-causes"]) == 0
    assert address in capsys.readouterr().out


def test_a_smaller_model_is_made_of_one_at_an_address(hub: Any, tmp_path: Path) -> None:
    hub.filesystem("memory").pipe("/net.onnx", MODEL.read_bytes())
    assert run(["prune", "memory://net.onnx", "--probe", str(PROBE), "-o", str(tmp_path / "small.onnx"), "-q"]) == 0
    assert (tmp_path / "small.onnx").stat().st_size < MODEL.stat().st_size


def refusal(address: Any) -> str:
    with pytest.raises(ModelError) as refused:
        load_model(address)
    return str(refused.value)


def test_what_is_no_model_at_an_address(hub: Any) -> None:
    files = hub.filesystem("hf")
    files.pipe("/org/repo/onnx/net.onnx", MODEL.read_bytes())
    files.pipe("/org/repo/README.md", b"hello")
    such = "is a folder: name the .onnx file inside it"
    assert refusal("hf://org/repo") == f"hf://org/repo {such}, such as onnx/net.onnx."
    files.rm("/org/repo/onnx", recursive=True)
    assert refusal("hf://org/repo") == f"hf://org/repo {such} (it holds none)."
    assert refusal("hf://org/repo/no.onnx").startswith("There is nothing at hf://org/repo/no.onnx")
    assert refusal("hf://org/repo/README.md").startswith("hf://org/repo/README.md: The model is not an ONNX file")
    assert refusal("hf://org/model.safetensors").startswith("hf://org/model.safetensors is weights without a network")
    assert refusal("nosuch://net.onnx") == "nosuch://net.onnx cannot be read: Protocol not known: nosuch."


def test_a_model_whose_weights_lie_beside_it_is_refused_at_an_address(hub: Any, tmp_path: Path) -> None:
    proto = onnx.load(MODEL)
    onnx.save(proto, tmp_path / "net.onnx", save_as_external_data=True, location="net.data", size_threshold=0)
    for file in tmp_path.iterdir():
        hub.filesystem("memory").pipe(f"/{file.name}", file.read_bytes())
    said = refusal("memory://net.onnx")
    assert "in the file net.data: have both in one folder, and give the model's path." in said


@pytest.mark.parametrize("states_its_size", [True, False])
def test_a_model_that_leaves_no_room_is_not_read(
    hub: Any, states_its_size: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = hub.filesystem("hf")
    files.pipe("/large.onnx", bytes(40 << 20))
    files.pipe("/small.onnx", MODEL.read_bytes())
    monkeypatch.setattr(handed_over, "available_memory", lambda: 30 << 20)
    if not states_its_size:
        known = files.info
        monkeypatch.setattr(type(files), "info", lambda self, path: known(path) | {"size": None})
    got: list[int] = []
    opened = files.open
    monkeypatch.setattr(type(files), "open", lambda self, path, mode: Counting(opened(path, mode), got))
    has = "has 40.0 MiB" if states_its_size else "has more than 10.0 MiB"
    assert refusal("hf://large.onnx") == (
        f"hf://large.onnx {has}; an ONNX file holds at most 2 GiB, and loading takes 3 times its size of the 30.0 MiB "
        "free: download it and give its path."
    )
    assert sum(got) <= (0 if states_its_size else 11 << 20)
    assert load_model("hf://small.onnx").graph.nodes


class Counting:
    """A stream that says how much was read of it."""

    def __init__(self, stream: Any, got: list[int]) -> None:
        self._stream, self._got = stream, got

    def __enter__(self) -> Counting:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def read(self, size: int) -> bytes:
        block: bytes = self._stream.read(size)
        self._got.append(len(block))
        return block


def test_a_model_that_breaks_off_is_said(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    files = hub.filesystem("hf")
    files.pipe("/net.onnx", MODEL.read_bytes()[:20_000])
    known = files.info
    monkeypatch.setattr(type(files), "info", lambda self, path: known(path) | {"size": 30_000})
    assert refusal("hf://net.onnx") == "hf://net.onnx broke off after 20000 of 30000 bytes: try again."


def test_without_fsspec_an_address_says_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("fsspec", "fsspec.core"):
        monkeypatch.setitem(sys.modules, name, None)
    needs = "is an address, and reading it needs fsspec: pip install"
    assert refusal("hf://a/b.onnx") == f'hf://a/b.onnx {needs} "deadunits[hub]", or download it first.'
    assert refusal("https://a/b.onnx") == f'https://a/b.onnx {needs} "deadunits[urls]", or download it first.'
    assert refusal(Path("https://a/b.onnx")) == "https:/a/b.onnx is an address, and no path: give it as text."


def test_without_what_a_file_system_needs_that_is_said(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(address: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.core.url_to_fs", lacking)
    said = "cannot be read without another package:"
    assert refusal("https://a/b.onnx") == f'https://a/b.onnx {said} pip install "deadunits[urls]".'
    assert refusal("s3://a/b.onnx") == f"s3://a/b.onnx {said} Install s3fs to access S3."


SECRET = "https://me:pass@host.org/net.onnx?token=SECRET#part"


def test_no_report_and_no_error_shows_what_an_address_keeps_secret(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(address: str) -> None:
        raise OSError(f"403, message='Forbidden', url='{address}'")

    monkeypatch.setattr("fsspec.core.url_to_fs", failing)
    said = refusal(SECRET)
    assert said.startswith("https://host.org/net.onnx cannot be read: 403")
    assert "SECRET" not in said
    assert "pass" not in said
    monkeypatch.setattr("fsspec.core.url_to_fs", lambda _: (hub.filesystem("hf"), "/net.onnx"))
    hub.filesystem("hf").pipe("/net.onnx", MODEL.read_bytes())
    compared = analyzer.compare([SECRET, MODEL])
    assert [audit.facts.model.path for audit in compared.audits] == ["https://host.org/net.onnx", str(MODEL)]
    assert "SECRET" not in compared.report("json")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (SECRET, "https://host.org/net.onnx"),
        ("hf://gpt2@main/net.onnx", "hf://gpt2@main/net.onnx"),
        ("zip://a.onnx::https://u:p@h/x.zip?s=1::memory://x", "zip://a.onnx::https://h/x.zip::memory://x"),
        ("C:/what?.onnx", "C:/what?.onnx"),
        ("a/b?c#d.onnx", "a/b?c#d.onnx"),
    ],
)
def test_addresses_are_shown_without_secrets(address: str, shown: str) -> None:
    assert without_secrets(address) == shown


def test_an_address_of_a_local_file_is_its_path(tmp_path: Path) -> None:
    path = tmp_path / "my net.onnx"
    path.write_bytes(MODEL.read_bytes())
    address = path.as_uri()
    assert "%20" in address
    assert not is_address(address)
    assert as_path(address) == path
    assert load_model(address).path == path
    assert run(["prune", address, "-o", str(path), "--if-nothing", "copy"]) == 2  # an input is never written over
    assert path.read_bytes() == MODEL.read_bytes()


@pytest.mark.parametrize("external", [False, True])
def test_a_model_of_onnx_ir_stays_as_it_is(external: bool, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(onnx.load(MODEL), path, save_as_external_data=external, location="net.data", size_threshold=0)
    model = ir.load(path)
    kinds = {name: type(value.const_value) for name, value in model.graph.initializers.items()}
    audit = analyzer.audit(model, str(PROBE), causes=False)
    assert audit.facts.model.path == "<Model>"
    assert audit.facts.dead == analyzer.audit(MODEL, str(PROBE), causes=False).facts.dead == 17
    assert {name: type(value.const_value) for name, value in model.graph.initializers.items()} == kinds


def test_a_program_of_torch_is_known_by_the_model_in_it() -> None:
    program = SimpleNamespace(model=ir.load(MODEL), model_proto=None)
    assert analyzer.audit(program, str(PROBE), causes=False).facts.dead == 17


def test_models_that_are_too_large_for_a_file_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handed_over, "LARGEST_PROTO", 10_000)
    assert "as external data, and give the path" in refusal(ir.load(MODEL))


def test_what_is_no_model_is_named() -> None:
    assert refusal(3).startswith("The model is of type int: give a path, or bytes,")
    damaged = ir.load(MODEL)
    damaged.graph.outputs[0].name = None
    assert refusal(damaged)
