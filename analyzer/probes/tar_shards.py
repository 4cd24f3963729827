"""WebDataset's shards as probe data: tar files whose members of one name, up to its first dot, are one sample."""

from __future__ import annotations

import json
import lzma
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from analyzer.errors import ProbeError, first_line
from analyzer.probes.images import SUFFIXES as IMAGES
from analyzer.probes.images import takes_images
from analyzer.probes.input_names import quoted
from analyzer.probes.memory import check_size
from analyzer.probes.numpy_files import array_of
from analyzer.probes.opener import Opener, from_feeds
from analyzer.probes.source import Source

_NUMBERS = frozenset([".cls", ".cls2", ".index", ".inx", ".id"])
_WORDS = frozenset([".txt", ".text", ".transcript"])
_Sample = dict[str, bytes]  # content by what follows the first dot of a name


def open_tars(files: Sequence[Path], name: str, opener: Opener) -> Source:
    """Shards, one after another; arrays, images, JSON, numbers and words are read, by the inputs' names.

    Raises:
        ProbeError: a shard is damaged, or its samples do not fit the model.
    """

    def samples() -> Iterator[tuple[str, str, _Sample]]:
        for file in files:
            for key, sample in _samples(opener.local(file), file.name):
                yield f"{file.name}: sample {key}", f"{file.name}, {key}", sample

    def feeds() -> Iterator[tuple[str, Mapping[str, Any]]]:
        for where, short, sample in samples():
            arrays = opener.skipped.read(short, partial(_arrays, sample, where, opener), where)
            if arrays is not None:
                yield where, arrays

    pictured = any(_suffix(part) in IMAGES for _, _, sample in islice(samples(), 1) for part in sample)
    if opener.images is not None and not pictured:
        raise ProbeError(f"Image options were given, but {name} holds no images: leave them out.")
    steps = opener.image_steps if pictured and takes_images(opener.inputs) else None
    return from_feeds(feeds, f"{name} ({len(files)} files)" if len(files) > 1 else name, opener, preprocessing=steps)


def _samples(path: Path, name: str) -> Iterator[tuple[str, _Sample]]:
    """Neighbouring members of one key; links, folders and devices are passed over."""
    try:
        with tarfile.open(path, "r|*") as archive:
            at, held = "", _Sample()
            for member in archive:
                folder, _, file = member.name.rpartition("/")
                own, dot, rest = file.partition(".")
                if not member.isreg() or not own or not dot:
                    continue
                key = f"{folder}/{own}" if folder else own
                if held and key != at:
                    yield at, held
                    held = {}
                at = key
                check_size(member.size, f"{name}: '{file}'")
                held[rest.lower() if "." not in rest else rest] = _content(archive, member)
            if held:
                yield at, held
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, OSError, ValueError, OverflowError) as error:
        raise ProbeError(f"{name} is not a readable tar file or is truncated: {first_line(error)}") from error


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(member)
    content = b"" if stream is None else stream.read()
    if len(content) < member.size:
        raise EOFError("a member ends early")
    return content


def _suffix(part: str) -> str:
    return PurePosixPath(f"x.{part}").suffix.lower()


def _arrays(sample: _Sample, where: str, opener: Opener) -> dict[str, Any]:
    """What is read of a sample, by the name of the input, or of the part."""
    read: dict[str, Any] = {}
    refused = list[str]()
    for part, content in sample.items():
        suffix, own = _suffix(part), part.rpartition(".")[0] or part
        if suffix == ".npy":
            read[own] = array_of(content, f"{where}.{part}")
        elif suffix == ".json":
            read |= _of_json(content, own, f"{where}.{part}", opener)
        elif suffix in IMAGES and takes_images(opener.inputs):
            read[own] = opener.image_reader.read(content, f"{where}.{part}")
        elif suffix in _NUMBERS:
            read[own] = _number(content)
        elif suffix in _WORDS:
            read[own] = np.array(content.decode("utf-8", "replace"))
        else:
            refused.append(part)
    if len(read) < len(opener.inputs):
        parts = quoted(refused or sample)
        raise ProbeError(
            f"{where} holds {parts}, which is not read as data (no pickle is): store an .npy, .json or image for each "
            "input."
        )
    return read


def _of_json(content: bytes, own: str, where: str, opener: Opener) -> dict[str, Any]:
    """Numbers under the part's name; of an object what is called like inputs, else nothing."""
    try:
        given = json.loads(content)
        if isinstance(given, dict):
            return {name: np.asarray(value) for name, value in given.items() if name in opener.inputs}
        return {own: np.asarray(given)}
    except (ValueError, RecursionError, OverflowError) as error:
        raise ProbeError(f"{where} is no JSON of numbers: write it again.") from error


def _number(content: bytes) -> Any:
    text = content.decode("utf-8", "replace").strip()
    return np.array(int(text) if text.lstrip("-").isdecimal() and len(text) < 19 else text)
