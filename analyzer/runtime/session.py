"""One onnxruntime session: feeds in, arrays out. The only module that imports onnxruntime."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from functools import cache
from textwrap import shorten
from typing import Any, Self

import numpy as np
import onnx
import onnxruntime as ort

from analyzer.algebra.pattern import BFLOAT16, Array
from analyzer.errors import RunEnded, RunError, RunFailure
from analyzer.graph import LoadedModel
from analyzer.graph.lend import runnable
from analyzer.graph.runnable import Runnable
from analyzer.runtime.providers import CPU, Provider
from analyzer.runtime.run_limit import watched

ONLY_FATAL = 4  # onnxruntime's log level; failures reach the caller as RunError instead
EXTERNAL_DATA_FOLDER = "session.model_external_initializers_file_folder_path"
SHARED_ARENA = "session.use_env_allocators"
SHRINK_ARENA = "memory.enable_memory_arena_shrinkage"
NO_PREPACKING = "session.disable_prepacking"
#: onnxruntime fuses DequantizeLinear of four bits and MatMul; by itself it rounds what enters to whole numbers there,
#: in blocks, which the file does not say.
DEQUANTISED_SUMS = "session.qdq_matmulnbits_accuracy_level"
#: Version 1.32 dies of this one where a MatMul reads a Cast of what a Transpose of the first axes makes.
WITHOUT = "optimization.disable_specified_optimizers"
DIES_OF_CASTS = "MatmulTransposeFusion"
BFLOAT16_ONNX = int(onnx.TensorProto.BFLOAT16)

# onnxruntime's names of element types, where they are not NumPy's.
_ELEMENT_TYPES = {"float": "float32", "double": "float64", "string": "object"}


class Optimization(Enum):
    """How far onnxruntime may rewrite the graph before it runs it."""

    NONE = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    ALL = ort.GraphOptimizationLevel.ORT_ENABLE_ALL


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
        options = ort.SessionOptions()
        options.log_severity_level = ONLY_FATAL
        options.graph_optimization_level = optimization.value
        # One block for all values of a run would come on top of what the first run took, and is not faster.
        options.enable_mem_pattern = False
        options.add_session_config_entry(DEQUANTISED_SUMS, "1")
        if given.casts_transposed:
            options.add_session_config_entry(WITHOUT, DIES_OF_CASTS)
        if few_runs:
            options.add_session_config_entry(NO_PREPACKING, "1")
        if eager:
            options.execution_order = ort.ExecutionOrder.PRIORITY_BASED
        if threads is not None:
            options.intra_op_num_threads = threads
        if given.folder is not None:
            options.add_session_config_entry(EXTERNAL_DATA_FOLDER, str(given.folder))
        if _shared_arena(room):
            options.add_session_config_entry(SHARED_ARENA, "1")
        try:
            if given.lent:
                # These arrays are used where they lie, so they must outlive the session.
                self._lent = [ort.OrtValue.ortvalue_from_numpy(a) for a in given.lent.values()]
                options.add_external_initializers(list(given.lent), self._lent)
            with watched(ort.RunOptions()):  # releases before 1.24 take twice as long per level of nested choices
                self._session = provider.open(given.content, options)
        except Exception as error:  # onnxruntime's classes share no base but Exception
            raise _run_error(error, "load", "" if provider.is_cpu else f" on {provider.name}") from error
        _trim()
        self._few_runs, self._room = few_runs, room
        self.assigned = None if provider.is_cpu else provider.share(self._session)
        # Only text is kept: onnxruntime's own descriptions would keep the session alive.
        outputs = self._session.get_outputs()
        self.output_names = tuple(str(o.name) for o in outputs)
        self.output_types = {o.name: _element_type(o.type) for o in outputs}
        self.output_shapes = {o.name: tuple(d if isinstance(d, int) else None for d in o.shape) for o in outputs}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the session's memory; it cannot run afterwards."""
        self.__dict__.pop("_session", None)
        self.__dict__.pop("_lent", None)
        _trim()

    def run(
        self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None, *, last: bool = False
    ) -> dict[str, Any]:
        """Run one feed; returns the arrays of `outputs` (None: all) by name. After the `last` run memory goes back.

        A sequence of maps from classes to scores becomes an array [samples, classes], a sequence of tensors one array.

        Raises:
            RunError: the feed does not fit, an operator failed, or memory ran out.
            RunEnded: it took longer than `runs_limited` allows, or memory that the session has no room for.
        """
        names = list(self.output_names if outputs is None else outputs)
        if not names:  # which onnxruntime takes for all of them
            return {}
        gives_back = last or self._few_runs
        options = ort.RunOptions()
        options.log_severity_level = ONLY_FATAL
        if gives_back and _shared_arena(self._room):
            options.add_run_config_entry(SHRINK_ARENA, "cpu:0")
        types = {a.dtype.name for a in feeds.values()} | {self.output_types.get(n) for n in names}
        try:
            with watched(options, self._room):
                if "bfloat16" in types:  # onnxruntime's plain call knows no NumPy type for it
                    wrapped = {name: _wrap(array) for name, array in feeds.items()}
                    results = [_unwrap(value) for value in self._session.run_with_ort_values(names, wrapped, options)]
                else:
                    results = self._session.run(names, dict(feeds), options)
        except RunEnded:
            raise
        except Exception as error:  # onnxruntime's classes share no base but Exception
            raise _run_error(error, "run") from error
        if gives_back:
            _trim()
        return dict(zip(names, map(_as_array, results), strict=True))


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


