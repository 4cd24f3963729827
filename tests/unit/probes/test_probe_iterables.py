"""Feeds from iterables, generators, data loaders and Python files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analyzer.errors import ProbeError
from analyzer.graph import TensorType
from analyzer.probes.probe import Probe, open_probe

FLOAT = np.dtype("f4")
X = {"x": TensorType(FLOAT, (None, 3))}
XY = {"x": TensorType(FLOAT, (None, 3)), "y": TensorType(FLOAT, (None, 2))}
ROWS = np.arange(30, dtype=np.float32).reshape(10, 3)


class Tensor:
    """What is needed of a framework's tensor: it tracks gradients and lies on a device."""

    def __init__(self, array: Any, step: str = "tracked") -> None:
        self._array, self._step = array, step

    def detach(self) -> Tensor:
        return Tensor(self._array, "detached")

    def cpu(self) -> Tensor:
        assert self._step == "detached"
        return Tensor(self._array, "cpu")

    def numpy(self) -> Any:
        assert self._step == "cpu"
        return np.asarray(self._array)


class Half(Tensor):
    """A tensor of a type without a NumPy form."""

    def detach(self) -> Half:
        return self

    def cpu(self) -> Half:
        return self

    def numpy(self) -> Any:
        raise TypeError("Got unsupported ScalarType BFloat16")

    def float(self) -> Tensor:
        return Tensor(self._array, "cpu")


class Loader:
    """Like a DataLoader: every pass starts anew and yields [inputs, labels]."""

    passes = 0

    def __iter__(self) -> Iterator[Any]:
        self.passes += 1
        for rows in np.split(ROWS, [4, 8]):
            yield [Tensor(rows), Tensor(np.zeros(len(rows), int))]


