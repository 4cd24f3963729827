"""The first stages of whatever runs a model on data: opened, measured, and what of it there is to look at."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from analyzer.api.options import Data
from analyzer.errors import InputError
from analyzer.facts.units import AuditedValue, ShapeTable
from analyzer.graph import LoadedModel
from analyzer.graph.open_branches import with_branches
from analyzer.observe.observation import Subject
from analyzer.probes.preprocessor_config import beside
from analyzer.probes.probe import Probe, open_probe, random_probe
from analyzer.shapes.shape_run import measure_shapes
from analyzer.units import select_units


@dataclass(frozen=True)
class Measured:
    """A model with the shapes of its values on some samples; `shown` has the branches in place that these take.

    Of the `audited` values those are `believed` in which samples were not seen to influence each other.
    """

    shapes: ShapeTable
    shown: LoadedModel
    audited: list[AuditedValue]
    believed: list[AuditedValue]

    @classmethod
    def of(cls, loaded: LoadedModel, probe: Probe | None, *, independent: bool, varying: frozenset[str]) -> Measured:
        """By the first samples of the probe, if there is one; see `measure_shapes`.

        Raises:
            RunError: onnxruntime refuses the model, or it does not run on the probe's first sample.
        """
        shapes = measure_shapes(loaded, probe, independent=independent, varying=varying)
        selected = select_units(loaded.graph, shapes)
        audited = [a.of_type(shapes.dtypes.get(a.value, a.dtype)) for a in selected]
        believed = [a for a in audited if a.value not in shapes.mixed]
        return cls(shapes, with_branches(loaded, shapes.taken), audited, believed)

    def subject(self, probe: Probe, batch_size: int, *, cpu: bool) -> Subject:
        """What is observed of it; `cpu`: as the CPU computes it."""
        return Subject.of(self.shown, probe, self.believed, self.shapes, batch_size, cpu=cpu)


def opened_data(data: Data, loaded: LoadedModel) -> tuple[Probe | None, Probe | None]:
    """The probe and the holdout, checked against the model's inputs."""
    if data.images is not None and data.probe is None and data.holdout is None:
        raise InputError("images says how a probe is read, and there is none: give a probe, or leave it out.")
    inputs, constants = loaded.graph.inputs, tuple(data.constants)
    if data.random is not None:
        drawn = random_probe(inputs, samples=data.random, seed=data.seed, free_dims=data.dims, constants=constants)
        return drawn, None
    reader = partial(
        open_probe,
        inputs=inputs,
        limit=data.limit,
        constants=constants,
        images=data.images,
        usual_images=beside(loaded.path),
        audio=data.audio,
        texts=data.text,
        max_bad=data.max_bad,
    )
    probe = None if data.probe is None else reader(data.probe)
    return probe, None if data.holdout is None else reader(data.holdout)
