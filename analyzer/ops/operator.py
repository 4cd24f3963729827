"""The contract of an operator's rules, its safe defaults, and the table of all rules.

A rule that is not written gives the safe answer: nothing constant comes out, everything that goes in is needed,
nothing is cut. An operator without an entry here gets `Barrier`.
"""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import analyzer.ops
from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.algebra.keeps import KeepVectors
from analyzer.algebra.pattern import Array, Mask, Shape
from analyzer.facts.units import Curve, Kind
from analyzer.graph import Graph, Node
from analyzer.ops.affine import Affine, Normalisation, Scaling, Summand
from analyzer.ops.correspondence import Correspondence
from analyzer.ops.gates import Gates
from analyzer.ops.largest import Stored
from analyzer.ops.node import OpNode
from analyzer.ops.node_edit import Cut, Edit
from analyzer.ops.pull_back import Tape, Window, by_difference, by_ends, by_factor, by_places, identity_places
from analyzer.ops.routing import Stacked
from analyzer.ops.traits import Traits
from analyzer.ops.trend import Trend
from analyzer.ops.weighted_sum import WeightedSum

CONTRIB = "com.microsoft"
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Activation:
    """How the output of an activation is audited; `low`, `high`, `zero` and `curve` as in `AuditedValue`.

    `enters` is the input position of what is activated, None where that is a sum that the operator makes; `inside`:
    the operator shifts or scales it first. `bends` are the bounds of the input outside of which the output is flat,
    where they do not follow from the rest; `passes`: between the bounds, what enters comes out. `fused` names the
    activation of an operator that does more.
    """

    kind: Kind
    low: float | None = None
    high: float | None = None
    curve: Curve = Curve.TANH
    bends: tuple[float, float] | None = None
    passes: bool = False
    zero: float = 0.0
    enters: int | None = 0
    inside: bool = False
    fused: str = ""

    def edges(self, gradient: float) -> tuple[float, float]:
        """Bounds of the input between which the gradient is not (about) zero; `gradient` counts as about zero."""
        if self.bends is not None:
            return self.bends
        if self.kind is Kind.SATURATING:
            return -self.curve.edge(gradient), self.curve.edge(gradient)
        low, high = (self.low, self.high) if self.kind is Kind.RECTIFIER else (None, None)
        return -math.inf if low is None else low, math.inf if high is None else high


