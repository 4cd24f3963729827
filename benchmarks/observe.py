"""What observing costs: the audit's loop against the plain onnxruntime run of the same model, data and batch.

    python benchmarks/observe.py                         # all models, time and memory
    python benchmarks/observe.py --models mobilenet_v2 --samples 64 --rounds 9

    python benchmarks/observe.py --interleave --threads 1    # on a machine that others use
    python benchmarks/observe.py --threads 1 --samples 2048 --full-samples 256    # counting stops where it is decided

Time: a round is a process of its own, as an audit is, for where things happen to lie in memory makes a difference of a
hundredth either way. In it, the plain loop (all batches through an onnxruntime session of the untouched file) and the
whole observation (all batches, reductions, counting, the fingerprint of the data, and the sessions it opens) run one
after the other; the ratio of each round is taken, then the median. `whole` has each side's sessions opened inside its
time (and ours closed); `loop` leaves that out. With `--interleave` each batch is run plainly right after it was
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
from collections.abc import Callable
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
    parser.add_argument("--full-samples", type=int, help="as of the audit; by default every layer counts all samples")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=None, help="threads of one operator (default: all cores)")
    parser.add_argument("--interleave", action="store_true", help="alternate batch by batch, not loop by loop")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: robust on a busy machine")
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/models"), help="where models are exported")
    parser.add_argument("--json", type=Path, help="write the numbers here")
    parser.add_argument("--inside", choices=("round", "plain", "observe"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        print(json.dumps(_round(arguments) if arguments.inside == "round" else _memory_of(arguments)))
        return
    _print("model         values  units  plain s   loop  whole  (bar)   peak MB  memory (bar)  growth")
    results = []
    for name in arguments.models:
        results.append(_measure(name, arguments))
        _print(_row(results[-1]))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2))


def _measure(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    from analyzer.facts.units import Kind
    from analyzer.runtime.loading import load_model
    from analyzer.shapes.shape_run import measure_shapes
    from analyzer.units.select import select_units

    loaded = load_model(export(name, arguments.folder))
    shapes = measure_shapes(loaded, _probe(loaded, samples(name, 2)), threads=arguments.threads)
    audited = select_units(loaded.graph, shapes)
    del loaded, shapes
    rounds = [_in_a_process(name, "round", arguments.samples, arguments) for _ in range(arguments.rounds)]
    plain, cold_plain, loop, whole = zip(*rounds, strict=True)
    peaks = {side: _in_a_process(name, side, 6 * arguments.batch, arguments) for side in ("plain", "observe")}
    loops = [a / b for a, b in zip(loop, plain, strict=True)]
    return {
        "model": name,
        "values": len(audited),
        "units": sum(a.units for a in audited),
        "linear_units": sum(a.units for a in audited if a.kind is Kind.LINEAR),
        "plain_seconds": statistics.median(plain),
        "loop_ratio": statistics.median(loops),
        "loop_ratios": loops,
        "whole_ratio": statistics.median(a / b for a, b in zip(whole, cold_plain, strict=True)),
        "plain_peak_mb": peaks["plain"][0],
        "memory_ratio": peaks["observe"][0] / peaks["plain"][0],
        "growth_ratio": peaks["observe"][1] / peaks["plain"][1],
        "bar": BARS.get(name, BAR),
    }


def _round(arguments: argparse.Namespace) -> tuple[float, float, float, float]:
    """Seconds: plain loop, plain with its session, observation without its sessions, whole observation."""
    from analyzer.observe import observation
    from analyzer.runtime.loading import load_model
    from analyzer.shapes.shape_run import measure_shapes
    from analyzer.units.select import select_units

    (name,) = arguments.models
    clock = time.perf_counter if arguments.clock == "wall" else time.process_time
    path, data = arguments.folder / f"{name}.onnx", samples(name, arguments.samples)
    loaded = load_model(path)
    probe = _probe(loaded, data)
    shapes = measure_shapes(loaded, probe, threads=arguments.threads)
    audited = select_units(loaded.graph, shapes)
    begin = clock()
    session = _plain_session(path, arguments.threads)
    opened, plain = clock() - begin, 0.0
    if arguments.interleave:
        probe = _Interleaved(probe, session, data, clock)
    else:
        begin = clock()
        for start in range(0, len(data), arguments.batch):
            session.run(None, {"x": data[start : start + arguments.batch]})
        plain = clock() - begin
        del session
    spent: list[float] = []
    observation.Instrument = _timed(observation.Instrument, clock, spent)  # type: ignore[misc]
    begin = clock()
    observation.observe(
        loaded,
        probe,
        audited,
        shapes,
        batch_size=arguments.batch,
        threads=arguments.threads,
        full_samples=arguments.full_samples,
    )
    whole = clock() - begin
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
    """A probe that has each batch run by another session once the observation has seen all its samples."""

    def __init__(self, probe: Any, session: Any, data: Array, clock: Callable[[], float]) -> None:
        self._probe, self._session, self._data, self._clock = probe, session, data, clock
        self.seconds = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._probe, name)

    def batches(self, size: int, **options: Any) -> Any:
        """The batches of the probe; `seconds` adds up what the plain runs take, which are always of whole batches."""
        seen, done = 0, 0
        for batch in self._probe.batches(size, **options):
            yield batch
            seen += batch.samples
            while seen - done >= size or done < seen == len(self._data):
                begin = self._clock()
                self._session.run(None, {"x": self._data[done : done + size]})
                self.seconds += self._clock() - begin
                done += size


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
    from analyzer.probes.probe import open_probe

    return open_probe({"x": data}, loaded.graph.inputs)


def _in_a_process(name: str, what: str, count: int, arguments: argparse.Namespace) -> tuple[float, ...]:
    """The numbers that this script prints when it does one thing in a process of its own."""
    command = [sys.executable, __file__, "--inside", what, "--models", name, "--samples", str(count)]
    command += ["--batch", str(arguments.batch), "--clock", arguments.clock, "--folder", str(arguments.folder)]
    command += ["--interleave"] if arguments.interleave else []
    command += ["--threads", str(arguments.threads)] if arguments.threads else []
    command += ["--full-samples", str(arguments.full_samples)] if arguments.full_samples else []
    path = os.pathsep.join(p for p in sys.path if p)
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
    return tuple(json.loads(done.stdout))


def _memory_of(arguments: argparse.Namespace) -> tuple[float, float]:
    """Run one side; MB at most in this process, and how much of it came with opening the model."""
    (name,) = arguments.models
    path = arguments.folder / f"{name}.onnx"
    data = samples(name, arguments.samples)
    if arguments.inside == "plain":
        import onnxruntime  # noqa: F401

        before = _memory("VmRSS")
        session = _plain_session(path, arguments.threads)
        for start in range(0, len(data), arguments.batch):
            session.run(None, {"x": data[start : start + arguments.batch]})
    else:
        from analyzer.observe.observation import observe
        from analyzer.runtime.loading import load_model
        from analyzer.shapes.shape_run import measure_shapes
        from analyzer.units.select import select_units

        before = _memory("VmRSS")
        loaded = load_model(path)
        probe = _probe(loaded, data)
        shapes = measure_shapes(loaded, probe, threads=arguments.threads)
        audited = select_units(loaded.graph, shapes)
        observe(loaded, probe, audited, shapes, batch_size=arguments.batch, threads=arguments.threads)
    peak = _memory("VmHWM")
    return peak, peak - before


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
