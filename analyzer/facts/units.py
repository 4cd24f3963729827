"""What is audited: one value of the graph, its unit axis, and where its activation is flat."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

Shape = tuple[int, ...]
LARGEST_EXACT = 2**53 - 1  # every whole number up to here is told from its neighbours in double precision


class Kind(StrEnum):
    """How an audited value can die."""

    RECTIFIER = "rectifier"  # exactly flat on a part of its domain: Relu, Clip, HardSigmoid, ThresholdedRelu
    SATURATING = "saturating"  # approaches asymptotes: Sigmoid, Tanh, Softsign
    SMOOTH = "smooth"  # never flat, or flat only in the limit: Gelu, SiLU, Softplus, Elu, LeakyRelu
    LINEAR = "linear"  # Conv, Gemm, MatMul, normalisation outputs that feed no activation


@dataclass(frozen=True, slots=True)
class AuditedValue:
    """One value whose units are judged.

    `low`/`high` bound the region where the output is flat: for a rectifier the output never leaves [low, high]
    and lies exactly on a bound when flat (Relu: low 0, high None); for a saturating kind they are the asymptotes.
    `dtype` names the element type the value is computed in; `zero` is what stands for zero in it (a zero point).
    """

    value: str
    node: str
    op: str
    kind: Kind
    axis: int
    units: int
    rank: int
    low: float | None = None
    high: float | None = None
    dtype: str = "float32"
    zero: float = 0.0

    def of_type(self, dtype: str) -> AuditedValue:
        """The same value in its element type; bounds of integers that doubles do not tell apart are forgotten."""
        low, high = (
            None if bound is not None and dtype == "int64" and abs(bound) > LARGEST_EXACT else bound
            for bound in (self.low, self.high)
        )
        return replace(self, dtype=dtype, low=low, high=high)


@dataclass(frozen=True, slots=True)
class SampleAxis:
    """Where samples lie in a value: `axis` holds samples * `rows` entries, sample-major; None: no sample axis."""

    axis: int | None
    rows: int = 1


@dataclass(frozen=True, slots=True)
class ShapeTable:
    """Concrete shapes of values, seen in a run on `samples` samples, and where the samples lie.

    `shapes` holds the shape of every value that the run could show (stored tensors too); `samples` is how many
    samples that run was fed; `sample_axes` says along which axis a value grows with the number of samples.
    `dtypes` holds NumPy names of element types (`bfloat16` too) where the run could tell. `batchable`: a feed of two
    samples was seen to give what two feeds of one give; `free_inputs` are the inputs whose declared first dim had to
    be made free for that. `scrambled` are values that grow with the samples, but not sample by sample. `dynamic` are
    axes whose length depends on free dims of the inputs; `resized` holds the shapes for inputs of other sizes.
    `contradicted` are values that were seen to differ from what was derived for them.
    """

    shapes: dict[str, Shape]
    sample_axes: dict[str, SampleAxis]
    samples: int = 1
    dtypes: dict[str, str] = field(default_factory=dict)
    batchable: bool = False
    free_inputs: tuple[str, ...] = ()
    scrambled: frozenset[str] = frozenset()
    mixed: frozenset[str] = frozenset()
    dynamic: dict[str, frozenset[int]] = field(default_factory=dict)
    resized: tuple[dict[str, Shape], ...] = ()
    contradicted: frozenset[str] = frozenset()
