"""Calls with `.npy` and `.npz` files, and tensors of ONNX's test data, that something is wrong with."""

from __future__ import annotations

import io
import zipfile
from functools import cache
from random import Random
from typing import Any

import numpy as np
from onnx import TensorProto, numpy_helper

from tests.models import parse
from tests.mutants.attempts import OUT, Attempt
from tests.mutants.damaged_messages import damage_field, damaged_bytes

Array = np.ndarray[Any, np.dtype[Any]]
SHAPES = (
    "(-1, 4)",
    "(4,)",
    "()",
    "(0, 4)",
    "(8, 0)",
    "(1 << 40, 4)",
    "(4611686018427387904, 4)",
    "(8.0, 4)",
    "(True, 4)",
    "'ab'",
    "[8, 4]",
    "(8, 4",
    "((8,), 4)",
    "8",
    "None",
    "(" * 300,
    "-(8)",
    "(99999999999999999999, 4)",
    "{}",
    "(8, 4,) * 9",
)
TYPES = (
    "'<f4'",
    "'>f4'",
    "'<f8'",
    "'<f2'",
    "'|b1'",
    "'<i8'",
    "'|u1'",
    "'<c8'",
    "'<U4'",
    "'|S4'",
    "'|S0'",
    "'<U0'",
    "'|V4'",
    "'|V0'",
    "'|O'",
    "'<M8[ns]'",
    "'<m8[s]'",
    "[('a', '<f4')]",
    "[]",
    "('<f4', (2,))",
    "'<f9'",
    "'nonsense'",
    "None",
    "4",
    "'(4,)f4'",
    "'f4,f4'",
    "{'names': ['a'], 'formats': ['<f4']}",
    "'<g'",
    "'" + "f" * 9000 + "'",
)
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
MEMBERS = (
    "x.npy",
    "x",
    "y.npy",
    "",
    "../x.npy",
    "/x.npy",
    "x.npy/",
    "a/x.npy",
    "x.txt",
    "x\x00.npy",
    "名.npy",
    "x" * 300,
)


@cache
def small_model() -> bytes:
    """Numbers `x` [n, 4] and `z` [n] in, so that a mapping of arrays is needed; one array does for `one_input`."""
    text = """net (float[n, 4] x, int64[n] z) => (float[n, 3] y) {
        f = Cast <to = 1> (z)
        axis = Constant <value_ints = [1]> ()
        g = Unsqueeze (f, axis)
        h = MatMul (x, w)
        r = Relu (h)
        s = Add (r, g)
        y = MatMul (s, v)
    }"""
    return _with_weights(text)


@cache
def one_input() -> bytes:
    """Numbers `x` [n, 4] in."""
    return _with_weights("net (float[n, 4] x) => (float[n, 3] y) { h = MatMul (x, w) r = Relu (h) y = MatMul (r, v) }")


def _with_weights(text: str) -> bytes:
    random = np.random.default_rng(0)
    weights = {n: random.standard_normal(s).astype(np.float32) for n, s in {"w": (4, 5), "v": (5, 3)}.items()}
    return parse(text, weights).SerializeToString()


def damaged_npy(random: Random) -> Attempt:
    """One array in a file of its own."""
    suffix = random.choice([".npy"] * 24 + [".npz", ".csv", ".txt", ".NPY", "", ".parquet", ".png"])
    return _call(random, one_input(), f"probe{suffix}", _npy(random))


def damaged_npz(random: Random) -> Attempt:
    """Arrays in an archive, one of them or the archive damaged."""
    kind = random.choice(
        ("array", "array", "name", "bytes", "bytes", "record", "record", "more", "empty", "bomb", "swap", "fine")
    )
    members, model = {"x.npy": saved(_array(random))}, one_input()
    if random.random() < 0.5:
        members["z.npy"], model = saved(np.arange(8)), small_model()
    if kind == "array":
        members[random.choice(list(members))] = _npy(random)
    elif kind == "name":
        members[random.choice(MEMBERS)] = members.pop(random.choice(list(members)))
    elif kind == "more":
        members[random.choice(MEMBERS)] = random.choice([b"", b"text", _npy(random), _zip(random, members)])
    elif kind == "empty":
        members = {}
    elif kind == "bomb":
        members["x.npy"] = saved(np.zeros((1 << random.choice([10, 16]), 4), np.float32))
    content = _zip(random, members)
    if kind == "bytes":
        content = damaged_bytes(random, content)
    elif kind == "record":
        content = _damaged_record(random, content)
    elif kind == "swap":
        content = random.choice(
            [b"", b"PK", members["x.npy"], content[:40], content[-22:], content + content, b"\x00" + content]
        )
    return _call(random, model, "probe.npz", content)


def damaged_data_set(random: Random) -> Attempt:
    """A folder of tensors as ONNX's test data has them."""
    array = _array(random)
    array = array if array.dtype.isnative and array.dtype.kind in "fiub" else array.astype("f4")
    tensors = {
        "input_0.pb": numpy_helper.from_array(np.ascontiguousarray(array), "x"),
        "input_1.pb": numpy_helper.from_array(np.arange(8), "z"),
    }
    files = {}
    for name, tensor in tensors.items():
        if random.random() < 0.6:
            damage_field(random, tensor)
        content = tensor.SerializeToString()
        files[name] = damaged_bytes(random, content) if random.random() < 0.2 else content
    if random.random() < 0.2:
        files[random.choice(["input_2.pb", "input_x.pb", "output_0.pb", "input_٣.pb"])] = files.pop("input_1.pb")
    if random.random() < 0.1:
        files["input_0.pb"] = TensorProto().SerializeToString()
    folder = random.choice(["sets/test_data_set_0", "sets/test_data_set_x", "sets"])
    given = {f"{folder}/{name}": content for name, content in files.items()}
    return Attempt({**given, "model.onnx": small_model()}, _arguments(random, "sets"))


