"""What all tests share: Hypothesis profiles, signals that are heeded, and what lets two processes share two cores."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator

import onnxruntime as ort
import pytest
from hypothesis import settings

# dev: quick while writing; ci: the same examples on every run; nightly: a long search for new ones.
settings.register_profile("dev", max_examples=30, deadline=None)
settings.register_profile("ci", max_examples=100, deadline=None, derandomize=True)
settings.register_profile("nightly", max_examples=2000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


@pytest.fixture
def heeded_signals() -> Iterator[None]:
    """Commands end at SIGHUP, also where the tests were started to survive it (nohup)."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def pytest_collection_finish() -> None:
    """Fifteen thousand tests are many objects: looking through them again and again took a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


@pytest.fixture(autouse=True, scope="session")
def threads_that_wait_asleep() -> Iterator[None]:
    """Threads of onnxruntime spin for their next work, and take the core that the other half of the tests runs on.

    Only how they wait differs: there are as many as there would be, and they share the work in the same way.
    """
    opened = ort.InferenceSession.__init__

    def asleep(
        self: ort.InferenceSession,
        model: object,
        sess_options: ort.SessionOptions | None = None,
        *more: object,
        **named: object,
    ) -> None:
        options = sess_options or ort.SessionOptions()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        opened(self, model, options, *more, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ort.InferenceSession, "__init__", asleep)
        yield
