"""Raw arrays held against the model's inputs: what each of them is, and every mismatch by name.

A *part* is what a source gives at once: all arrays of an `.npz`, one image, one feed of a generator. In a
part an array is

    SLICED    the input's rank: samples lie along axis 0, a feed of n samples is x[i:i+n]
    STACKED   one axis more than the input: entry i is the whole input for sample i
    FIXED     the same for every sample: rank 0, named as constant, or a vector input without a sample axis
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.errors import ProbeError
from analyzer.graph.view import TensorType
from analyzer.probes.element_types import accepts, cast, dtype_name, readable
from analyzer.probes.foreign_arrays import as_array
from analyzer.probes.input_names import check_names, has_sample_axis, named_after_batch, quoted, says_nothing

Feeds = dict[str, Array]


class Role(StrEnum):
    """How an array of a part becomes a feed."""

    SLICED = "sliced"
    STACKED = "stacked"
    FIXED = "fixed"


@dataclass(frozen=True, eq=False)
class Part:
    """Checked arrays and how to feed them.

    `samples` is how many the part holds; `step` the fewest that one feed must hold (the fixed batch that the
    model declares, else 1). `whole` says that all arrays are one sample though axis 0 could have counted samples.
    """

    arrays: Feeds
    roles: dict[str, Role]
    types: Mapping[str, TensorType]
    samples: int
    step: int
    whole: bool = False

    @property
    def batchable(self) -> bool:
        """Whether several of its samples may be fed at once."""
        roles = self.roles.values()
        return Role.SLICED in roles and Role.STACKED not in roles

    def take(self, start: int, stop: int) -> Feeds:
        """The feeds of samples start to stop, in the model's element types (one sample, if not batchable)."""
        feeds = {}
        for name, array in self.arrays.items():
            piece = array
            if self.roles[name] is Role.SLICED:
                piece = array[start:stop]
            elif self.roles[name] is Role.STACKED:
                piece = np.asarray(array[start])
            feeds[name] = cast(piece, self.types[name].dtype, f"Input '{name}'")
        return feeds

    def piece(self, start: int, stop: int) -> Part:
        """The part that holds samples start to stop alone."""
        arrays = {n: a if self.roles[n] is Role.FIXED else a[start:stop] for n, a in self.arrays.items()}
        return self if stop - start == self.samples else replace(self, arrays=arrays, samples=stop - start)

    def capped(self, samples: int) -> Part:
        """The same part with at most so many samples."""
        return self if samples >= self.samples else replace(self, samples=samples)

    def joins(self, other: Part) -> bool:
        """Whether samples of both may lie in one feed: same shape per sample, same fixed arrays."""
        return self is other or (
            self.batchable
            and other.batchable
            and self.roles == other.roles
            and all(self._same(other, name) for name in self.arrays)
        )

    def _same(self, other: Part, name: str) -> bool:
        a, b = self.arrays[name], other.arrays[name]
        if self.roles[name] is Role.SLICED:
            return bool(a.shape[1:] == b.shape[1:])
        return same_array(a, b)


def same_array(a: Array, b: Array) -> bool:
    """Same shape, element type and bytes."""
    return a is b or (a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes())


