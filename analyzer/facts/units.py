"""What is audited: one value of the graph, its unit axis, and where its activation is flat."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TypeVar

from analyzer.algebra.pattern import Shape

T = TypeVar("T")
Units = tuple[int, ...]  # their indices, in order
LARGEST_EXACT = 2**53 - 1  # every whole number up to here differs from its neighbours in double precision


class Kind(StrEnum):
    """How an audited value can die."""

    RECTIFIER = "rectifier"  # exactly flat on a part of its domain: Relu, Clip, HardSigmoid, ThresholdedRelu
    SATURATING = "saturating"  # approaches asymptotes: Sigmoid, Tanh, Softsign
    SMOOTH = "smooth"  # never flat, or flat only in the limit: Gelu, SiLU, Softplus, Elu, LeakyRelu
    LINEAR = "linear"  # Conv, Gemm, MatMul, normalisation outputs that feed no activation


class Curve(StrEnum):
    """Saturating activations, by the gradient of their curve between its asymptotes."""

    SIGMOID = "sigmoid"  # y (1 - y) on [0, 1]
    TANH = "tanh"  # 1 - y^2 on [-1, 1]
    SOFTSIGN = "softsign"  # (1 - |y|)^2 on [-1, 1]

    def margin(self, gradient: float) -> float:
        """How far an output is from its asymptote where the gradient is this one, as a share of the range."""
        if self is Curve.SOFTSIGN:
            return math.sqrt(gradient) / 2
        return (1 - math.sqrt(max(0.0, 1 - gradient * (4 if self is Curve.SIGMOID else 1)))) / 2

    def edge(self, gradient: float) -> float:
        """How far from 0 an input is where the gradient is this one."""
        if self is Curve.SOFTSIGN:
            return 1 / math.sqrt(gradient) - 1 if gradient else math.inf
        share = self.margin(gradient)
        return math.log((1 - share) / share) * (1.0 if self is Curve.SIGMOID else 0.5) if share else math.inf


WITHIN = "@"  # between a module and what tells its layers apart: no part of a module's own name


def stem_of(module: str) -> str:
    """The module itself, of a name that tells its layers apart: `act` of `act@1`."""
    return module.partition(WITHIN)[0]


@dataclass(frozen=True, slots=True)
class AuditedValue:
    """One value whose units are judged.

    `low`/`high` bound the region where the output is flat: for a rectifier the output never leaves [low, high]
    and lies exactly on a bound when flat (Relu: low 0, high None); for a saturating kind they are the asymptotes.
    `curve` is that of a saturating kind. `dtype` names the element type the value is computed in; `zero` is what stands
    for zero in it (a zero point). `module` is its name in the training code, no other layer's (empty: not known).
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
    curve: Curve = Curve.TANH
    module: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """All that a pattern of a user may match: the value, its module, node and operator."""
        return tuple(name for name in (self.value, self.module, self.node, self.op) if name)

    def of_type(self, dtype: str) -> AuditedValue:
        """The same value in its element type; bounds of integers that doubles cannot represent are forgotten."""
        if dtype == self.dtype != "int64":
            return self
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
    samples was seen to give what two feeds of one give; `may_mix` says why samples that share a feed might influence
    each other all the same (None: the descriptions of the operators prove that they do not), `stated` is the user's
    word that they do not; `free_inputs` are the inputs whose declared first dim had to be made free for that.
    `scrambled` are values that grow with the samples, but not sample by sample, and the axis along which they do, which
    is one of the `dynamic` axes, where that is one (steps before samples). In `mixed` samples of one feed were
    seen to influence each other, in `scaled_together` behind a scale that they share. `dynamic` are axes whose length
    depends on free dims of the inputs; `resized` holds the shapes for inputs of other sizes. `contradicted` are values
    that were seen to differ from what was derived for them. `taken` says which branch of a choice (an If, by its first
    output; 0 for true) the run took: of the others nothing is known. `varying` are conditions of choices that not all
    samples make alike, of which nothing is known either, and loops that not all enter. `settled` are choices
    that are made for good as the samples make them. `steps` is how often the body of
    a loop (by its first output) was run. `measured`: a run showed the shapes; else they
    were inferred from the file, and need not fit together.
    """

    shapes: dict[str, Shape]
    sample_axes: dict[str, SampleAxis]
    samples: int = 1
    dtypes: dict[str, str] = field(default_factory=dict)
    batchable: bool = False
    may_mix: str | None = "nothing proves that they do not"
    stated: bool = False
    free_inputs: tuple[str, ...] = ()
    scrambled: Mapping[str, int | None] = field(default_factory=dict)
    mixed: frozenset[str] = frozenset()
    scaled_together: frozenset[str] = frozenset()
    dynamic: dict[str, frozenset[int]] = field(default_factory=dict)
    resized: tuple[dict[str, Shape], ...] = ()
    contradicted: frozenset[str] = frozenset()
    taken: Mapping[str, int] = field(default_factory=dict)
    varying: frozenset[str] = frozenset()
    settled: frozenset[str] = frozenset()
    steps: Mapping[str, int] = field(default_factory=dict)
    measured: bool = True

    @property
    def independent(self) -> bool:
        """Whether samples may share a feed: proven or stated, and not seen to be otherwise."""
        return self.batchable and (self.may_mix is None or self.stated)

    @property
    def inseparable(self) -> int:
        """How many samples share every feed and cannot be told apart, or may influence each other; 1: none do."""
        return 1 if self.independent else self.samples

    def with_values(self, new: Mapping[str, tuple[str, Shape]]) -> ShapeTable:
        """The table with further values: each with one that it is like, but for its shape."""

        def taken_over(facts: Mapping[str, T]) -> dict[str, T]:
            return {**facts, **{name: facts[like] for name, (like, _) in new.items() if like in facts}}

        def like_these(seen: Mapping[str, Shape]) -> dict[str, Shape]:
            """With lengths of other inputs, but for the axes that are not as long as those of the like."""
            lengths = {
                name: zip(shape, self.shapes[like], seen[like], strict=True)
                for name, (like, shape) in new.items()
                if len(seen.get(like, ())) == len(shape)
            }
            return {**seen, **{n: tuple(a if a != b else c for a, b, c in each) for n, each in lengths.items()}}

        return replace(
            self,
            shapes={**self.shapes, **{name: shape for name, (_, shape) in new.items()}},
            sample_axes=taken_over(self.sample_axes),
            dtypes=taken_over(self.dtypes),
            dynamic=taken_over(self.dynamic),
            resized=tuple(map(like_these, self.resized)),
        )

    @property
    def of_single_samples(self) -> ShapeTable:
        """This table with the rows of each single sample, where the run was fed several.

        A value of which one sample holds no whole number of rows has no sample axis.
        """
        if self.samples == 1:
            return self
        axes = {
            name: SampleAxis(None)
            if at.axis is None or at.rows % self.samples
            else replace(at, rows=at.rows // self.samples)
            for name, at in self.sample_axes.items()
        }
        return replace(self, sample_axes=axes)
