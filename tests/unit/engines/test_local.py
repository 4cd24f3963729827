"""The local engine runs shards one after the other."""

from __future__ import annotations

from analyzer.engines.local import LocalEngine


def test_shards_run_when_their_result_is_asked_for() -> None:
    done: list[int] = []

    def work(shard: int) -> int:
        done.append(shard)
        return shard * shard

    results = LocalEngine().map(work, [1, 2, 3])
    assert next(results) == 1
    assert done == [1]
    assert list(results) == [4, 9]
