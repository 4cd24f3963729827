"""The cause of one dead unit, from what it is made of and what was measured of its pre-activation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.causes.channels import Channels
from analyzer.causes.kernels import largest
from analyzer.causes.origins import Term
from analyzer.facts.audit import LayerVerdicts
from analyzer.facts.causes import CauseCode, Root, UnitCause
from analyzer.facts.spread import Spread, along
from analyzer.facts.statistics import Bools, Floats, Ints
from analyzer.facts.units import Kind
from analyzer.ops.context import Context
from analyzer.units.pre_activation import Entry

VANISHING = 1e-6  # of what the largest weights of an output of the layer usually are: as good as zero
TINY_SCALE = 1e-6  # a normalisation scale that is zero for all purposes
SMALL_SHARE = 1e-2  # or that is so small a share of the layer's usual scale
MOST_SOURCES = 16  # dead units that a starved one is said to read, by weight
_FLAT_SMOOTH = -3.0  # SiLU, GELU, Softplus and their like are nearly flat below

# Among several silent summands, the one that says most about why.
_ORDER = (
    CauseCode.NORM_SCALE_ZERO,
    CauseCode.ZERO_KERNEL,
    CauseCode.QUANTISATION,
    CauseCode.INPUT_CONSTANT,
    CauseCode.STARVED,
)


@dataclass(frozen=True, slots=True)
class Ruling:
    """A cause before roots are known; `sources` are dead units that a starved one reads."""

    code: CauseCode
    detail: str
    sources: tuple[Root, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """One summand of one unit: a term and the unit's place in it."""

    term: Term
    place: int

    @property
    def index(self) -> int:
        """The unit's index in the term's source."""
        return int(self.term.index[self.place])

    @property
    def scale(self) -> float:
        """Factor on the source."""
        return float(self.term.scale[self.place])

    @property
    def shift(self) -> float:
        """What is added, over all normalisations and biases on the way."""
        return float(self.term.shift[self.place])


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What one unit's weighted sum reads: input channels, which of them are constant, the weights each carries."""

    channels: Channels
    reads: slice
    constant: Bools
    weights: Floats  # [inputs, taps]
    strength: Floats