class Operator:
    """What is known about one operator. Every method has a safe default."""

    #: Reason code for dead units that this operator pins.
    lock_reason = "unsupported-operator"
    #: What it does with an axis that it needs whole.
    lock_detail = "needs the axis whole"
    #: The same where indices go in blocks, and something of a block stays; the braces stand for how many it holds.
    block_reason = "packed-in-blocks"
    block_detail = "holds numbers in blocks of {}, which go as a whole"
    #: Whether units that stay because of this operator stay next to a live partner (Add of two branches).
    aligned = False
    #: Whether elements of an input are compared with one another: last digits decide between those that are close.
    ranks = False
    #: Whether elements are only moved or joined, and fillings put between them.
    moves = False
    #: Whether every element is a function of the element at its place in the first input.
    same_unit = False
    #: Why what it computes on the way is not looked at, where that has units of its own.
    conceals: str | None = None
    #: Whether each unit comes out as averages or choices of its own positions.
    pools = False
    #: Whether the rule speaks for values of length 0, such as a past that is still empty.
    takes_empty = False
    #: Whether `axes` holds for calls that are `unsupported`, too.
    axes_hold = False
    #: The input of places at which something is put into the first one: without any, that comes out.
    puts_at: int | None = None
    #: Whether nothing comes out where nothing goes into the first input.
    keeps_empty = False
    #: Whether the output lists the places of all that is not zero.
    lists_nonzero = False
    #: Inputs that count as zeros where they are left out.
    zero_if_missing: tuple[int, ...] = ()
    #: Outputs that hold the first one's last entries along its first axis: what is constant there is so here.
    ends: tuple[int, ...] = ()
    #: Yes-or-no facts of all operators of this class that are registered without facts of their own.
    stated = Traits()

    def traits(self, node: Node, stated: Traits, stored: Stored) -> Traits:
        """What holds for this call, given what is stated for the operator and the stored inputs that are known."""
        return stated

    def unsupported(self, node: OpNode) -> str | None:
        """Why this call is treated as a barrier, or None."""
        return None

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        """Which output elements are constant, given the inputs' constants."""
        return [Constants.unknown(len(s or ())) for s in node.out_shapes]

    def needs(self, node: OpNode, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]) -> list[Mask]:
        """Which input elements the needed output elements `ys` depend on.

        An input element that is constant and that the shrunk node can do without is not needed.
        """
        return [pattern.uniform(len(s or ()), True) for s in node.in_shapes]

    def axes(self, node: OpNode) -> Correspondence:
        """How the axes of the call's values correspond: `Axes` as text, or movements."""
        return Correspondence(pinned=tuple(n for n in (*node.inputs, *node.outputs) if n), outputs=node.outputs)

    def entries_kept(self, node: OpNode, position: int, keeps: KeepVectors) -> Mask | None:
        """Which entries of a stored input stay, in its shape, where these are not whole indices of its axes."""
        return None

    def carry(
        self, node: OpNode, keeps: KeepVectors, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]
    ) -> list[tuple[str, int, int]]:
        """Constant channels to keep as carriers: (value, axis, index); called when keep vectors agree."""
        return []

    def shrink(self, node: OpNode, cut: Cut) -> Edit:
        """What changes in the node when the indices outside `cut.keeps` go, beyond the cut of its stored inputs.

        Raises:
            Refusal: the node cannot be made consistent with the cut.
        """
        return Edit()

    def keeps_units(self, node: OpNode, axis: int) -> bool:
        """Whether each index of this axis is made of the same index of the first input, all in the same way."""
        return self.same_unit

    def spare(self, node: OpNode, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]) -> Mask | None:
        """Where units made along two axes can only go together: which are not needed, [outer, inner]."""
        return None

    def activation(self, node: OpNode) -> Activation | None:
        """How the output is audited where the operator is an activation, or has one fused into it."""
        return None

    def clips(self, node: OpNode) -> tuple[float, float] | None:
        """The numbers between which the output can lie, where the operator rounds to integers of one scale."""
        return None

    def weighted_sum(self, node: OpNode) -> WeightedSum | None:
        """Where each unit is a sum of input units, weighted by stored numbers: what it is made of."""
        return None

    def averaged_sum(self, node: OpNode) -> WeightedSum | None:
        """Where each unit is an average of weighted sums that the operator makes, over positions: those sums."""
        return None

    def multiplied(self, node: OpNode) -> tuple[int, int] | None:
        """Where each output element is a sum of products of elements of two computed inputs: their positions."""
        return None

    def summed_axes(self, node: OpNode, position: int) -> tuple[int, ...]:
        """The axes of an input over which products are summed."""
        return ()

    def gates(self, node: OpNode) -> Gates | None:
        """Where units are made by gates inside the operator: the gates that are sums of what it reads and gives out."""
        return None

    def affine(self, node: OpNode) -> Affine | None:
        """Where the output is a sum of scaled inputs and stored numbers, place by place: the factors."""
        return None

    def summand(self, node: OpNode, position: int) -> Summand | None:
        """The stored operand to which a number can be added instead of to an input, with the same output."""
        return None

    def scaling(self, node: OpNode, position: int) -> Scaling | None:
        """What becomes of a factor, above 0, that an input lacks; None where nothing is said."""
        return None

    def normalisation(self, node: OpNode) -> Normalisation | None:
        """Where values are normalised, then scaled and shifted by learned numbers: where those stand."""
        return None

    def looks_up(self, node: OpNode) -> bool:
        """Whether rows of the first input, along its first axis, are looked up by the whole numbers of the second."""
        return False

    def experts(self, node: OpNode) -> Stacked | None:
        """Where each token goes through a few of several stacked experts: what chooses them, and what holds them."""
        return None

    def picks(self, node: OpNode) -> tuple[int, int] | None:
        """Where places of chosen entries come out: the output that holds them, and the axis of the input they count."""
        return None

    def marks(self, node: OpNode, position: int) -> Array | None:
        """Where the output is zero but at one number of the input at `position`: that number, as a pattern of it."""
        return None

    def sums_to_one(self, node: OpNode) -> int | None:
        """The axis of the output along which all entries, none of them negative, add up to 1."""
        return None

    def levels(self, node: OpNode) -> int | None:
        """The axis of the first input along which a common summand changes nothing."""
        return None

    def places(self, node: OpNode, position: int, axis: int, output: int = 0) -> Array | None:
        """Where elements are only moved: which index on an input's axis each element of an output comes from.

        A pattern of the output; -1 where an element comes from another input, or is a filling.
        """
        return None

    def trend(self, node: OpNode) -> Trend | None:
        """How the output moves while the computed inputs do; None where nothing is said, or a sum or an affine says it.

        It holds for numbers in single precision, and of what only moves elements for all.
        """
        return None

    def magnitude(self, node: Node, xs: Sequence[float | None], stored: Stored) -> float | None:
        """The largest magnitude of any output, given those of the inputs; None when nothing is known.

        It holds for what is computed on the way, too.
        """
        return None

    def lowest(self, node: OpNode, xs: Sequence[float | None]) -> float | None:
        """A number that no output is below, given such numbers of the inputs that are not stored.

        None when nothing is known. In float16 and bfloat16, which may round it to 0, nobody asks.
        """
        return None

    def taken(self, node: Node, shape: Shape, numbers: Sequence[Array]) -> tuple[int, Array] | None:
        """The axis of the first input and the indices along it that the output holds, given the other inputs."""
        return None

    def transposed(self, node: OpNode, position: int, tape: Tape, rows: str, output: int = 0) -> str | None:
        """Append what turns rows of factors of an output into those of an input of which it is a linear function.

        It is exact but for rounding: sums of `rows` times the output differ from those of what comes out times the
        input by a constant, while only this input changes. None where nobody has said how.
        """
        affine = self.affine(node) if not output else None
        if affine is not None and position in affine.factors and not affine.integers:
            return by_factor(node, position, tape, rows, affine.factors[position])
        if self.moves and self.trend(node) is not None:  # else something fed decides what goes where
            own = range(len(node.x_shape(position)))
            places = [self.places(node, position, axis, output) for axis in own]
            same = len(own) == len(node.y_shape(output))
            found = [
                identity_places(node.x_shape(position), a) if p is None and same else p
                for a, p in zip(own, places, strict=True)
            ]
            known = [p for p in found if p is not None]
            return by_places(node, position, tape, rows, known, output) if len(known) == len(own) else None
        return None

    def largest_of(self, node: OpNode) -> Window | None:
        """The windows of the first input of which each element that comes out is the largest; None where none is."""
        return None

    def in_order(self, node: OpNode, blocks: Array) -> dict[int, Array]:
        """Stored inputs with the blocks of a sum in another order; nothing where products have no blocks to move."""
        return {}

    def pull_back(self, node: OpNode, position: int, tape: Tape, gradient: str, output: int = 0) -> str | None:
        """Append what carries a gradient of an output back to an input; None where nobody has said how.

        It may be rough: it only says where to look for inputs that move a unit.
        """
        activation = self.activation(node)
        if activation is not None and activation.passes and position == activation.enters and not output:
            ends = [(o, e) for o, e in (("Greater", activation.low), ("Less", activation.high)) if e is not None]
            if ends:
                return by_ends(node, position, tape, gradient, ends)
        back = self.transposed(node, position, tape, gradient, output)
        if back is None and ((self.same_unit and not position) or self.aligned):
            return by_difference(node, position, tape, gradient, leaky=activates(activation))
        return back

    def listed(self, node: Node, items: tuple[_T, ...], numbers: Sequence[Array]) -> tuple[_T, ...] | None:
        """What the operator makes of a list, given its other inputs; None where it does more than move items."""
        return None


