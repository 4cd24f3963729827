"""Calls with files of other programs that something is wrong with: HDF5, Zarr, Arrow, tar, sound, text."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import tarfile
import tempfile
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from tests.models import parse
from tests.mutants.attempts import OUT, Attempt
from tests.mutants.damaged_arrays import one_input, saved, small_model
from tests.mutants.damaged_messages import damaged_bytes

WORDS = {"[UNK]": 0, "[PAD]": 1, "a": 2, "b": 3}
TOKENIZER: dict[str, Any] = {
    "version": "1.0",
    "truncation": None,
    "padding": None,
    "added_tokens": [],
    "normalizer": None,
    "pre_tokenizer": {"type": "Whitespace"},
    "post_processor": None,
    "decoder": None,
    "model": {"type": "WordLevel", "vocab": WORDS, "unk_token": "[UNK]"},
}
ODD_JSON: tuple[Any, ...] = (None, -1, 0, 1 << 40, 1.5, "", "x", [], {}, [1 << 62, 4], True, "|O", "<f4", "pickle")
PARTS = ("x.npy", "npy", "z.json", "json", "cls", "png", "pyd", "pickle", "x.pth", "", "x", "NPY", "txt", "x.z.npy")


def rows(random: Random) -> Any:
    return np.random.default_rng(random.randrange(1 << 30)).standard_normal((8, 4)).astype(np.float32)


def damaged_hdf5(random: Random) -> Attempt:
    """Data sets of odd kinds, or damaged bytes."""
    import h5py

    odd = (
        {"data": rows(random), "chunks": (3, 4), "compression": "gzip"},
        {"data": rows(random), "chunks": (8, 1), "shuffle": True, "fletcher32": True},
        {"data": [b"a"] * 8},
        {"data": ["a"] * 8},
        {"shape": (8, 4), "dtype": "f4"},
        {"shape": (1 << 50, 4), "dtype": "f4", "chunks": (1, 4)},
        {"shape": (8, 4), "dtype": "f4", "external": [("/etc/hostname", 0, 128)]},
        {"data": np.array([(1, 2.0)] * 8, [("a", "i4"), ("b", "f4")])},
        {"shape": (8,), "dtype": h5py.vlen_dtype("f4")},
        {"dtype": "f4", "data": h5py.Empty("f4")},
        {"data": np.full((8, 4), 2**60)},
        {"data": 1.5},
    )
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        name = random.choice(["x", "x", "x", "group/x", "y", "x\x85"])
        file.create_dataset(name, **(random.choice(odd) if random.random() < 0.6 else {"data": rows(random)}))
        if random.random() < 0.3:
            file["z"] = np.arange(8)
        if random.random() < 0.2:
            file["link"] = random.choice([h5py.ExternalLink("/etc/hostname", "/"), h5py.SoftLink("/link")])
    content = stream.getvalue()
    return _call(random, "probe.h5", damaged_bytes(random, content) if random.random() < 0.6 else content)


def damaged_zarr(random: Random) -> Attempt:
    """A store whose metadata or chunks are damaged."""
    files = dict(_zarr(random.choice([2, 3])))
    name = random.choice(sorted(files))
    if name.endswith(("json", ".zarray", ".zgroup", ".zattrs")) and random.random() < 0.7:
        files[name] = json.dumps(_odd_json(random, json.loads(files[name]))).encode()
    elif random.random() < 0.8:
        files[name] = damaged_bytes(random, files[name])
    else:
        del files[name]
    return Attempt({**files, "model.onnx": one_input()}, ("audit", "model.onnx", "--probe", "p.zarr", *_flags(random)))


@cache
def _zarr(version: int) -> tuple[tuple[str, bytes], ...]:
    import zarr

    with tempfile.TemporaryDirectory() as folder:
        group = zarr.open_group(f"{folder}/p.zarr", mode="w", zarr_format=version)
        group.create_array("x", data=rows(Random(0)), chunks=(3, 4))
        paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        return tuple((str(path.relative_to(folder)), path.read_bytes()) for path in paths)


def _odd_json(random: Random, value: Any) -> Any:
    """The same with something else in one place."""
    if isinstance(value, dict) and value and random.random() < 0.9:
        key = random.choice(sorted(value))
        if random.random() < 0.1:
            return {name: entry for name, entry in value.items() if name != key}
        return {**value, key: _odd_json(random, value[key])}
    if isinstance(value, list) and value and random.random() < 0.7:
        place = random.randrange(len(value))
        return [*value[:place], _odd_json(random, value[place]), *value[place + 1 :]]
    return random.choice(ODD_JSON)


def damaged_arrow(random: Random) -> Attempt:
    """A file in Arrow's own format, in one of its two forms."""
    import pyarrow as pa

    odd = (
        pa.array([[1.0, 2, 3, 4]] * 8),
        pa.array([[1.0], [], None, [1.0, 2]] * 2),
        pa.array([b"\x89PNG"] * 8),
        pa.array(["a"] * 8).dictionary_encode(),
        pa.array([{"bytes": b"x", "path": "/etc/hostname"}] * 8),
        pa.FixedShapeTensorArray.from_numpy_ndarray(rows(random)),
        pa.array([[[1.0, 2], [3.0, 4]]] * 8),
        pa.array([None] * 8),
        pa.array([[None, 1.0, 2.0, 3.0]] * 8),
        pa.array([["a", "b", "c", "d"]] * 8),
    )
    columns = {"x": random.choice(odd) if random.random() < 0.7 else pa.array(rows(random).tolist())}
    if random.random() < 0.3:
        columns[random.choice(["z", "label", "x2"])] = pa.array(range(8))
    table = pa.table(columns)
    stream = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=random.choice([None, "lz4", "zstd"]))
    with random.choice((pa.ipc.new_file, pa.ipc.new_stream))(stream, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=3)
    content = stream.getvalue()
    content = damaged_bytes(random, content) if random.random() < 0.6 else content
    return _call(random, random.choice(["probe.arrow", "probe.feather"]), content)


