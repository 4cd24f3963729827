"""What may help against each cause, said with the restraint that a model file can support."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from analyzer.facts.causes import CauseCode

FAR = 2.0  # standard deviations from firing, beyond which a shift of the data is unlikely to wake a unit

_PRUNE = "If the model is not trained further, prune them: on this data they add nothing but a constant."
_LEAKY = "A leaky activation (LeakyReLU, ELU, GELU) keeps a gradient for units on the flat side."
_RATE = (
    "Units pushed this way often come from steps that were too large (learning rate, no warm-up, no gradient "
    "clipping); the file cannot tell which rate was used, so compare checkpoints with `deadunits compare`."
)

ADVICE: Mapping[CauseCode, tuple[str, ...]] = {
    CauseCode.BIAS_DOMINATES: (
        _RATE,
        "When training again, start biases at zero or slightly positive and leave them out of large updates.",
        _LEAKY,
    ),
    CauseCode.WEIGHTS_DOMINATE: (
        _RATE,
        "When the inputs are never negative (pixels, ReLU outputs), centre them or put a normalisation in between: "
        "mostly negative weights are then enough to die, even at initialisation.",
        _LEAKY,
    ),
    CauseCode.NONPOSITIVE_WEIGHTS: (
        "Centre the inputs or normalise before the activation: gradient descent cannot revive a unit that never fires.",
        "Re-initialise these units (He initialisation) if training goes on; they carry nothing that could be lost.",
    ),
    CauseCode.ZERO_KERNEL: (
        "Weights at zero are what weight decay, a sparsity penalty or earlier pruning leave; if that was meant, prune.",
        "If it was not meant, weaken the decay or re-initialise these units: a dead unit gets no gradient.",
    ),
    CauseCode.NORM_SCALE_ZERO: (
        "A normalisation scale at zero is what a sparsity penalty (network slimming) or weight decay on scales leaves, "
        "or a block that was initialised to zero; if that was meant, prune.",
        "If it was not meant, exempt normalisation parameters from weight decay.",
    ),
    CauseCode.NORM_SHIFT_NEGATIVE: (
        "Exempt normalisation shifts from large updates, or start them slightly positive, when training again.",
        _LEAKY,
    ),
    CauseCode.STARVED: ("Nothing is wrong with these units themselves: revive or prune the units they read.",),
    CauseCode.QUANTISATION: (
        "Compare with the model before quantisation (`deadunits compare FLOAT QUANTISED --probe DATA`): if the units "
        "are alive there, calibrate on more data or use one scale per channel.",
    ),
    CauseCode.INPUT_CONSTANT: (
        "Check the preprocessing and the probe: features that do not vary may be missing, clipped or not scaled. If "
        "they are constant in deployment too, prune.",
    ),
    CauseCode.SATURATED: (
        "Scale the inputs, normalise before the activation or use smaller initial weights (Xavier initialisation).",
        "Saturated units get hardly any gradient; ReLU-like activations do not saturate on the firing side.",
    ),
    CauseCode.UNKNOWN: (),
}


def remedies(counts: Mapping[CauseCode, int], distances: Sequence[float | None], dead: int) -> tuple[str, ...]:
    """Sentences for one layer, the most frequent cause first; `distances` are of the dead units that were asked."""
    sentences: dict[str, None] = {}
    for code in sorted(counts, key=lambda code: -counts[code]):
        sentences |= dict.fromkeys(ADVICE[code])
    if not dead:
        return tuple(sentences)
    if any(counts.get(code) for code in (CauseCode.BIAS_DOMINATES, CauseCode.WEIGHTS_DOMINATE)):
        sentences |= dict.fromkeys([_reinitialising(distances, whole=len(distances) == dead)])
    return (*sentences, _PRUNE)


def _reinitialising(distances: Sequence[float | None], *, whole: bool) -> str:
    near = sum(d is not None and d < FAR for d in distances)
    if near:
        return (
            f"{near} of them lie within {FAR:g} standard deviations of firing and may wake on other data or by a small "
            "positive shift of the bias; re-initialising pays only if the layer lacks capacity."
        )
    if not whole:
        return "Re-initialising pays only if the layer lacks capacity, and needs further training."
    return (
        "None of them is near firing: waiting will not revive them. Re-initialising pays only if the layer lacks "
        "capacity, and needs further training."
    )