class Barrier(Operator):
    """An operator nobody wrote a rule for: nothing comes out known, everything stays."""


BARRIER = Barrier()
_TABLE: dict[tuple[str, str], Operator] = {}
_STATED: dict[tuple[str, str], Traits] = {}
_VARYING: set[tuple[str, str]] = set()  # operators whose traits depend on the call
Sums = Callable[[OpNode], Correspondence]
_SUMS: dict[tuple[str, str], Sums] = {}
_WHY: dict[tuple[str, str], str] = {}
_R = TypeVar("_R", bound=Operator)


def register(rule: _R, *op_types: str, domain: str = "", traits: Traits | None = None) -> _R:
    """Enter one rule for some operators, and their traits; two rules for the same operator are a mistake."""
    for op_type in op_types:
        if (domain, op_type) in _TABLE:
            raise ValueError(f"two rules for {domain}::{op_type}")
        _TABLE[domain, op_type] = rule
        _STATED[domain, op_type] = traits if traits is not None else rule.stated
        if type(rule).traits is not Operator.traits:
            _VARYING.add((domain, op_type))
    return rule


def describe(traits: Traits, *op_types: str, domain: str = "", sums: Sums | None = None, why: str = "") -> None:
    """Enter the traits of operators that have no rule, and the letters by which their multiply-adds are counted.

    `why` says more of the reason than that there is no rule.
    """
    for op_type in op_types:
        if (domain, op_type) in _STATED:
            raise ValueError(f"two descriptions of {domain}::{op_type}")
        _STATED[domain, op_type] = traits
        if sums is not None:
            _SUMS[domain, op_type] = sums
        if why:
            _WHY[domain, op_type] = why


