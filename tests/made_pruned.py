"""Results of a prune made by hand, for tests of what is done with them."""

from __future__ import annotations

from dataclasses import replace

from analyzer.facts.pruned import Comparison, Latency, OutputDifference, PrunedFacts, Refused, Size


def comparison(relative: float = 2e-7, *, source: str = "probe.npz", top1: float | None = 1.0) -> Comparison:
    """A comparison over 360 samples of one output of scale 10."""
    return Comparison(source, 360, (OutputDifference("logits", relative * 10, 10.0, relative, 5e-5, top1),))


def latency(ratio: float, spread: float = 0.005) -> Latency:
    """A measured ratio with its quartiles."""
    return Latency(1e-3, ratio * 1e-3, ratio, ratio - spread, ratio + spread, 40, 1)


def pruned(**others: object) -> PrunedFacts:
    """What became of `tests.made.facts()`: 60 units of one layer and 3 of another went."""
    made = PrunedFacts(
        before=Size(6474, 6368, 27_000, 512),
        after=Size(600, 578, 3_200, 130),
        changed=True,
        comparison=comparison(),
        perturbed=comparison(0.01, source="probe with noise"),
        latency=latency(0.8),
        removed_units={"/net/0/Relu_output_0": tuple(range(60)), "/net/2/Relu_output_0": (0, 1, 2)},
        observed=True,
    )
    return replace(made, **others)  # type: ignore[arg-type]


def with_everything() -> PrunedFacts:
    """A result in which something of everything was found."""
    return pruned(
        holdout=comparison(0.2, source="holdout.npz"),
        refused=(Refused("Reshape_3", "shape-computed-at-runtime", "its target"),),
        lossy_units={"/net/2/Relu_output_0": (2,)},
        removed_relus=("/net/4/Relu_output_0",),
        notes=("2 units stay: only structural evidence was asked for.",),
    )
