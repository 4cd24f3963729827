"""What goes between parts stays within its limit in memory, lies in files otherwise, and is the same either way."""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from analyzer.algebra.pattern import BFLOAT16
from analyzer.cli.main import run
from analyzer.errors import OutputError
from analyzer.graph.mapped_pages import on_disk
from analyzer.runtime import between_parts, in_parts
from analyzer.runtime.between_parts import BetweenParts, TooManyFeeds, wrap
from analyzer.runtime.in_parts import run_in_parts
from analyzer.runtime.loading import load_model
from analyzer.runtime.session import Session
from tests.models import Array, parse

WIDTH = 64
CHAIN = """
chain (float[n, 64] x) => (float[n, 64] y, float[n, 1] top) {
    top = ReduceMax <keepdims = 1> (x, axes)
    a = MatMul(x, w0)  b = Relu(a)
    c = MatMul(b, w1)  d = Relu(c)
    e = MatMul(d, w2)  y = Add(e, top)
}
"""
KINDS: list[Any] = [np.float32, np.float64, np.float16, BFLOAT16, np.bool_, np.int8, np.uint64]


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """Of three parts."""
    rng = np.random.default_rng(0)
    weights = {f"w{i}": rng.normal(size=(WIDTH, WIDTH)).astype(np.float32) for i in range(3)}
    model = parse(CHAIN, weights | {"axes": np.array([1])})
    monkeypatch.setattr(in_parts, "PART", WIDTH * WIDTH * 4)
    with run_in_parts(True), Session(load_model(model.SerializeToString())) as opened:
        assert opened.in_parts
        yield opened


def _feeds(count: int) -> list[dict[str, Array]]:
    rng = np.random.default_rng(1)
    return [{"x": rng.normal(size=(3 + i, WIDTH)).astype(np.float32)} for i in range(count)]


