"""Files of one set: all of them appear whole, or none does, and then what was there before is still there."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from analyzer.errors import OutputError
from analyzer.report.file_set import written_together


def write(path: Path, content: str) -> None:
    with written_together() as files:
        files.write(path, content)


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}


def test_a_file_is_written_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path / "a.json", "ü")
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == "ü"
    assert os.listdir(tmp_path) == ["a.json"]  # noqa: PTH208  names are what is compared


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a.json"
    target.write_text("old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"cannot be written: No space left on device"):
        write(target, "new")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_new_file_has_the_usual_permissions(tmp_path: Path) -> None:
    plain, ours = tmp_path / "plain", tmp_path / "ours"
    plain.write_text("")
    write(ours, "")
    assert ours.stat().st_mode == plain.stat().st_mode


def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    write(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_files_appear_together_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("old")
    with written_together():
        write(tmp_path / "a", "new")
        write(tmp_path / "b", "new")
        hidden = {name for name in contents(tmp_path) if name.startswith(".")}
        assert len(hidden) == 2 and contents(tmp_path).keys() - hidden == {"b"}
        assert (tmp_path / "b").read_text() == "old"
    assert contents(tmp_path) == {"a": "new", "b": "new"}


def test_none_appears_where_the_block_fails(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("old")
    with pytest.raises(KeyboardInterrupt), written_together():
        write(tmp_path / "a", "new")
        write(tmp_path / "b", "new")
        raise KeyboardInterrupt
    assert contents(tmp_path) == {"b": "old"}


def failing_at(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The `count`-th draft cannot have its name."""
    rename, done = Path.replace, []

    def replace(self: Path, target: Path) -> Path:
        if self.suffix == ".part" or self.parent.suffix == ".part":
            done.append(target)
            if len(done) == count:
                raise PermissionError(1, "Operation not permitted")
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", replace)


def refused(*_: object, **__: object) -> None:
    raise PermissionError(1, "Operation not permitted")


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("failing", [1, 2, 3, 4])
def test_old_files_are_put_back_where_a_name_cannot_be_taken(
    failing: int, links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", refused)
    for name in ("model", "weights", "report"):
        (tmp_path / name).write_text(f"old {name}")
    before = contents(tmp_path)
    failing_at(failing, monkeypatch)
    with (
        pytest.raises(OutputError, match=r"cannot be written: Operation not permitted\.$"),
        written_together() as files,
    ):
        with files.folder(tmp_path / "model") as folder:
            for name in ("model", "weights"):
                (folder / name).write_text("new")
        files.add(folder / "model", tmp_path / "model", beside=tmp_path / "weights")
        files.add(folder / "weights", tmp_path / "weights")
        files.write(tmp_path / "report", "new")
        files.write(tmp_path / "deep" / "er", "new")
    assert contents(tmp_path) == before


def test_a_model_is_never_beside_the_weights_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, weights = tmp_path / "model", tmp_path / "weights"
    seen = []
    rename = Path.rename, Path.replace

    def watch(move: int) -> None:
        def moved(self: Path, target: Path) -> Path:
            result = rename[move](self, target)
            seen.append(tuple(p.read_text() if p.exists() else "" for p in (model, weights)))
            return result

        monkeypatch.setattr(Path, ("rename", "replace")[move], moved)

    for content in ("old", "new"):
        if content == "new":
            watch(0)
            watch(1)
        with written_together() as files:
            files.write(tmp_path / "draft", content)
            with files.folder(model) as folder:
                (folder / "model").write_text(content)
                (folder / "weights").write_text(content)
            files.add(folder / "model", model, beside=weights)
            files.add(folder / "weights", weights)
    assert set(seen) == {("", "old"), ("", "new"), ("new", "new")}
    assert contents(tmp_path) == {"draft": "new", "model": "new", "weights": "new"}


def test_a_signal_waits_until_all_have_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.replace

    def replace(self: Path, target: Path) -> Path:
        signal.raise_signal(signal.SIGINT)
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), written_together():
            write(tmp_path / "a", "new")
            write(tmp_path / "b", "new")
    finally:
        signal.signal(signal.SIGINT, handler)
    assert contents(tmp_path) == {"a": "new", "b": "new"}


@pytest.mark.parametrize("name", ["n" * 255, "ü" * 127, "𐍈" * 63 + "xyz"])
def test_names_up_to_the_limit_of_the_file_system(name: str, tmp_path: Path) -> None:
    for content in ("old", "new"):
        with written_together():
            write(tmp_path / name, content)
            write(tmp_path / name[1:], content)
    assert contents(tmp_path) == {name: "new", name[1:]: "new"}


def test_two_files_of_a_set_have_two_names(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("a")
    with pytest.raises(OutputError, match="same name"), written_together():
        write(tmp_path / "a", "one")
        write(tmp_path / "link", "other")
    assert not (tmp_path / "a").exists()


def test_the_permissions_of_a_replaced_file_stay(tmp_path: Path) -> None:
    target = tmp_path / "a"
    target.touch(0o640)
    target.chmod(0o440)
    write(target, "new")
    assert (target.stat().st_mode & 0o777, target.read_text()) == (0o440, "new")


def test_a_pipe_gets_its_content_and_stays_one(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write(pipe, "new")
    assert os.read(reading, 10) == b"new"
    os.close(reading)
    assert pipe.is_fifo()
