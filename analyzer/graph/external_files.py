"""Where the files of a model lie: caches keep the model and its data elsewhere, behind symbolic links."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from analyzer.errors import ModelError
from analyzer.graph.mapped_pages import watch


def home_of(path: Path, names: Iterable[str]) -> Path:
    """The folder that external data is named from: the given path's; that of the file behind it where that has none."""
    given = path.absolute().parent
    return given if all(is_there(given / name) for name in names) else path.resolve().parent


def data_file(home: Path, location: str, behind: Path) -> Path | None:
    """The file that a location stands for; None where it leads out of the model's folder.

    A link may lead out to the folder `behind`, of the file that the model itself is a link to, and nowhere else.
    """
    named, place = Path(location), home / location
    if not location or named.is_absolute():
        return None
    try:
        target, is_link = place.resolve(), place.is_symlink()
    except (OSError, ValueError, RuntimeError):  # too long, a NUL, links in a circle: no file is there
        return place
    linked = is_link and ".." not in named.parts and target.parent == behind
    return place if linked or target.is_relative_to(home.resolve()) else None


def is_there(path: Path) -> bool:
    """Whether there is a file, of whatever name."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file of external data, as it was when the model was loaded; `behind` is the folder of the model's own file."""

    home: Path
    location: str
    behind: Path
    stamp: tuple[int, int]

    @property
    def path(self) -> Path:
        """Where the data lies.

        Raises:
            ModelError: the file is gone, leads out of the model's folder, or has changed.
        """
        place = data_file(self.home, self.location, self.behind)
        if place is None or not is_there(place) or stamp_of(place) != self.stamp:
            raise ModelError(f"{self.home / self.location} has changed since the model was loaded: start again.")
        return place


def stamp_of(place: Path) -> tuple[int, int]:
    """What tells a file from a later one of its name: its size and when it was written."""
    status = place.stat()
    return status.st_size, status.st_mtime_ns


def gathered(files: Mapping[str, DataFile], own: Path) -> tuple[Path, dict[str, str]]:
    """The folder that all files of a model lie in, links followed, and what each is called from there.

    onnxruntime follows no link out of the folder it is given. `own` is the model's file, in which weights may lie.

    Raises:
        ModelError: a file has changed since the model was loaded.
    """
    places = {own.name: own} | {name: file.path.resolve() for name, file in files.items()}
    folder = Path(os.path.commonpath([place.parent for place in places.values()]))
    return folder, {name: place.relative_to(folder).as_posix() for name, place in places.items()}


class PlacedTensor(ir.ExternalTensor):
    """External data that `data_file` allows, and is asked again whenever the file is opened.

    onnx-ir would check by rules that refuse every link out of the folder and every file with a second name. It checks
    nothing where it knows no base folder, so the file is kept beside.
    """

    __slots__ = ("_file",)

    def __init__(self, tensor: ir.ExternalTensor, file: DataFile) -> None:
        super().__init__(
            tensor.location,
            tensor.offset,
            tensor.length,
            tensor.dtype,
            shape=tensor.shape,
            name=tensor.name,
            doc_string=tensor.doc_string,
            metadata_props=dict(tensor.metadata_props),
        )
        self._file = file

    def __reduce__(self) -> tuple[type[PlacedTensor], tuple[ir.ExternalTensor, DataFile]]:
        """For another process: the place, not the numbers."""
        where = self.location, self.offset, self.length, self.dtype
        return PlacedTensor, (ir.ExternalTensor(*where, shape=self.shape, name=self.name), self._file)

    @property
    def path(self) -> str:
        """Where the data lies.

        Raises:
            ModelError: the file has changed since the model was loaded.
        """
        return str(self._file.path)

    def _load(self) -> None:
        super()._load()  # type: ignore[no-untyped-call]  # as onnx-ir has it
        if self.raw is not None:
            watch(self.raw)

    def release(self) -> None:
        """Forget the mapped file; it is closed once no array that was read from it is left."""
        self._array = self.raw = None


def place_data(graph: ir.Graph, files: Mapping[str, DataFile]) -> None:
    """Let external tensors be read from the files that they are named for; those of attributes are read at once."""
    for scope in (graph, *graph.subgraphs()):
        for value in scope.initializers.values():
            if isinstance(value.const_value, ir.ExternalTensor):
                value.const_value = _placed(value.const_value, files)
        for node in scope:
            for name, attribute in node.attributes.items():
                if attribute.type == ir.AttributeType.TENSOR and isinstance(attribute.value, ir.ExternalTensor):
                    node.attributes[name] = ir.AttrTensor(name, _read(attribute.value, files))
                elif attribute.type == ir.AttributeType.TENSORS:
                    node.attributes[name] = ir.AttrTensors(name, [_read(tensor, files) for tensor in attribute.value])


def _placed(tensor: ir.ExternalTensor, files: Mapping[str, DataFile]) -> PlacedTensor:
    return PlacedTensor(tensor, files[str(tensor.location)])


def _read(tensor: ir.TensorProtocol, files: Mapping[str, DataFile]) -> ir.TensorProtocol:
    if not isinstance(tensor, ir.ExternalTensor):
        return tensor
    return ir.Tensor(_placed(tensor, files).numpy().copy(), tensor.dtype, name=tensor.name)
