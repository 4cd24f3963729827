"""One onnxruntime session: feeds in, arrays out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from typing import Any, Self

import numpy as np
import onnx
import onnxruntime as ort

from analyzer.algebra.pattern import Array
from analyzer.errors import InputError, RunError
from analyzer.graph import LoadedModel
from analyzer.graph.lend import runnable
from analyzer.graph.mapped_pages import let_go
from analyzer.graph.parts import Parts
from analyzer.graph.runnable import Runnable
from analyzer.runtime.between_parts import BetweenParts, TooManyFeeds, unwrap, wrap
from analyzer.runtime.in_parts import part_size
from analyzer.runtime.opening import (
    ONLY_FATAL,
    SHRINK_ARENA,
    Described,
    Opened,
    Opening,
    Optimization,
    run_error,
    shared_arena,
    trim,
)
from analyzer.runtime.providers import CPU, Provider
from analyzer.runtime.run_limit import watched

MOST_TOGETHER = 64  # feeds that are run while a part of a model is open

# onnxruntime's names of element types, where they are not NumPy's.
_ELEMENT_TYPES = {"float": "float32", "double": "float64", "string": "object"}


class Session:
    """A model that is ready to run.

    `source` is the bytes of a model, a loaded model, or what is made of one. External data is read by onnxruntime
    itself from the model's folder, so weights are never held twice. `threads` limits the threads inside one operator
    (None: onnxruntime's choice). `few_runs`: only a few runs are meant, so onnxruntime repacks no weights, and memory
    goes back after each.
    `room`: bytes that values and copied weights may take, refused before more is taken (0: what the machine has).
    `eager`: nodes that come early in the graph run as soon as they can, and Shape nodes first of all.
    `provider`: who computes what it can.

    Attributes:
        output_names: outputs in the model's order.
        output_types: NumPy name of each output's element type (`bfloat16` too); None for sequences, maps, optionals.
        output_shapes: each output's shape, as far as it is known before a run; () too where not even the number of
            axes is.
        assigned: nodes that another provider than the CPU computes, and nodes in all; None where that is not known.

    Raises:
        RunError: onnxruntime cannot load the model; its reason in one sentence.
    """

    def __init__(
        self,
        source: bytes | LoadedModel | Runnable,
        *,
        threads: int | None = None,
        optimization: Optimization = Optimization.ALL,
        few_runs: bool = False,
        eager: bool = False,
        room: int = 0,
        provider: Provider = CPU,
    ) -> None:
        given = _given(source)
        self._few_runs, self._room, self._together = few_runs, room, MOST_TOGETHER
        self._opening = Opening(threads, optimization, few_runs, eager, room, provider)
        self._whole: Opened | None
        self._parts, described = self._in_parts(given) if provider.is_cpu else ((), {})
        self._whole = None if self._parts else self._opening(given)
        self.assigned = None if self._whole is None or provider.is_cpu else provider.share(self._whole.session)
        described = described if self._whole is None else self._whole.described
        self.output_names = tuple(described)
        self.output_types = {name: _element_type(kind) for name, (kind, _) in described.items()}
        self.output_shapes = {
            name: tuple(d if isinstance(d, int) else None for d in lengths) for name, (_, lengths) in described.items()
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the session's memory; it cannot run afterwards."""
        self._whole, self._parts = None, ()
        trim()

    @property
    def in_parts(self) -> bool:
        """Whether each run opens one part of the model after the other, which takes time."""
        return bool(self._parts)

    @property
    def fitting(self) -> int:
        """How many feeds are best run together: where parts are opened several, as far as the disk has room."""
        return self._together if self._parts else 1

    def _in_parts(self, given: Runnable) -> tuple[tuple[Step, ...], Described]:
        """The parts of a model that is run in parts, each with what it reads and gives out; and the outputs."""
        self._most = most = part_size(given.weights) or 0
        parts = Parts(given, most) if most else None
        if parts is None or len(parts.sequence) < 2:
            return (), {}
        try:
            described = replace(self._opening, optimization=Optimization.NONE)(parts.shell()).described
        except RunError:  # not with its weights as inputs
            return (), {}
        numbers = {name: _element_number(described[name][0]) for name in (*parts.joints, *parts.outputs)}
        if None in numbers.values():  # lists and maps
            return (), {}
        kinds = {name: (numbers[name] or 0, described[name][1]) for name in parts.joints}
        steps = tuple((parts.runnable(part, kinds), part.given, part.read, part.made) for part in parts.sequence)
        return steps, {name: described[name] for name in parts.outputs}

    def _run_parts(self, feeds: Sequence[Mapping[str, Array]], names: Sequence[str]) -> list[list[Array]]:
        """The outputs of each feed, part after part; a value is kept until the last part that reads it has run."""
        wanted = [{*names}]
        for _, _, read, _ in reversed(self._parts):
            wanted.append({*read} | wanted[-1])
        values = BetweenParts(feeds)
        trim()  # of what went on before, so that the largest part does not come on top of it
        for (model, given, read, made), later in zip(self._parts, reversed(wanted[:-1]), strict=True):
            asked = [name for name in made if name in later]
            if not asked:
                continue
            let_go()
            # a weight that alone is more than a part may have is not laid out anew: that would be a second one of it
            opening = replace(self._opening, few_runs=self._few_runs or model.weights > self._most)
            part = opening(model, alone=True)
            for place in range(len(feeds)):
                inputs = values.of(place, (*given, *read))
                options = ort.RunOptions()
                options.log_severity_level = ONLY_FATAL
                with watched(options, self._room):
                    results = part.session.run_with_ort_values(asked, inputs, options)
                values.add(place, dict(zip(asked, results, strict=True)), later)
                del results
            del part
            trim()
        return [values.results(place, names) for place in range(len(feeds))]

    def run_each(self, feeds: Sequence[Mapping[str, Array]]) -> list[dict[str, Any]]:
        """Run several feeds; in parts, each part is opened once for all of them, or once for each half of them.

        What does not fit into memory lies in files, and is read-only.

        Raises:
            RunError: as `run`.
            OutputError: there is no room for these files.
        """
        if not self._parts:
            return [self.run(feed) for feed in feeds]
        try:
            return [dict(zip(self.output_names, r, strict=True)) for r in self._run_parts(feeds, self.output_names)]
        except TooManyFeeds:
            half = self._together = (len(feeds) + 1) // 2
            return [*self.run_each(feeds[:half]), *self.run_each(feeds[half:])]
        except InputError:
            raise
        except Exception as error:  # onnxruntime's classes share no base but Exception
            raise run_error(error, "run") from error

    def run(
        self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None, *, last: bool = False
    ) -> dict[str, Any]:
        """Run one feed; returns the arrays of `outputs` (None: all) by name. After the `last` run memory goes back.

        A sequence of maps from classes to scores becomes an array [samples, classes], a sequence of tensors one array.

        Raises:
            RunError: the feed does not fit, an operator failed, or memory ran out.
            RunEnded: it took longer than `runs_limited` allows, or memory that the session has no room for.
            OutputError: in parts, there is no room on the disk for what goes from one to the next.
        """
        names = list(self.output_names if outputs is None else outputs)
        if not names:  # which onnxruntime takes for all of them
            return {}
        gives_back = last or self._few_runs
        options = ort.RunOptions()
        options.log_severity_level = ONLY_FATAL
        if gives_back and self._whole is not None and shared_arena(self._room):
            options.add_run_config_entry(SHRINK_ARENA, "cpu:0")
        types = {a.dtype.name for a in feeds.values()} | {self.output_types.get(n) for n in names}
        try:
            if self._whole is None:
                (results,) = self._run_parts([feeds], names)
            else:
                with watched(options, self._room):
                    if "bfloat16" in types:  # onnxruntime's plain call knows no NumPy type for it
                        wrapped, session = {name: wrap(array) for name, array in feeds.items()}, self._whole.session
                        results = [unwrap(value) for value in session.run_with_ort_values(names, wrapped, options)]
                    else:
                        results = self._whole.session.run(names, dict(feeds), options)
        except InputError:
            raise
        except Exception as error:  # onnxruntime's classes share no base but Exception
            raise run_error(error, "run") from error
        if gives_back:
            trim()
        return dict(zip(names, map(_as_array, results), strict=True))


Step = tuple[Runnable, Sequence[str], Sequence[str], Sequence[str]]  # a part, what it reads, and what it gives out


def _as_array(result: Any) -> Any:
    """An array of what onnxruntime gives: an array; for a sequence a list, for a map a dict, for nothing None."""
    if isinstance(result, dict):
        scores = [result[key] for key in sorted(result)]
        # maps hold single-precision numbers, which Python shows as double ones
        return np.array(scores, np.float32 if scores and isinstance(scores[0], float) else None)
    if not isinstance(result, list | None):
        return result
    parts = [np.asarray(_as_array(part)) for part in result or ()]
    if parts and len({part.shape for part in parts}) == 1:
        return np.stack(parts)
    return np.concatenate([part.reshape(-1) for part in parts]) if parts else np.zeros(0, np.float32)


def is_registered(domain: str, operator: str) -> bool:
    """Whether onnxruntime may know an operator; True where this build of it does not list those that it knows."""
    registered = _registered()
    return not registered or (domain, operator) in registered


@cache
def _registered() -> frozenset[tuple[str, str]]:
    with suppress(AttributeError):
        return frozenset((s.domain, s.name) for s in ort.capi.onnxruntime_pybind11_state.get_all_operator_schema())
    return frozenset()


def _given(source: bytes | LoadedModel | Runnable) -> Runnable:
    if isinstance(source, LoadedModel):
        return runnable(source)
    return Runnable(source) if isinstance(source, bytes) else source


def _element_type(kind: str) -> str | None:
    match = re.fullmatch(r"tensor\((\w+)\)", kind)
    return _ELEMENT_TYPES.get(match[1], match[1]) if match else None


def _element_number(kind: str) -> int | None:
    """The number that an element type has in ONNX, whose names are onnxruntime's in capital letters."""
    match = re.fullmatch(r"tensor\((\w+)\)", kind)
    return onnx.TensorProto.DataType.Value(match[1].upper()) if match else None
