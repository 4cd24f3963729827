"""Directions of a layer share their hidden size: what can go of one is put beside what can go of the other.

An index of a bidirectional layer goes only when neither direction needs it. Hidden units have no order of their own, so
some of the last direction change places (in all that is stored of them), and a gather behind the layer, where both
directions lie on one axis, puts them back. Of this the ordinary cut takes as many indices as the direction has that can
do without fewest, and the gather keeps the order of those that stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analyzer.algebra.pattern import Array, Shape
from analyzer.facts.cut import Reordered
from analyzer.facts.units import ShapeTable
from analyzer.graph import Editor, LoadedModel
from analyzer.ops.context import Call, Context
from analyzer.ops.correspondence import Group, Lettered
from analyzer.ops.joined_units import JoinedUnits, joined_units
from analyzer.ops.operator import traits_of
from analyzer.walk import Walk
from analyzer.walk.flow import Needs, needs_backward

#: Stored inputs by name, with the letters of their axes.
_Stored = dict[str, tuple[Array, tuple[Group, ...]]]


@dataclass(frozen=True, eq=False)
class Pairing:
    """Hidden units of the last direction in their new order, and the value in which they get their own back.

    `stored` are the layer's stored inputs that have an entry per direction and hidden unit.
    """

    order: Array
    joined: JoinedUnits
    stored: _Stored
    lengths: Mapping[str, int]
    outer: str
    inner: str


def pairings(walked: Walk) -> list[Pairing]:
    """The layers of which more can go once their directions are paired, unless something else keeps it."""
    context = walked.context
    joined = [(call, place) for call in context.calls if (place := _joined(context, call)) is not None]
    needs = needs_backward(context, walked.facts) if joined else None
    found = (_pairing(walked, needs, call, place) for call, place in joined if needs is not None)
    return [pairing for pairing in found if pairing is not None]


def pair_directions(
    loaded: LoadedModel, table: ShapeTable, paired: Sequence[Pairing]
) -> tuple[LoadedModel, ShapeTable, Reordered]:
    """The model with these directions paired, and what lies in another order."""
    copy, places = loaded.copy(), dict[str, Array]()
    editor, new = Editor(copy), dict[str, tuple[str, Shape]]()
    editor.name_nodes({node.index: node.name for node in loaded.graph.nodes})
    for pairing in paired:
        for name, (array, groups) in pairing.stored.items():
            places[name] = _reordered(np.arange(array.size).reshape(array.shape), groups, pairing)
            editor.set_tensor(name, array.reshape(-1)[places[name]])
        value, axis = pairing.joined.value, pairing.joined.axis
        before = editor.gather_behind(loaded.graph.producer[value].index, _back(pairing), axis)
        new[before] = value, table.shapes[value]
    added = {node.name for node in copy.graph.nodes} - {node.name for node in loaded.graph.nodes}
    return copy, table.with_values(new), Reordered(places, frozenset(added))


def _joined(context: Context, call: Call) -> JoinedUnits | None:
    """Where two directions lie on one axis, and nothing else reads what the layer gives."""
    place = None if call.barrier is not None else joined_units(context, call)
    if place is None or any(call.op.used_outputs[1:]) or call.op.y_shape()[place.axes[0]] != 2:
        return None
    value = call.outputs[0]
    while value != place.value:
        readers = [node for node, _ in context.graph.consumers.get(value, ()) if not traits_of(node).measures]
        if len(readers) != 1 or len(readers[0].outputs) != 1 or value in context.outputs:
            return None
        value = readers[0].outputs[0]
    return place


def _pairing(walked: Walk, needs: Needs, call: Call, joined: JoinedUnits) -> Pairing | None:
    context, letters = walked.context, call.axes
    if not isinstance(letters, Lettered):
        return None
    (outer, *_), (inner, *_) = (dict(letters.values)[call.outputs[0]][axis] for axis in joined.axes)
    stored = _stored(context, call, dict(letters.values), outer, inner)
    ys = [needs.of(name, context.rank(name)) for name in call.outputs]
    xs, yc = (context.constants(walked.facts, names) for names in (call.inputs, call.outputs))
    spare = call.rule.spare(call.op, ys, xs, yc)
    if spare is None or stored is None:
        return None
    first, last = (np.flatnonzero(own & ~other) for own, other in (spare, spare[::-1]))
    pairs, order = min(len(first), len(last)), np.arange(spare.shape[1])
    order[first[:pairs]], order[last[:pairs]] = last[:pairs], first[:pairs]
    return Pairing(order, joined, stored, letters.lengths, outer, inner) if pairs else None


def _stored(
    context: Context, call: Call, letters: Mapping[str, tuple[Group, ...]], outer: str, inner: str
) -> _Stored | None:
    """What has an entry per direction and hidden unit; None where some of that is computed, or read by others."""
    found: _Stored = {}
    for position, name in enumerate(call.inputs):
        groups = letters.get(name, ())
        within = {letter for group in groups for letter in group}
        if inner not in within:
            continue
        array, alone = call.op.static(position), call.op.sole_user[position]
        if outer not in within or array is None or name not in context.graph.initializer_names or not alone:
            return None
        found[name] = array, groups
    return found


def _reordered(array: Array, groups: tuple[Group, ...], pairing: Pairing) -> Array:
    """The array with the hidden units of the last direction in their new order, along all axes that list them."""
    letters = [letter for group in groups for letter in group]
    wide, across = array.reshape([pairing.lengths[letter] for letter in letters]), letters.index(pairing.outer)
    last = wide.take(1, across)
    for axis, letter in enumerate(letters):
        if letter == pairing.inner:
            last = last.take(pairing.order, axis - (axis > across))
    return np.stack([wide.take(0, across), last], across).reshape(array.shape)


def _back(pairing: Pairing) -> Array:
    """Where each unit lies on the joined axis once the last direction is in its new order."""
    units = [*zip(*(places.tolist() for places in pairing.joined.places), strict=True)]
    at = {unit: index for index, unit in enumerate(units)}
    return np.array([at[outer, int(pairing.order[inner]) if outer else inner] for outer, inner in units])
