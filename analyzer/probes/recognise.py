"""Recognise what kind of probe data was given, and make a source of it: one row of a table for each kind of file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path

from analyzer.errors import ProbeError
from analyzer.facts.addresses import as_path, is_address
from analyzer.probes.array_files import open_csv, open_json_lines, open_npy, open_npz, open_packs
from analyzer.probes.array_stores import open_hdf5, open_zarr, open_zarr_at
from analyzer.probes.arrow_tables import is_saved_data_set, open_arrow, open_parquet, open_saved_data_set
from analyzer.probes.audio_files import SUFFIXES as SOUND
from analyzer.probes.audio_files import open_audio
from analyzer.probes.fetched import Fetched, alternatives
from analyzer.probes.fitting import Fitter
from analyzer.probes.image_files import open_images, open_list
from analyzer.probes.images import LIST_SUFFIXES
from analyzer.probes.images import SUFFIXES as PICTURES
from analyzer.probes.json_lines import SUFFIXES as JSON_LINES
from analyzer.probes.onnx_data_sets import data_set_folders, read_data_sets
from analyzer.probes.opener import RICH, Opener
from analyzer.probes.python_objects import from_object, from_python
from analyzer.probes.source import Source
from analyzer.probes.tar_shards import open_tars
from analyzer.probes.texts import open_texts
from analyzer.regular_files import check_regular

_PYTHON = re.compile(r"(?P<file>.+\.py)(?::(?P<name>\w+))?")
_One = Callable[[Path, Opener], Source]
_Many = Callable[[Sequence[Path], str, Opener], Source]


@dataclass(frozen=True, eq=False)
class _Kind:
    """A kind of file: how one is opened, how several are, and which options say how (`images`, `audio`, `texts`)."""

    one: _One | None = None
    many: _Many | None = None
    options: frozenset[str] = frozenset()

    def open(self, path: Path, opener: Opener) -> Source:
        """One file."""
        if self.one is None:
            return self.open_all([path], path.name, opener)
        return self.one(opener.local(path), opener.check_options(path.name, self.options))

    def open_all(self, files: Sequence[Path], name: str, opener: Opener) -> Source:
        """Files of this kind as one series."""
        opener.check_options(name, self.options)
        return _in_turn(self, files, name, opener) if self.many is None else self.many(files, name, opener)


def _in_turn(kind: _Kind, files: Sequence[Path], name: str, opener: Opener) -> Source:
    """Files that are opened one after another."""

    def opened() -> Iterator[Source]:
        sources = (opener.skipped.read(file.name, partial(kind.open, file, opener)) for file in files)
        return (source for source in sources if source is not None)

    first = next(opened(), None)
    if first is None:
        raise ProbeError(f"{name} holds nothing that can be read: {opener.skipped.all_of_it}.")
    parts = lambda: chain.from_iterable(source.parts() for source in opened())  # noqa: E731
    return Source(f"{name} ({len(files)} files)", parts, labels=first.labels, skipped=opener.skipped)


_KINDS: dict[str, _Kind] = {
    **dict.fromkeys(PICTURES, _Kind(many=open_images, options=frozenset(["images"]))),
    ".npz": _Kind(open_npz, open_packs),
    ".npy": _Kind(open_npy),
    **dict.fromkeys((".csv", ".tsv"), _Kind(open_csv)),
    **dict.fromkeys(JSON_LINES, _Kind(open_json_lines)),
    **dict.fromkeys((".parquet", ".pq"), _Kind(many=open_parquet, options=RICH)),
    **dict.fromkeys((".arrow", ".feather"), _Kind(many=open_arrow, options=RICH)),
    **dict.fromkeys((".h5", ".hdf5"), _Kind(open_hdf5)),
    ".zarr": _Kind(open_zarr),
    **dict.fromkeys((".tar", ".tgz"), _Kind(many=open_tars, options=frozenset(["images"]))),
    **dict.fromkeys(SOUND, _Kind(many=open_audio, options=frozenset(["audio"]))),
}
_TEXT = _Kind(many=open_texts, options=frozenset(["texts"]))
_LIST = _Kind(open_list, options=frozenset(["images"]))
_KNOWN = (
    ".npz, .npy, .csv, .jsonl, .parquet, .feather, .h5, .zarr, .tar, images, sound, a folder or a pattern of these, "
    "text with --tokenizer, a test_data_set_* folder, or file.py:name"
)


def runs_code(path: str) -> bool:
    """Whether a path of probe data is a Python file, which would be executed."""
    return _PYTHON.fullmatch(path) is not None and not is_address(path)


def source_of(data: object, opener: Opener) -> Source:
    """The source for any supported kind of data.

    Raises:
        ProbeError: the kind is not known, or the data cannot be read or does not fit.
    """
    if isinstance(data, str | Path):
        try:
            return _from_address(str(data), opener) if is_address(data) else _from_path(str(as_path(data)), opener)
        except OSError as error:
            raise ProbeError(f"{data} cannot be read: {error.strerror or error}.") from error
    return from_object(data, opener)


def _kind_of(path: Path, opener: Opener) -> _Kind | None:
    """By the end of the name; of a text, by whether a tokenizer is named."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] and suffixes[-1] in LIST_SUFFIXES:
        return _TEXT if opener.texts is not None else _LIST
    if suffixes[-2:] in ([".tar", ".gz"], [".zarr", ".zip"]):
        return _KINDS[suffixes[-2]]
    return _KINDS.get(path.suffix.lower())


