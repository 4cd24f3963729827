"""What a cut is worth and what it costs, in sentences that every form of a report uses."""

from __future__ import annotations

import math

from analyzer.facts.audit import AuditFacts
from analyzer.facts.experts import unchosen
from analyzer.facts.pruned import Comparison, PrunedFacts
from analyzer.facts.wording import counted, share
from analyzer.report.phrases import domain_stated, not_finite, printable

ALIGNMENTS = (16, 8)  # widths that kernels like


def verdict(audit: AuditFacts, pruned: PrunedFacts) -> str:
    """What the cut is worth, in one sentence."""
    if not pruned.changed:
        if not audit.dead:
            doubt, part = not_finite(audit), " in what was judged" if audit.judged.little else ""
            return f"Nothing to remove: no unit is dead{part}{f', {doubt}' if doubt else ''}."
        why = pruned.notes or pruned.refused or staying(audit, pruned)
        return f"Nothing to remove: the dead units stay{', see below' if why else ''}."
    saved = pruned.before.parameters - pruned.after.parameters
    much = f"Saves {share(saved, pruned.before.parameters)} of the parameters"
    latency = pruned.latency
    if latency is None:
        return f"{much}; the speed was not measured."
    if latency.verdict == "faster":
        return f"{much}; runs {1 / latency.ratio:.2f} times as fast."
    return f"{much}; {'it is slower' if latency.verdict == 'slower' else latency.verdict}."


def loss(pruned: PrunedFacts) -> str:
    """What a cut that is not exact costs; nothing of an exact one."""
    if not pruned.lossy:
        return ""
    comparison, units = pruned.comparison, sum(len(u) for u in pruned.lossy_units.values())
    parts = [f"Not exact: {counted(units, 'unit')} went that {'is' if units == 1 else 'are'} not dead"]
    if comparison is not None:
        agreeing = top1(comparison)
        change = f"the outputs change by up to {relative(comparison)} of their scale on the probe"
        parts.append(f"{change}, {agreeing}" if agreeing else change)
    return "; ".join(parts)


def holds_for(audit: AuditFacts, pruned: PrunedFacts) -> str:
    """For which inputs the outputs are the same; nothing where nothing changed, or where it is not exact."""
    probe = audit.probe
    on = "" if probe is None else f" on {counted(probe.samples, 'sample')} of {printable(probe.source)}"
    if probe is not None and probe.random:
        return f"RANDOM DATA{on}: real data may need what was removed"
    if not pruned.changed or pruned.lossy:
        return ""
    if pruned.proven and audit.proof is not None:
        start = "CONDITIONAL: the" if audit.proof.domain.conditional else "The"
        domain = f"every input of the domain {domain_stated(audit.proof.domain)}"
        return f"{start} same outputs, up to rounding, for {domain}"
    if not pruned.observed:
        return "The same outputs, up to rounding, for every input that stays finite on the way"
    parts = list[str]()
    if pruned.removed_relus:
        stay = "the removed units stay dead and the removed ReLUs on"
        parts.append(stay if pruned.removed_units else "the removed ReLUs stay on")
    elif pruned.removed_units or not (pruned.removed_rows or unchosen(audit.experts, pruned.removed_experts)):
        parts.append("the removed units stay dead")
    parts += ["no other row of an embedding is gathered"] if pruned.removed_rows else []
    parts += ["no other expert is chosen"] if unchosen(audit.experts, pruned.removed_experts) else []
    return f"The same outputs, up to rounding, for inputs on which {' and '.join(parts)}, as{on}"


def unaligned(audit: AuditFacts, pruned: PrunedFacts) -> tuple[int, int] | None:
    """How many layers had a width that is a multiple of 16 (or 8) and lost it, and which multiple; None: none."""
    widths = [
        (layer.units, layer.units - len(pruned.removed_units[layer.value]))
        for layer in audit.layers
        if layer.value in pruned.removed_units
    ]
    for multiple in ALIGNMENTS:
        if lost := sum(before % multiple == 0 and after % multiple > 0 for before, after in widths):
            return lost, multiple
    return None


def staying(audit: AuditFacts, pruned: PrunedFacts) -> dict[str, list[int]]:
    """Dead units that stay, by reason, as counts per layer: those of the audit that were not removed after all."""
    reasons: dict[str, list[int]] = {}
    counted_values = {layer.value for layer in audit.layers}
    for locked in audit.locked:
        stay = set(locked.units) - set(pruned.removed_units.get(locked.value, ()))
        if stay and locked.value in counted_values:
            reasons.setdefault(locked.reason, []).append(len(stay))
    return reasons


def relative(comparison: Comparison) -> str:
    """The largest difference as a share of the outputs' scale, as far as that can be told."""
    worst = comparison.max_relative_difference
    return f"{worst:.2g}" if math.isfinite(worst) else "not measurable (not finite, or another shape)"


def top1(comparison: Comparison) -> str:
    """How often both models have the same first class; nothing where no output looks like classes."""
    agree = [output.top1 for output in comparison.outputs if output.top1 is not None]
    return f"the same top answer on {share(min(agree))} of samples" if agree else ""
