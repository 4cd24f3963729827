"""Sources of images: a folder, a list, one file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from analyzer.probes.fitting import Part
from analyzer.probes.images import listed_files
from analyzer.probes.opener import Opener
from analyzer.probes.source import Piece, Source


def open_images(files: Sequence[Path], name: str, opener: Opener) -> Source:
    """Each file is one entry, whatever number of samples the model fixes."""
    reader, steps = opener.image_reader, opener.image_steps
    (key,) = opener.names
    root = _shared_folder(files)

    def read(file: Path) -> Iterator[Part]:
        pixels = partial(lambda file: reader.read(opener.local(file), file.name), file)
        array = opener.skipped.read(os.path.relpath(file, root) if root else str(file), pixels, file.name)
        if array is not None:
            yield opener.fitter.part({key: array}, file.name)

    if opener.skipped.allowed:  # which are samples is known once they are read
        parts = lambda: (part for file in files for part in read(file))  # noqa: E731
        return Source(name, parts, preprocessing=steps, skipped=opener.skipped)
    pieces = lambda: (Piece(1, partial(read, file)) for file in files)  # noqa: E731
    return Source.of_pieces(name, pieces, len(files), preprocessing=steps)


def _shared_folder(files: Sequence[Path]) -> str:
    """The innermost folder that holds all of these, which a list may name anywhere; none on several drives."""
    with suppress(ValueError):
        return os.path.commonpath([file.parent.absolute() for file in files])
    return ""


def open_list(path: Path, opener: Opener) -> Source:
    """The images that a text names."""
    return open_images(listed_files(path, opener.skipped), path.name, opener)
