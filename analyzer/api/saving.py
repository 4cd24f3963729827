"""An unchanged model's files of weights, taken along to where its copy goes."""

from __future__ import annotations

import filecmp
from dataclasses import dataclass
from pathlib import Path

from analyzer.errors import OutputError
from analyzer.graph import LoadedModel
from analyzer.report.output_files import check_output


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """A file of weights, and where the copy of the model will look for it."""

    source: Path
    target: Path

    @property
    def there(self) -> bool:
        """Whether the target holds these weights already."""
        return self.target.is_file() and (
            self.target.samefile(self.source) or filecmp.cmp(self.source, self.target, shallow=False)
        )


def weights_files(loaded: LoadedModel, target: Path, inputs: tuple[Path, ...]) -> list[WeightsFile]:
    """The files of weights that a copy of the model at `target` needs, once it is sure that they can lie there.

    Raises:
        OutputError: another file lies in the place of one, or one cannot be written.
    """
    folder = target.resolve().parent if target.is_symlink() else target.parent  # a link is written through
    files = [WeightsFile(file.path, folder / name) for name, file in sorted(loaded.beside.items())]
    for file in files:
        _check(file, target, inputs)
    return files


def _check(file: WeightsFile, target: Path, inputs: tuple[Path, ...]) -> None:
    place = file.target
    if place.resolve() == target.resolve():
        raise OutputError(f"{target} is where the model's weights must lie: give the model another name.")
    if file.there:
        return
    if place.exists():
        raise OutputError(
            f"The model's weights must lie at {place}, but {place.name} is another file there: "
            "write the model into another folder."
        )
    folder = place.parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise OutputError(f"{place} cannot be written: {folder} is no folder.")
    check_output(folder / place.name, inputs)