def _files(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The list gets the size of every file that is made."""
    sizes, made = list[int](), on_disk

    def counted(array: Array) -> Array:
        sizes.append(array.nbytes)
        return made(array)

    monkeypatch.setattr(between_parts, "on_disk", counted)
    return sizes


@pytest.mark.parametrize("kept", [0, 1, 1000, 3000, 1 << 27])
@pytest.mark.parametrize("count", [1, 4])
def test_any_limit_gives_the_same(kept: int, count: int, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    feeds, sizes = _feeds(count), _files(monkeypatch)
    expected = [session.run(feed) for feed in feeds]
    assert not sizes
    monkeypatch.setattr(between_parts, "KEPT", kept)
    found = session.run_each(feeds)
    assert bool(sizes) == (kept < 1000 or (count == 4 and kept < 4000))
    for one, two in zip(expected, found, strict=True):
        assert one.keys() == two.keys()
        for name, array in one.items():
            np.testing.assert_array_equal(two[name], array)


def test_no_more_than_the_limit_is_kept(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, add = list[int](), BetweenParts.add

    def watched(values: BetweenParts, *rest: Any) -> None:
        add(values, *rest)
        kept.append(values._kept)

    monkeypatch.setattr(BetweenParts, "add", watched)
    monkeypatch.setattr(between_parts, "KEPT", 3000)
    session.run_each(_feeds(6))
    assert len(kept) >= 18
    assert 1500 < max(kept) <= 3000
    assert kept[-1] <= 3000


@pytest.mark.parametrize("kind", KINDS)
def test_every_type_of_number_lies_in_a_file_as_it_is(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = _files(monkeypatch)
    monkeypatch.setattr(between_parts, "KEPT", 0)
    array = (np.random.default_rng(2).normal(size=(2, 3, 5)) * 3).astype(kind)
    values = BetweenParts([{}])
    values.add(0, {"v": wrap(array), "nothing": wrap(array[:0]), "unread": wrap(array)}, {"v", "nothing"})
    assert sizes == [array.nbytes]
    found, nothing = values.results(0, ["v", "nothing"])
    assert (found.dtype, found.tobytes()) == (array.dtype, array.tobytes())
    assert nothing.shape == (0, 3, 5)
    assert [*values.of(0, ["v", "unread"])] == ["v"]
    again = values.of(0, ["v"])["v"]
    assert again.data_type() == wrap(array).data_type()


def test_text_stays_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(between_parts, "KEPT", 0)
    model = parse("g (int64[n] x) => (string[n] v) { v = Cast <to = 8> (x) }").SerializeToString()
    text = ort.InferenceSession(model).run_with_ort_values(["v"], {"x": wrap(np.array([7, 12]))})
    values = BetweenParts([{}])
    values.add(0, {"v": text[0]}, {"v"})
    assert values.results(0, ["v"])[0].tolist() == ["7", "12"]


def test_a_model_that_is_fed_text_is_run_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime takes text from NumPy only where a session is run as a whole."""
    chain = CHAIN.replace("float[n, 64] x", "string[n, 64] text").replace("{", "{ x = Cast <to = 1> (text)", 1)
    weights: dict[str, Array] = {f"w{i}": np.ones((WIDTH, WIDTH), np.float32) for i in range(3)}
    monkeypatch.setattr(in_parts, "PART", WIDTH * WIDTH * 4)
    model = load_model(parse(chain, weights | {"axes": np.array([1])}).SerializeToString())
    with run_in_parts(True), Session(model) as session:
        assert not session.in_parts
        assert session.run({"text": np.full((1, WIDTH), "1", object)})["top"] == 1


def test_feeds_that_take_too_much_of_the_disk_together_are_run_in_halves(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    feeds = _feeds(5)
    expected, groups, real = [session.run(feed) for feed in feeds], list[int](), Session._run_parts

    def counted(session: Session, feeds: Any, names: Any) -> Any:
        groups.append(len(feeds))
        return real(session, feeds, names)

    monkeypatch.setattr(Session, "_run_parts", counted)
    monkeypatch.setattr(between_parts, "KEPT", 0)
    monkeypatch.setattr(between_parts, "SPILLED", 1100)
    assert session.fitting > 5
    found = session.run_each(feeds)
    assert groups[:3] == [5, 3, 2]
    assert groups.count(1) == 5
    assert session.fitting == 1
    for one, two in zip(expected, found, strict=True):
        np.testing.assert_array_equal(two["y"], one["y"])


def test_what_nobody_reads_any_more_gives_its_room_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(between_parts, "KEPT", 0)
    monkeypatch.setattr(between_parts, "SPILLED", 100)
    values = BetweenParts([{}, {}])
    for step in range(4):
        values.add(0, {f"v{step}": wrap(np.ones(20, np.float32))}, {f"v{step}"})
    with pytest.raises(TooManyFeeds):
        values.add(1, {"v": wrap(np.ones(20, np.float32))}, {"v"})


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a file of Linux that is always full")
class TestAFullDisk:
    @pytest.fixture(autouse=True)
    def _full(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def full() -> io.BufferedRandom:
            return Path("/dev/full").open("r+b", buffering=0)  # type: ignore[return-value]

        monkeypatch.setattr(between_parts, "KEPT", 0)
        monkeypatch.setattr(tempfile, "TemporaryFile", full)

    def test_is_said(self, session: Session) -> None:
        for running in (lambda: session.run(_feeds(1)[0]), lambda: session.run_each(_feeds(3))):
            with pytest.raises(OutputError, match="cannot be written into the temporary folder: make room there"):
                running()

    def test_ends_a_command_with_one_sentence(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(in_parts, "PART", 1 << 13)
        folder = Path("sample_models/digits_mlp_killed")
        command = ["audit", str(folder / "model.onnx"), "--probe", str(folder / "probe.npz"), "--stream", "-q"]
        assert run(command) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert "TMPDIR" in said


def test_a_folder_that_does_not_say_how_much_is_free_is_as_good_as_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: f"/no such folder of {sys.platform}")
    monkeypatch.setattr(between_parts, "KEPT", 0)
    values = BetweenParts([{}, {}])
    with pytest.raises(TooManyFeeds):
        values.add(0, {"v": wrap(np.ones(20, np.float32))}, {"v"})
