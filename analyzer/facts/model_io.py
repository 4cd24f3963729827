"""What became of a model's own inputs and outputs: features that reach no output, outputs that never change."""

from __future__ import annotations

from dataclasses import dataclass

from analyzer.algebra.pattern import Shape


@dataclass(frozen=True, slots=True)
class UnusedInput:
    """Part of a graph input (or all of it) that no output depends on, as long as the dead units stay dead.

    `elements` are the numbers of one sample, `unused` those of them that reach nothing. `indices` lie along `axis`;
    where no single axis tells, `axis` is None and they count one sample's numbers in row-major order.
    `structural`: the weights alone decide it, whatever the data.
    """

    name: str
    shape: Shape
    elements: int
    unused: int
    axis: int | None
    indices: tuple[int, ...]
    structural: bool

    @property
    def whole(self) -> bool:
        """Whether nothing of the input matters."""
        return self.unused == self.elements


@dataclass(frozen=True, slots=True)
class ConstantOutput:
    """Units of a graph output that are one and the same constant on every sample.

    `indices` lie along `axis` (None: the output as a whole is constant); `structural`: whatever the data.
    """

    name: str
    shape: Shape
    axis: int | None
    indices: tuple[int, ...]
    units: int
    structural: bool
