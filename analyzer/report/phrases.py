"""Names, findings and long lists as a person reads them, in a terminal of any width."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from analyzer.facts.audit import AuditFacts, LayerVerdicts, Locked, ProbeSummary
from analyzer.facts.evidence import Evidence
from analyzer.facts.findings import About, Finding
from analyzer.facts.health import Health
from analyzer.facts.wording import counted, cut_apart, cut_in_the_middle, number, unchanged_outputs, unit_ranges

if TYPE_CHECKING:
    from analyzer.facts.proof import DomainSummary, ProofFacts

Entry = TypeVar("Entry")
INPUTS_SHOWN = 4  # of a domain


def largest(entries: Sequence[Entry], most: int, size: Callable[[Entry], Any]) -> list[Entry]:
    """At most so many entries, those of largest size, in the order of all."""
    chosen = sorted(range(len(entries)), key=lambda place: size(entries[place]), reverse=True)[:most]
    return [entries[place] for place in sorted(chosen)]


def shortened(name: str, width: int) -> str:
    """A printable name of at most `width` characters, cut in the middle: exporters differ at both ends."""
    return cut_in_the_middle(printable(name), width)


def printable(text: str) -> str:
    """Without control characters, so that a name from a file cannot steer the terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def not_finite(facts: AuditFacts) -> str:
    """What the count of dead units leaves out where numbers were none: `298 showed NaN or infinity, no verdict`."""
    units = sum(len(layer.nonfinite) for layer in facts.layers)
    condition = None if facts.probe is None else facts.probe.condition
    if units:
        return f"{number(units)} showed NaN or infinity and got no verdict"
    if condition is not None and condition.nonfinite == condition.samples:
        return "on data with NaN or infinity in every sample"
    return ""


def unchanged(facts: AuditFacts) -> str:
    """What stays as it was when all goes that can."""
    observed, proven = facts.dead_by(Evidence.OBSERVED), facts.dead_by(Evidence.PROVEN)
    return unchanged_outputs(observed=bool(observed), proven=bool(proven))


def domain_stated(domain: DomainSummary) -> str:
    """`from 0 to 1 (pixels 0 to 1)`, printable: where a domain comes from, and the range of each input that has one."""
    ranges = [f"{shortened(name, 24)} {low:.4g} to {high:.4g}" for name, (low, high) in domain.ranges.items()]
    shown = ", ".join(ranges[:INPUTS_SHOWN]) + (", …" if len(ranges) > INPUTS_SHOWN else "")
    parts = [shown] * bool(shown) + [f"{number(domain.boxes)} boxes"] * (domain.boxes > 1)
    return printable(f"{domain.source} ({', '.join(parts)})" if parts else domain.source)


def over_domain(facts: AuditFacts) -> str:
    """`dead over the domain from 0 to 1 (x 0 to 1): 4 proven, 14 refuted, 15 open`; nothing where none was stated."""
    if facts.proof is None:
        return ""
    from analyzer.facts.proof import Claim, Outcome

    counts, domain = facts.proof.counts(Claim.DEAD), facts.proof.domain
    known = [outcome for outcome in Outcome if counts[outcome] or outcome is not Outcome.NEGLIGIBLE]
    outcomes = ", ".join(f"{number(counts[outcome])} {outcome}" for outcome in known)
    return f"dead over the domain {domain_stated(domain)}{' (CONDITIONAL)' * domain.conditional}: {outcomes}"


def remarks(proof: ProofFacts | None) -> list[str]:
    """What to know of a proof: how its search ended, if not by itself, and what was not looked at."""
    if proof is None:
        return []
    by = {"interrupted": "interrupted", "budget": f"ended after {proof.budget:g} s (--budget)"}.get(proof.ended_by)
    return [*([f"The search was {by}: more may be refuted"] if by else []), *proof.notes]


def bar(ratio: float, width: int, *, blocks: bool = True) -> str:
    """A bar of `width` cells that is empty only for nothing and full only for everything."""
    filled = min(max(round(ratio * width), 1 if ratio > 0 else 0), width if ratio >= 1 else width - 1)
    full, empty = ("█", "░") if blocks else ("#", ".")
    return full * filled + empty * (width - filled)


def dims(shape: Sequence[int]) -> str:
    """`64 x 3 x 7 x 7`."""
    return " x ".join(str(dim) for dim in shape) if shape else "scalar"


