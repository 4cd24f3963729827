"""What to type first, at the end of each command's help."""

from __future__ import annotations

EXAMPLES = {
    "audit": (
        "deadunits audit model.onnx --probe probe.npz --html report.html",
        "deadunits audit model.onnx --probe probe.npz --holdout holdout.npz",
        "deadunits audit model.onnx --probe probe.npz --domain probe-range --budget 5s",
        "deadunits audit model.onnx  # the weights alone",
    ),
    "explain": (
        "deadunits explain model.onnx --probe probe.npz --unit 1:0",
        "deadunits explain model.onnx --probe probe.npz --parameter 2.weight",
        "deadunits explain model.onnx --probe probe.npz --unit 1:0 --domain 0:1",
        "deadunits explain DU014",
    ),
    "prune": (
        "deadunits prune model.onnx --probe probe.npz -o small.onnx",
        "deadunits prune model.onnx --probe probe.npz --dry-run --html cut.html",
        "deadunits prune model.onnx --probe probe.npz --domain=-20:20 --dry-run",
        "deadunits prune model.onnx -o small.onnx  # what the weights decide",
    ),
    "revive": (
        "deadunits revive model.onnx --probe probe.npz -o revived.onnx",
        "deadunits revive model.onnx --probe probe.npz --state weights.npz",
    ),
    "prove": (
        "deadunits prove model.onnx --probe probe.npz --domain probe-range",
        "deadunits prove model.onnx --domain=-20:20 --budget 5s",
        "deadunits prove model.onnx --domain=-20:20 --certificate proof.certificate",
    ),
    "verify": ("deadunits verify model.onnx proof.certificate",),
    "compare": (
        "deadunits compare before.onnx after.onnx --probe probe.npz",
        "deadunits compare model.onnx --probe probe.npz --probe holdout.npz",
        "deadunits compare before.onnx after.onnx --probe probe.npz --domain 0:1",
    ),
    "check": (
        "deadunits check model.onnx --probe probe.npz --max-dead 5%",
        "deadunits check model.onnx --probe probe.npz --baseline baseline.json",
        "deadunits check model.onnx --probe probe.npz --format sarif -o check.sarif",
    ),
    "observe": (
        "deadunits observe model.onnx --probe probe.npz --shard 1/2 -o part1.stats",
        "deadunits observe model.onnx --probe probe.npz -o night.stats --resume",
    ),
    "merge": ("deadunits merge part1.stats part2.stats -o all.stats",),
    "init": ("deadunits init model.onnx --probe probe.npz",),
    "doctor": ("deadunits doctor",),
}
STARTS = (EXAMPLES["audit"][0], EXAMPLES["prune"][0], EXAMPLES["check"][0])


def epilog(lines: tuple[str, ...]) -> str:
    """The examples, each as a paragraph, whose lines Typer may join."""
    return "\n\n".join(("Examples:", *lines))
