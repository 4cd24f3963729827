"""`.vnnlib` files of both versions: the boxes of the inputs, and one sentence for whatever is not understood."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from analyzer.errors import InputError
from analyzer.graph.view import TensorType
from analyzer.probes import vnnlib
from analyzer.probes.vnnlib import read_vnnlib

TWO = {"x": TensorType(np.dtype(np.float32), (1, 2))}
BOUNDED = "(assert (<= X_0 1)) (assert (>= X_0 0)) (assert (<= X_1 1)) (assert (>= X_1 0))"


def boxes(folder: Path, text: str, inputs: dict[str, TensorType] = TWO) -> list[tuple[list[float], list[float]]]:
    """Low and high of every box, all inputs one after the other."""
    file = folder / "domain.vnnlib"
    file.write_text(text)
    read = read_vnnlib(file, inputs)
    return [
        (
            [*np.concatenate([b.low.ravel() for b in box.values()])],
            [*np.concatenate([b.high.ravel() for b in box.values()])],
        )
        for box in read
    ]


def test_version_1_with_comments_either_order_and_outputs(tmp_path: Path) -> None:
    text = """; a comment with ( a parenthesis
    (declare-const X_0 Real) (declare-const X_1 Real) (declare-const Y_0 Real)
    (assert (<= X_0 0.5)) (assert (<= -1.5 X_0))
    (assert (and (>= X_1 -2e-1) (<= X_1 3)))
    (assert (<= Y_0 X_1))"""
    assert boxes(tmp_path, text) == [([-1.5, -0.2], [0.5, 3.0])]


def test_an_or_gives_one_box_for_each_way(tmp_path: Path) -> None:
    text = f"{BOUNDED} (assert (or (and (<= X_0 0.25) (<= Y_0 1)) (and (>= X_0 0.75) (>= X_1 0.5))))"
    assert boxes(tmp_path, text) == [([0, 0], [0.25, 1]), ([0.75, 0.5], [1, 1])]


def test_an_or_of_outputs_alone_narrows_nothing(tmp_path: Path) -> None:
    assert boxes(tmp_path, f"{BOUNDED} (assert (or (<= Y_0 Y_1) (and (>= Y_0 2) (<= X_0 0.5))))") == [([0, 0], [1, 1])]


def test_ways_that_nothing_satisfies_are_left_out(tmp_path: Path) -> None:
    assert boxes(tmp_path, f"{BOUNDED} (assert (or (>= X_0 2) (<= X_1 0.5)))") == [([0, 0], [1, 0.5])]
    with pytest.raises(InputError, match="no input satisfies"):
        boxes(tmp_path, f"{BOUNDED} (assert (>= X_0 2))")


def test_version_2_names_indices_and_factors(tmp_path: Path) -> None:
    text = """(vnnlib-version <2.0>)
    (declare-network net (declare-input A Real [1,2]) (declare-input B float32 [1]) (declare-output Y Real []))
    (assert (<= (* -2.0 A[0,0]) 4.0)) (assert (<= A [0,0] 50.0))
    (assert (and (<= -1 A[0,1]) (<= A[0, 1] 1) (>= B[0] 0) (<= (+ B[0] -1) 2)))
    (assert (or (<= Y 3.0) (>= Y 4.0)))"""
    inputs = TWO | {"b": TensorType(np.dtype(np.float32), (1,))}
    assert boxes(tmp_path, text, inputs) == [([-2, -1, 0], [50, 1, 3])]


def test_inputs_of_version_2_are_found_by_name_before_order(tmp_path: Path) -> None:
    one = TensorType(np.dtype(np.float32), (1,))
    text = """(declare-network n (declare-input b Real [1]) (declare-input a Real [1]))
    (assert (and (>= a[0] 0) (<= a[0] 1) (>= b[0] 5) (<= b[0] 6)))"""
    assert boxes(tmp_path, text, {"a": one, "b": one}) == [([0, 5], [1, 6])]
    assert boxes(tmp_path, text, {"c": one, "d": one}) == [([5, 0], [6, 1])]


def test_a_compressed_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "domain.vnnlib.gz"
    file.write_bytes(gzip.compress(BOUNDED.encode()))
    assert [*read_vnnlib(file, TWO)[0]["x"].high.ravel()] == [1, 1]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("(assert (<= X_0 1)", "line 1: a parenthesis is never closed"),
        ("\n(assert (<= X_0 1)) )", "line 2: '\\)' stands outside"),
        ("assert", "stands outside of parentheses"),
        (BOUNDED.replace("(>= X_1 0)", "(>= X_1 -1)").replace("(assert (>= X_0 0))", ""), "no lower or no upper bound"),
        (f"{BOUNDED} (assert (<= X_0 X_1))", "a relation between two inputs"),
        (f"{BOUNDED} (assert (<= (+ X_0 X_1) 1))", "a sum of several inputs"),
        (f"{BOUNDED} (assert (<= (* X_0 X_0) 1))", "a product of inputs"),
        (f"{BOUNDED} (assert (not (<= X_0 1)))", "'not' is not understood"),
        (f"{BOUNDED} (assert (<= X_2 1))", "beyond what the model's inputs hold"),
        (f"{BOUNDED} (assert (<= Z_0 1))", "'Z_0' is not understood"),
        (f"{BOUNDED} (assert (<= X_0 1e999))", "a bound that is no number"),
        (f"{BOUNDED} (push 1)", "'push' is not understood"),
        ("(" * 100, "parentheses within one another"),
        ("(declare-network a (declare-input X Real [1,2])) (declare-network b)", "a second network"),
        ("(declare-network a (declare-input X Real [1,2])) (assert (<= X[0,2] 1))", "beyond the input's shape"),
        ("(declare-network a (declare-input X Real [1,2])) (assert (<= X[0 1))", "without '\\]'"),
        ("(declare-network a (declare-input X Real [1]) (declare-input Z Real [1]))", "2 inputs, and the model has 1"),
    ],
)
def test_what_is_not_understood_is_said_with_its_line(text: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=sentence):
        boxes(tmp_path, text)


def test_damaged_and_too_large_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, content in (
        ("a.vnnlib.gz", b"no gzip"),
        ("a.vnnlib", b"\xff\xfe"),
        ("b.vnnlib.gz", gzip.compress(b"(")[:-9]),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match="damaged"):
            read_vnnlib(tmp_path / name, TWO)
    monkeypatch.setattr(vnnlib, "LARGEST_FILE", 1 << 20)
    (tmp_path / "bomb.vnnlib.gz").write_bytes(gzip.compress(b" " * (2 << 20)))
    with pytest.raises(InputError, match="larger than 1 MiB"):
        read_vnnlib(tmp_path / "bomb.vnnlib.gz", TWO)


def test_too_many_boxes_are_refused(tmp_path: Path) -> None:
    either = "(assert (or (<= X_0 0.5) (>= X_0 0.5) (<= X_1 0.5)))"
    with pytest.raises(InputError, match="more than 1024 boxes"):
        boxes(tmp_path, BOUNDED + either * 8)
