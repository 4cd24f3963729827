"""A session that shows the shapes of all values of a model, and their element types."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from analyzer.algebra.pattern import Shape
from analyzer.errors import RunError
from analyzer.graph import Editor, LoadedModel
from analyzer.probes.fitting import Feeds
from analyzer.runtime.session import Optimization, Session

ROOM = 1 << 30  # bytes that the values of a run on one sample may take, whatever the size of the model, and
ROOM_PER_BYTE = 512  # for every byte of the model and of the sample: a few bytes of file can ask for any size
ATTEMPTS = 20  # values that may be dropped one by one before the run is given up

Shown = tuple[dict[str, Shape], Feeds]  # shapes of all values, inputs included, and the model's outputs


class ShapeRun:
    """A session that shows the original outputs and the shape of every tensor value, where so many bytes are given."""

    def __init__(self, loaded: LoadedModel, threads: int | None, given: int, free: Sequence[str] = ()) -> None:
        self._room = ROOM + ROOM_PER_BYTE * (loaded.size + given)
        self._loaded, self._threads, self._free = loaded, threads, free
        self.dtypes = self._element_types()
        self._shapes: dict[str, str] = {}
        self._session = self._open()

    def __enter__(self) -> ShapeRun:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def __call__(self, feeds: Feeds) -> Shown:
        """Shapes of all values for this feed, and the model's outputs."""
        results = self._session.run(feeds)
        shapes = {name: np.shape(array) for name, array in feeds.items()}
        shapes |= {v: tuple(int(d) for d in results[s]) for v, s in self._shapes.items()}
        return shapes, {o: results[o] for o in self._loaded.graph.outputs if isinstance(results[o], np.ndarray)}

    def attempt(self, feeds: Feeds) -> Shown | None:
        """The same; None where the model does not take the feed."""
        with suppress(RunError):
            return self(feeds)
        return None

    def _open(self) -> Session:
        graph = self._loaded.graph
        values = [o for node in graph.nodes for o in node.outputs if self.dtypes.get(o) is not None]
        for _ in range(ATTEMPTS):
            editor = self._extended()
            self._shapes = {v: editor.add("Shape", [v]) for v in values}
            editor.output(*self._shapes.values())
            try:
                return self._session_of(editor, eager=True)
            except RunError as error:
                offender = next((v for v, s in self._shapes.items() if s == error.node), None)
                if offender is None:
                    raise
                values.remove(offender)
        raise RunError("onnxruntime cannot show the shapes of this model's values.")

    def _element_types(self) -> dict[str, str]:
        """Element type of every tensor value, as onnxruntime itself infers it; nothing is run."""
        editor, graph = self._extended(), self._loaded.graph
        editor.clear_outputs()
        editor.output(*graph.producer)
        known = {n: t.dtype.name for n, t in graph.types.items() if t.dtype is not None}
        known |= {n: graph.initializer_dtype(n).name for n in graph.initializer_names}
        with self._session_of(editor) as session:
            return known | {n: t for n, t in session.output_types.items() if t is not None}

    def _extended(self) -> Editor:
        return extended(self._loaded, self._free)

    def _session_of(self, editor: Editor, *, eager: bool = False) -> Session:
        plain = Optimization.NONE
        return Session(
            editor.loaded, threads=self._threads, optimization=plain, few_runs=True, eager=eager, room=self._room
        )


def extended(loaded: LoadedModel, free: Sequence[str]) -> Editor:
    """The model, ready for more nodes, with the first dim of these inputs made free."""
    editor = Editor(loaded.copy())
    if free:
        editor.free_batch(free)
    return editor