def rule_for(domain: str, op_type: str) -> Operator:
    """The operator's rule, or the barrier."""
    return all_rules().get((domain, op_type), BARRIER)


def why_no_rule(node: Node) -> str:
    """Why an operator that has no rule has none."""
    plain = f"an operator of domain {node.domain}" if node.domain else "no rule"
    return _WHY.get((node.domain, node.op_type), plain)


def described_axes(node: OpNode) -> Correspondence:
    """How the axes of a call correspond, as far as that is known of a call that is treated as a barrier."""
    key = (node.node.domain, node.op_type)
    rule = rule_for(*key)
    said = rule.axes if rule.axes_hold else _SUMS.get(key, BARRIER.axes)
    shown = all(shape is not None or not name for name, shape in zip(node.inputs, node.in_shapes, strict=True))
    return said(node) if shown else BARRIER.axes(node)


def traits_of(node: Node, stored: Stored = lambda _: None) -> Traits:
    """The traits of a call; the unsafe answers where nobody described the operator, or `stored` shows too little."""
    key = (node.domain, node.op_type)
    stated = _STATED.get(key) or all_traits().get(key)
    if stated is None:
        return BARRIER.stated
    return _TABLE[key].traits(node, stated, stored) if key in _VARYING else stated


def is_quantised(graph: Graph) -> bool:
    """Whether some result comes in steps of a scale."""
    return any(traits_of(node).quantises for node in graph.nodes)


def all_traits() -> dict[tuple[str, str], Traits]:
    """The table (domain, operator) -> traits."""
    all_rules()
    return _STATED


@cache
def all_rules() -> dict[tuple[str, str], Operator]:
    """The table (domain, operator) -> rule; every module of this package is read once."""
    for module in pkgutil.iter_modules(analyzer.ops.__path__):
        importlib.import_module(f"analyzer.ops.{module.name}")
    return _TABLE


def activates(activation: Activation | None) -> bool:
    """Whether an operator that has this activation gives something else than it summed."""
    return activation is not None and activation.kind is not Kind.LINEAR
