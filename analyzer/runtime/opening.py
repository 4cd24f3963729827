"""How onnxruntime's sessions are opened, the pool of memory that they share, and its errors in one sentence."""

from __future__ import annotations

import ctypes
import re
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from functools import cache
from textwrap import shorten

import numpy as np
import onnxruntime as ort

from analyzer.errors import RunError, RunFailure
from analyzer.graph.runnable import Runnable
from analyzer.runtime.providers import Provider
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

Described = Mapping[str, tuple[str, Sequence[int | str | None]]]  # onnxruntime's name of a type, and lengths


class Optimization(Enum):
    """How far onnxruntime may rewrite the graph before it runs it."""

    NONE = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    ALL = ort.GraphOptimizationLevel.ORT_ENABLE_ALL


@dataclass(frozen=True, slots=True)
class Opened:
    """A session, and the arrays that it uses where they lie."""

    session: ort.InferenceSession
    lent: Sequence[ort.OrtValue]

    @property
    def described(self) -> Described:
        """Its outputs; only text, since onnxruntime's own descriptions would keep the session alive."""
        return {str(o.name): (str(o.type), tuple(o.shape)) for o in self.session.get_outputs()}


@dataclass(frozen=True)
class Opening:
    """How sessions are opened."""

    threads: int | None
    optimization: Optimization
    few_runs: bool
    eager: bool
    room: int
    provider: Provider

    def __call__(self, given: Runnable, *, alone: bool = False) -> Opened:
        """Open one; `alone`: all of its memory goes back with it.

        Raises:
            RunError: onnxruntime cannot load the model.
        """
        options = ort.SessionOptions()
        options.log_severity_level = ONLY_FATAL
        options.graph_optimization_level = self.optimization.value
        # One block for all values of a run would come on top of what the first run took, and is not faster.
        options.enable_mem_pattern = False
        options.add_session_config_entry(DEQUANTISED_SUMS, "1")
        if given.casts_transposed:
            options.add_session_config_entry(WITHOUT, DIES_OF_CASTS)
        if self.few_runs:
            options.add_session_config_entry(NO_PREPACKING, "1")
        if self.eager:
            options.execution_order = ort.ExecutionOrder.PRIORITY_BASED
        if self.threads is not None:
            options.intra_op_num_threads = self.threads
        if given.folder is not None:
            options.add_session_config_entry(EXTERNAL_DATA_FOLDER, str(given.folder))
        if alone:
            options.enable_cpu_mem_arena = False
        with _ONE_AT_A_TIME:
            return self._opened(given, options, alone=alone)

    def _opened(self, given: Runnable, options: ort.SessionOptions, *, alone: bool) -> Opened:
        if not alone and shared_arena(self.room):
            options.add_session_config_entry(SHARED_ARENA, "1")
        try:
            lent = [ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(t.numpy())) for t in given.lent.values()]
            if lent:
                options.add_external_initializers(list(given.lent), lent)
            with watched(ort.RunOptions()):  # releases before 1.24 take twice as long per level of nested choices
                session = self.provider.open(given.content, options)
        except Exception as error:  # onnxruntime's classes share no base but Exception
            where = "" if self.provider.is_cpu else f" on {self.provider.name}"
            raise run_error(error, "load", where) from error
        trim()
        return Opened(session, lent)


@dataclass(slots=True)
class _Arena:
    """The pool of memory that the next session takes part in."""

    room: int | None = None
    shared: bool = False


_arena = _Arena()
#: onnxruntime dies where the pool is replaced while another thread opens a session that takes part in it.
_ONE_AT_A_TIME = threading.Lock()


def shared_arena(room: int) -> bool:
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


def trim() -> None:
    """Return memory that is free to the system: opening a session leaves as much of it as the weights take."""
    library = _allocator()
    if library is not None:
        library.malloc_trim(0)


def run_error(error: Exception, verb: str, where: str = "") -> RunError:
    """What onnxruntime raised when it was to load or run a model, in one sentence."""
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
# Names in a file may have any length, and the patterns below take the square of a word's.
LONGEST_WORD, LONGEST_TEXT = 500, 6_000


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
    text = " ".join(word[:LONGEST_WORD] for word in text.split())[:LONGEST_TEXT]
    for pattern, replacement in _NOISE:
        text = re.sub(pattern, replacement, text)
    return re.sub(r"\. (?=[A-Z])", "; ", text.strip()).rstrip(". ")
