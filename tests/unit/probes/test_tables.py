"""Tables: which column goes where, and what a table cannot be."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analyzer.errors import ProbeError
from analyzer.graph import TensorType
from analyzer.probes.probe import open_probe
from analyzer.probes.skipped import Skipped
from analyzer.probes.tables import read_csv

X = {"x": TensorType(np.dtype("f4"), (None, 3))}


def written(folder: Path, text: str, name: str = "t.csv") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def values(data: object, inputs: dict[str, TensorType] = X) -> Any:
    return np.concatenate([b.feeds["x"] for b in open_probe(data, inputs).batches(4)]).tolist()


def refusal(data: object, inputs: dict[str, TensorType] = X) -> str:
    with pytest.raises(ProbeError) as caught:
        list(open_probe(data, inputs).batches(4))
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", "a,b,c\n1,2,3\n4,5,6.5\n"),
        ("t.csv", "1,2,3\n4,5,6.5\n"),
        ("t.csv", "\ufeffa;b;c\r\n1;2;3\r\n\r\n4;5;6.5\r\n"),
        ("t.tsv", "a\tb\tc\n1\t2\t3\n4\t5\t6.5"),
        ("t.csv", 'a,"b, quoted",c\n1,2,3\n4,5,6.5\n'),
    ],
    ids=["header", "no header", "semicolons and BOM", "tabs", "quoted"],
)
def test_columns_in_file_order_are_the_one_input(tmp_path: Path, name: str, text: str) -> None:
    assert values(written(tmp_path, text, name)) == [[1, 2, 3], [4, 5, 6.5]]


def test_empty_cells_are_nan(tmp_path: Path) -> None:
    (row,) = values(written(tmp_path, "a,b,c\n1,,NA\n"))
    assert row[0] == 1
    assert np.isnan(row[1:]).all()


def test_columns_are_matched_to_several_inputs_by_name(tmp_path: Path) -> None:
    inputs = {
        "x": TensorType(np.dtype("f4"), (None, 1)),
        "age": TensorType(np.dtype("i8"), (None, 1)),
        "city": TensorType(np.dtype(object), (None, 1)),
    }
    path = written(tmp_path, "city,age,x\nUlm,3,0.5\nBonn,4,1\n")
    batch = next(open_probe(path, inputs).batches(8))
    assert {n: a.tolist() for n, a in batch.feeds.items()} == {
        "x": [[0.5], [1]],
        "age": [[3], [4]],
        "city": [["Ulm"], ["Bonn"]],
    }
    assert "has no data for 'city' and holds 'ctiy' (did you mean 'city'?)" in refusal(
        written(tmp_path, "ctiy,age,x\nUlm,3,0.5\n"), inputs
    )


def test_integer_tables_serve_integer_inputs_and_floats_do_not(tmp_path: Path) -> None:
    inputs = {"x": TensorType(np.dtype("i4"), (None, 2))}
    assert values(written(tmp_path, "a,b\n1,2\n"), inputs) == [[1, 2]]
    assert "expects int32, but the data is float64" in refusal(written(tmp_path, "a,b\n1,2.5\n"), inputs)


def test_text_tables_serve_string_inputs(tmp_path: Path) -> None:
    inputs = {"x": TensorType(np.dtype(object), (None, 2))}
    assert values(written(tmp_path, "a,b\n1,u\n2,v\n"), inputs) == [["1", "u"], ["2", "v"]]


def test_a_model_without_a_batch_axis_takes_rows(tmp_path: Path) -> None:
    probe = open_probe(written(tmp_path, "1,2,3\n4,5,6\n"), {"x": TensorType(np.dtype("f4"), (3,))})
    assert [b.feeds["x"].tolist() for b in probe.batches(4)] == [[1, 2, 3], [4, 5, 6]]


def test_too_many_columns_are_listed(tmp_path: Path) -> None:
    message = refusal(written(tmp_path, "a,b,c,price\n1,2,3,0\n"))
    assert message.startswith("t.csv has 4 columns, but input 'x' expects 3: keep the model's features only")
    assert "'price'" in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "t.csv holds no rows"),
        ("a,b,c\n", "t.csv holds a header but no rows"),
        ("a,b,c\n1,2,3\n4,5\n", "t.csv: row 3 has 2 cells, the first has 3"),
        ("a,b,a\n1,2,3\n", "names a column twice"),
        ("a,b,c\n1,2,3\n4,Ulm,6\n", "column 'b' holds 'Ulm' in sample 2, but the model takes numbers"),
        ("a,b,c\n" + "1" * 200_000 + ",2,3\n", "not a readable table: field larger than field limit"),
    ],
)
def test_unusable_tables_are_refused(tmp_path: Path, text: str, message: str) -> None:
    assert message in refusal(written(tmp_path, text))


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("é,b,c\n1,2,3\n".encode("latin-1"))
    assert "t.csv is not UTF-8 text" in refusal(tmp_path / "t.csv")


def test_a_table_for_an_image_model_is_refused(tmp_path: Path) -> None:
    inputs = {"x": TensorType(np.dtype("f4"), (None, 3, 8, 8))}
    assert "is a table, but input 'x' expects 4 axes" in refusal(written(tmp_path, "1,2,3\n"), inputs)


def test_data_frames_are_tables() -> None:
    frame = pd.DataFrame({"a": [1, 4], "b": [2, 5], "c": [3.0, 6.5]})
    assert open_probe(frame, X).source == "data frame"
    assert values(frame) == [[1, 2, 3], [4, 5, 6.5]]


def test_parquet_files_are_tables(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "t.parquet"
    pd.DataFrame({"a": [1, 4], "b": [2.0, None], "c": [3.0, 6.5]}).to_parquet(path)
    first, second = values(path)
    assert first == [1, 2, 3]
    assert np.isnan(second[1])
    pd.DataFrame({"a": [1], "b": ["Ulm"], "c": [3.0]}).to_parquet(path)
    assert "column 'b' holds 'Ulm'" in refusal(path)


@pytest.mark.parametrize("kind", ["datetime64[ns]", "timedelta64[ns]"])
def test_columns_of_times_are_refused_beside_numbers(kind: str) -> None:
    frame = pd.DataFrame({"a": [1.0], "b": pd.Series([0]).astype(kind), "c": [2.0]})
    assert f"column 'b' holds {kind}, but the model takes numbers" in refusal(frame)


def test_damaged_parquet_files_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "t.parquet"
    pd.DataFrame({"a": [1, 4]}).to_parquet(path)
    path.write_bytes(path.read_bytes()[:-20])
    assert "t.parquet is not a readable .parquet file or is truncated" in refusal(path)
    path.write_bytes(b"")
    assert "t.parquet is not a readable .parquet file" in refusal(path)


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    path = written(tmp_path, "", "t.parquet")
    assert refusal(path) == "Reading t.parquet needs pyarrow: pip install 'deadunits[tables]', or save it as .csv."


def test_the_names_that_pandas_gives_columns_are_no_sample(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("0,1,2\n0,1,2\n3,4,5\n")
    columns = read_csv(path, Skipped())
    assert [*columns] == ["0", "1", "2"]
    assert columns["2"].tolist() == [2, 5]


@pytest.mark.parametrize("text", ["0,1\n2,3\n", "0,1,3\n2,3,4\n", "0.0,1.0,2.0\n2,3,4\n"])
def test_other_numbers_in_the_first_row_are_a_sample(text: str, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text)
    assert len(next(iter(read_csv(path, Skipped()).values()))) == 2
