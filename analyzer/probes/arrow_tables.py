"""Tables of Arrow's kind as probe data: Parquet, Feather, data sets of Hugging Face, and objects of these.

Rows are read some at a time, and of Parquet only the groups and the columns that are fed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

from analyzer.errors import ProbeError, first_line
from analyzer.json_files import read_json
from analyzer.probes.arrow_rows import Rows, rows_of
from analyzer.probes.fitting import Part
from analyzer.probes.input_names import quoted
from analyzer.probes.memory import check_size
from analyzer.probes.opener import PIECE_BYTES, Opener, needs
from analyzer.probes.source import Piece, Source

MOST_ROWS = 1 << 16  # that are read at a time
ROWS_OF_OBJECTS = 256  # the same of objects, which may hold images
_STATE, _SPLITS = "state.json", "dataset_dict.json"  # where Hugging Face's `datasets` saved one, or several
_LARGEST_STATE = 1 << 22


def open_parquet(files: Sequence[Path], name: str, opener: Opener) -> Source:
    """Parquet files, whose groups of rows are read by themselves; folders such as `month=1` are columns of their files.

    Raises:
        ProbeError: pyarrow is missing, or the files are unreadable, truncated, or do not fit the model.
    """
    needs("pyarrow", "tables", name, "save it as .csv")
    root = os.path.commonpath([file.parent for file in files])

    def counts(file: Path) -> list[int] | None:
        return opener.skipped.read(file.name, partial(_row_counts, file, opener))

    known = opener.fetched is None and not opener.skipped.allowed
    samples = sum(sum(counts(file) or ()) for file in files) if known else None
    first = next((file for file in files if counts(file) is not None), None)
    if first is None:
        raise ProbeError(f"{name} holds nothing that can be read: {opener.skipped.all_of_it}.")
    with _parquet(first, opener) as content:
        of_path = _of_path(first, root)
        rows = rows_of(_with_columns(content.schema_arrow.empty_table(), of_path).schema, name, opener, [*of_path])

    def pieces() -> Iterator[Piece]:
        start = 1
        for file in files:
            for group, count in enumerate(counts(file) or ()):
                yield Piece(count, partial(_group, file, group, start, rows, _of_path(file, root)))
                start += count

    return _of_tables(name, pieces, samples, rows)


def _of_tables(name: str, pieces: Callable[[], Iterable[Piece]], samples: int | None, rows: Rows) -> Source:
    labels = rows.chosen.labels
    if samples is not None:
        return Source.of_pieces(name, pieces, samples, labels=labels, preprocessing=rows.steps)
    parts = lambda: chain.from_iterable(piece.read() for piece in pieces())  # noqa: E731
    return Source(name, parts, labels=labels, preprocessing=rows.steps, skipped=rows.opener.skipped)


@contextmanager
def _parquet(file: Path, opener: Opener) -> Iterator[Any]:
    from pyarrow import parquet

    with _readable(file, ".parquet"), parquet.ParquetFile(opener.local(file), memory_map=True) as content:
        yield content


def _row_counts(file: Path, opener: Opener) -> list[int]:
    with _parquet(file, opener) as content:
        return [content.metadata.row_group(i).num_rows for i in range(content.metadata.num_row_groups)]


def _group(file: Path, group: int, start: int, rows: Rows, of_path: dict[str, Any]) -> Iterator[Part]:
    with _parquet(file, rows.opener) as content:
        about = content.metadata.row_group(group)
        values = sum(about.column(i).num_values for i in range(about.num_columns))
        size = max(about.total_byte_size, 8 * values)  # runs of one value take no room in the file
        check_size(size, file.name)
        stored = [n for n in rows.columns if n in content.schema_arrow.names]
        many = max(1, min(MOST_ROWS, PIECE_BYTES * about.num_rows // max(size, 1)))
        for batch in content.iter_batches(many, row_groups=[group], columns=stored):
            yield from rows.parts(_with_columns(batch, of_path), start)
            start += batch.num_rows


def _of_path(file: Path, root: str) -> dict[str, Any]:
    """What folders between say, as Hive names them: `year=2024/month=1`."""
    pairs = (part.partition("=") for part in file.parent.relative_to(root).parts)
    return {name: int(value) if value.isdecimal() else value for name, equals, value in pairs if name and equals}


def _with_columns(table: Any, columns: dict[str, Any]) -> Any:
    import pyarrow as pa

    for name, value in columns.items():
        if name not in table.schema.names:
            table = table.append_column(name, pa.array([value] * table.num_rows, pa.scalar(value).type))
    return table


def open_arrow(files: Sequence[Path], name: str, opener: Opener) -> Source:
    """Files in Arrow's own format, in one of its two forms; Feather is one of them.

    Raises:
        ProbeError: as of `open_parquet`.
    """
    needs("pyarrow", "tables", name, "save it as .csv")
    root = os.path.commonpath([file.parent for file in files])

    def batches(file: Path) -> Iterator[Any]:
        return (_with_columns(batch, _of_path(file, root)) for batch in _stored_batches(file, opener))

    def known() -> Iterator[tuple[Path, Any]]:
        for file in files:
            first = opener.skipped.read(file.name, partial(next, batches(file), None))
            if first is not None:
                yield file, first.schema

    begun = next(known(), None)
    if begun is None:
        raise ProbeError(f"{name} holds no rows: {opener.skipped.all_of_it or 'give the model at least one sample'}.")
    rows = rows_of(begun[1], name, opener, [*_of_path(begun[0], root)])
    return _from_batches(lambda: chain.from_iterable(batches(file) for file, _ in known()), name, rows)


def _stored_batches(file: Path, opener: Opener) -> Iterator[Any]:
    import pyarrow as pa

    with _readable(file, ".arrow"), pa.memory_map(str(opener.local(file))) as stream:
        try:
            content = pa.ipc.open_file(stream)
            batches = (content.get_batch(i) for i in range(content.num_record_batches))
        except pa.ArrowInvalid:
            stream.seek(0)
            batches = iter(pa.ipc.open_stream(stream))
        for batch in batches:
            batch.validate(full=True)  # offsets of a damaged file lead anywhere
            many = max(1, min(MOST_ROWS, PIECE_BYTES * batch.num_rows // max(batch.nbytes, 1)))
            yield from (batch.slice(start, many) for start in range(0, batch.num_rows, many))


def _from_batches(batches: Callable[[], Iterator[Any]], name: str, rows: Rows, *, once: bool = False) -> Source:
    def parts() -> Iterator[Part]:
        start = 1
        for batch in batches():
            yield from rows.parts(batch, start)
            start += batch.num_rows

    return Source(
        name,
        parts,
        one_shot=once,
        labels=rows.chosen.labels,
        preprocessing=rows.steps,
        skipped=rows.opener.skipped,
    )


def is_saved_data_set(folder: Path) -> bool:
    """Whether Hugging Face's `datasets` saved one there, or several."""
    return any((folder / name).is_file() for name in (_STATE, _SPLITS))


