"""What observing costs: the audit's loop against the plain onnxruntime run of the same model, data and batch.

    python benchmarks/observe.py                         # all models, time and memory
    python benchmarks/observe.py --models mobilenet_v2 --samples 64 --rounds 9

    python benchmarks/observe.py --interleave --threads 1    # on a machine that others use

Time: the plain loop (all batches through an onnxruntime session of the untouched file) and the whole observation (all
batches, reductions, counting, the fingerprint of the data, and the sessions it opens) alternate in one process, so that
other load hits both; the ratio of each round is taken, then the median. `whole` has each side's sessions opened inside
its time (and ours closed); `loop` leaves that out. With `--interleave` each batch is run plainly right after it was
observed, so that both sides share whatever else the machine does (for one thread: idle pools of two sessions disturb
each other). Memory: the peak of a process that loads and runs the model plainly,
against one that loads, measures shapes, selects units and observes; `growth` is the same above what each process holds
before it opens the model (libraries and data).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from architectures import NAMES, export, samples

BARS = {"mobilenet_v2": 1.10}
BAR = 1.03
MEMORY_BAR = 1.05

Array = np.ndarray[Any, np.dtype[Any]]


def main() -> None:
    """Parse the arguments, measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", nargs="+", default=list(NAMES), choices=NAMES)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=None, help="threads of one operator (default: all cores)")
    parser.add_argument("--interleave", action="store_true", help="alternate batch by batch, not loop by loop")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: robust on a busy machine")
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/models"), help="where models are exported")
    parser.add_argument("--json", type=Path, help="write the numbers here")
    parser.add_argument("--memory-of", choices=("plain", "observe"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory_of:
        return _run_once(arguments)
    _print("model         values  units  plain s   loop  whole  (bar)   peak MB  memory (bar)  growth")
    results = []
    for name in arguments.models:
        results.append(_measure(name, arguments))
        _print(_row(results[-1]))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2))
    return None


def _measure(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    from analyzer.facts.units import Kind
    from analyzer.graph import load_model
    from analyzer.observe.shapes import measure_shapes
    from analyzer.propagate.units import select_units

    path = export(name, arguments.folder)
    data = samples(name, arguments.samples)
    loaded = load_model(path)
    probe = _probe(loaded, data)
    shapes = measure_shapes(loaded, probe, threads=arguments.threads)
    audited = select_units(loaded.graph, shapes)
    clock = time.perf_counter if arguments.clock == "wall" else time.process_time
    rounds = [_round(path, loaded, data, shapes, audited, arguments, clock) for _ in range(arguments.rounds + 1)][1:]
    plain, cold_plain, loop, whole = zip(*rounds, strict=True)
    peaks = {side: _peaks(name, side, arguments) for side in ("plain", "observe")}
    return {
        "model": name,
        "values": len(audited),
        "units": sum(a.units for a in audited),
        "linear_units": sum(a.units for a in audited if a.kind is Kind.LINEAR),
        "plain_seconds": statistics.median(plain),
        "loop_ratio": statistics.median(a / b for a, b in zip(loop, plain, strict=True)),
        "whole_ratio": statistics.median(a / b for a, b in zip(whole, cold_plain, strict=True)),
        "plain_peak_mb": peaks["plain"][0],
        "memory_ratio": peaks["observe"][0] / peaks["plain"][0],
        "growth_ratio": peaks["observe"][1] / peaks["plain"][1],
        "bar": BARS.get(name, BAR),
    }


def _round(
    path: Path,
    loaded: Any,
    data: Array,
    shapes: Any,
    audited: Sequence[Any],
    arguments: argparse.Namespace,
    clock: Callable[[], float],
) -> tuple[float, float, float, float]:
    """Seconds: plain loop, plain with its session, observation without its sessions, whole observation."""
    from analyzer.observe import observation

    begin = clock()
    session = _plain_session(path, arguments.threads)
    opened, plain, probe = clock() - begin, 0.0, _probe(loaded, data)
    if arguments.interleave:
        probe = _Interleaved(probe, session, clock)
    else:
        begin = clock()
        for start in range(0, len(data), arguments.batch):
            session.run(None, {"x": data[start : start + arguments.batch]})
        plain = clock() - begin
        del session
    spent: list[float] = []
    original = observation.Instrument
    observation.Instrument = _timed(original, clock, spent)  # type: ignore[misc]
    try:
        begin = clock()
        observation.observe(loaded, probe, audited, shapes, batch_size=arguments.batch, threads=arguments.threads)
        whole = clock() - begin
    finally:
        observation.Instrument = original  # type: ignore[misc]
    if arguments.interleave:
        plain = probe.seconds
        whole -= plain
    return plain, opened + plain, whole - sum(spent), whole


def _plain_session(path: Path, threads: int | None) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    return onnxruntime.InferenceSession(path, options)


class _Interleaved:
    """A probe that has each batch run by another session once the observation is done with it."""

    def __init__(self, probe: Any, session: Any, clock: Callable[[], float]) -> None:
        self._probe, self._session, self._clock = probe, session, clock
        self.seconds = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._probe, name)

    def batches(self, size: int) -> Any:
        """The batches of the probe; `seconds` adds up what the plain runs take."""
        for batch in self._probe.batches(size):
            yield batch
            begin = self._clock()
            self._session.run(None, batch.feeds)
            self.seconds += self._clock() - begin