def damaged_tar(random: Random) -> Attempt:
    """Shards with odd members, or damaged bytes."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for key in range(4):
            contents = {"x.npy": saved(rows(random)[0]), "z.json": b"3"}
            if random.random() < 0.4:
                contents[random.choice(PARTS)] = random.choice(
                    [
                        b"",
                        b"{}",
                        b"[1, 2",
                        b"\x80\x04K\x01.",
                        saved(rows(random)),
                        b"9" * 400,
                        b"[" * 5000,
                        b"\x93NUMPY",
                    ]
                )
            for part, content in contents.items():
                member = tarfile.TarInfo(f"{random.choice(['', 'a/', '../'])}{key}.{part}")
                member.size = len(content)
                member.type = random.choice(
                    [tarfile.REGTYPE] * 20 + [tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE]
                )
                archive.addfile(member, io.BytesIO(content))
    pack = random.choice((bytes, partial(gzip.compress, mtime=0), lzma.compress))
    packed = pack(stream.getvalue())
    packed = damaged_bytes(random, packed) if random.random() < 0.5 else packed
    return _call(random, random.choice(["probe.tar", "probe.tar.gz"]), packed)


@cache
def _heard() -> bytes:
    """16 samples of sound in, of any number."""
    weights = {"w": np.random.default_rng(0).standard_normal((16, 5)).astype(np.float32)}
    return parse(
        "net (float[n, 16] x) => (float[n, 5] y) { h = MatMul (x, w) y = Relu (h) }", weights
    ).SerializeToString()


def damaged_sound(random: Random) -> Attempt:
    """Sound whose header or samples are damaged."""
    import soundfile

    stream, form = io.BytesIO(), random.choice(["WAV", "FLAC"])
    sound = np.random.default_rng(random.randrange(1 << 30)).standard_normal(
        (random.choice([0, 9, 70]), random.choice([1, 2]))
    )
    soundfile.write(stream, sound / 8, random.choice([8000, 1]), format=form)
    content = stream.getvalue()
    content = damaged_bytes(random, content) if random.random() < 0.8 else content
    name = f"probe.{random.choice([form.lower()] * 4 + ['wav', 'flac', 'ogg', 'aiff'])}"
    flags = random.choice(((), ("--window", "16"), ("--sample-rate", "8000"), ("--window", "0"), ("--tokenizer", name)))
    return Attempt(
        {"model.onnx": _heard(), name: content}, ("audit", "model.onnx", "--probe", name, *flags, *_flags(random))
    )


@cache
def _read() -> bytes:
    """Ids of a small vocabulary in, as many as there are."""
    weights = {"w": np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32)}
    text = "net (int64[n, t] ids) => (float[n, t, 5] y) { h = Gather (w, ids) y = Relu (h) }"
    return parse(text, weights).SerializeToString()


def damaged_text(random: Random) -> Attempt:
    """Lines, and the file of a tokenizer."""
    tokenizer = json.dumps(TOKENIZER).encode()
    if random.random() < 0.6:
        tokenizer = json.dumps(_odd_json(random, TOKENIZER)).encode()
    if random.random() < 0.2:
        tokenizer = damaged_bytes(random, tokenizer)
    lines = random.choice(
        [b"a b\nb\n\na a a", b"", b"\n\n", b"\xff\xfea\x00", b"a" * 70_000, b"\x00\n\x85", b"\xef\xbb\xbfa"]
    )
    flags = random.choice(((), ("--max-length", "3"), ("--max-length", "0"), ("--max-length", "99999999999")))
    call = ("audit", "model.onnx", "--probe", "p.txt", "--tokenizer", "t.json", *flags, *_flags(random))
    return Attempt({"model.onnx": _read(), "p.txt": lines, "t.json": tokenizer}, call)


def _call(random: Random, name: str, content: bytes) -> Attempt:
    model = one_input() if random.random() < 0.7 else small_model()
    return Attempt({"model.onnx": model, name: content}, ("audit", "model.onnx", "--probe", name, *_flags(random)))


def _flags(random: Random) -> tuple[str, ...]:
    return (*random.choice((("--json", f"{OUT}/a.json"), ("--limit", "2"), ("--max-bad", "9"), ())), "--quiet")
