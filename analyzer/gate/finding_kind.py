"""What there is to say of one kind of finding: its code, its title, its page, and what looks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analyzer.facts.audit import LayerVerdicts
from analyzer.facts.findings import About, Finding, Severity
from analyzer.gate.situation import Situation

_INSTALLED, _CHECKOUT = Path(__file__).parent / "pages", Path(__file__).parents[2] / "docs" / "findings"


@dataclass(frozen=True, slots=True)
class FindingKind:
    """One finding: stable code (never reused), slug, default severity, one-line title, and what looks for it.

    `find` yields nothing where all is well. `in_audit`: an audit shows it as well, judged without budgets. `at_least`
    is the code of another finding: whoever makes that one more severe means this one, too.
    """

    code: str
    name: str
    severity: Severity
    title: str
    find: Callable[[Situation, FindingKind], Iterable[Finding]]
    in_audit: bool = False
    at_least: str = ""

    def finding(self, message: str, about: About = About.MODEL, **details: Any) -> Finding:
        """A finding of this kind, of its default severity unless another is given."""
        severity = details.pop("severity", self.severity)
        return Finding(self.code, self.name, severity, message, about, **details)

    def of_layer(self, layer: LayerVerdicts, message: str, units: Sequence[int], **details: Any) -> Finding:
        """A finding of this kind about units of a layer."""
        names = {"value": layer.value, "node": layer.audited.node}
        return self.finding(message, About.LAYER, units=tuple(units), **names, **details)

    def page(self) -> str:
        """Its page in Markdown: docs/findings/CODE.md, which an installed package has beside this file."""
        folder = _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT
        return (folder / f"{self.code}.md").read_text(encoding="utf-8")


def finding_kind(
    code: str, name: str, severity: Severity, title: str, *, in_audit: bool = False, at_least: str = ""
) -> Callable[[Callable[[Situation, FindingKind], Iterable[Finding]]], FindingKind]:
    """Makes a kind of finding of the function that looks for it."""
    return lambda find: FindingKind(code, name, severity, title, find, in_audit, at_least)