def by_reason(locked: Sequence[Locked]) -> list[tuple[str, list[Locked]]]:
    """Dead units that stay by the reason, the reason of most units first."""
    entries: dict[str, list[Locked]] = {}
    for entry in locked:
        entries.setdefault(entry.reason, []).append(entry)
    return sorted(entries.items(), key=lambda item: -sum(len(entry.units) for entry in item[1]))


def units_per_value(locked: Iterable[Locked]) -> Counter[str]:
    """How many dead units of each value stay."""
    units = Counter[str]()
    for entry in locked:
        units[entry.value] += len(entry.units)
    return units


def units_of(finding: Finding) -> str:
    """`units 0-3, 7`, or nothing."""
    if not finding.units:
        return ""
    noun = "feature" if finding.about is About.INPUT else "unit"
    return f"{noun}{'s' if len(finding.units) > 1 else ''} {unit_ranges(finding.units)}"


def named(finding: Finding, name: str = "") -> str:
    """The finding in plain text, printable, with the name that it is about, or a shorter one."""
    name = name or full_name(finding.value, finding.module)
    return printable(f"{name}: {finding.message}" if finding.value else finding.message)


def cut_names(names: Iterable[tuple[str, str]], width: int) -> dict[tuple[str, str], str]:
    """Of each (tensor, module) the full name, with each of both in at most `width` characters and none like another."""
    pairs = list(names)
    modules = cut_apart((printable(module) for _, module in pairs if module), width)
    tensors = cut_apart((printable(value) for value, _ in pairs), width - 2)
    return {(v, m): full_name(tensors[printable(v)], modules[printable(m)] if m else "") for v, m in pairs}


def because(health: Health) -> str:
    """What the verdict rests on, in one sentence, printable."""
    text = health.reason if health.finding is None else named(health.finding)
    more = f" ({number(health.more)} more like it)" if health.more else ""
    return f"{text.removesuffix('.')}{more}."


def notes_of(layer: LayerVerdicts, locked: Sequence[Locked]) -> dict[str, str]:
    """What is written at a node: its units by verdict, and why dead ones stay."""
    verdicts = {
        name: getattr(layer, name) or ()
        for name in ("dead", "near_dead", "saturated", "always_on", "nonfinite", "revived", "proven", "refuted")
    }
    notes = {
        f"deadunits.{name}": f"{len(units)} of {layer.units}: {unit_ranges(units)}"
        for name, units in verdicts.items()
        if units
    }
    stays = [f"{entry.reason}: {unit_ranges(entry.units)}" for entry in locked if entry.value == layer.value]
    return notes | ({"deadunits.stays": "; ".join(stays)} if stays else {})


def samples_fed(probe: ProbeSummary) -> str:
    """`297 samples, 3 broken and skipped`."""
    skipped = f", {number(len(probe.skipped))} broken and skipped" if probe.skipped else ""
    return f"{counted(probe.samples, 'sample')}{skipped}"


def counted_early(facts: AuditFacts) -> str:
    """`31 of 54 layers counted on their first samples`: where rates are not of all; nothing where they are."""
    samples = 0 if facts.probe is None else facts.probe.samples // facts.conditions.inseparable
    few = sum(0 < layer.samples < samples for layer in facts.layers)
    return f"{number(few)} of {counted(len(facts.layers), 'layer')} counted on their first samples" if few else ""


def preprocessed(probe: ProbeSummary) -> str:
    """`size 224x224, channels RGB, …`: how files became numbers; nothing for arrays."""
    return ", ".join(f"{name} {value}" for name, value in probe.preprocessing.items())


def computed_by(probe: ProbeSummary) -> str:
    """`on OpenVINOExecutionProvider, 7 of 7 operators`; nothing for the CPU."""
    provider = probe.provider
    if provider is None:
        return ""
    share = f", {provider.operators} of {counted(provider.operators_in_all or 0, 'operator')}"
    return f"on {provider.name}{'' if provider.operators is None else share}"


def full_name(value: str, module: str) -> str:
    """`encoder.fc1 (relu_3)`: the name in the training code, where it is known, and the tensor's."""
    return f"{module} ({value})" if module else value


def sentence(finding: Finding) -> str:
    """The same with its units."""
    return f"{named(finding).removesuffix('.')} ({units_of(finding)})." if finding.units else named(finding)
