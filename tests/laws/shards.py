"""Statistics of parts of one data set, merged, held against those of all of it and against the audit of the data."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import analyzer
from analyzer import Data, Run, Statistics
from analyzer.observe.statistics_file import to_bytes

SAID_TO_BE_MISSING = {"causes", "distances", "remedy"}
NO_CAUSES = "DU028"


def without_time(statistics: Statistics) -> bytes:
    """The file, but for how long it took."""
    return to_bytes(replace(statistics._tallies, microseconds=0))


def shards(model: Any, data: Data, count: int, run: Run) -> list[Statistics]:
    """Statistics of each of so many parts."""
    return [analyzer.take_statistics(model, data, shard=f"{i}/{count}", run=run) for i in range(1, count + 1)]


def merged_is_whole(model: Any, data: Data, count: int, run: Run, folder: Path) -> None:
    """Parts merged in any order, at once or in groups, by way of files or not, are the whole to the bit."""
    whole = analyzer.take_statistics(model, data, run=run)
    parts = shards(model, data, count, run)
    files = [folder / f"{number}.stats" for number in range(count)]
    for part, file in zip(parts, files, strict=True):
        part.save(file)
    random.Random(count).shuffle(files)
    half = (len(files) + 1) // 2
    groups = [analyzer.merge_statistics(group) for group in (files[:half], files[half:]) if group]
    for merged in (
        analyzer.merge_statistics(files),
        analyzer.merge_statistics(parts[::-1]),
        analyzer.merge_statistics(groups[::-1]),
    ):
        assert not merged.missing
        assert without_time(merged) == without_time(whole)


def second_pass_in_parts(model: Any, data: Data, plan: Statistics, count: int, run: Run) -> list[Statistics]:
    """What each of so many parts shows of what a plan asks."""
    return [
        analyzer.take_statistics(model, data, plan=plan, shard=f"{i}/{count}", run=run) for i in range(1, count + 1)
    ]


def merged_with_plan(model: Any, data: Data, plan: Statistics, run: Run, folder: Path) -> Statistics:
    """A second pass in three parts, merged with its plan; in any order, by way of a file or not, it is that in one."""
    whole = analyzer.take_statistics(model, data, plan=plan, run=run)
    parts = second_pass_in_parts(model, data, plan, 3, run)
    random.Random(0).shuffle(parts)
    parts[0].save(folder / "part.stats")
    merged = analyzer.merge_statistics([*parts[1:], folder / "part.stats"])
    assert without_time(merged) == without_time(whole)
    full = analyzer.merge_statistics([merged, plan])
    assert without_time(full) == without_time(analyzer.merge_statistics([plan, *parts]))
    return full


def reports_the_same(model: Any, data: Data, run: Run, **options: Any) -> None:
    """An audit from statistics is the audit of the data, but for what a second pass would show."""
    statistics = analyzer.take_statistics(model, data, run=run, **options)
    direct = analyzer.audit(model, data, run=run, **options).to_dict()
    recalled = analyzer.audit(model, Data(statistics=statistics), run=run, **options).to_dict()
    differ = list(differences(direct, recalled))
    assert not differ, differ
    assert any(warning["finding"] == NO_CAUSES for warning in recalled["warnings"])


def differences(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """Where two reports differ, but for what is said to be missing."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in one.keys() | other.keys():
            if key not in SAID_TO_BE_MISSING and (path, key) != ("/probe", "source"):
                yield from differences(one.get(key), other.get(key), f"{path}/{key}")
    elif isinstance(one, list) and isinstance(other, list):
        lists = [[e for e in entries if not (isinstance(e, dict) and e.get("finding") == NO_CAUSES)]
                 for entries in (one, other)]  # fmt: skip
        if len(lists[0]) != len(lists[1]):
            yield f"{path}: {len(lists[0])} and {len(lists[1])} entries"
        else:
            for index, (a, b) in enumerate(zip(*lists, strict=True)):
                yield from differences(a, b, f"{path}/{index}")
    elif one != other:
        yield f"{path}: {one} and {other}"