def _timed(kind: Any, clock: Callable[[], float], spent: list[float]) -> Any:
    """The same class; `spent` gets the seconds that opening and closing take."""

    class Timed(kind):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            begin = clock()
            super().__init__(*args, **options)
            spent.append(clock() - begin)

        def close(self) -> None:
            begin = clock()
            super().close()
            spent.append(clock() - begin)

    return Timed


def _probe(loaded: Any, data: Array) -> Any:
    from analyzer.observe.probe import open_probe

    return open_probe({"x": data}, loaded.graph.inputs)


def _peaks(name: str, side: str, arguments: argparse.Namespace) -> tuple[float, float]:
    """MB at most in a process that runs one side, and how much of it came with opening the model."""
    command = [sys.executable, __file__, "--memory-of", side, "--models", name]
    command += ["--samples", str(6 * arguments.batch), "--batch", str(arguments.batch)]
    command += ["--folder", str(arguments.folder)]
    if arguments.threads:
        command += ["--threads", str(arguments.threads)]
    path = os.pathsep.join(p for p in sys.path if p)
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
    peak, before = map(float, done.stdout.split())
    return peak, peak - before


def _run_once(arguments: argparse.Namespace) -> None:
    """In a process of its own: run one side; print its peak memory and what it held before, in MB."""
    (name,) = arguments.models
    path = arguments.folder / f"{name}.onnx"
    data = samples(name, arguments.samples)
    if arguments.memory_of == "plain":
        import onnxruntime  # noqa: F401

        before = _memory("VmRSS")
        session = _plain_session(path, arguments.threads)
        for start in range(0, len(data), arguments.batch):
            session.run(None, {"x": data[start : start + arguments.batch]})
    else:
        from analyzer.graph import load_model
        from analyzer.observe.observation import observe
        from analyzer.observe.shapes import measure_shapes
        from analyzer.propagate.units import select_units

        before = _memory("VmRSS")
        loaded = load_model(path)
        probe = _probe(loaded, data)
        shapes = measure_shapes(loaded, probe, threads=arguments.threads)
        audited = select_units(loaded.graph, shapes)
        observe(loaded, probe, audited, shapes, batch_size=arguments.batch, threads=arguments.threads)
    print(_memory("VmHWM"), before)


def _memory(which: str) -> float:
    """MB of this process: VmRSS now, VmHWM at most.

    Linux's ru_maxrss also remembers the parent that started this process, so its own record comes first.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(row for row in status.read_text().splitlines() if row.startswith(which))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _row(r: dict[str, Any]) -> str:
    time = f"{r['plain_seconds']:8.2f} {r['loop_ratio']:6.3f} {r['whole_ratio']:6.3f} ({r['bar']:.2f})"
    memory = f"{r['plain_peak_mb']:9.0f} {r['memory_ratio']:7.3f} ({MEMORY_BAR:.2f}) {r['growth_ratio']:7.3f}"
    return f"{r['model']:13} {r['values']:6} {r['units']:6} {time} {memory}"


def _print(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