def _from_path(text: str, opener: Opener) -> Source:
    match, path = _PYTHON.fullmatch(text), Path(text)
    if match is not None:
        return from_python(Path(match["file"]), match["name"] or "feeds", opener)
    if not check_regular(path).exists():
        return _from_pattern(text, opener)
    kind = _kind_of(path, opener)
    if path.is_dir() and path.suffix.lower() != ".zarr":
        return _from_folder(path, opener)
    if kind is None:
        raise ProbeError(f"{path.name} is no known kind of probe data: give {_KNOWN}.")
    return kind.open(path, opener)


def _from_address(text: str, opener: Opener) -> Source:
    fetched = Fetched(text)
    shown, opener = fetched.shown, replace(opener, fetched=fetched)
    if fetched.is_file():
        kind = _kind_of(fetched.file(), opener)
        if kind is None:
            raise ProbeError(f"{shown} is no known kind of probe data: give {_KNOWN}.")
        if kind is _LIST:
            raise ProbeError(f"{shown} is a list of files elsewhere: give the folder that holds them.")
        return kind.open(fetched.file(), opener)
    if fetched.is_folder() and fetched.file().suffix.lower() == ".zarr":
        return open_zarr_at(text, opener)
    if fetched.is_folder():
        return _series(fetched.below(), shown, opener)
    if not (files := fetched.matching()):
        raise ProbeError(f"There is nothing at {shown}, or no way there: check the address.")
    return _series(files, shown, opener)


def _from_pattern(text: str, opener: Opener) -> Source:
    """Files that a shell pattern names, in their order."""
    files: list[Path] = []
    for pattern in alternatives(text):
        path = Path(pattern)
        if path.is_file():
            files.append(path)
            continue
        root = next(parent for parent in (*path.parents, Path()) if parent.exists())  # brackets in it are no pattern
        below = str(path.relative_to(root)) if any(c in pattern for c in "*?[") else ""
        try:
            files += sorted(check_regular(file) for file in root.glob(below) if file.is_file()) if below else []
        except ValueError as error:
            raise ProbeError(
                f"{text} is no pattern of files: write it as 'images/*.png' or 'images/**/*.png'."
            ) from error
    if not files:
        raise ProbeError(f"No probe data at {text}: check the path.")
    return _series(files, text, opener)


def _series(files: Sequence[Path], name: str, opener: Opener) -> Source:
    """Files that are all of one kind."""
    kind, *others = {_kind_of(file, opener) for file in files}
    if others or kind is None or kind is _LIST:
        raise ProbeError(f"{name} names files of several kinds, or of one that is no data: name one kind.")
    return kind.open_all(files, name, opener)


def _from_folder(path: Path, opener: Opener) -> Source:
    """ONNX's data sets, one that was saved, or files of one kind; beside images, then `.npz`, others do not count."""
    name = path.name or str(path)
    if sets := data_set_folders(path):
        opener.check_options(name)
        fitter = Fitter(opener.inputs, opener.fitter.constants, uneven=True)
        parts = lambda: fitter.parts(read_data_sets(sets, opener.names, opener.skipped))  # noqa: E731
        return Source(name, parts, skipped=opener.skipped)
    if is_saved_data_set(path):
        return open_saved_data_set(path, opener.check_options(name, RICH))
    by_kind: dict[_Kind, list[Path]] = {}
    for file in sorted(path.rglob("*")):
        of_file = _kind_of(file, opener)
        if of_file is not None and of_file is not _LIST and not file.is_dir():
            by_kind.setdefault(of_file, []).append(check_regular(file))
    if not by_kind:
        raise ProbeError(f"The folder {path} holds no data that is known and no test_data_set_*: give {_KNOWN}.")
    kind, *others = [kind for kind in (_KINDS[".png"], _KINDS[".npz"]) if kind in by_kind][:1] or by_kind
    if others:
        ends = sorted({file.suffix for files in by_kind.values() for file in files})
        raise ProbeError(
            f"The folder {path} holds data of several kinds ({', '.join(ends)}): name one, as '*{ends[0]}'."
        )
    return kind.open_all(by_kind[kind], name, opener)