@dataclass(frozen=True, eq=False)
class Case:
    """One layer with suspects: what enters it, what that is made of, and the measurements."""

    context: Context
    layer: LayerVerdicts
    entry: Entry
    terms: Sequence[Term]
    inputs: Mapping[tuple[str, int], Channels]
    layers: Mapping[str, LayerVerdicts]
    spreads: Mapping[str, Spread]
    _readings: dict[Part, Reading] = field(default_factory=dict)  # of the unit that is ruled on
    _rows: dict[Term, tuple[Array, Floats]] = field(default_factory=dict)
    _measured: dict[Channels, tuple[Bools, Bools, Floats]] = field(default_factory=dict)
    _dead: dict[Channels, Bools] = field(default_factory=dict)

    @cached_property
    def _places(self) -> list[tuple[Term, dict[int, int]]]:
        """The terms, and the place of each unit in them."""
        return [(t, {unit: place for place, unit in enumerate(t.units.tolist())}) for t in self.terms]

    def ruling(self, unit: int, value: float) -> Ruling:
        """Why this dead unit is dead; `value` is its constant."""
        self._readings.clear()
        parts = [Part(term, places[unit]) for term, places in self._places if unit in places]
        silent = [self._silent(part) for part in parts]
        found = [ruling for ruling in silent if ruling is not None]
        if parts and len(found) == len(parts):
            first = min(found, key=lambda ruling: _ORDER.index(ruling.code))
            sources = tuple(dict.fromkeys(s for ruling in found for s in ruling.sources))
            return Ruling(first.code, first.detail, sources if first.code is CauseCode.STARVED else ())
        return self._held_down(unit, value, parts)

    def saturation(self, unit: int) -> Ruling:
        """What to say of a saturated unit that still moves."""
        statistics = self.layer.statistics
        if statistics is None or not statistics.samples:
            return Ruling(CauseCode.SATURATED, "its input stays in a flat region of the activation")
        low, high = int(statistics.low_samples[unit]), int(statistics.high_samples[unit])
        return Ruling(
            CauseCode.SATURATED,
            f"flat at the lower end on {low} and at the upper end on {high} of {statistics.samples} samples",
        )

    # -- summands that cannot move -----------------------------------------------------------------------------

    def _silent(self, part: Part) -> Ruling | None:
        """Why a summand does not vary, where it does not."""
        term = part.term
        for norm in term.norms:
            scale = float(norm.scale[part.place])
            if abs(scale) <= max(TINY_SCALE, SMALL_SHARE * norm.usual):
                return Ruling(CauseCode.NORM_SCALE_ZERO, f"its scale in {norm.node} is {scale + 0.0:.3g}")
        if term.kernel is None:
            return self._silent_source(part)
        if self._rows_of(term)[1][part.place] <= VANISHING * term.kernel.usual:
            return self._zero_kernel(part)
        return self._fed_by_constants(part)

    def _zero_kernel(self, part: Part) -> Ruling:
        kernel = part.term.kernel
        assert kernel is not None  # the caller looked
        step = kernel.step if kernel.step is not None else self._rounding_step(kernel.stored)
        if step is not None:
            return Ruling(
                CauseCode.QUANTISATION,
                f"all its weights in {kernel.node} are rounded to the zero point, which takes all below "
                f"{step / 2:.2g}; whether they were zero before, only the model before quantisation tells",
            )
        size = self._rows_of(part.term)[1][part.place]
        size = f"at most {size:.3g} in size" if size else "all zero"
        return Ruling(CauseCode.ZERO_KERNEL, f"its weights in {kernel.node} are {size}")

    def _rounding_step(self, stored: str) -> float | None:
        """The step to which a whole weight tensor was rounded before it is read as numbers; None where it was not.

        None as well where each output has a step of its own: fitted to its weights, that cannot round them all away.
        """
        producer = self.context.graph.producer.get(stored)
        call = None if producer is None else self.context.by_node[producer.index]
        scaled = None if call is None else call.rule.affine(call.op)
        if scaled is None or not scaled.integers or scaled.factors[0].size != 1:
            return None
        return float(scaled.factors[0].reshape(-1)[0])

    def _silent_source(self, part: Part) -> Ruling | None:
        term, channels = part.term, self.inputs.get((part.term.source, part.term.axis))
        layer = self.layers.get(term.source)
        if layer is not None and layer.audited.axis != term.axis:  # its units are others
            layer = None
        if layer is not None and layer is not self.layer and layer.is_dead[part.index]:
            owner = (term.source, part.index)
            detail = f"it only passes on unit {part.index} of {term.source}, which is dead"
            return Ruling(CauseCode.STARVED, detail, (owner,))
        if term.filled_by:
            return Ruling(CauseCode.INPUT_CONSTANT, f"it reads nothing: {term.filled_by} puts a stored number there")
        if channels is None or term.opaque or not self._of_channels(channels)[0][part.index]:
            return None
        return Ruling(CauseCode.INPUT_CONSTANT, f"index {part.index} of {term.source}, which it reads, does not vary")

    def _fed_by_constants(self, part: Part) -> Ruling | None:
        """A weighted sum of which every input that carries weight is constant."""
        found = self._reading(part)
        channels, strength = found.channels, found.strength
        weighty = strength > 1e-6 * strength.max(initial=0.0)
        if not weighty.any() or not found.constant[weighty].all():
            return None
        number, dead = int(weighty.sum()), np.flatnonzero(weighty & self._dead_among(channels)[found.reads])
        if dead.size:
            heaviest = found.reads.start + dead[_largest_first(strength[dead], MOST_SOURCES)]
            owners = [channels.owners[channel] for channel in heaviest.tolist()]
            detail = f"all {number} inputs that it reads are constant, {dead.size} of them dead units"
            return Ruling(CauseCode.STARVED, detail, tuple(filter(None, owners)))
        if self._flattened_by_rounding(channels):
            detail = f"the {number} inputs that it reads vary before {channels.value} is quantised, and not after"
            return Ruling(CauseCode.QUANTISATION, detail)
        return Ruling(CauseCode.INPUT_CONSTANT, f"none of the {number} inputs that it reads varies in this data")

    def _flattened_by_rounding(self, channels: Channels) -> bool:
        raw = [along(self.spreads, name, axis) for term in channels.terms for name, axis, _ in term.quantised]
        return any(spread is not None and spread.varies.any() for spread in raw)

    def _reading(self, part: Part) -> Reading:
        """What the part's weighted sum reads; looked up once for each part."""
        kernel = part.term.kernel
        assert kernel is not None  # the caller looked
        if part not in self._readings:
            channels = self.inputs[kernel.data, kernel.axis]
            weights = self._rows_of(part.term)[0][part.place].astype(np.float64)
            reads = kernel.reads(part.index)
            constant, strength = self._of_channels(channels)[0][reads], np.abs(weights).max(axis=1, initial=0.0)
            self._readings[part] = Reading(channels, reads, constant, weights, strength)
        return self._readings[part]

    def _rows_of(self, term: Term) -> tuple[Array, Floats]:
        """The weights of a term's units, and the largest of each; copied once for all of them."""
        assert term.kernel is not None  # the caller looked
        if term not in self._rows:
            rows = term.kernel.rows(term.index)
            self._rows[term] = rows, largest(rows)
        return self._rows[term]

    def _dead_among(self, channels: Channels) -> Bools:
        """Which channels are dead units; looked up once."""
        if channels not in self._dead:
            dead = (o is not None and self.layers[o[0]].is_dead[o[1]] for o in channels.owners)
            self._dead[channels] = np.fromiter(dead, np.bool_, len(channels.owners))
        return self._dead[channels]

    def _of_channels(self, channels: Channels) -> tuple[Bools, Bools, Floats]:
        """Which are constant, which are never negative, and where constant ones rest; looked up once."""
        if channels not in self._measured:
            spread = along(self.spreads, channels.value, channels.axis)
            found = channels.constant(spread), channels.never_negative(spread), channels.resting(spread)
            self._measured[channels] = found
        return self._measured[channels]

    # -- sums that move, but never far enough ------------------------------------------------------------------

    def _held_down(self, unit: int, value: float, parts: Sequence[Part]) -> Ruling:
        audited, low = self.layer.audited, self.entry.low
        spread = along(self.spreads, self.entry.value, self.layer.audited.axis)
        if audited.kind is Kind.LINEAR:
            detail = f"it is {value:g} throughout, and nothing that was looked at says why"
            return self._flattened_line(parts) or Ruling(CauseCode.UNKNOWN, detail)
        rounded = self._flattened_entry(unit, parts, spread)
        if rounded is not None:
            return rounded
        if audited.kind is Kind.SATURATING or (audited.high is not None and math.isclose(value, audited.high)):
            detail = f"it stays at {value:g}, where {audited.op} is flat{_range(spread, unit)}"
            return Ruling(CauseCode.SATURATED, detail)
        if audited.kind is Kind.SMOOTH:
            deep = spread is not None and spread.maximum[unit] < _FLAT_SMOOTH
            code = CauseCode.SATURATED if deep else CauseCode.UNKNOWN
            return Ruling(code, f"it stays at {value:g}{_range(spread, unit)}")
        if self._cannot_rise(parts):
            return Ruling(
                CauseCode.NONPOSITIVE_WEIGHTS,
                "no weight on a living input is positive, no such input is ever negative, and the bias "
                f"({sum(p.shift for p in parts):.3g}) does not lift it",
            )
        if spread is None or not math.isfinite(low) or not np.isfinite(spread.maximum[unit]):
            return Ruling(CauseCode.UNKNOWN, "its pre-activation was not measured")
        return self._without(unit, parts, spread)

    def _without(self, unit: int, parts: Sequence[Part], spread: Spread) -> Ruling:
        """What would have let the unit fire, had it not been there: the shift, the bias, or neither."""
        highest, low = float(spread.maximum[unit]), self.entry.low
        reached = f"its pre-activation reaches {highest:.3g} at most"
        for norm, place in ((n, p.place) for p in parts for n in p.term.norms):
            added = float(norm.added[place])
            if added < 0 and highest - added > low:
                return Ruling(
                    CauseCode.NORM_SHIFT_NEGATIVE,
                    f"{reached}; without the {added:.3g} that {norm.node} adds it would reach {highest - added:.3g}",
                )
        shift = sum(p.shift for p in parts)
        if shift < 0 and highest - shift > low:
            return Ruling(
                CauseCode.BIAS_DOMINATES,
                f"{reached}; without the {shift:.3g} that is added to its weighted sum it would reach "
                f"{highest - shift:.3g}{self._losses(parts)}",
            )
        unclear = [p.term.source for p in parts if not self._understood(p)]
        if not parts or unclear or not math.isfinite(shift):
            return Ruling(CauseCode.UNKNOWN, f"{reached}, and {_maker(self.context, unclear)} is not looked through")
        held = f"{reached}; the {shift:.3g} that is added to its weighted sum is not what holds it"
        return Ruling(CauseCode.WEIGHTS_DOMINATE, held + self._losses(parts))

    def _understood(self, part: Part) -> bool:
        term = part.term
        if term.kernel is not None:
            return True
        return not term.opaque and (term.source in self.layers or term.source in self.context.graph.inputs)

    def _losses(self, parts: Sequence[Part]) -> str:
        """How many of the inputs are dead themselves."""
        dead = total = 0
        for part in parts:
            if part.term.kernel is not None:
                constant = self._reading(part).constant
                dead, total = dead + int(constant.sum()), total + len(constant)
        return f"; {dead} of its {total} inputs are constant" if dead else ""

    def _cannot_rise(self, parts: Sequence[Part]) -> bool:
        """Whether the weights alone keep the sum from firing, as long as inputs are not negative."""
        raised = [self._only_lowers(part) for part in parts]
        known = [much for much in raised if much is not None]
        return bool(parts) and len(known) == len(parts) and sum(known) + sum(p.shift for p in parts) <= self.entry.low

    def _only_lowers(self, part: Part) -> float | None:
        """The most that constant inputs can add, where living inputs can only lower the sum; else None."""
        if part.term.kernel is None:
            return None
        found = self._reading(part)
        reads, channels, constant = found.reads, found.channels, found.constant
        weights = part.scale * found.weights
        _, never, rests = self._of_channels(channels)
        never = never[reads]
        if constant.all() or weights[~constant].max() > 0 or not never[~constant].all():
            return None
        # At a border that is padded with zeros any of a kernel's taps may be missing.
        resting = weights[constant] * rests[reads][constant, np.newaxis]
        return float(np.maximum(resting, 0.0).sum())

    def _flattened_line(self, parts: Sequence[Part]) -> Ruling | None:
        """A linear value that varies before it is quantised, and not after."""
        for name, axis, index in _before_rounding(parts):
            before = along(self.spreads, name, axis)
            if before is not None and before.varies[index]:
                detail = f"{name} varies, and not what is left of it after rounding and clipping to integers"
                return Ruling(CauseCode.QUANTISATION, detail)
        return None

    def _flattened_entry(self, unit: int, parts: Sequence[Part], spread: Spread | None) -> Ruling | None:
        """A pre-activation that would fire, were it not rounded first."""
        if spread is None or not math.isfinite(self.entry.low):
            return None
        for name, axis, index in _before_rounding(parts):
            before = along(self.spreads, name, axis)
            if before is not None and before.maximum[index] > self.entry.low >= spread.maximum[unit]:
                detail = f"it would reach {before.maximum[index]:.3g}, which is rounded away after {name}"
                return Ruling(CauseCode.QUANTISATION, detail)
        return None


