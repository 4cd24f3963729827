"""Values that stored tensors alone decide, as onnxruntime computes them: its numbers are the ones that count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from math import prod

import numpy as np
import onnx

from analyzer.algebra.pattern import Array
from analyzer.errors import RunError
from analyzer.graph.static import StaticPart, shape_name
from analyzer.runtime.opening import Optimization
from analyzer.runtime.session import Session, is_registered

Nodes = Sequence[onnx.NodeProto]
Group = list[onnx.NodeProto]

MOST_SESSIONS = 128  # what is not computed by then stays unknown
# Bytes of all results together: a few bytes of file can ask for any size. Dequantised weights, and every step on the
# way from a stored weight to its use, are as many times as large as what is stored.
ROOM = 1 << 28
ROOM_PER_BYTE = 16
# Element types whose arrays onnxruntime hands out; of others only what follows from them is known.
READABLE = {
    "bool",
    "bfloat16",
    "float16",
    "float32",
    "float64",
    *(f"{i}{b}" for i in ("int", "uint") for b in (8, 16, 32, 64)),
}


def fold(part: StaticPart) -> dict[str, Array]:
    """The values of the static part, by name; what onnxruntime does not compute, or what is too large, is absent.

    Not folding is always safe, so nothing raises: a node that fails is left out with all that needs it.
    """
    folding, groups = _Folding(part), [[node for node in part.nodes if is_registered(node.domain, node.op_type)]]
    while groups and folding.sessions < MOST_SESSIONS:
        group = folding.usable(groups.pop())
        if not group:
            continue
        try:
            rest = folding.compute(group)
        except _Unsteady as unsteady:
            groups.append([node for node in group if node.name not in unsteady.nodes])
        except RunError as error:
            groups = _without_failure(groups, group, error.node)
        else:
            groups.append(rest)
    return folding.known


class _Unsteady(Exception):
    """Nodes that gave other numbers in a second run."""

    def __init__(self, nodes: set[str]) -> None:
        super().__init__()
        self.nodes = nodes


class _Folding:
    """What is known so far, and how much more may be computed."""

    def __init__(self, part: StaticPart) -> None:
        self._part = part
        self._room = ROOM + ROOM_PER_BYTE * part.stored_bytes if part.nodes else 0
        self.known: dict[str, Array] = {}
        self.sessions = 0

    def usable(self, nodes: Nodes) -> list[onnx.NodeProto]:
        """Those whose inputs are stored, known, or computed by others among them."""
        there, usable = {"", *self._part.tensors, *self.known}, []
        for node in nodes:
            if there.issuperset(node.input):
                usable.append(node)
                there.update(node.output)
        return usable

    def compute(self, nodes: Nodes) -> list[onnx.NodeProto]:
        """Compute what fits; returns the nodes that are worth another try, as more is known now.

        Raises:
            RunError: onnxruntime refuses the nodes together.
            _Unsteady: some nodes compute something else each time.
        """
        with ExitStack() as stack:
            session = stack.enter_context(self._session(nodes))
            unclear = [n for n, shape in session.output_shapes.items() if shape == () and session.output_types[n]]
            if unclear:  # of no axes, or of an unknown number of axes: then the length of the shape is unknown, too
                session.close()
                session = stack.enter_context(self._session(nodes, unclear))
            sizes = _sizes(session, unclear)
            fitting = self._fitting(nodes, sizes)
            if len(fitting) == len(nodes):
                self._run(session, nodes, sizes)
                return []
        if fitting:
            with self._session(fitting) as session:
                self._run(session, fitting, sizes)
        done = {node.name for node in fitting}
        return [node for node in nodes if node.name not in done] if fitting else []

    def _session(self, nodes: Nodes, measured: Sequence[str] = ()) -> Session:
        try:
            model = self._part.model(nodes, self.known, measured)
        except Exception as error:  # a stored tensor that cannot be read, or more than fits into protobuf
            raise RunError(f"These nodes make no model: {error}") from error
        self.sessions += 1
        return Session(model, threads=1, optimization=Optimization.NONE, few_runs=True)

    def _fitting(self, nodes: Nodes, sizes: Mapping[str, int | None]) -> list[onnx.NodeProto]:
        """The nodes whose results are known to fit into memory, without those that need others."""
        left, room = [], self._room
        lost: set[str] = set()
        for node in nodes:
            bytes_of = [sizes[name] for name in node.output if name]
            needed = sum(size for size in bytes_of if size is not None)
            if None in bytes_of or needed > room or lost.intersection(node.input):
                lost.update(node.output)
            else:
                left.append(node)
                room -= needed
        return left

    def _run(self, session: Session, nodes: Nodes, sizes: Mapping[str, int | None]) -> None:
        types = session.output_types
        names = [o for node in nodes for o in node.output if o and types[o] in READABLE]
        results = session.run({}, names)
        if foreign := {node.name for node in nodes if not onnx.defs.has(node.op_type, node.domain)}:
            again = session.run({}, names)
            changed = {n for n in names if results[n].tobytes() != again[n].tobytes()}
            if unsteady := foreign & {node.name for node in nodes if changed.intersection(node.output)}:
                raise _Unsteady(unsteady)
        self.known |= results
        self._room -= sum(sizes[o] or 0 for node in nodes for o in node.output if o)


def _sizes(session: Session, unclear: Sequence[str]) -> dict[str, int | None]:
    """Bytes of each output, before anything is computed; None where that is not known, or for text of any length."""
    sizes: dict[str, int | None] = {}
    for name, shape in session.output_shapes.items():
        kind = session.output_types[name]
        if kind in (None, "object") or (name in unclear and session.output_shapes[shape_name(name)] != (0,)):
            sizes[name] = None
        else:
            lengths = [d for d in shape if d is not None]
            item = np.dtype(kind).itemsize if kind in READABLE else 1
            sizes[name] = prod(lengths) * item if len(lengths) == len(shape) else None
    return sizes


def _without_failure(waiting: list[Group], group: Group, failed: str) -> list[Group]:
    """The waiting groups and this one without the node that failed; in halves, the first last, where none is named."""
    bad = next((node for node in group if node.name == failed), group[0] if len(group) == 1 else None)
    if bad is None:
        half = len(group) // 2
        return [*waiting, group[half:], group[:half]]
    if onnx.defs.has(bad.op_type, bad.domain):
        return [*waiting, [node for node in group if node is not bad]]
    kind = bad.domain, bad.op_type  # an operator of a foreign domain that is not there fails each time
    return [[node for node in other if (node.domain, node.op_type) != kind] for other in (*waiting, group)]
