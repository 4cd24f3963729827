"""Cut a model to its keep vectors: nodes that nothing needs go, stored tensors lose indices, rules mend their nodes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.pattern import Array, Shape
from analyzer.facts.cut import CutPlan
from analyzer.graph import Editor, LoadedModel
from analyzer.graph.deferred import Deferred, made
from analyzer.ops.affine import Summand
from analyzer.ops.context import Call, Context, Copy
from analyzer.ops.node_edit import Cut, Edit, cut_array, cut_when_read
from analyzer.rewrite.factors import taken_up

REWRITTEN = "/cut"  # ends the names of tensors that one of several readers gets for itself


@dataclass(eq=False)
class Shrinker:
    """One cut of one model; `model` is edited in place."""

    context: Context
    plan: CutPlan
    editor: Editor
    written_anew: bool = field(default=False, init=False)  # tensors were, for single readers
    _stored_anew: set[str] = field(default_factory=set, init=False)
    _held: set[tuple[int, int]] = field(default_factory=set, init=False)  # operands, by node, that rules write anew
    _scaled: dict[tuple[str, bytes], str] = field(default_factory=dict, init=False)
    _copies: dict[str, Array] = field(default_factory=dict, init=False)

    def run(self) -> None:
        """Make all edits.

        Raises:
            Refusal: a node cannot be made consistent; the model is then half edited and must be thrown away.
        """
        live = [call for call in self.context.calls if call.op.node.index in self.plan.live]
        edits = [(call, self._edit(call)) for call in live]
        self._held = {(call.op.node.index, position) for call, edit in edits for position in edit.inputs}
        for call, edit in edits:
            self._apply(call, edit)
            if call.op.branch is not None:
                self.editor.take_branch(call.op.node.index, call.op.branch)
        self._store_constants()
        for call in self.context.calls:
            if call.op.node.index not in self.plan.live:
                self.editor.drop_node(call.op.node.index)
        self._cut_tensors()
        self._part_readers()
        self._declare_shapes()
        self.editor.finish()

    def _edit(self, call: Call) -> Edit:
        if call.barrier is not None:
            return Edit()
        xs, ys = (self.context.constants(self.plan.facts, names) for names in (call.inputs, call.outputs))
        derived = call.rule.constants(call.op, xs)
        return call.rule.shrink(call.op, Cut(self.plan.keeps, xs, ys, derived))

    def _apply(self, call: Call, edit: Edit) -> None:
        if edit.empty:
            return
        index = call.op.node.index
        for position, array in edit.inputs.items():
            missing = position >= len(call.inputs) or not call.inputs[position]
            if not (missing and self._into_reader(call, made(array))):
                self._set_input(call, position, array)
        for position, lengths in edit.pieces.items():
            self._respell(call, position, lengths)
        if edit.attributes:
            self.editor.set_attributes(index, edit.attributes)
        if edit.becomes:
            self.editor.set_operator(index, edit.becomes)
        if edit.drop_inputs:
            self.editor.drop_inputs(index, edit.drop_inputs)
        if edit.leave_out:
            self.editor.leave_out(index, edit.leave_out)
        if edit.drop_outputs:
            self.editor.drop_outputs(index, edit.drop_outputs)
        if edit.factor != 1:
            self._multiply(call, edit.factor)
        if edit.add is not None:
            self._add(call, edit.add)

    def _set_input(self, call: Call, position: int, array: Array | Deferred) -> None:
        """In place where the node alone reads the tensor, else under a new name."""
        name = call.inputs[position] if position < len(call.inputs) else ""
        if name and call.op.sole_user[position]:
            self._set_tensor(name, array)
            return
        stem = name or f"{call.op.name}/{'bias' if array.ndim == 1 else 'input'}"
        self.editor.set_input(call.op.node.index, position, self._own_tensor(stem, array))

    def _own_tensor(self, stem: str, array: Array | Deferred) -> str:
        """Store an array for some readers alone; returns its name."""
        self.written_anew = True
        return self.editor.add_tensor(stem, array, REWRITTEN)

    def _set_tensor(self, name: str, array: Array | Deferred) -> None:
        if name in self.context.copies:
            self._copies[name] = made(array)
        else:
            self.editor.set_tensor(name, array)

    def _taker(self, call: Call, *, per_unit: bool) -> tuple[Call, Summand] | None:
        """The only reader of a node, where a stored operand of it can take what is added to the node's output."""
        graph, name = self.context.graph, call.outputs[0]
        readers = graph.consumers.get(name, ())
        if len(readers) != 1 or name in graph.outputs:
            return None
        after = self.context.by_node[readers[0][0].index]
        place = None if after.barrier is not None else after.rule.summand(after.op, readers[0][1])
        if place is None or place.per_unit != per_unit or not after.op.sole_user[place.position]:
            return None
        if (after.op.node.index, place.position) in self._held:
            return None
        return after, place

    def _with_summand(self, after: Call, place: Summand, summand: Array) -> Array:
        """What stays of a reader's operand, and the summand."""
        stored = after.op.static(place.position)
        assert stored is not None
        left = cut_array(stored, self.plan.keeps.vectors(after.inputs[place.position]))
        return left.astype(np.float64) + place.sign * summand.astype(np.float64)

    def _store_anew(self, after: Call, place: Summand, array: Array) -> None:
        name, stored = after.inputs[place.position], after.op.static(place.position)
        assert stored is not None
        self._set_tensor(name, array.astype(stored.dtype))
        self._stored_anew.add(name)

    def _into_reader(self, call: Call, bias: Array) -> bool:
        """A bias that would have to be created goes into what the only reader has per unit, such as a mean."""
        taker = self._taker(call, per_unit=True)
        if taker is None or bias.ndim != 1:
            return False
        self._store_anew(*taker, self._with_summand(*taker, bias))
        return True

    def _respell(self, call: Call, position: int, lengths: dict[int, int]) -> None:
        """New numbers in a shape operand: stored as a whole, or as pieces of a Concat that others may read too."""
        graph, name = self.context.graph, call.inputs[position]
        array = graph.constant(name)
        if array is not None:
            self._set_input(call, position, _with_lengths(array, lengths))
            return
        reader, place, shared = call.op.node.index, position, False
        while True:
            producer = graph.producer[name]
            shared = shared or name in graph.outputs or len({n.index for n, _ in graph.consumers[name]}) > 1
            speller = self.editor.copy_producer(reader, place) if shared else producer.index
            if not self.context.lists.passed(producer):
                break
            name, reader, place = producer.inputs[0], speller, 0
        start = 0
        for place, part in enumerate(producer.inputs):
            stored = graph.constant(part)
            size = int(np.prod(self.context.shapes[part])) if stored is None else stored.size
            inside = {a - start: n for a, n in lengths.items() if start <= a < start + size}
            if inside and stored is not None:
                self.editor.set_input(speller, place, self._own_tensor(part, _with_lengths(stored, inside)))
            start += size

    def _add(self, call: Call, summand: Array) -> None:
        """A summand behind a node without bias: into a stored operand of the only reader, else a new Add."""
        taker = self._taker(call, per_unit=False)
        stored = None if taker is None else taker[0].op.static(taker[1].position)
        if taker is not None and stored is not None and stored.ndim <= summand.ndim:
            wide = self._with_summand(*taker, summand)
            if wide.size <= max(stored.size, summand.size):
                extra = max(wide.ndim - max(stored.ndim, 1), 0)
                ones = next((a for a in range(extra) if wide.shape[a] > 1), extra)
                self._store_anew(*taker, wide.reshape(wide.shape[ones:]))
                return
        tensor = self.editor.add_tensor(f"{call.op.name}/bias", summand.astype(self._dtype(call.outputs[0])))
        self.editor.add_behind(call.op.node.index, tensor)

    def _multiply(self, call: Call, factor: float) -> None:
        """A factor behind a node: into stored operands further on, or a new Mul."""
        operands = taken_up(self.context, self.plan.keeps, call, factor, self._held)
        if operands is None:
            tensor = self.editor.add_tensor(f"{call.op.name}/factor", np.asarray(factor, self._dtype(call.outputs[0])))
            self.editor.insert_behind(call.op.node.index, "Mul", tensor)
            return
        for operand in operands:
            after, position, array = operand.call, operand.position, operand.array
            name = after.inputs[position]
            self._held.add((after.op.node.index, position))
            if after.op.sole_user[position]:
                self._set_tensor(name, array)
                self._stored_anew.add(name)
                continue
            content = name, array.tobytes()
            if content not in self._scaled:  # an epsilon that all normalisations share
                self._scaled[content] = self.editor.add_tensor(name, array, REWRITTEN)
            self.editor.set_input(after.op.node.index, position, self._scaled[content])

    def _dtype(self, name: str) -> np.dtype[Any]:
        """Element type of a value that some node computes."""
        declared = self.context.graph.types[name].dtype
        if declared is None:  # the file does not say; the run may have, in names that ml_dtypes registers
            return np.dtype(self.context.table.dtypes.get(name, "float32"))
        return declared

    def _store_constants(self) -> None:
        """Values that are constant as a whole are stored, one element per index that varies."""
        for name in sorted(self.plan.materialized):
            if not self.plan.keeps.alive(name):
                continue
            vectors, number = self.plan.keeps.vectors(name), pattern.compress(self.plan.facts[name].number)
            kept = [v if d > 1 else np.ones(1, np.bool_) for v, d in zip(vectors, number.shape, strict=True)]
            tensor = self.editor.add_tensor(f"{name}/constant", cut_array(number, kept).astype(self._dtype(name)))
            lengths = self.context.lengths(name) if name in self.context.outputs else None
            if lengths is None:
                self.editor.replace_value(name, tensor)
            else:
                self.editor.fill_value(name, tensor, lengths)

    def _cut_tensors(self) -> None:
        graph, keeps = self.context.graph, self.plan.keeps
        for name in sorted(graph.initializer_names):
            readers = [(n, p) for n, p in graph.consumers.get(name, ()) if n.index in self.plan.live]
            own = len(graph.consumers.get(name, ())) == 1
            if name in self._stored_anew or (own and any((n.index, p) in self._held for n, p in readers)):
                continue
            copied = bool(readers) and self.context.by_node[readers[0][0].index].inputs[readers[0][1]] != name
            if not readers or copied or not graph.initializer_shape(name) or not keeps.alive(name):
                continue
            vectors = keeps.vectors(name)
            if not all(v.all() for v in vectors):
                array = graph.constant(name)
                assert array is not None
                self.editor.set_tensor(name, cut_when_read(array, vectors))

    def _part_readers(self) -> None:
        """Tensors that several nodes read: one tensor per different content that the readers are left with."""
        left: dict[str, dict[tuple[Shape, str, bytes], list[Copy]]] = {}
        for copy in self.context.copies.values():
            if copy.node.index not in self.plan.live or not self.plan.keeps.alive(copy.name):
                continue
            array = self._copies.get(copy.name)
            if array is None:
                stored = self.context.graph.constant(copy.source)
                assert stored is not None
                array = self._copies[copy.name] = cut_array(stored, self.plan.keeps.vectors(copy.name))
            content = array.shape, array.dtype.str, array.tobytes()
            left.setdefault(copy.source, {}).setdefault(content, []).append(copy)
        for source, contents in left.items():
            groups = sorted(contents.values(), key=len, reverse=True)  # most readers keep the name
            self.editor.set_tensor(source, self._copies[groups[0][0].name])
            for group in groups[1:]:
                tensor = self._own_tensor(source, self._copies[group[0].name])
                for copy in group:
                    self.editor.set_input(copy.node.index, copy.position, tensor)

    def _declare_shapes(self) -> None:
        for name, shape in self.context.shapes.items():
            if name not in self.context.graph.initializer_names and self.plan.keeps.alive(name):
                new = self.plan.keeps.shape(name)
                changed = {a: d for a, (d, before) in enumerate(zip(new, shape, strict=True)) if d != before}
                if changed:
                    self.editor.set_shape(name, changed)


def _with_lengths(shape: Array, lengths: dict[int, int]) -> Array:
    """A stored shape with other lengths at some places."""
    changed = np.array(shape)
    changed[list(lengths)] = list(lengths.values())
    return changed


@np.errstate(all="ignore")  # as in the flow of constants
def shrink(loaded: LoadedModel, context: Context, plan: CutPlan) -> tuple[LoadedModel, bool]:
    """A smaller copy of the model, and whether tensors were written anew for single readers.

    Raises:
        Refusal: a node cannot be made consistent with the cut.
    """
    copy = loaded.copy()
    shrinker = Shrinker(context, plan, Editor(copy))
    shrinker.run()
    return copy, shrinker.written_anew