@dataclass(frozen=True)
class Fitter:
    """Turns raw arrays by input name into parts of one model.

    `constants` are input names that are fed unchanged; `single` allows an array with one axis less than the
    input (one sample without its batch axis); `uneven` lets a part whose arrays disagree on their length be
    one sample. A part is one sample, too, where the model declares that axis 0 counts something else in each input
    (a graph: nodes and edges), unless it is known that it counts samples (`sampled`: rows of a table, drawn data).
    """

    inputs: Mapping[str, TensorType]
    constants: frozenset[str] = frozenset()
    single: bool = False
    uneven: bool = False
    sampled: bool = False

    def parts(self, series: Iterable[tuple[str, Mapping[str, Any]]]) -> Iterator[Part]:
        """Parts of arrays, each with its name in messages: all of samples, or all one sample each.

        Raises:
            ProbeError: as of `part`; or some are of samples and some are one.
        """
        kinds: dict[bool, str] = {}
        for where, raw in series:
            part = self.part(raw, where)
            if part.whole or Role.SLICED in part.roles.values():
                kinds.setdefault(part.whole, where)
            if len(kinds) > 1:
                raise ProbeError(
                    f"The inputs of {kinds[False]} are of one length, those of {kinds[True]} are not, and the model "
                    "does not say whether axis 0 counts samples: give all arrays with one axis more, one entry per "
                    "sample."
                )
            yield part

    def part(self, raw: Mapping[str, Any], where: str) -> Part:
        """Check and classify; `where` names the part in messages ("probe.npz", "Feed 3 of ...").

        Raises:
            ProbeError: missing or unknown inputs, wrong rank, dims or element type, or unequal numbers of
            samples.
        """
        check_names(raw, self.inputs, where)
        arrays, roles = {}, {}
        for name, declared in self.inputs.items():
            label = f"{where}: input '{name}'"
            array = readable(as_array(raw[name], label), declared.dtype, label)
            if not accepts(declared.dtype, array.dtype):
                raise ProbeError(_dtype_sentence(label, declared, array))
            if self.single and self._lacks_batch_axis(name, array):
                array = array[np.newaxis]
            roles[name] = self._role(name, array)
            self._check_dims(label, name, array, roles[name])
            arrays[name] = array
        return self._counted(arrays, roles, where)

    def _lacks_batch_axis(self, name: str, array: Array) -> bool:
        shape = self.inputs[name].shape
        return shape is not None and name not in self.constants and array.ndim == len(shape) - 1 >= 1

    def _role(self, name: str, array: Array) -> Role:
        shape = self.inputs[name].shape
        if name in self.constants or array.ndim == 0:
            return Role.FIXED
        if shape is None:
            return Role.SLICED
        if array.ndim == len(shape) + 1:
            return Role.STACKED
        return Role.SLICED if has_sample_axis(name, self.inputs) else Role.FIXED

    def _check_dims(self, label: str, name: str, array: Array, role: Role) -> None:
        declared = self.inputs[name].shape
        if declared is None:
            return
        came = array.shape[1:] if role is Role.STACKED else array.shape
        if len(came) != len(declared):
            raise ProbeError(f"{_shape_sentence(label, self.inputs[name], array)}: {_rank_advice(declared, array)}")
        first = 1 if role is Role.SLICED else 0
        for axis, (want, have) in enumerate(zip(declared, came, strict=True)):
            if axis >= first and isinstance(want, int) and want != have:
                shown = axis + (role is Role.STACKED)
                raise ProbeError(
                    f"{_shape_sentence(label, self.inputs[name], array)}: axis {shown} must be {want}, not "
                    f"{have}{_layout_advice(declared, array.shape)}."
                )

    def _counted(self, arrays: Feeds, roles: dict[str, Role], where: str) -> Part:
        counts = {n: len(a) for n, a in arrays.items() if roles[n] is not Role.FIXED}
        differ = len(set(counts.values())) > 1
        stacked = [n for n in counts if roles[n] is Role.STACKED]
        whole = not stacked and ((differ and self.uneven) or self.is_one_feed({n: a.shape for n, a in arrays.items()}))
        if whole or not counts:
            return self._whole(arrays, whole)
        if differ:
            listed = ", ".join(f"'{n}' has {c}" for n, c in counts.items())
            raise ProbeError(
                f"{where}: the inputs disagree on the number of samples ({listed}): give each the same "
                "number, or name those that are the same for every sample as constants (--constant NAME)."
            )
        if 0 < len(stacked) < len(counts) and self.declares_no_samples:
            raise ProbeError(
                f"{where}: {quoted(stacked)} has one entry per sample, and axis 0 of the other inputs counts something "
                "else by what the model declares: give all inputs with one axis more, one entry per sample."
            )
        step = _fixed_batch(self.inputs, roles, where)
        return Part(arrays, roles, self.inputs, samples=next(iter(counts.values())), step=step)

    @property
    def declares_no_samples(self) -> bool:
        """Whether the model declares that axis 0 counts something else in each input."""
        return self._may_be_one_feed and not any(says_nothing(dim) for dim in self._first_dims.values())

    def is_one_feed(self, shapes: Mapping[str, tuple[int, ...]]) -> bool:
        """Whether arrays of these shapes are one sample: by the declaration, or as it lets their lengths differ."""
        lengths: dict[object, set[int]] = {}
        for name, dim in self._first_dims.items():
            if name not in shapes or len(shapes[name]) != len(self.inputs[name].shape or ()):
                return False
            lengths.setdefault(dim, {dim} if isinstance(dim, int) else set()).add(shapes[name][0])
        differ = len(set[int]().union(*lengths.values())) > 1
        fit = all(len(of_dim) == 1 for of_dim in lengths.values())
        return fit and (self.declares_no_samples or (differ and self._may_be_one_feed))

    @property
    def _first_dims(self) -> dict[str, int | str | None]:
        """What the model declares of axis 0, where it may count samples."""
        counted = (n for n in self.inputs if n not in self.constants and has_sample_axis(n, self.inputs))
        return {n: (self.inputs[n].shape or (None,))[0] for n in counted}

    @property
    def _may_be_one_feed(self) -> bool:
        dims = set(self._first_dims.values())
        return not self.sampled and len(dims) > 1 and None not in dims and not any(map(named_after_batch, dims))

    def _whole(self, arrays: Feeds, whole: bool) -> Part:
        """All arrays together are one sample: a stack of one."""
        fixed = {n for n, a in arrays.items() if n in self.constants or a.ndim == 0}
        stacks = {n: a if n in fixed else a[np.newaxis] for n, a in arrays.items()}
        roles = {n: Role.FIXED if n in fixed else Role.STACKED for n in arrays}
        return Part(stacks, roles, self.inputs, samples=1, step=1, whole=whole)


