"""What a finding's file holds: a docstring that is its page, and one `FindingKind`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from analyzer.facts.audit import LayerVerdicts
from analyzer.facts.findings import About, Finding, Severity
from analyzer.gate.situation import Situation

HEADINGS = ("What it means", "Why it matters", "What to do", "Evidence")


@dataclass(frozen=True, slots=True)
class FindingKind:
    """One finding: stable code (never reused), slug, default severity, and what looks for it.

    `find` yields nothing where all is well. `module` is the file's `__name__`; its docstring is the page, under the
    fixed headings, unless `text` is. `in_audit`: an audit shows it as well, judged without budgets.
    """

    code: str
    name: str
    severity: Severity
    find: Callable[[Situation, FindingKind], Iterable[Finding]]
    module: str
    in_audit: bool = False
    text: str = ""

    def finding(self, message: str, about: About = About.MODEL, **details: Any) -> Finding:
        """A finding of this kind, of its default severity unless another is given."""
        severity = details.pop("severity", self.severity)
        return Finding(self.code, self.name, severity, message, about, **details)

    def of_layer(self, layer: LayerVerdicts, message: str, units: Sequence[int], **details: Any) -> Finding:
        """A finding of this kind about units of a layer."""
        names = {"value": layer.value, "node": layer.audited.node}
        return self.finding(message, About.LAYER, units=tuple(units), **names, **details)

    @property
    def docstring(self) -> str:
        """The text of the page as it stands in the file."""
        return inspect.cleandoc(self.text or sys.modules[self.module].__doc__ or "")

    @property
    def title(self) -> str:
        """The docstring's first line, without its full stop."""
        return self.docstring.splitlines()[0].rstrip(".")
