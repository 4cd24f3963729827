"""Some input features reach no output.

What it means
    Some features (columns, channels, positions) of an input cannot change any output: every weight that reads them
    is zero, or everything that reads them is dead.

Why it matters
    The model pays for collecting and computing something that it does not use. Where the feature should matter, its
    absence is a mistake of training or export: a column that was constant in training, channels in the wrong order,
    an embedding that was cut off.

What to do
    Compare the listed indices with your list of features. If they should matter, look at what training saw in them.
    If not, drop them from the pipeline. Turn it off with `--ignore DU003` where inputs are padded on purpose.

Evidence
    Followed backwards from the outputs through the graph. Structural: the weights decide it for every input.
    Otherwise it holds as long as the units that were dead on the probe stay dead.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.facts.findings import About, Finding, Severity
from analyzer.facts.wording import counted
from analyzer.gate.finding_kind import FindingKind
from analyzer.gate.situation import Situation


def find(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """One finding per input of which a part is unused."""
    for port in situation.audit.unused_inputs:
        if port.whole:
            continue  # DU004
        number = port.unused if port.axis is None else len(port.indices)
        whole = port.elements if port.axis is None else port.shape[port.axis]
        where = "" if port.axis is None else f" along axis {port.axis}"
        why = "by the weights alone" if port.structural else "while the units dead on the probe stay dead"
        verb = "reaches" if number == 1 else "reach"
        yield kind.finding(
            f"{number:,} of {counted(whole, 'feature')}{where} {verb} no output, {why}.",
            About.INPUT,
            value=port.name,
            units=port.indices,
            measured=number / whole,
        )


KIND = FindingKind("DU003", "input-features-dead", Severity.WARNING, find, __name__)
