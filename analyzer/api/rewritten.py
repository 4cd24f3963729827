"""A model that was made of another one, pruned or revived: how it is held against it and how it is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from analyzer.api.options import Run
from analyzer.api.reporting import Reporting
from analyzer.api.saving import save_model
from analyzer.errors import InputError
from analyzer.facts.image_options import ImageOptions
from analyzer.facts.units import ShapeTable
from analyzer.graph import LoadedModel
from analyzer.graph.open_branches import with_branches
from analyzer.probes.probe import Probe

if TYPE_CHECKING:
    from analyzer.api.audit_result import Audit
    from analyzer.api.kept_statistics import Recalled
    from analyzer.facts.pruned import Comparison, PrunedFacts
    from analyzer.facts.revived import RevivedFacts


@dataclass(frozen=True, eq=False)
class Source:
    """What an audit was made from, kept for the prune or the revival that follows.

    Samples of `first` show the shapes; it is the probe, or what is left of one with its statistics.
    """

    loaded: LoadedModel
    shapes: ShapeTable
    first: Probe | None
    probe: Probe | None
    holdout: Probe | None
    run: Run
    inputs: tuple[Path, ...]
    images: ImageOptions | None = None  # how images became the probe
    recalled: Recalled | None = None  # the statistics that stand in place of data

    def check_comparable(self, *, in_parts: bool = False) -> None:
        """Refuse to make a smaller or a revived model that no data is there to compare with the original on.

        Args:
            in_parts: whether the statistics may hold a comparison.

        Raises:
            InputError: there are statistics of data, and no data.
        """
        if self.probe is not None or self.recalled is None or (in_parts and self.recalled.compared is not None):
            return
        others = ""
        if in_parts:
            others = ", or plan a comparison in parts (`deadunits prune --to-compare`)"
            if self.recalled.cut is not None:
                others = ", or compare the cut that is planned here in parts (`deadunits observe --plan`)"
        raise InputError(
            "Statistics show what is dead, but both models are compared on data before anything is written: give "
            f"some of it as well (--probe DATA){others}. Nothing was written."
        )

    @property
    def computed(self) -> LoadedModel:
        """The model as it is run: what stored tensors choose stands in place.

        onnxruntime 1.32 does that itself, and breaks what nested choices read from around them.
        """
        return with_branches(self.loaded, self.loaded.graph.decided)

    @property
    def shown(self) -> LoadedModel:
        """The model with the branches in place that the probe takes, so that a run can show their values."""
        return with_branches(self.loaded, self.shapes.taken)


@dataclass(frozen=True, eq=False, repr=False)
class Rewritten(Reporting):
    """A model made of the audited one, and what was measured of both."""

    facts: PrunedFacts | RevivedFacts
    audit: Audit
    _source: Source
    _model: LoadedModel
    _bytes: bytes | None  # None: the weights go into a file of their own

    @property
    def comparison(self) -> Comparison | None:
        """Both models on the probe, or on random data without one (None: nothing changed, or they could not be run)."""
        return self.facts.comparison

    @property
    def changed(self) -> bool:
        """Whether anything is other than in the original."""
        return self.facts.changed

    @property
    def data(self) -> bytes:
        """The bytes of the model's file; the original's where nothing changed.

        Raises:
            InputError: its weights lie in a file of their own.
        """
        if self._bytes is None:
            raise InputError("This model keeps its weights beside its file: write both with save(path).")
        return self._bytes

    def save(self, path: str | Path) -> tuple[Path, ...]:
        """Write the model and its weights, whole or not at all; one in which nothing changed is written byte for byte.

        A model whose weights lie beside its file, or that is too large for one file, gets its weights in `path`.data;
        an unchanged one finds them under their old name. Returns the model's files, its own first; for an address those
        that stood in for them here.

        Raises:
            OutputError: a file cannot be written, is one of the inputs, or would take the place of other weights.
            ComparisonFailed: what was written is not valid; it is removed again.
        """
        return save_model(self._source.loaded, self._model, self._bytes, path, self._source.inputs, self.changed)

    @property
    def _guarded(self) -> tuple[Path, ...]:
        return self._source.inputs