class Dataset:
    """Like a map-style data set: single samples without a batch axis, and no __iter__."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> Any:
        return Tensor(ROWS[index]), 1


def generator() -> Iterator[Any]:
    for row in ROWS:
        yield {"x": row[None]}


def sizes(probe: Probe, size: int) -> list[int]:
    return [batch.samples for batch in probe.batches(size)]


def rows(probe: Probe) -> Any:
    return np.concatenate([b.feeds["x"] for b in probe.batches(3)]).tolist()


def refusal(data: object, inputs: dict[str, TensorType] = X, **options: Any) -> str:
    with pytest.raises(ProbeError) as caught:
        list(open_probe(data, inputs, **options).batches(4))
    return str(caught.value)


KINDS: dict[str, Any] = {
    "loader": Loader(),
    "map-style data set": Dataset(),
    "generator function": generator,
    "generator": generator(),
    "dicts": list(generator()),
    "arrays": list(np.split(ROWS, 5)),
    "arrays without a batch axis": list(ROWS),
    "tuples with labels": [(ROWS, "label", "another")],
    "dicts with labels": [({"x": ROWS}, 1)],
    "tensors without a NumPy form": [Half(ROWS)],
    "function of a dict": lambda: {"x": ROWS},
    "function of an array": lambda: ROWS,
}


@pytest.mark.parametrize("data", KINDS.values(), ids=KINDS)
def test_every_kind_of_iterable_gives_the_same_samples(data: Any) -> None:
    probe = open_probe(data, X)
    assert probe.batchable
    assert rows(probe) == ROWS.tolist()
    assert probe.samples == 10


def test_feeds_are_cut_and_joined_to_the_batch_size() -> None:
    assert sizes(open_probe(Loader(), X), 3) == [3, 3, 3, 1]
    assert sizes(open_probe(generator(), X), 4) == [4, 4, 2]


def test_the_number_of_samples_is_known_after_a_pass() -> None:
    probe = open_probe(generator(), X)
    assert (probe.samples, "not counted yet" in repr(probe)) == (None, True)
    list(probe.batches(4))
    assert (probe.samples, "10 samples" in repr(probe)) == (10, True)


def test_a_loader_is_started_once_for_the_first_look_and_the_first_pass() -> None:
    loader = Loader()
    probe = open_probe(loader, X)
    probe.first(2)
    assert rows(probe) == ROWS.tolist()
    assert loader.passes == 1
    assert rows(probe) == ROWS.tolist()
    assert loader.passes == 2


def test_looking_at_the_first_samples_consumes_nothing_of_a_generator() -> None:
    probe = open_probe(generator(), X)
    assert [b.samples for b in probe.first(4)] == [1] * 4
    assert len(probe.first(2)) == 2
    assert rows(probe) == ROWS.tolist()
    assert len(probe.first(4)) == 4


def test_a_generator_can_be_read_once() -> None:
    probe = open_probe(generator(), X)
    list(probe.batches(4))
    with pytest.raises(ProbeError, match=r"iterable \(generator\) can be read only once and has been: give a list"):
        probe.batches(4)
    with pytest.raises(ProbeError, match="only once"):
        probe.first(9)


def test_first_sees_all_of_a_short_generator_after_its_pass() -> None:
    probe = open_probe(iter([ROWS[:2]]), X)
    list(probe.batches(4))
    assert len(probe.first(9)) == 2


def test_an_iterable_that_is_secretly_used_up_is_noticed() -> None:
    class Wrapper:
        def __init__(self) -> None:
            self._feeds = generator()

        def __iter__(self) -> Iterator[Any]:
            return self._feeds

    probe = open_probe(Wrapper(), X)
    assert rows(probe) == ROWS.tolist()
    with pytest.raises(ProbeError, match="only once"):
        list(probe.batches(4))


def test_lists_can_be_read_again_beyond_what_was_looked_at() -> None:
    probe = open_probe(list(generator()), X)
    assert sizes(probe, 4) == sizes(probe, 4)
    assert len(probe.first(6)) == 6


def test_a_limit_stops_a_generator_without_end() -> None:
    def endless() -> Iterator[Any]:
        while True:
            yield ROWS

    probe = open_probe(endless(), X, limit=15)
    assert sizes(probe, 10) == [10, 5]
    assert probe.samples == 15


def test_samples_of_differing_shape_never_share_a_batch() -> None:
    inputs = {"x": TensorType(FLOAT, (None, "time"))}
    feeds = [np.zeros((2, 5)), np.zeros((1, 5)), np.zeros((3, 7)), np.zeros((1, 5))]
    shapes = [b.feeds["x"].shape for b in open_probe(feeds, inputs).batches(4)]
    assert shapes == [(3, 5), (3, 7), (1, 5)]


def test_feeds_with_differing_constants_never_share_a_batch() -> None:
    inputs = {**X, "rate": TensorType(np.dtype("i8"), ())}
    feeds = [{"x": ROWS[:1], "rate": rate} for rate in (8, 8, 16)]
    assert sizes(open_probe(feeds, inputs), 8) == [2, 1]


def test_joined_feeds_fill_a_fixed_batch() -> None:
    inputs = {"x": TensorType(FLOAT, (2, 3))}
    assert sizes(open_probe(generator(), inputs), 4) == [4, 4, 2]


def test_a_remainder_of_a_fixed_batch_is_refused_when_it_is_met() -> None:
    message = refusal(generator(), {"x": TensorType(FLOAT, (4, 3))})
    assert "takes exactly 4 samples at a time, and 2 is not a multiple of 4" in message


def test_vectors_are_single_samples_of_a_model_without_a_batch_axis() -> None:
    probe = open_probe(list(ROWS), {"x": TensorType(FLOAT, (3,))})
    assert sizes(probe, 4) == [1] * 10
    assert not probe.batchable


def test_tuples_map_to_the_inputs_in_order() -> None:
    probe = open_probe([(ROWS, np.ones((10, 2)), "label")], XY)
    assert {n: a.shape for n, a in probe.first(1)[0].feeds.items()} == {"x": (1, 3), "y": (1, 2)}


def test_empty_feeds_are_skipped() -> None:
    assert sizes(open_probe([ROWS[:0], ROWS[:2], ROWS[:0]], X), 4) == [2]


@pytest.mark.parametrize("data", [[], iter(()), [ROWS[:0]]])
def test_no_samples_at_all_are_refused(data: Any) -> None:
    assert "holds no samples" in refusal(data)


def test_a_mismatch_names_its_feed() -> None:
    message = refusal([ROWS, ROWS[:, :2]])
    assert message.startswith("Feed 2 of iterable (list): input 'x' expects ?x3, but the data has shape 10x2")


def test_data_that_failed_while_it_was_looked_at_is_not_taken_for_its_end() -> None:
    probe = open_probe([ROWS[:1], ROWS[:1], ROWS[:, :2]], X)
    with pytest.raises(ProbeError, match="Feed 3 of"):
        probe.first(5)
    with pytest.raises(ProbeError, match="Feed 3 of"):
        list(probe.batches(4))


def test_too_few_items_for_the_inputs_are_refused() -> None:
    assert "Feed 1 of iterable (list) has 1 items, but the model has 2 inputs ('x', 'y')" in refusal([(ROWS,)], XY)


def test_a_single_array_for_several_inputs_is_refused() -> None:
    assert "is a single array, but the model has 2 inputs" in refusal([ROWS], XY)
    assert "is a single array, but the model has 2 inputs" in refusal(ROWS, XY)


def test_unequal_numbers_of_samples_in_a_feed_are_refused() -> None:
    assert "disagree on the number of samples" in refusal([(ROWS, np.ones((4, 2)))], XY)


def test_nested_lists_and_other_items_are_refused() -> None:
    assert "plain numbers" in refusal([[1.0, 2.0, 3.0]])
    assert "is of type str" in refusal(["a"])


def python_file(folder: Path, text: str) -> str:
    path = folder / "probe.py"
    path.write_text("import numpy as np\n" + text)
    return str(path)


def test_a_generator_function_in_a_python_file_is_called_for_every_pass(tmp_path: Path) -> None:
    (tmp_path / "neighbour_of_probe.py").write_text("NUMBER = 3")
    path = python_file(
        tmp_path,
        "from neighbour_of_probe import NUMBER\n"
        "def feeds():\n    for i in range(4):\n        yield {'x': np.full((1, NUMBER), i, np.float32)}\n",
    )
    probe = open_probe(f"{path}:feeds", X)
    assert probe.source == "probe.py:feeds"
    assert sizes(probe, 3) == sizes(probe, 3) == [3, 1]


@pytest.mark.parametrize("value", ["[np.zeros((2, 3))]", "{'x': np.zeros((2, 3))}", "np.zeros((2, 3))"])
def test_a_python_file_may_hold_the_data_itself(tmp_path: Path, value: str) -> None:
    path = python_file(tmp_path, f"mine = {value}\nfeeds = mine")
    assert sizes(open_probe(f"{path}:mine", X), 4) == [2]
    assert open_probe(path, X).source == "probe.py:feeds"


def test_a_python_file_that_fails_says_where_and_why(tmp_path: Path) -> None:
    path = python_file(tmp_path, "def feeds():\n    yield np.zeros((1, 3))\n    raise KeyError('lost')\n")
    assert refusal(f"{path}:feeds") == "probe.py:feeds failed: KeyError: 'lost'."
    assert "probe.py defines no 'other'" in refusal(f"{path}:other")
    path = python_file(tmp_path, "1/0")
    assert refusal(f"{path}:feeds") == "probe.py:feeds failed: ZeroDivisionError: division by zero."
    path = python_file(tmp_path, "def broken(:")
    assert "SyntaxError" in refusal(f"{path}:feeds")


def test_a_python_file_that_yields_wrong_shapes_is_refused_as_any_data(tmp_path: Path) -> None:
    path = python_file(tmp_path, "feeds = [np.zeros((1, 4))]")
    assert refusal(path).startswith("Feed 1 of probe.py:feeds: input 'x' expects ?x3")


def test_a_missing_python_file_is_named(tmp_path: Path) -> None:
    assert "No Python file at" in refusal(f"{tmp_path}/none.py:feeds")


def test_from_python_the_callers_own_errors_pass_through() -> None:
    def failing() -> Iterator[Any]:
        yield ROWS
        raise KeyError("lost")

    probe = open_probe(failing, X)
    with pytest.raises(KeyError):
        list(probe.batches(4))


@pytest.mark.parametrize(
    "text",
    ["import sys\nsys.exit(0)", "def feeds():\n    exit()", "def feeds():\n    yield np.zeros((1, 3))\n    quit(2)"],
)
def test_a_python_file_that_ends_the_program_is_no_end_of_the_data(tmp_path: Path, text: str) -> None:
    assert "probe.py:feeds ended with sys.exit" in refusal(f"{python_file(tmp_path, text)}:feeds")


@pytest.mark.parametrize("error", ["GeneratorExit", "Own", "Own('why')"])
@pytest.mark.parametrize("text", ["", "def feeds():\n    ", "def feeds():\n    yield np.zeros((1, 3))\n    "])
def test_whatever_a_python_file_raises_is_one_sentence(tmp_path: Path, text: str, error: str) -> None:
    yields = "\n    yield"
    path = python_file(tmp_path, f"class Own(BaseException): ...\n{text}raise {error}{yields if text else ''}")
    assert refusal(f"{path}:feeds").startswith(f"probe.py:feeds failed: {error[:3]}")


def test_ctrl_c_in_a_python_file_is_ctrl_c(tmp_path: Path) -> None:
    path = python_file(tmp_path, "def feeds():\n    raise KeyboardInterrupt\n    yield")
    with pytest.raises(KeyboardInterrupt):
        list(open_probe(f"{path}:feeds", X).batches(1))


def test_what_a_python_file_prints_stays_out_of_standard_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "print('loaded')\ndef feeds():\n    print('fed')\n    yield np.zeros((1, 3))\n    print('done')\n"
    for _ in open_probe(python_file(tmp_path, text), X).batches(1):
        print("ours")  # noqa: T201 - only the user's is moved
    assert capsys.readouterr() == ("ours\n", "loaded\nfed\ndone\n")


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ([4, 4, 2], [1, 3, 4, 2]),  # as a data loader gives them: only the first is cut
        ([1, 1, 4, 4], [1, 4, 4, 1]),  # single samples are joined as ever
        ([9, 1], [1, 4, 4, 1]),
    ],
)
def test_a_small_first_batch_leaves_later_parts_whole(given: list[int], shown: list[int]) -> None:
    parts = np.split(ROWS, np.cumsum(given)[:-1])
    probe = open_probe([{"x": part} for part in parts], X)
    batches = list(probe.batches(4, first=1))
    assert [b.samples for b in batches] == shown
    assert np.array_equal(np.concatenate([b.feeds["x"] for b in batches]), ROWS)


def test_a_cut_part_is_joined_where_the_model_takes_several_at_a_time() -> None:
    parts = [{"x": ROWS[i : i + 3]} for i in range(0, 9, 3)] + [{"x": ROWS[9:]}]
    inputs = {"x": TensorType(FLOAT, (2, 3))}
    assert [b.samples for b in open_probe(parts, inputs).batches(4, first=2)] == [2, 4, 4]
