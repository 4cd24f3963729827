"""What others take for activation statistics on the same models, data and batch, each against its own plain run.

    python benchmarks/peers.py --models mobilenet_v2 resnet50

`calibrator`: onnxruntime's MinMax calibrator (`quantization.calibrate`), against a plain onnxruntime run. `hooks`:
forward hooks on every ReLU of the PyTorch model that count, per sample and channel, whether it fires anywhere, against
the PyTorch model without hooks. Needs the group `bench`. Sides alternate; the ratio of each round is taken, then the
median.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from architectures import IMAGE_MODELS, build, export, samples

Array = np.ndarray[Any, np.dtype[Any]]


def main() -> None:
    """Parse the arguments, measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", nargs="+", default=list(IMAGE_MODELS), choices=list(IMAGE_MODELS))
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/models"))
    arguments = parser.parse_args()
    clock = time.perf_counter if arguments.clock == "wall" else time.process_time
    print("model         calibrator  hooks", flush=True)
    for name in arguments.models:
        data = samples(name, arguments.samples)
        batches = [data[i : i + arguments.batch] for i in range(0, len(data), arguments.batch)]
        path = export(name, arguments.folder)
        ratios = [
            _ratio(*sides, arguments.rounds, clock)
            for sides in (_calibrator(path, batches, arguments.threads), _hooks(name, batches, arguments.threads))
        ]
        print(f"{name:13} {ratios[0]:10.2f} {ratios[1]:6.2f}", flush=True)


def _ratio(plain: Callable[[], None], measured: Callable[[], None], rounds: int, clock: Callable[[], float]) -> float:
    found = []
    for _ in range(rounds + 1):
        times = []
        for side in (plain, measured):
            begin = clock()
            side()
            times.append(clock() - begin)
        found.append(times[1] / times[0])
    return statistics.median(found[1:])


def _calibrator(path: Path, batches: list[Array], threads: int) -> tuple[Callable[[], None], Callable[[], None]]:
    import onnxruntime
    from onnxruntime.quantization import calibrate

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options)
    folder = tempfile.mkdtemp()
    found = calibrate.create_calibrator(path, augmented_model_path=str(Path(folder) / "augmented.onnx"))
    found.infer_session = onnxruntime.InferenceSession(found.augmented_model_path, options)

    class Reader(calibrate.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = iter(batches)

        def get_next(self) -> dict[str, Array] | None:
            batch = next(self._left, None)
            return None if batch is None else {"x": batch}

    def plain() -> None:
        for batch in batches:
            session.run(None, {"x": batch})

    return plain, lambda: found.collect_data(Reader())


def _hooks(name: str, batches: list[Array], threads: int) -> tuple[Callable[[], None], Callable[[], None]]:
    import torch

    torch.set_num_threads(threads)
    model = build(name).eval()
    counts: dict[tuple[str, int], Any] = {}

    def hook(label: str) -> Callable[[Any, Any, Any], None]:
        def count(_module: Any, _inputs: Any, output: Any) -> None:
            fires = (output > 0).flatten(2).any(2) if output.dim() > 2 else output > 0
            key = (label, fires.shape[1])  # a module may be called more than once
            counts[key] = counts.get(key, 0) + fires.sum(0)

        return count

    def plain() -> None:
        with torch.no_grad():
            for batch in batches:
                model(torch.from_numpy(batch))

    def hooked() -> None:
        relus = [(n, m) for n, m in model.named_modules() if isinstance(m, torch.nn.ReLU | torch.nn.ReLU6)]
        handles = [m.register_forward_hook(hook(n)) for n, m in relus]
        plain()
        for handle in handles:
            handle.remove()

    return plain, hooked


if __name__ == "__main__":
    main()
