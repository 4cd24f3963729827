"""Outputs at addresses: the same bytes as in files, all of a set or none, never over an input."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

import onnx
import pytest

import analyzer
from analyzer import Data, InputError, Run
from analyzer.cli.main import run as deadunits
from analyzer.errors import OutputError
from analyzer.facts.evidence import Evidence
from analyzer.report.file_set import written_together
from analyzer.report.output_files import check_output
from analyzer.report.outputs_elsewhere import as_named, is_there, remove
from tests.laws.shards import without_time

fsspec = pytest.importorskip("fsspec")
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem  # noqa: E402  once it is there

SAMPLES = Path(__file__).parents[3] / "sample_models"
KILLED = SAMPLES / "digits_mlp_killed"
MODEL, PROBE = str(KILLED / "model.onnx"), str(KILLED / "probe.npz")


class Breaking(MemoryFileSystem):  # type: ignore[misc]  # fsspec states no types
    """A store in which files called `broken` cannot be sent, and those called `late` cannot be put in place."""

    protocol = "breaking"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.replace("breaking://", "memory://")))

    def _open(self, path: str, mode: str = "rb", *others: Any, **options: Any) -> Any:
        opened = super()._open(path, mode, *others, **options)
        if mode != "wb":
            return opened
        file = BreakingFile(self, opened.path)
        BreakingFile.open_ones.append(file)
        return file


class AtOnce(MemoryFileSystem):  # type: ignore[misc]
    """A store without transactions: what is opened to be written is empty at once, and appears when it is closed."""

    protocol = "atonce"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.replace("atonce://", "memory://")))

    def _open(self, path: str, mode: str = "rb", *others: Any, **options: Any) -> Any:
        if mode != "wb":
            return super()._open(path, mode, *others, **options)
        store = self.store
        store[path] = MemoryFile(self, path, b"")

        class Stream(BytesIO):
            def close(self) -> None:
                if not self.closed:
                    store[path] = MemoryFile(None, path, self.getvalue())
                super().close()

        return Stream()


class BreakingFile(MemoryFile):  # type: ignore[misc]
    open_ones: ClassVar[list[BreakingFile]] = []

    def close(self) -> None:
        super().close()
        self.open_ones[:] = [file for file in self.open_ones if file is not self]

    def write(self, data: Any) -> int:
        if "broken" in str(self.path):
            raise OSError("the line is down")
        return int(super().write(data))

    def commit(self) -> None:
        if "late" in str(self.path):
            raise OSError("the line is down")
        super().commit()


@pytest.fixture(autouse=True)
def empty() -> Iterator[None]:
    fsspec.register_implementation("breaking", Breaking, clobber=True)
    fsspec.register_implementation("atonce", AtOnce, clobber=True)
    for kind in (MemoryFileSystem, Breaking, AtOnce):
        kind.store.clear()
    yield
    for kind in (MemoryFileSystem, Breaking, AtOnce):
        kind.store.clear()


def at(address: str) -> bytes:
    with fsspec.open(address, "rb") as stream:
        content: bytes = stream.read()
    return content


def there(protocol: str = "memory") -> list[str]:
    return sorted(fsspec.filesystem(protocol).find("/"))


@pytest.mark.parametrize("kind", ["memory", "local"])
def test_everything_that_is_written(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here, away = tmp_path / "here", "memory://out" if kind == "memory" else f"local://{tmp_path}/away"
    here.mkdir()
    (tmp_path / "away").mkdir()
    files = ["small.onnx", "masks.npz", "r.json", "r.html"]
    for folder in (str(here), away):
        model, masks, json, html = (f"{folder}/{name}" for name in files)
        call = ["prune", MODEL, "--probe", PROBE, "--limit", "60", "--no-latency", "--json", json, "--html", html]
        assert deadunits([*call, "--masks", masks, "-o", model]) == 0
    assert f"Written  {away}/small.onnx" in capsys.readouterr().out.replace("\n         ", "")
    for name in (*files, "plan.json"):
        one, other = (here / name).read_bytes(), at(f"{away}/{name}")
        assert len(one) == len(other) if name.startswith("r.") else one == other, name  # reports say how long it took
    if kind == "local":
        assert sorted(p.name for p in (tmp_path / "away").iterdir()) == sorted([*files, "plan.json"])


def test_weights_beside_the_model(tmp_path: Path) -> None:
    model = onnx.load(MODEL)
    onnx.save(model, tmp_path / "large.onnx", save_as_external_data=True, location="large.data", size_threshold=64)
    pruned = analyzer.prune(tmp_path / "large.onnx", Data(PROBE, limit=60), latency=False)
    pruned.save(tmp_path / "small.onnx")
    paths = pruned.save("memory://out/small.onnx")
    assert [as_named(path) for path in paths] == ["memory://out/small.onnx", "memory://out/small.onnx.data"]
    assert there() == ["/out/small.onnx", "/out/small.onnx.data"]
    for name in ("small.onnx", "small.onnx.data"):
        assert at(f"memory://out/{name}") == (tmp_path / name).read_bytes()


def test_an_unchanged_model_takes_its_weights_along_and_replaces_no_others(tmp_path: Path) -> None:
    model = onnx.load(str(SAMPLES / "digits_mlp" / "model.onnx"))
    onnx.save(model, tmp_path / "large.onnx", save_as_external_data=True, location="large.data", size_threshold=64)
    pruned = analyzer.prune(
        tmp_path / "large.onnx", choice=analyzer.Choice(evidence=Evidence.STRUCTURAL), latency=False
    )
    assert not pruned.changed
    pruned.save("memory://out/small.onnx")
    assert at("memory://out/large.data") == (tmp_path / "large.data").read_bytes()
    with pytest.raises(OutputError, match=r"weights must lie at memory://out/large.data, but"):
        pruned.save("memory://out/other.onnx")
    assert there() == ["/out/large.data", "/out/small.onnx"]


@pytest.mark.parametrize("bad", ["breaking://broken", "breaking://late"])
def test_of_a_set_that_cannot_be_sent_nothing_appears(bad: str, tmp_path: Path) -> None:
    first, here = check_output("breaking://fine"), tmp_path / "here"
    here.write_text("as before")
    with pytest.raises(OutputError, match="the line is down"), written_together() as files:
        files.write(check_output(bad), "never")  # the first of a set appears last
        files.write(first, "new")
        files.write(here, "new")
    assert here.read_text() == "as before"
    assert there("breaking") == ([] if "broken" in bad else ["/fine"])  # stores put files in place one by one
    with written_together() as files:
        files.write(first, "again")
    assert at("breaking://fine") == b"again"


def test_a_store_without_transactions_keeps_what_is_there_until_all_is_whole() -> None:
    with fsspec.open("atonce://out/a", "wb") as stream:
        stream.write(b"as before")
    target = check_output("atonce://out/a")
    assert there("atonce") == ["/out/a"]
    with pytest.raises(ZeroDivisionError), written_together() as files:
        files.write(target, "never")
        raise ZeroDivisionError
    assert at("atonce://out/a") == b"as before"
    with written_together() as files:
        files.write(target, "new")
    assert at("atonce://out/a") == b"new"


def test_what_raises_inside_sends_nothing() -> None:
    with pytest.raises(ZeroDivisionError), written_together() as files:
        files.write(check_output("memory://a"), "never")
        raise ZeroDivisionError
    assert not there()
    assert not is_there(check_output("memory://a"))


def test_an_input_is_never_written_over(tmp_path: Path) -> None:
    fsspec.filesystem("memory").put(MODEL, "/in/model.onnx")
    fsspec.filesystem("memory").put(PROBE, "/in/probe.npz")
    before = at("memory://in/model.onnx")
    pruned = analyzer.prune("memory://in/model.onnx", "memory://in/probe.npz", latency=False)
    for taken in ("memory://in/model.onnx", "memory://in/probe.npz"):
        with pytest.raises(OutputError, match="is an input"):
            pruned.save(taken)
    assert at("memory://in/model.onnx") == before
    assert deadunits(["audit", MODEL, "--probe", "memory://in", "--json", "memory://in/r.json"]) == 2
    pruned.save("memory://in/small.onnx")


@pytest.mark.parametrize(
    "by", ["local://{here}/model.onnx", "local://{here}/../{name}/model.onnx", "{here}/model.onnx"]
)
def test_an_input_is_known_by_its_other_names(by: str, tmp_path: Path) -> None:
    """A file here that is named by an address, as an output or as an input, and `..` in an address."""
    model, probe = tmp_path / "model.onnx", tmp_path / "probe.npz"
    model.write_bytes(Path(MODEL).read_bytes())
    probe.write_bytes(Path(PROBE).read_bytes())
    named = by.format(here=tmp_path, name=tmp_path.name)
    given = f"local://{model}" if named == str(model) else str(model)
    pruned = analyzer.prune(given, Data(probe, limit=60), latency=False)
    for taken in (named, f"local://{probe}"):
        with pytest.raises(OutputError, match="is an input"):
            pruned.save(taken)
    assert model.read_bytes() == Path(MODEL).read_bytes()
    assert check_output(f"local://{tmp_path}/small.onnx", [model]).name == "small.onnx"
    with pytest.raises(OutputError, match="is an input"):
        check_output("memory://out/../in/a.npz", [Path("memory://in")])
    assert check_output("memory://inside", [Path("memory://in")]).name == "inside"


def test_parts_that_lie_elsewhere() -> None:
    data = Data(PROBE, limit=60)
    whole = analyzer.take_statistics(MODEL, data)
    for part in "12":
        call = ["observe", MODEL, "--probe", PROBE, "--limit", "60", "--shard", f"{part}/2", "-q"]
        assert deadunits([*call, "-o", f"memory://parts/{part}.stats"]) == 0
    assert there() == ["/parts/1.stats", "/parts/2.stats"]  # no checkpoint is left
    assert deadunits(["merge", "memory://parts/1.stats", "memory://parts/2.stats", "-o", "memory://all.stats"]) == 0
    assert without_time(analyzer.merge_statistics(["memory://all.stats"])) == without_time(whole)
    assert deadunits(["audit", MODEL, "--statistics", "memory://all.stats", "-q"]) == 0
    assert deadunits(["merge", "memory://parts/1.stats", "-o", "memory://parts/1.stats"]) == 2


def test_a_pass_goes_on_from_a_checkpoint_that_lies_elsewhere() -> None:
    data, run, kept = Data(PROBE, limit=60), Run(batch_size=4), "memory://out/a.stats.partial"
    whole = analyzer.take_statistics(MODEL, data, run=run)

    def end(_: str, done: int, __: int | None) -> None:
        if done >= 24:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        analyzer.take_statistics(MODEL, data, run=run, checkpoint=kept, every=0, progress=end)
    call = [
        "observe",
        MODEL,
        "--probe",
        PROBE,
        "--limit",
        "60",
        "--batch-size",
        "4",
        "-q",
        "-o",
        "memory://out/a.stats",
    ]
    assert deadunits(call) == 2  # begun, and not to be begun anew
    assert deadunits([*call, "--resume"]) == 0
    assert there() == ["/out/a.stats"]
    assert without_time(analyzer.merge_statistics(["memory://out/a.stats"])) == without_time(whole)


def test_witnesses_and_certificates(tmp_path: Path) -> None:
    given = [MODEL, "--probe", PROBE, "--domain", "0:16", "--budget", "2s", "-q"]
    away = ["--witnesses", "memory://w", "--certificate", "memory://w/claims.json"]
    assert deadunits(["prove", *given, *away]) == 0
    assert "/w/claims.json" in there()
    assert all(name.startswith("/w/") for name in there())


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("memory://", "is a folder"),
        ("http://host/a.json", "only read|without another package"),
        ("zip://a.json::memory://x.zip", "cannot be written|no way there"),
        ("nosuch://a.json", "cannot be written|cannot be read"),
    ],
)
def test_what_cannot_be_written_is_known_before(address: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        check_output(address)


def test_what_is_only_tried_is_closed_and_never_appears() -> None:
    """A store may send what is left open once nobody holds it any more."""
    check_output("breaking://out/a.json")
    assert not BreakingFile.open_ones
    assert not there("breaking")


def test_secrets_are_not_shown() -> None:
    path = check_output("memory://out/a.json?key=secret")
    assert as_named(path) == "memory://out/a.json"
    with written_together() as files:
        files.write(path, "{}")
    remove(path)
    assert not there()
