"""The words in which a report says how a claim was settled."""

from __future__ import annotations

from collections.abc import Sequence

from analyzer.facts.proof import ARITHMETICS, Claim, Method, Outcome, ProofFacts, UnitProof
from analyzer.facts.wording import counted
from analyzer.report.phrases import domain_stated

WORDS = {Claim.DEAD: "dead", Claim.ALWAYS_ON: "always on"}
HOW = {
    Method.WEIGHTS: "the weights decide it, for every input that stays finite on the way",
    Method.INTERVALS: "bounds of all that can be computed",
    Method.LINEAR: "bounds that are linear in the inputs",
    Method.SLOPES: "such bounds, with slopes that were sought",
    Method.SPLITTING: "such bounds over parts of the domain",
    Method.CORNERS: "a corner of the domain",
    Method.UNIFORM: "an input drawn from the domain",
    Method.MIXES: "a mix of two samples",
    Method.STEEPEST: "an input where a linear bound is largest",
    Method.CHANGED: "an input that came near, changed here and there",
    Method.GRADIENT: "an input found along gradients",
}


def bound(units: Sequence[UnitProof]) -> str:
    """The widest of what the units can be."""
    if any(unit.low is None or unit.high is None for unit in units):
        return "not bounded"
    low, high = min(unit.low or 0.0 for unit in units), max(unit.high or 0.0 for unit in units)
    return f"between {low:.3g} and {high:.3g}"


def explained(facts: ProofFacts, unit: UnitProof, witness: str) -> list[str]:
    """What became of one claim, in sentences; `witness` describes the input that refutes it."""
    word, how = WORDS[unit.claim], "" if unit.method is None else HOW[unit.method]
    conditional = ", which is CONDITIONAL, as nobody said that inputs stay in it" * facts.domain.conditional
    lines = [f"The domain: {domain_stated(facts.domain)}{conditional}."]
    if unit.method is Method.WEIGHTS:
        return [*lines, f"Over it: proven to be {word}; {how}."]
    said = {
        Outcome.PROVEN: f"proven to be {word}, by {how}",
        Outcome.REFUTED: f"{word} on the probe only; {how} shows otherwise: {witness}",
        Outcome.NEGLIGIBLE: f"negligible: without it no output changes by more than {unit.change or 0.0:.2g}",
        Outcome.OPEN: f"open: neither proven nor refuted by {counted(facts.tried, 'input')} that were tried",
    }[unit.outcome]
    return [*lines, f"Over it: {said}.", f"Bounds over it: {bound([unit])}, {ARITHMETICS[facts.arithmetic]}."]
