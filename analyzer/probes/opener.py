"""What every kind of source needs to know about the model and the options, and sources of arrays and of feeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from analyzer.errors import ProbeError
from analyzer.facts.audio_options import AudioOptions
from analyzer.facts.image_options import ImageOptions
from analyzer.facts.probe_condition import LabelsInData
from analyzer.facts.text_options import TextOptions
from analyzer.graph.view import TensorType
from analyzer.probes.fetched import Fetched
from analyzer.probes.fitting import Fitter
from analyzer.probes.images import ImageReader, image_reader
from analyzer.probes.input_names import has_sample_axis, quoted
from analyzer.probes.labels import without_labels
from analyzer.probes.numpy_files import mapping_of
from analyzer.probes.preprocessor_config import options_of
from analyzer.probes.skipped import Skipped
from analyzer.probes.source import Source

Inputs = Mapping[str, TensorType]
PIECE_BYTES = 16 << 20  # of samples that are held at a time
RICH = frozenset(["images", "texts"])  # what tables may hold beside numbers


@dataclass(frozen=True)
class Opener:
    """The model's inputs, how data is held against them, and what was said about reading it.

    `fetched`: files lie at an address, and are copied from there one by one.
    """

    inputs: Inputs
    fitter: Fitter
    limit: int | None = None
    images: ImageOptions | None = None
    usual_images: Path | None = None
    audio: AudioOptions | None = None
    texts: TextOptions | None = None
    skipped: Skipped = field(default_factory=Skipped)
    fetched: Fetched | None = None

    @property
    def whole(self) -> set[str]:
        """Inputs that are fed as they are, not sample by sample."""
        return {n for n in self.inputs if n in self.fitter.constants or not has_sample_axis(n, self.inputs)}

    @property
    def names(self) -> list[str]:
        """The inputs in their order."""
        return list(self.inputs)

    @property
    def sampled(self) -> Opener:
        """For data whose first axis is known to count samples."""
        return replace(self, fitter=replace(self.fitter, sampled=True))

    def check_options(self, name: str, known: frozenset[str] = frozenset()) -> Opener:
        """The same, where only options were given that say something of this data.

        Raises:
            ProbeError: others were.
        """
        for option, called in (("images", "Image"), ("audio", "Sound"), ("texts", "Text")):
            if option not in known and getattr(self, option) is not None:
                raise ProbeError(f"{called} options were given, but {name} holds none: leave them out.")
        return self

    def local(self, file: Path) -> Path:
        """Where a file can be read.

        Raises:
            ProbeError: it cannot be fetched.
        """
        return file if self.fetched is None else self.fetched.local(file)

    @cached_property
    def image_reader(self) -> ImageReader:
        """What reads images: as it was asked for, else as the file beside the model says.

        Raises:
            ProbeError: the model takes no images, or the options do not fit it.
        """
        if self.images is not None or self.usual_images is None:
            return image_reader(self.inputs, self.images)
        try:
            return image_reader(self.inputs, options_of(self.usual_images))
        except ProbeError as error:
            raise ProbeError(
                f"By {self.usual_images}: {error} Options of your own come first (--image-size, …)."
            ) from error

    @property
    def image_steps(self) -> dict[str, str]:
        """What is done to images, for reports."""
        usual = self.images is None and self.usual_images is not None
        return ({"by": self.usual_images.name} if usual and self.usual_images else {}) | self.image_reader.steps


def needs(package: str, extra: str, what: str, instead: str = "") -> None:
    """Refuse what takes a package that is not there.

    Raises:
        ProbeError: it is missing; names what to install.
    """
    if find_spec(package) is None:
        otherwise = f", or {instead}" if instead else ""
        raise ProbeError(f"Reading {what} needs {package}: pip install 'deadunits[{extra}]'{otherwise}.")


def from_arrays(raw: Mapping[str, Any], name: str, opener: Opener, labels: tuple[LabelsInData, ...] = ()) -> Source:
    """Arrays in memory, by input name."""
    part = opener.fitter.part(raw, name)
    if part.whole:
        name = f"{name} (one sample: its inputs have no number of samples in common)"
    return Source(name, lambda: iter((part,)), samples=part.samples, labels=labels, skipped=opener.skipped)


def from_feeds(
    open_feeds: Callable[[], Iterator[tuple[str, Mapping[str, Any]]]],
    name: str,
    opener: Opener,
    *,
    once: bool = False,
    preprocessing: Mapping[str, str] | None = None,
) -> Source:
    """Mappings of names to arrays, one after another, each with its name in messages: single samples, or batches."""
    fitter = Fitter(opener.inputs, opener.fitter.constants, single=True)
    labels: list[LabelsInData] = []

    def series() -> Iterator[tuple[str, Mapping[str, Any]]]:
        for where, item in open_feeds():
            arrays, found = without_labels(item, opener.inputs, row=True)
            labels[:] = found
            yield where, mapping_of(arrays, opener.names)

    return Source(
        name,
        lambda: fitter.parts(series()),
        one_shot=once,
        labels=labels,
        preprocessing=preprocessing or {},
        skipped=opener.skipped,
    )


def one_input(array: Any, opener: Opener, where: str) -> dict[str, Any]:
    """The array under the name of the model's only input.

    Raises:
        ProbeError: it has several.
    """
    if len(opener.names) != 1:
        raise ProbeError(
            f"{where} is a single array, but the model has {len(opener.names)} inputs "
            f"({quoted(opener.names)}): give arrays by name (an .npz file or a dict)."
        )
    return {opener.names[0]: array}