def cause_of(unit: int, ruling: Ruling, distance: float | None, root: Root | None) -> UnitCause:
    """The ruling as a fact."""
    return UnitCause(unit, ruling.code, ruling.detail, distance, root)


def _largest_first(numbers: Floats, count: int) -> Ints:
    """Places of the largest numbers, the first of equal ones first; not all are sorted, as there may be very many."""
    places = np.arange(len(numbers))
    if len(numbers) > count:
        places = np.flatnonzero(numbers >= np.partition(numbers, -count)[-count])
    return places[np.argsort(-numbers[places], kind="stable")[:count]]


def _before_rounding(parts: Sequence[Part]) -> Iterator[tuple[str, int, int]]:
    """The values of one unit that are quantised on the way, their axis, and its index in them."""
    for part in parts:
        yield from ((name, axis, int(index[part.place])) for name, axis, index in part.term.quantised)


def _range(spread: Spread | None, unit: int) -> str:
    if spread is None or not np.isfinite(spread.maximum[unit]):
        return ""
    return f" (its input lies between {spread.minimum[unit]:.3g} and {spread.maximum[unit]:.3g})"


def _maker(context: Context, sources: Sequence[str]) -> str:
    producer = context.graph.producer.get(sources[0]) if sources else None
    return "what enters it" if producer is None else f"{producer.op_type} ({producer.name})"


def sources_of(rulings: Mapping[int, Ruling]) -> Iterator[tuple[int, tuple[Root, ...]]]:
    """Starved units and what they read."""
    yield from ((unit, ruling.sources) for unit, ruling in rulings.items() if ruling.code is CauseCode.STARVED)
