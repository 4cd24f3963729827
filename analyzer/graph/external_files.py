"""Where the files of a model lie: caches keep the model and its data elsewhere, behind symbolic links."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import onnx_ir as ir


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


def gathered(home: Path, names: Iterable[str], own: Path) -> tuple[Path, dict[str, str]]:
    """The folder that all files of a model lie in, links followed, and what each is called from there.

    onnxruntime follows no link out of the folder it is given. `own` is the model's file, in which weights may lie.
    """
    files = {own.name: own} | {name: (home / name).resolve() for name in names}
    folder = Path(os.path.commonpath([file.parent for file in files.values()]))
    return folder, {name: file.relative_to(folder).as_posix() for name, file in files.items()}


def is_there(path: Path) -> bool:
    """Whether there is a file, of whatever name."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


class PlacedTensor(ir.ExternalTensor):
    """External data that `data_file` has allowed.

    onnx-ir would check again, by rules that refuse every link out of the folder and every file with a second name.
    It checks nothing where it knows no base folder, so the folder is kept beside.
    """

    __slots__ = ("_home",)

    def __init__(self, tensor: ir.ExternalTensor, home: Path) -> None:
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
        self._home = home

    def __reduce__(self) -> tuple[type[PlacedTensor], tuple[ir.ExternalTensor, Path]]:
        """For another process: the place, not the numbers."""
        where = self.location, self.offset, self.length, self.dtype
        return PlacedTensor, (ir.ExternalTensor(*where, shape=self.shape, name=self.name), self._home.absolute())

    @property
    def path(self) -> str:
        """Where the data lies."""
        return str(self._home / self.location)

    def release(self) -> None:
        """Forget the mapped file; it is closed once no array that was read from it is left."""
        self._array = self.raw = None


def place_data(graph: ir.Graph, home: Path) -> None:
    """Let the graph's external tensors be read from the folder that they are named from."""
    for value in graph.initializers.values():
        if isinstance(value.const_value, ir.ExternalTensor):
            value.const_value = PlacedTensor(value.const_value, home)
