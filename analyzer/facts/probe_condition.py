"""What the data shows of itself, whatever the model makes of it: whether verdicts on it can mean anything."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FeatureAxis:
    """The axis of an input along which the model reads features or channels, and how many axes the input has."""

    axis: int
    rank: int


@dataclass(frozen=True, slots=True)
class InputCondition:
    """The data of one input over all samples.

    `floats`: of floating point. `nonfinite` counts samples with a NaN or an infinity in it; `empty`: no number of it
    was finite. `constant`: every sample holds the same. `still` are those of its `features` that never vary (0
    features: it is not known where they lie); `layered`: each is more than one number.
    """

    name: str
    floats: bool
    nonfinite: int
    empty: bool
    constant: bool
    features: int = 0
    still: tuple[int, ...] = ()
    layered: bool = False


@dataclass(frozen=True, slots=True)
class LabelsInData:
    """An array of a file, or a `column` of a table, that is no input or looks like labels (`alike`).

    `fed`: the model was given it.
    """

    name: str
    column: bool
    fed: bool
    alike: bool = True


@dataclass(frozen=True, slots=True)
class TrainingScale:
    """How the data's spread at the first normalisation compares with what was stored there in training.

    `value` enters `node`; `ratio` is the median over `channels` of the deviation seen over the deviation stored.
    """

    value: str
    node: str
    ratio: float
    channels: int


@dataclass(frozen=True, slots=True)
class ProbeCondition:
    """The condition of given data.

    `nonfinite` counts those of the `samples` with a NaN or an infinity in some input. `distinct` counts different
    samples among the first `compared`. `scales`: one per normalisation that no other comes before.
    """

    samples: int
    nonfinite: int
    distinct: int
    compared: int
    inputs: tuple[InputCondition, ...]
    labels: tuple[LabelsInData, ...] = ()
    scales: tuple[TrainingScale, ...] = ()
