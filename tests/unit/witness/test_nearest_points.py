"""The pool keeps the points that came nearest, of few and of too many."""

from __future__ import annotations

import numpy as np

from analyzer.witness.nearest_points import Pool
from tests.models import Array


def rows(*numbers: float) -> dict[str, Array]:
    return {"x": np.array(numbers)[:, np.newaxis]}


def test_only_points_that_are_among_the_nearest_of_something_open_are_kept() -> None:
    pool, open_ = Pool(2, 8), np.array([True, False])
    pool.add(rows(1, 2), np.array([[-2.0, 0.0], [-3.0, 5.0]]), open_, rank=1)
    assert len(pool) == 2  # nothing was there before
    pool.add(rows(3, 4, 5), np.array([[-2.0, 9.0], [-1.0, -9.0], [-2.5, 9.0]]), open_, rank=1)
    assert pool.taken(np.arange(len(pool)))["x"].ravel().tolist() == [1, 2, 4]
    pool.add(rows(6), np.array([[-2.75, -9.0]]), open_, rank=3)
    assert len(pool) == 4 and pool.near[3].tolist() == [-2.75, -9.0]


def test_of_too_many_points_those_go_that_are_nearest_of_nothing_open() -> None:
    pool, open_ = Pool(3, 3), np.array([True, True, False])
    near = np.array([[-1.0, -5.0, -1.0], [-5.0, -1.0, -1.0], [-4.0, -4.0, 0.0]])
    pool.add(rows(1, 2, 3), near, open_, rank=3)
    pool.add(rows(4), np.array([[-0.5, -9.0, -9.0]]), open_, rank=1)
    assert len(pool) == 3 and set(pool.taken(np.arange(3))["x"].ravel().tolist()) == {1, 2, 4}
    pool.add(rows(5), np.array([[-0.25, -0.25, -9.0]]), open_, rank=1)
    pool.add(rows(6), np.array([[-0.2, -0.3, -9.0]]), open_, rank=1)
    assert {5, 6} < set(pool.taken(np.arange(3))["x"].ravel().tolist())


def test_it_grows_as_needed_and_gives_out_copies() -> None:
    pool, open_ = Pool(1, 100), np.array([True])
    for number in range(40):
        pool.add(rows(number), np.array([[float(number)]]), open_, rank=1)
    assert len(pool) == 40 and pool.near.ravel().tolist() == [*range(40)]
    pool.taken(np.array([7]))["x"][:] = 99
    assert pool.taken(np.array([7]))["x"] == 7
