"""Prune torchvision nets with a share of their filters zeroed, and hold the result against the peer and the plan.

    python -m benchmarks.prune_torchvision                     # all nets, both shares, from the weights alone
    python -m benchmarks.prune_torchvision resnet50 --share 0.5 --latency
    python -m benchmarks.prune_torchvision --probe 16          # and again with a probe of noise
    python -m benchmarks.prune_torchvision --further --share 0.3

Columns: `kept` is the share of Conv, Gemm and BatchNormalization parameters (four per channel) that stays, `all` that
of all stored numbers; `plan` and `peer` are the figures to reach; `error` is the largest difference of the outputs on
noise, relative to the largest entry; `varies` says how much of the output depends on the input at all (an error much
smaller than that means something); `macs` the multiply-adds that stay; `seconds` the whole call, with its comparison.
Exits with 1 when a bar is missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

import analyzer
from benchmarks.torchvision_nets import EXACT, TABLE, Figures, exported

ROUNDING = 0.0005  # the figures to reach have three decimals
SLACK = 1.02  # kept may be this much above the plan
NO_FIGURES: Figures = (None, None, None)


@dataclass(frozen=True)
class Row:
    """One pruned net."""

    name: str
    share: float
    probe: int
    kept: float
    stored: float
    error: float
    varies: float
    macs: float
    seconds: float
    latency: float | None
    figures: Figures

    @property
    def missed(self) -> list[str]:
        """The bars that this net does not reach."""
        peer, peer_error, plan = self.figures
        checks = {
            "exact": self.error <= EXACT,
            "never larger": self.stored <= 1,
            "peer": peer is None or peer_error is None or peer_error > EXACT or self.kept <= peer + ROUNDING,
            "plan": plan is None or self.kept <= SLACK * plan + ROUNDING,
        }
        return [name for name, held in checks.items() if not held]

    def cells(self) -> list[str]:
        """The row of the table."""
        peer, peer_error, plan = self.figures
        return [
            self.name,
            f"{self.share:g}",
            str(self.probe) if self.probe else "-",
            f"{self.kept:.4f}",
            f"{self.stored:.4f}",
            "-" if plan is None else f"{plan:.3f}",
            "-" if peer is None else f"{peer:.3f} ({peer_error:.0e})",
            f"{self.error:.1e}",
            f"{self.varies:.0e}",
            f"{self.macs:.3f}",
            f"{self.seconds:.1f}",
            "-" if self.latency is None else f"{self.latency:.2f}",
            ", ".join(self.missed) or "ok",
        ]


HEADER = ["net", "share", "probe", "kept", "all", "plan", "peer (error)", "error", "varies", "macs", "seconds",
          "latency", "bar"]  # fmt: skip


def count(model: onnx.ModelProto) -> tuple[int, int]:
    """Parameters of Conv, Gemm and BatchNormalization nodes, and all stored floating-point numbers."""
    sizes = {t.name: int(np.prod(t.dims)) for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT}
    layers = [n for n in model.graph.node if n.op_type in ("Conv", "Gemm", "BatchNormalization")]
    return sum(sizes.get(name, 0) for node in layers for name in node.input[1:]), sum(sizes.values())


def run(model: bytes, feed: np.ndarray) -> np.ndarray:
    """The output for one feed."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(model, options).run(None, {"input": feed})[0]


def noise(model: onnx.ModelProto, samples: int, seed: int) -> np.ndarray:
    """Samples for the model's input: normal noise, or token numbers."""
    declared = model.graph.input[0].type.tensor_type
    shape = [samples, *(d.dim_value for d in declared.shape.dim[1:])]
    generator = np.random.default_rng(seed)
    if declared.elem_type == onnx.TensorProto.INT64:
        return generator.integers(0, 500, shape)
    return generator.normal(size=shape).astype(np.float32)


def measure(path: Path, name: str, share: float, args: argparse.Namespace, probe: int) -> Row:
    """Prune one file and compare both models on noise (on the probe's own samples where one is given)."""
    original = onnx.load(path)
    feed = noise(original, probe or args.samples, seed=1)
    start = time.perf_counter()
    pruned = analyzer.prune(path, {"input": feed} if probe else None, latency=args.latency)
    seconds = time.perf_counter() - start
    before, after = run(path.read_bytes(), feed), run(pruned.data, feed)
    if before.shape != after.shape:
        raise SystemExit(f"{name}: the output has shape {after.shape}, was {before.shape}")
    scale = float(np.abs(before).max())
    (layers, stored), (layers_left, stored_left) = count(original), count(onnx.load_from_string(pruned.data))
    facts = pruned.facts
    return Row(
        name, share, probe,
        kept=layers_left / layers if layers else 1.0,
        stored=stored_left / stored,
        error=float(np.abs(before - after).max()) / scale,
        varies=float(np.abs(before - before[:1]).max()) / scale,
        macs=facts.after.multiply_adds / facts.before.multiply_adds,
        seconds=seconds,
        latency=facts.latency.ratio if facts.latency else None,
        figures=NO_FIGURES if args.lively else TABLE.get(name, {}).get(share, NO_FIGURES),
    )  # fmt: skip


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("nets", nargs="*", help="names of nets (default: all of the table)")
    parser.add_argument("--share", type=float, nargs="+", default=[0.5, 0.8], help="share of filters that is zero")
    parser.add_argument("--probe", type=int, default=0, help="prune once more with a probe of so many noise samples")
    parser.add_argument("--samples", type=int, default=3, help="noise samples for the comparison without a probe")
    parser.add_argument("--latency", action="store_true", help="time both models")
    parser.add_argument("--lively", action="store_true", help="weights that let the input through to the output")
    parser.add_argument("--further", action="store_true", help="other nets: transformers, a U-Net, an LSTM, …")
    parser.add_argument("--folder", type=Path, help="where .onnx files are kept (default: a temporary folder)")
    return parser.parse_args()


def files(args: argparse.Namespace, folder: Path, name: str, share: float) -> Path:
    """The file of a net, from the folder or made anew."""
    if args.further:
        from benchmarks.further_nets import exported_further

        return exported_further(folder, name, share)
    return exported(folder, name, share, lively=args.lively)


def main() -> int:
    args = parse()
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.folder or Path(scratch)
        if args.further:
            from benchmarks.further_nets import FURTHER

            names = args.nets or list(FURTHER)
        else:
            names = args.nets or list(TABLE)
        print("| " + " | ".join(HEADER) + " |")
        print("|" + "---|" * len(HEADER), flush=True)
        missed = 0
        for name in names:
            for share in args.share:
                path = files(args, folder, name, share)
                for probe in (0, args.probe) if args.probe else (0,):
                    row = measure(path, name, share, args, probe)
                    missed += bool(row.missed)
                    print("| " + " | ".join(row.cells()) + " |", flush=True)
                if args.folder is None:
                    path.unlink()
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
