"""How sessions are opened: one at a time, as they share a pool of memory."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from analyzer.runtime.providers import Provider
from analyzer.runtime.session import Session
from tests.models import parse


def test_no_pool_is_replaced_while_another_thread_opens_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    model = parse("g (float[n,2] x) => (float[n,2] y) { y = Add(x, c) }", {"c": np.ones(2, np.float32)})
    content, inside, most = model.SerializeToString(), list[int](), list[int]()
    honest = Provider.open

    def slow(self: Provider, *given: Any) -> Any:
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.02)
        try:
            return honest(self, *given)
        finally:
            inside.pop()

    monkeypatch.setattr(Provider, "open", slow)
    with ThreadPoolExecutor(4) as threads:
        for session in threads.map(lambda room: Session(content, room=room), [1 << 30, 1 << 31] * 4):
            session.close()
    assert max(most) == 1
