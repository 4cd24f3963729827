"""A session that shows the shapes of all values of a model, and their element types."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from itertools import zip_longest
from math import prod

import numpy as np

from analyzer.algebra.pattern import Shape, type_name
from analyzer.errors import ModelError, OtherBranch, RunError, RunFailure
from analyzer.graph import Editor, Graph, LoadedModel, Node
from analyzer.graph.open_branches import check_conditions, show_conditions
from analyzer.graph.reveal import Revealer
from analyzer.graph.runnable import Runnable
from analyzer.graph.subgraphs import COPY
from analyzer.graph.validate import MOST_AXES
from analyzer.ops.operator import rule_for
from analyzer.probes.fitting import Feeds
from analyzer.runtime.opening import Optimization
from analyzer.runtime.session import Session

ROOM = 1 << 30  # bytes that the values of a run on one sample may take, whatever the size of the model, and
ROOM_PER_BYTE = 512  # for every byte of the model and of the sample: a few bytes of file can ask for any size
ATTEMPTS = 20  # values that may be dropped one by one before the run is given up

Shown = tuple[dict[str, Shape], Feeds]  # shapes of all values, inputs included, and the model's outputs


class ShapeRun:
    """A session that shows the original outputs and the shape of every tensor value, where so many bytes are given.

    `dtypes`: the element types of all values, where a session of the same model has shown them.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        threads: int | None,
        given: int,
        free: Sequence[str] = (),
        dtypes: dict[str, str] | None = None,
    ) -> None:
        self._given = given
        self._room = ROOM + ROOM_PER_BYTE * (loaded.size + given)
        self._loaded, self._threads, self._free = loaded, threads, free
        self._stepped = {n: keys for n, keys in loaded.graph.stepped.items() if not loaded.shut.intersection(keys)}
        self._shapes: dict[str, str] = {}
        self._told: dict[str, Sequence[str]] = {}  # values whose shapes follow from those of others
        self._conditions: dict[str, str] = {}
        self.steps: dict[str, int] = {}
        self._plain = Revealer(loaded)
        stated = self._plain.state_types() if dtypes is None and not self._stepped else None
        try:
            self.dtypes = dtypes or (self._known() | stated if stated is not None else self._element_types())
            self._session = self._open()
        except RunError:
            if stated is None and not self._stepped:
                raise
            self._plain.forget_types()  # onnxruntime refuses the model, or infers another type
            self._shut()

    def _shut(self) -> None:
        """Show nothing of what is within loops."""
        self._stepped = {}
        self.dtypes = self._element_types()
        self._session = self._open()

    def __enter__(self) -> ShapeRun:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def __call__(self, feeds: Feeds) -> Shown:
        """Shapes of all values for this feed, and the model's outputs.

        Raises:
            ModelError: a value has more axes than arrays can have.
            RunError: the model does not take the feed.
        """
        try:
            results = self._session.run(feeds)
        except RunError as error:
            if self.steps or not self._stepped or error.kind is RunFailure.MEMORY:
                raise
            self._session.close()
            self._shut()  # what it carries out may change its shape from step to step
            return self(feeds)
        try:
            check_conditions(self._loaded, self._conditions, results)
        except OtherBranch:
            return self._other_branches(feeds)
        shapes = {name: np.shape(array) for name, array in feeds.items()}
        for value, shown in self._shapes.items():
            *steps, rank = results[shown].shape
            if rank > MOST_AXES:
                raise ModelError(f"The value '{value[:80]}' has {rank} axes, more than the {MOST_AXES} of arrays.")
            if value not in self._stepped:
                shapes[value] = tuple(results[shown].tolist())
                continue
            rows = results[shown].reshape(prod(steps), rank)
            if len(rows) and (rows == rows[0]).all():
                shapes[value] = tuple(int(d) for d in rows[0])
            self.steps.update(zip(self._stepped[value], steps, strict=True))
        self._add_told(shapes)
        return shapes, {o: results[o] for o in self._loaded.graph.outputs if isinstance(results[o], np.ndarray)}

    def _add_told(self, shapes: dict[str, Shape]) -> None:
        """Add the shapes that follow from these."""
        graph, seen = self._loaded.graph, dict[tuple[Shape, ...], Shape]()
        known = {name: graph.initializer_shape(name) for name in graph.initializer_names} | shapes
        for value, sources in self._told.items():
            if all(source in known for source in sources):
                given = tuple(known[source] for source in sources)
                if given not in seen:
                    seen[given] = _broadcast(given)
                shapes[value] = known[value] = seen[given]

    def _other_branches(self, feeds: Feeds) -> Shown:
        """What the model shows as it is, for a feed that takes other branches: nothing of what is within them."""
        with ShapeRun(self._loaded.closed or self._loaded, self._threads, self._given, self._free) as run:
            return run(feeds)

    def attempt(self, feeds: Feeds) -> Shown | None:
        """The same; None where the model does not take the feed."""
        with suppress(RunError):
            return self(feeds)
        return None

    def _open(self) -> Session:
        graph = self._loaded.graph
        made = [o for node in graph.nodes for o in node.outputs if self.dtypes.get(o) is not None]
        self._told = _told(graph, made)
        outside = [o for o in made if o not in graph.inside and o not in self._told]
        within = [o for o in made if o in self._stepped]
        for _ in range(ATTEMPTS):
            revealer, shown = self._carrying(within, "Shape")
            model, self._shapes = revealer.shapes(outside)
            takers = {node: value for value, node in self._shapes.items()} | {n: v for v, (n, _) in shown.items()}
            self._shapes |= {value: name for value, (_, name) in shown.items()}
            try:
                return self._session_of(model, eager=True)
            except RunError as error:
                offender = takers.get(error.node)
                if offender is None:
                    raise
                (within if offender in shown else outside).remove(offender)
        raise RunError("onnxruntime cannot show the shapes of this model's values.")

    def _carrying(self, values: Sequence[str], op_type: str) -> tuple[Revealer, dict[str, tuple[str, str]]]:
        """The model that carries these values out of the loops around them, behind an operator.

        With the names that each has behind it, inside and outside.
        """
        if not (values or self._free or self._loaded.assumed or self._loaded.steps):
            return self._plain, {}
        editor = extended(self._loaded, self._free)
        inside = {value: editor.add(op_type, [value]) for value in values}
        shown = {value: (name, editor.stacked(name)) for value, name in inside.items()}
        editor.output(*(name for _, name in shown.values()))
        self._conditions = show_conditions(editor)
        return Revealer(editor.loaded.refreshed()), shown

    def _element_types(self) -> dict[str, str]:
        """Element type of every tensor value, as onnxruntime itself infers it; nothing is run."""
        revealer, shown = self._carrying([*self._stepped], COPY)
        stacked = {name: value for value, (_, name) in shown.items()}
        with self._session_of(revealer.every_value()) as session:
            types = {stacked.get(n, n): t for n, t in session.output_types.items() if t is not None}
        return self._known() | {n: t for n, t in types.items() if n in self._loaded.graph.producer}

    def _known(self) -> dict[str, str]:
        """As the file states them."""
        graph = self._loaded.graph
        known = {n: type_name(t.dtype) for n, t in graph.types.items() if t.dtype is not None}
        return known | {n: type_name(graph.initializer_dtype(n)) for n in graph.initializer_names}

    def _session_of(self, model: Runnable, *, eager: bool = False) -> Session:
        plain = Optimization.NONE
        return Session(model, threads=self._threads, optimization=plain, few_runs=True, eager=eager, room=self._room)


