"""The model ignores one of its inputs.

What it means
    Nothing of this input can change any output.

Why it matters
    A caller who fills the input in believes that it matters: a mask, a language, a sampling rate, a second image.
    Often the exporter froze what the input decided while tracing, and the model answers for the traced value only.

What to do
    If the input should matter, export again: with torch, values that Python's `if` looked at are frozen by tracing.
    If not, remove the input from the signature, or accept it with `--ignore DU004`.

Evidence
    Followed backwards from the outputs through the graph. Structural: for every input. Otherwise it holds as long
    as the units that were dead on the probe stay dead.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.facts.findings import About, Finding, Severity
from analyzer.gate.finding_kind import FindingKind
from analyzer.gate.situation import Situation


def find(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """One finding per input that nothing depends on."""
    for port in situation.audit.unused_inputs:
        if port.whole:
            why = "by the weights alone, whatever the data" if port.structural else "as long as dead units stay dead"
            yield kind.finding(f"No output depends on this input, {why}.", About.INPUT, value=port.name, measured=1.0)


KIND = FindingKind("DU004", "input-ignored", Severity.WARNING, find, __name__, in_audit=True)
