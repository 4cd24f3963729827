"""What an audit comes to, in one word, for one reason, with one next step."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from enum import StrEnum

from analyzer.facts.audit import AuditFacts
from analyzer.facts.findings import Finding, Severity
from analyzer.facts.wording import counted, number, share

WORTH_CUTTING = 0.01  # share of parameters or multiply-adds
WORTH_A_LOOK = 0.05  # share of units that are dead, though little can go
LITTLE_JUDGED = "DU031"


class Verdict(StrEnum):
    """Healthy: nothing speaks against the model. Wasteful: parts of it do nothing. Suspicious: something is doubtful,
    in the model, in the data, or in what was looked at. Broken: no data can make it right.
    """

    HEALTHY = "healthy"
    WASTEFUL = "wasteful"
    SUSPICIOUS = "suspicious"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class NextStep:
    """What to do now, and the command for it (`verb` empty: there is none).

    `options` follow the model and what it is run on; None: the command takes neither.
    """

    advice: str
    verb: str = ""
    options: str | None = None

    def command(self, arguments: str | None = None) -> str:
        """What to type; `arguments` are the model and all that says what it is run on. Empty: nothing.

        Without arguments, names stand for them.
        """
        if not self.verb:
            return ""
        if arguments is None:
            arguments = "MODEL" if "--probe" in (self.options or "") else "MODEL --probe DATA"
        return " ".join(
            ("deadunits", self.verb) if self.options is None else ("deadunits", self.verb, arguments, self.options)
        )


@dataclass(frozen=True, slots=True)
class Health:
    """The verdict, and what it rests on: a finding, with `more` of its kind, or else the `reason` alone."""

    verdict: Verdict
    reason: str
    next_step: NextStep
    finding: Finding | None = None
    more: int = 0


def health_of(facts: AuditFacts) -> Health:
    """The verdict on a model, the worst first."""
    step = _next_step(facts)
    errors = [finding for finding in facts.warnings if _breaks(finding)]
    doubts = [finding for finding in facts.warnings if finding.severity is not Severity.NOTE]
    for verdict, findings in ((Verdict.BROKEN, errors), (Verdict.SUSPICIOUS, doubts)):
        if findings:
            worst = findings[0]
            more = sum(finding.code == worst.code for finding in findings) - 1
            return Health(verdict, worst.message, step, worst, more)
    removable, dead = facts.removable, facts.dead
    on = "" if facts.probe is None else f" on {counted(facts.probe.samples, 'sample')}"
    if max(removable.parameters_share, removable.multiply_adds_share) >= WORTH_CUTTING:
        saved = f"{share(removable.parameters_share)} of the parameters"
        much = f"{saved} and {share(removable.multiply_adds_share)} of the multiply-adds can go"
        return Health(Verdict.WASTEFUL, f"{much}, and no output changes{on}", step)
    if facts.units and dead / facts.units >= WORTH_A_LOOK:
        stay = f"{number(dead)} of {counted(facts.units, 'unit')} are dead{on}, and stay for the reasons below"
        return Health(Verdict.WASTEFUL, stay, step)
    if not dead:
        return Health(Verdict.HEALTHY, f"no dead unit among {number(facts.units)}{on}", step)
    few = f"{number(dead)} of {counted(facts.units, 'unit')} {'is' if dead == 1 else 'are'} dead{on}"
    return Health(Verdict.HEALTHY, f"{few}, which costs less than {share(WORTH_CUTTING)} of the model", step)


def _breaks(finding: Finding) -> bool:
    """An output of which only some units are constant may be meant so: a state that is handed on holds dead units."""
    in_part = finding.name == "output-constant" and (finding.measured or 0.0) < 1
    return finding.severity is Severity.ERROR and not in_part


def _next_step(facts: AuditFacts) -> NextStep:
    names = {warning.name for warning in facts.warnings}
    if facts.probe is None or facts.probe.random:
        return NextStep("run it on data like what the model will see", "audit", "--probe DATA")
    if "holdout-revives" in names:
        return NextStep("put probe and holdout into one data set and audit again")
    if facts.dead and names & {"layer-dead", "layer-mostly-dead"}:
        return NextStep("check the probe's preprocessing, then ask why", "explain", _worst_unit(facts))
    if facts.judged.little and not facts.dead:
        return NextStep("see what to do about what was not judged", f"explain {LITTLE_JUDGED}")
    if "probe-too-small" in names:
        return NextStep("give more samples")
    if facts.dead:
        return NextStep("see why a unit is dead and what it frees", "explain", _worst_unit(facts))
    if any(layer.nonfinite for layer in facts.layers):
        return NextStep("find what makes NaN or infinity: units that showed one have no verdict")
    if not facts.units:
        return NextStep("nothing was audited: the model has no activation or layer that is known")
    if facts.removable.parameters or facts.removable.multiply_adds:
        compared = "--probe DATA " if facts.conditions.statistics_alone else ""  # statistics cannot show two models
        return NextStep("take out what nothing reads", "prune", f"{compared}-o SMALLER.onnx")
    return NextStep("nothing to remove: every audited unit is in use on this probe")


def _worst_unit(facts: AuditFacts) -> str:
    layer = max(facts.layers, key=lambda layer: len(layer.dead))
    return f"--unit {shlex.quote(f'{layer.value}:{layer.dead[0]}')}"