def _broadcast(shapes: Sequence[Shape]) -> Shape:
    """The shape of these together, which a run has shown to fit; of any number of axes and operands."""
    lengths = zip_longest(*(reversed(shape) for shape in shapes), fillvalue=1)
    return tuple(next((d for d in there if d != 1), 1) for there in lengths)[::-1]


def told_by(node: Node) -> Sequence[str]:
    """The inputs to whose shapes, broadcast, the first output has the same; none where it is not known to have it."""
    rule = rule_for(node.domain, node.op_type)
    if rule.same_unit:
        return node.inputs[:1]
    return node.inputs if rule.aligned and not node.domain else ()  # inputs of other domains may be scales


def _told(graph: Graph, made: Collection[str]) -> dict[str, Sequence[str]]:
    """Of these values those whose shape need not be asked for, with the values whose shapes tell it."""
    told: dict[str, Sequence[str]] = {}
    known = {*made}.difference(graph.inside)
    sources = known | graph.inputs.keys() | graph.initializer_names
    for node in graph.nodes:
        read = told_by(node) if node.outputs and node.outputs[0] in known else ()
        if read and sources.issuperset(read):
            told[node.outputs[0]] = read
    return told


def extended(loaded: LoadedModel, free: Sequence[str]) -> Editor:
    """The model, ready for more nodes, with the first dim of these inputs made free."""
    editor = Editor(loaded.copy())
    if free:
        editor.free_batch(free)
    return editor
