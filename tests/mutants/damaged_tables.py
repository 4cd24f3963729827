"""Calls with tables that something is wrong with."""

from __future__ import annotations

import io
from random import Random

from tests.mutants.attempts import OUT, Attempt
from tests.mutants.damaged_arrays import one_input, small_model
from tests.mutants.damaged_messages import damaged_bytes

CELLS = (
    "",
    " ",
    "NA",
    "nan",
    "inf",
    "-inf",
    "1e999",
    "1e-999",
    "0x10",
    "1,5",
    "1_000",
    "٣",
    "½",
    "True",
    "text",
    "\x00",
    '"',
    '""',
    '"a\nb"',
    "=1+1",
    "9" * 400,
    "9" * 5000,
    "1" * 200_000,
    "-0",
    "1.5.2",
    "\x1b[31m",
    "\u202e",
    "'",
    "#",
    "1;2",
    "1\t2",
    "+",
    "1e",
    "١٢",
)
ENCODINGS = (*["utf-8"] * 16, "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252", "utf-7")
NAMES = (
    *[("a", "b", "c", "d")] * 4,
    ("x", "z"),
    ("x", "x"),
    ("", "", "", ""),
    ("a,b", 'c"d', "e", "f"),
    ("a\nb", "c", "d", "e"),
    (),
)


def damaged_csv(random: Random) -> Attempt:
    """Numbers as text, with odd cells, rows, quotes, ends of lines and encodings."""
    names = random.choice(NAMES)
    width = len(names) or 4
    rows = [
        [f"{random.gauss(0, 1):.3f}" for _ in range(width)] for _ in range(random.choice([0, 1, 8, 8, 8, 8, 8, 30]))
    ]
    for _ in range(random.choice([0, 1, 1, 2, 5])):
        if rows:
            row = random.choice(rows)
            match random.choice(("cell", "cell", "cell", "more", "less", "none")):
                case "cell" if row:
                    row[random.randrange(len(row))] = random.choice(CELLS)
                case "more":
                    row.extend(["1"] * random.choice([1, 1000]))
                case "less" if row:
                    row.pop()
                case "none":
                    row.clear()
    mark = random.choice([",", ";", "\t", "|", " ", ", "]) if random.random() < 0.2 else ","
    end = random.choice(["\r\n", "\r", "\n\n", "\x85", "\u2028"]) if random.random() < 0.2 else "\n"
    text = end.join(mark.join(row) for row in ([list(names)] if names else []) + rows)
    text += random.choice([end, end, "", '"', "\x1a", ",", end * 3])
    content = text.encode(random.choice(ENCODINGS), "replace")
    if random.random() < 0.15:
        content = damaged_bytes(random, content)
    if random.random() < 0.1:
        content = random.choice(
            [b"", b"\xef\xbb\xbf", b"\n", b"\x00" * 100, b'"' * 9, b"," * 200_000, b"\xff\xfe", b"a,b,c,d"]
        )
    name = random.choice(["probe.csv"] * 9 + ["probe.tsv", "probe.CSV"])
    model = small_model() if "x" in names else one_input()
    return Attempt({"model.onnx": model, name: content}, _arguments(random, name))


def damaged_parquet(random: Random) -> Attempt:
    """A table by pyarrow: odd types of columns, or damaged bytes."""
    import pyarrow as pa
    from pyarrow import parquet

    odd = (
        pa.array([None] * 8),
        pa.array(["a"] * 8),
        pa.array([[1, 2]] * 8),
        pa.array([{"a": 1}] * 8),
        pa.array([b"x"] * 8),
        pa.array([True] * 8),
        pa.array([None, 1.0] * 4),
        pa.array(["a"] * 8).dictionary_encode(),
        pa.array([1 << 62] * 8),
        pa.array([1] * 8, pa.timestamp("ns")),
        pa.array([1] * 8, pa.decimal128(38)),
        pa.array([1.0] * 8, pa.float16()),
        pa.array([1] * 8, pa.duration("s")),
        pa.array([None] * 8, pa.int64()),
        pa.array([1] * 8, pa.uint64()),
    )
    columns = [pa.array([random.gauss(0, 1) for _ in range(8)]) for _ in range(4)]
    if random.random() < 0.6:
        columns[random.randrange(4)] = random.choice(odd)
    names = random.choice([["a", "b", "c", "d"], ["a", "a", "a", "a"], ["", "b", "c", "d"]])
    stream = io.BytesIO()
    parquet.write_table(pa.table(columns, names=names), stream, compression=random.choice(["snappy", "none", "gzip"]))
    content = stream.getvalue()
    if random.random() < 0.5:
        content = damaged_bytes(random, content)
    return Attempt({"model.onnx": one_input(), "probe.parquet": content}, _arguments(random, "probe.parquet"))


def _arguments(random: Random, probe: str) -> tuple[str, ...]:
    flags = random.choice((("--json", f"{OUT}/a.json"), ("--limit", "2"), ("--holdout", probe), ()))
    return ("audit", "model.onnx", "--probe", probe, "--quiet", *flags)