def _call(random: Random, model: bytes, name: str, content: bytes) -> Attempt:
    return Attempt({"model.onnx": model, name: content}, _arguments(random, name))


def _arguments(random: Random, probe: str) -> tuple[str, ...]:
    return random.choice(
        (
            ("audit", "model.onnx", "--probe", probe, "--quiet"),
            ("audit", "model.onnx", "--probe", probe, "--quiet", "--limit", "3", "--json", f"{OUT}/a.json"),
            ("prune", "model.onnx", "--probe", probe, "--quiet", "--no-latency", "-o", f"{OUT}/small.onnx"),
            ("check", "model.onnx", "--probe", probe, "--quiet", "--holdout", probe),
        )
    )


def _array(random: Random) -> Array:
    """An array for `x`, most often right."""
    numbers = np.random.default_rng(random.randrange(1 << 30))
    right = numbers.standard_normal((8, 4)).astype(np.float32)
    odd = (
        right.astype(np.float64) * 1e300,
        right[:, :3],
        right[0],
        right[None],
        np.asfortranarray(right),
        right.astype(">f4"),
        np.zeros((0, 4), np.float32),
        np.full((8, 4), np.nan, np.float32),
        np.full((8, 4), "1"),
        np.array(1.5, np.float32),
        right.astype(np.complex64),
        right > 0,
        (right * 100).astype(np.int64),
        np.full((8, 4), np.iinfo(np.int64).max),
        right.astype(np.float16),
        np.full((8, 4), np.datetime64("2020-01-01")),
        np.broadcast_to(np.float32(1), (8, 4)),
    )
    return right if random.random() < 0.6 else random.choice(odd)


def _npy(random: Random) -> bytes:
    """A `.npy` file whose header or data is damaged."""
    content = saved(_array(random))
    match random.choice(("bytes", "header", "header", "header", "version", "length", "cut", "grow", "raw")):
        case "bytes":
            return damaged_bytes(random, content)
        case "header":
            return _with_header(random, content[128:])
        case "version":
            return (
                content[:6] + bytes(random.choice([(1, 1), (2, 0), (3, 0), (4, 0), (255, 255), (0, 0)])) + content[8:]
            )
        case "length":
            return content[:8] + random.choice([0, 1, 117, 10_001, 65_535]).to_bytes(2, "little") + content[10:]
        case "cut":
            return content[: random.choice([0, 1, 6, 8, 10, 100, 128, len(content) - 1])]
        case "grow":
            return content + b"\x00" * random.choice([1, 4096])
    return random.choice([b"", b"\x93NUMPY", b"\x80\x04K\x01.", b"\xff" * 200, content[:10] + b"{" * 5000, b"GIF89a"])


def _with_header(random: Random, data: bytes) -> bytes:
    keys = {"descr": "'<f4'", "fortran_order": "False", "shape": "(8, 4)"}
    match random.choice(("shape", "type", "order", "key", "more", "text")):
        case "shape":
            keys["shape"] = random.choice(SHAPES)
        case "type":
            keys["descr"] = random.choice(TYPES)
        case "order":
            keys["fortran_order"] = random.choice(["True", "1", "None", "'no'", "[]"])
        case "key":
            del keys[random.choice(list(keys))]
        case "more":
            keys["more"] = random.choice(["1", "__import__('os').system('true')", "(" * 200])
        case "text":
            keys = {"descr'": random.choice(["\x00", "'", "1 if 1 else 2", "lambda: 0", "f'{1}'", "9" * 5000, "\\x"])}
    text = "{" + "".join(f"'{key}': {value}, " for key, value in keys.items()) + "}"
    header = text.encode("latin-1") + b"\n"
    return b"\x93NUMPY\x02\x00" + len(header).to_bytes(4, "little") + header + data


def saved(array: Array) -> bytes:
    with io.BytesIO() as stream:
        np.save(stream, array, allow_pickle=False)
        return stream.getvalue()


def _zip(random: Random, members: dict[str, bytes]) -> bytes:
    compression = random.choice(COMPRESSIONS)
    with io.BytesIO() as stream:
        with zipfile.ZipFile(stream, "w", compression) as archive:
            for name, content in members.items():
                archive.writestr(zipfile.ZipInfo(name), content, compression)
            archive.comment = random.choice([b""] * 20 + [b"PK\x05\x06"])
        return stream.getvalue()


def _damaged_record(random: Random, content: bytes) -> bytes:
    """One number in a header of the archive: of a member, of its entry in the directory, or of the directory."""
    marks = {b"PK\x03\x04": 30, b"PK\x01\x02": 46, b"PK\x05\x06": 22}
    mark = random.choice(list(marks))
    places = [at for at in range(len(content)) if content.startswith(mark, at)]
    if not places:
        return content
    at = random.choice(places) + random.randrange(4, marks[mark])
    value = random.choice([b"\x00", b"\xff", b"\x01", b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x63\x00", b"\x0e"])
    return content[:at] + value + content[at + len(value) :]