def open_saved_data_set(folder: Path, opener: Opener) -> Source:
    """A data set that `save_to_disk` wrote.

    Raises:
        ProbeError: it holds several splits, or as of `open_parquet`.
    """
    if (folder / _SPLITS).is_file():
        splits = sorted(path.name for path in folder.iterdir() if (path / _STATE).is_file())
        raise ProbeError(
            f"{folder} holds the splits {quoted(splits)}: name one, such as {folder / (splits or ['train'])[0]}."
        )
    state = read_json(folder / _STATE, _STATE, "save the data set again", most=_LARGEST_STATE, error=ProbeError)
    listed = state.get("_data_files") if isinstance(state, dict) else None
    names = [entry.get("filename") if isinstance(entry, dict) else None for entry in listed or ()]
    if not names or not all(isinstance(name, str) and Path(name).name == name for name in names):
        raise ProbeError(f"{folder / _STATE} does not list the files of a data set: save it again.")
    return open_arrow([folder / str(name) for name in names], folder.name, opener)


def from_arrow(data: Any, name: str, opener: Opener) -> Source:
    """A table of pyarrow, one of its data sets, or a reader of batches, which can be read once."""
    batches = data.to_batches if hasattr(data, "to_batches") else lambda: data
    rows = rows_of(data.schema, name, opener)
    return _from_batches(lambda: iter(batches()), name, rows, once=not hasattr(data, "to_batches"))


def from_data_set(data: Any, name: str, opener: Opener) -> Source:
    """A data set of Hugging Face's `datasets`, in memory, on disk or streamed, by batches of Arrow."""
    tables = data.with_format("arrow")
    if not hasattr(data, "__len__"):
        streamed = lambda: (batch for table in tables.iter(ROWS_OF_OBJECTS) for batch in table.to_batches())  # noqa: E731
        schema = next(iter(islice(tables.iter(1), 1)), None)
        if schema is None:
            raise ProbeError(f"{name} holds no rows: give the model at least one sample.")
        return _from_batches(streamed, name, rows_of(schema.schema, name, opener))
    rows = rows_of(tables[:1].schema, name, opener)

    def pieces() -> Iterator[Piece]:
        for start in range(0, len(data), ROWS_OF_OBJECTS):
            stop = min(start + ROWS_OF_OBJECTS, len(data))
            yield Piece(stop - start, partial(read, start, stop))

    def read(start: int, stop: int) -> Iterator[Part]:
        for batch in tables[start:stop].to_batches():
            yield from rows.parts(batch, start + 1)
            start += batch.num_rows

    return _of_tables(name, pieces, None if opener.skipped.allowed else len(data), rows)


@contextmanager
def _readable(file: Path, suffix: str) -> Iterator[None]:
    """What is wrong with a file, in our words."""
    from pyarrow import ArrowException

    try:
        yield
    except (ArrowException, UnicodeDecodeError) as error:
        raise ProbeError(f"{file.name} is not a readable {suffix} file or is truncated: write it again.") from error
    except OSError as error:
        raise ProbeError(f"{file.name} cannot be read: {first_line(error)}") from error