@dataclass(slots=True)
class _Arena:
    """The pool of memory that the next session takes part in."""

    room: int | None = None
    shared: bool = False


_arena = _Arena()


def _shared_arena(room: int) -> bool:
    """Let all sessions of this process that have so much room share one pool of memory; whether that worked.

    Sessions follow one another on the same data. Fresh memory costs page faults: without sharing, the first runs of
    each session take two to three times as long as the later ones.
    """
    if _arena.room == room:
        return _arena.shared
    _arena.room = room
    try:
        kind = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
        # 1: grow by what is asked for; the default doubles every time, which costs up to twice the memory.
        ort.create_and_register_allocator(kind, ort.OrtArenaCfg({"arena_extend_strategy": 1, "max_mem": room}))
        _arena.shared = True
    except Exception:  # noqa: BLE001 - sharing is only faster; whoever embeds us may have registered one
        _arena.shared = False
    return _arena.shared


@cache
def _allocator() -> ctypes.CDLL | None:
    """The C library, where it can be asked to return free memory (glibc)."""
    with suppress(OSError, TypeError):
        library = ctypes.CDLL(None)
        return library if hasattr(library, "malloc_trim") else None
    return None


def _trim() -> None:
    """Return memory that is free to the system: opening a session leaves as much of it as the weights take."""
    library = _allocator()
    if library is not None:
        library.malloc_trim(0)


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


def _wrap(array: Array) -> Any:
    if array.dtype == BFLOAT16:
        bits = np.ascontiguousarray(array).view(np.uint16)
        return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(bits, BFLOAT16_ONNX)
    return ort.OrtValue.ortvalue_from_numpy(array)


def _unwrap(value: Any) -> Array:
    if value.data_type() != "tensor(bfloat16)":
        return np.asarray(value.numpy())
    shape = tuple(value.shape())
    count = int(np.prod(shape))
    if not count:
        return np.zeros(shape, BFLOAT16)
    bits: Array = np.ctypeslib.as_array((ctypes.c_uint16 * count).from_address(value.data_ptr()))
    return np.asarray(bits.copy().view(BFLOAT16).reshape(shape))


def _run_error(error: Exception, verb: str, where: str = "") -> RunError:
    text = " ".join(str(error).split())
    if (asked := _NO_ROOM.search(text)) is not None:
        maker = re.findall(r"while running (\w+) node", text)
        sentence = (
            f"{maker[-1] if maker else 'The model'} asks for {int(asked[2]) / (1 << 30):.3g} GiB of memory where "
            f"{int(asked[1]) / (1 << 30):.3g} GiB are left of what a model and a sample of this size may take."
        )
        return RunError(sentence, RunFailure.TOO_LARGE)
    if isinstance(error, MemoryError) or "bad_alloc" in text or "Failed to allocate memory" in text:
        sentence = (
            f"onnxruntime ran out of memory when it tried to {verb} the model: lower the batch size (--batch-size)."
        )
        return RunError(sentence, RunFailure.MEMORY)
    named = _NODE.search(text)
    kind = RunFailure.REFUSED if verb == "run" else RunFailure.NOT_LOADED
    if verb == "load" and any(phrase in text for phrase in _NO_KERNEL):
        kind = RunFailure.NO_KERNEL
    reason = shorten(_reason(text) or type(error).__name__, LONGEST_REASON, placeholder=" …")
    return RunError(f"onnxruntime cannot {verb} the model{where}: {reason}.", kind, named[1] if named else "")


# How onnxruntime says that it lacks an operator, or an implementation of it for these element types.
_NO_KERNEL = ("is not a registered function/op", "No Op registered for", "Could not find an implementation for")
LONGEST_REASON = 240  # characters, of a sentence that a terminal shows


_NO_ROOM = re.compile(r"Available memory of (\d+) is smaller than requested bytes of (\d+)")
_NODE = re.compile(
    r"""(?:\bName:'|node with name '|in node \(|In Node, \(")([^'")]+)"""
)  # how onnxruntime names a node


# What onnxruntime wraps around its reasons, in the order in which it is taken off.
_NOISE = (
    (r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", ""),
    (
        r"Non-zero status code returned while running (\S+) node\. Name:'([^']*)' Status Message: ",
        r"\1 node '\2': ",
    ),
    (r"Exception during initialization: ", ""),
    # A source location, and the C++ signature after it.
    (
        r"\S*/[\w./-]+\.(?:cc|h|cpp|hpp):\d+ (?:[\w:<>*&, ]*?[\w:<>~]+\([^)]*\)(?: const)?(?: \[with .*?\])? )?",
        "",
    ),
    (r"(?:\S+ [=<>!]=? )?\S+ was false\. ", ""),
    (r"^[Ll]oad model from .*? failed:", ""),
    (r"(?:This is an i|I)nvalid model\. ", ""),
    (r" Please fix either the inputs/outputs or the model\.", ""),
    (r" with name ''", ""),
)


def _reason(text: str) -> str:
    """Onnxruntime's reason as one sentence: no status codes, source locations and C++ signatures."""
    text = " ".join(text.split())
    for pattern, replacement in _NOISE:
        text = re.sub(pattern, replacement, text)
    return re.sub(r"\. (?=[A-Z])", "; ", text.strip()).rstrip(". ")
