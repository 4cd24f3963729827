"""Files of sound as probe data: windows that follow one another, as numbers from -1 to 1."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.errors import ProbeError, first_line
from analyzer.facts.audio_options import AudioOptions
from analyzer.graph.view import TensorType
from analyzer.probes.element_types import family
from analyzer.probes.fitting import Part
from analyzer.probes.memory import check_size
from analyzer.probes.opener import PIECE_BYTES, Opener, needs
from analyzer.probes.source import Piece, Source

SUFFIXES = (".wav", ".flac", ".ogg", ".aiff", ".aif")
_INTEGERS = ("int16", "int32")


@dataclass(frozen=True)
class AudioReader:
    """Options completed from what the model's input declares.

    `axes` of a sample: one (time), or two (channels, time; `last`: time, channels).
    """

    window: int | None
    channels: int
    axes: int
    last: bool
    dtype: str

    @classmethod
    def of(cls, options: AudioOptions, inputs: Mapping[str, TensorType]) -> AudioReader:
        """Complete the options.

        Raises:
            ProbeError: the model has several inputs, one that takes no sound, or another length.
        """
        if len(inputs) != 1:
            raise ProbeError(f"Sound fits a model with one input, this one has {len(inputs)}: give an .npz file.")
        ((name, declared),) = inputs.items()
        shape = (None, None) if declared.shape is None else declared.shape
        kind = np.dtype(np.float32) if declared.dtype is None else declared.dtype
        if len(shape) not in (1, 2, 3) or (family(kind) != "float" and kind.name not in _INTEGERS):
            raise ProbeError(f"Input '{name}' is not of a shape and type that sound has: give an .npz file.")
        last = len(shape) == 3 and shape[2] in (1, 2) and shape[1] not in (1, 2)
        channels = shape[2 if last else 1] if len(shape) == 3 else 1
        length = shape[1 if last else -1]
        fixed = length if isinstance(length, int) else None
        if None not in (fixed, options.window) and fixed != options.window:
            raise ProbeError(f"Input '{name}' takes {fixed} samples of sound: leave the window out (--window).")
        dtype = "float32" if family(kind) == "float" else kind.name
        count = channels if isinstance(channels, int) else 1
        return cls(fixed or options.window, count, min(len(shape), 3) - 1, last, dtype)

    def steps(self, rate: int) -> dict[str, str]:
        """What is done to sound, for reports."""
        window = "a file each" if self.window is None else f"{self.window} samples of sound"
        return {
            "rate": f"{rate} Hz",
            "window": window,
            "channels": "mono" if self.channels == 1 else str(self.channels),
        }

    def windows(self, frames: int, where: str) -> int:
        """How many windows a file gives; what is left at its end is left out.

        Raises:
            ProbeError: none.
        """
        count = min(frames, 1) if self.window is None else frames // self.window
        if not count:
            raise ProbeError(f"{where} has {frames} samples of sound, less than one window: leave the file out.")
        return count

    def read(self, file: Any, windows: int, where: str) -> Array:
        """The next so many windows.

        Raises:
            ProbeError: the file ends before, or has other channels.
        """
        length = file.frames if self.window is None else self.window
        sound: Array = file.read(windows * length, dtype=self.dtype, always_2d=True)
        if len(sound) < windows * length:
            raise ProbeError(f"{where} is truncated: it is shorter than it says.")
        if self.channels == 1 and sound.shape[1] > 1:
            sound = sound.mean(axis=1, keepdims=True).astype(self.dtype)
        if sound.shape[1] != self.channels:
            raise ProbeError(f"{where} has {sound.shape[1]} channels, but the model takes {self.channels}.")
        sound = sound.reshape(windows, length, self.channels)
        if self.axes < 2:
            return sound[..., 0]
        return sound if self.last else sound.transpose(0, 2, 1)


def open_audio(files: Sequence[Path], name: str, opener: Opener) -> Source:
    """Sound of one rate.

    Raises:
        ProbeError: soundfile is missing, a file is damaged or of another rate, or the model takes no sound.
    """
    needs("soundfile", "audio", name, "give an .npz file")
    options = opener.audio or AudioOptions()
    reader = AudioReader.of(options, opener.inputs)
    (key,), root = opener.names, os.path.commonpath([file.parent for file in files])
    rate = options.rate

    def windows(file: Path, expected: int | None) -> tuple[int, int]:
        with _sound(file, opener) as content:
            if expected not in (None, content.samplerate):
                raise ProbeError(f"{file.name} has {content.samplerate} samples a second, not {expected}: resample it.")
            return content.samplerate, reader.windows(content.frames, file.name)

    def counted(file: Path, expected: int | None) -> tuple[int, int] | None:
        return opener.skipped.read(os.path.relpath(file, root), partial(windows, file, expected), file.name)

    if rate is None:
        first = next((found for file in files if (found := counted(file, None)) is not None), None)
        if first is None:
            raise ProbeError(f"{name} holds no samples: {opener.skipped.all_of_it}.")
        rate = first[0]

    def read(file: Path, count: int) -> Iterator[Part]:
        with _sound(file, opener) as content:
            size = content.frames * content.channels * 4
            check_size(size // (1 if reader.window is None else count), file.name)
            many = max(PIECE_BYTES * count // max(size, 1), 1)
            for start in range(0, count, many):
                sound = reader.read(content, min(many, count - start), file.name)
                yield opener.sampled.fitter.part({key: sound}, file.name)

    def pieces() -> Iterator[Piece]:
        for file in files:
            found = counted(file, rate)
            if found is not None:
                yield Piece(found[1], partial(read, file, found[1]))

    if opener.skipped.allowed or opener.fetched is not None:
        parts = lambda: (part for piece in pieces() for part in piece.read())  # noqa: E731
        return Source(name, parts, preprocessing=reader.steps(rate), skipped=opener.skipped)
    return Source.of_pieces(name, pieces, sum(p.samples for p in pieces()), preprocessing=reader.steps(rate))


@contextmanager
def _sound(file: Path, opener: Opener) -> Iterator[Any]:
    """An opened file; what is wrong with it is said in our words."""
    import soundfile

    try:
        with soundfile.SoundFile(opener.local(file)) as content:
            yield content
    except (soundfile.SoundFileError, OSError, ValueError, TypeError) as error:
        raise ProbeError(f"{file.name} is not a readable file of sound or is truncated: {first_line(error)}") from error