def _fixed_batch(inputs: Mapping[str, TensorType], roles: Mapping[str, Role], where: str) -> int:
    """The fixed number of samples that one feed must have, else 1."""
    fixed: dict[str, int] = {}
    for name, declared in inputs.items():
        first = declared.shape[0] if declared.shape else None
        if roles[name] is Role.SLICED and isinstance(first, int):
            fixed[name] = first
    if len(set(fixed.values())) > 1:
        listed = ", ".join(f"'{n}' {d}" for n, d in fixed.items())
        raise ProbeError(
            f"{where}: the model fixes different first dims ({listed}), so they cannot all count samples: "
            "name those that are the same for every sample as constants (--constant NAME), or give all with "
            "one axis more, one entry per sample."
        )
    step = max(next(iter(fixed.values()), 1), 1)
    if step > 1 and Role.STACKED in roles.values():
        raise ProbeError(
            f"{where}: {quoted(fixed)} takes exactly {step} samples at a time while another input is given "
            "one entry per sample: give all inputs with one axis more, one entry per feed."
        )
    return step


def _dtype_sentence(label: str, declared: TensorType, array: Array) -> str:
    wanted = dtype_name(declared.dtype) if declared.dtype is not None else "unknown"
    return (
        f"{label} expects {wanted}, but the data is {dtype_name(array.dtype)}, which would lose or change "
        f"values: convert it to {wanted} yourself if that is meant."
    )


def _shape_sentence(label: str, declared: TensorType, array: Array) -> str:
    dims = "x".join("?" if d is None else str(d) for d in declared.shape or ()) or "a single number"
    came = f"has shape {'x'.join(map(str, array.shape))}" if array.ndim else "is a single number"
    return f"{label} expects {dims}, but the data {came}"


def _rank_advice(declared: Sequence[Any], array: Array) -> str:
    if array.ndim + 1 == len(declared) and tuple(array.shape) == tuple(declared[1:]):
        return "a single sample is x[None], with an axis for samples in front."
    ranks = f"{len(declared)} axes" if declared else "no axis"
    return f"give it {ranks}, or {len(declared) + 1} with one entry per sample (it has {array.ndim})."


def _layout_advice(declared: Sequence[Any], came: Sequence[int]) -> str:
    if len(declared) != 4 or len(came) != 4:
        return ""
    first, last = (came[0], came[3], came[1], came[2]), (came[0], came[2], came[3], came[1])
    for moved, have, want in ((first, "NHWC", "NCHW"), (last, "NCHW", "NHWC")):
        if all(not isinstance(d, int) or d == c for d, c in zip(declared[1:], moved[1:], strict=True)):
            return f"; it looks like {have} data for an {want} model, so transpose it"
    return ""
