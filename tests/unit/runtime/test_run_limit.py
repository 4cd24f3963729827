"""Runs that would not end are ended, in one sentence; nobody tries another feed after one."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from math import inf
from pathlib import Path

import numpy as np
import onnx
import pytest

import analyzer
from analyzer import unfinished
from analyzer.errors import InputError, RunEnded, RunError
from analyzer.runtime import run_limit
from analyzer.runtime.loading import accepted, load_model
from analyzer.runtime.providers import Provider
from analyzer.runtime.run_limit import runs_limited
from analyzer.runtime.session import Session
from tests.models import parse

X = np.ones((2, 4), np.float32)
BODIES = {
    "adds": "co = Identity(c) one = Constant <value_float = 1.0> () b = Add(a, one)",
    "nothing": "co = Identity(c) b = Identity(a)",
    "nested": """co = Identity(c) b = If (c) <
        then_branch = t () => (float[n, 4] u) { u = Relu(a) }, else_branch = e () => (float[n, 4] v) { v = Neg(a) }>""",
}


def endless(body: str = BODIES["adds"], start: str = "x") -> onnx.ModelProto:
    """Rounds without end before a layer; with stored `start` values alone decide them."""
    text = f"""g (float[n, 4] x) => (float[n, 3] y) {{
        rounds = Constant <value_int = {1 << 62}> ()
        more = Constant <value = bool {{1}}> ()
        h = Loop (rounds, more, {start}) <body = body (int64 i, bool c, float[n, 4] a) => (bool co, float[n, 4] b) {{
            {body} }}>
        s = Add(x, h)
        r = Relu(s)
        y = MatMul(r, w)
    }}"""
    return parse(text, {"w": np.ones((4, 3), np.float32), "z": X[:1]})


def limited(seconds: float) -> AbstractContextManager[None]:
    return runs_limited(seconds, "wait")


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_loop_without_end_is_ended(body: str) -> None:
    with Session(endless(body).SerializeToString()) as session, limited(0.5), pytest.raises(RunEnded) as caught:
        session.run({"x": X})
    assert str(caught.value) == "A run of the model took longer than 0.5 s, maybe in a loop: wait."


def test_every_run_counts_by_itself_and_later_ones_are_as_before() -> None:
    with Session(endless().SerializeToString()) as loop, Session(parse(RELU).SerializeToString()) as session:
        with limited(0.5):
            with pytest.raises(RunEnded):
                loop.run({"x": X})
            np.testing.assert_array_equal(session.run({"x": X})["y"], X)
        np.testing.assert_array_equal(session.run({"x": X})["y"], X)
    assert not run_limit._running


RELU = "g (float[n, 4] x) => (float[n, 4] y) { y = Relu(x) }"


def test_a_refusal_stays_a_refusal() -> None:
    with Session(parse(RELU).SerializeToString()) as session, limited(60), pytest.raises(RunError):
        session.run({"x": X[0, 0]})


def test_a_limit_inside_another_can_only_be_lower() -> None:
    too_long = pytest.raises(RunEnded, match=r"0\.3 s.*: wait")
    with Session(endless().SerializeToString()) as session, limited(0.3), runs_limited(900, "no"), too_long:
        session.run({"x": X})


@pytest.mark.parametrize("start", ["x", "z"])
@pytest.mark.parametrize("probe", [None, X])
def test_an_audit_ends_with_its_first_run_that_does_not(start: str, probe: object) -> None:
    with pytest.raises(RunEnded, match=r"longer than 0\.5 s.*--run-limit"):
        analyzer.audit(endless(start=start), probe, run=analyzer.Run(run_limit=0.5))


def test_a_run_on_a_guess_may_take_less_than_one_on_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analyzer.shapes.shape_run.LONGEST_GUESS", 0.5)
    with pytest.raises(RunEnded, match="inputs were guessed; give data"):
        analyzer.audit(endless())


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system does not say what a process takes")
@pytest.mark.parametrize("seconds", [600, inf])
def test_a_loop_that_collects_is_ended_by_what_it_takes(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_limit, "SPARE", 50 << 20)
    text = f"""g (float[n, 4] x) => (float[n, 4] y, float[k, n, 4] all) {{
        rounds = Constant <value_int = {1 << 62}> ()
        more = Constant <value = bool {{1}}> ()
        y, all = Loop (rounds, more, x) <body = b (int64 i, bool c, float[n, 4] a) =>
            (bool co, float[n, 4] b, float[n, 4] s) {{ co = Identity(c) b = Identity(a) s = Relu(a) }}>
    }}"""
    ended = pytest.raises(RunEnded, match=r"ended when .* GiB of memory were taken, maybe in a loop")
    with Session(parse(text).SerializeToString(), room=1 << 30) as session, limited(seconds), ended:
        monkeypatch.setattr(session, "_room", 1 << 20)
        session.run({"x": X})


def test_what_does_not_heed_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stub for what does not end: nothing of it could be ended here."""

    class Deaf:
        terminate = False

    said: list[str] = []
    monkeypatch.setattr(run_limit, "GRACE", 0)
    monkeypatch.setattr(unfinished, "when_stuck", [said.append])
    with limited(0.01), run_limit.watched(Deaf()):
        while not said:
            time.sleep(0.01)
    assert said[0].startswith("A run of the model took longer than 0.01 s")


def test_a_session_that_does_not_open_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(run_limit, "GRACE", 0.1)
    monkeypatch.setattr(unfinished, "when_stuck", [said.append])
    opened = Provider.open

    def slowly(self: Provider, content: bytes, options: object) -> object:
        deadline = time.monotonic() + 20
        while not said and time.monotonic() < deadline:
            time.sleep(0.05)
        return opened(self, content, options)

    monkeypatch.setattr(Provider, "open", slowly)
    with limited(0.1), accepted(load_model(parse(RELU))):  # in a thread of its own
        pass
    assert said[0].startswith("A run of the model took longer than 0.1 s")


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), "5", None, True])
def test_a_limit_is_a_number_of_seconds(seconds: object) -> None:
    with pytest.raises(InputError, match="run_limit is"):
        analyzer.Run(run_limit=seconds)  # type: ignore[arg-type]


@pytest.mark.parametrize("seconds", [5, inf, np.float32(5), np.int64(5)])
def test_a_limit_may_be_any_number(seconds: float) -> None:
    limit = analyzer.Run(run_limit=seconds).run_limit
    assert limit == seconds
    assert type(limit) is float
