"""How a model is written: in one file, or with its weights beside it; an unchanged one takes its own along."""

from __future__ import annotations

import filecmp
from dataclasses import dataclass
from pathlib import Path

from analyzer.errors import OutputError
from analyzer.graph import LoadedModel, serialize
from analyzer.graph.save import save_beside, weights_beside
from analyzer.report.file_set import FileSet, written_together
from analyzer.report.output_files import check_output
from analyzer.report.outputs_elsewhere import as_named, is_there
from analyzer.rewrite.metadata import check


def written_bytes(original: LoadedModel, model: LoadedModel) -> bytes | None:
    """The bytes of a model's file, checked; None: its weights go into a file of their own."""
    if weights_beside(original) or weights_beside(model):
        return None
    data = serialize(model)
    check(original, data)
    return data


def save_model(
    original: LoadedModel,
    model: LoadedModel,
    data: bytes | None,
    path: str | Path,
    inputs: tuple[Path, ...],
    changed: bool,
) -> tuple[Path, ...]:
    """Write a model that was made of the original, whole or not at all; returns its files, its own first.

    `data` are the bytes of its file; None: its weights go into `path`.data. An unchanged one finds its weights under
    their old name. `inputs` are files that must not be written over.

    Raises:
        OutputError: a file cannot be written, is one of the inputs, or would take the place of other weights.
        ComparisonFailed: what was written is not valid; it is removed again.
    """
    target = check_output(path, inputs)
    with written_together() as files:
        if data is None:
            return _save_beside(original, model, target, inputs, files)
        weights = [] if changed else weights_files(original, target, inputs)
        files.write(target, data)
        for file in weights:
            if not file.there:
                files.copy(file.source, file.target)
    return target, *(file.target for file in weights)


def _save_beside(
    original: LoadedModel, model: LoadedModel, target: Path, inputs: tuple[Path, ...], files: FileSet
) -> tuple[Path, ...]:
    target = target.resolve() if target.is_symlink() else target
    weights = check_output(target.with_name(f"{target.name}.data"), inputs)
    with files.folder(target) as draft:
        save_beside(model, draft, target.name)
        check(original, draft / target.name)
    if not (draft / weights.name).exists():
        files.add(draft / target.name, target)
        return (target,)
    files.add(draft / target.name, target, beside=weights)
    files.add(draft / weights.name, weights)
    return target, weights


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
    if is_there(place):
        raise OutputError(
            f"The model's weights must lie at {as_named(place)}, but {place.name} is another file there: "
            "write the model into another folder."
        )
    folder = place.parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise OutputError(f"{place} cannot be written: {folder} is no folder.")
    check_output(folder / place.name, inputs)
