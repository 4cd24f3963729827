"""The gate: an audit held against budgets and an earlier audit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analyzer.api.audit_result import Audit, Progress
from analyzer.api.auditing import Model, audit
from analyzer.api.guarded_files import guarded_files
from analyzer.errors import InputError
from analyzer.facts.baseline import Baseline, BaselineComparison, baseline_of
from analyzer.facts.budgets import Budgets, budgets_of
from analyzer.facts.checked import CheckFacts
from analyzer.facts.findings import Finding
from analyzer.facts.wording import suggestion
from analyzer.gate import check_codes, judge, kind_named, page
from analyzer.report.check import FORMATS
from analyzer.report.check.json import to_dict
from analyzer.report.output_files import check_output, write_whole

LARGEST_BASELINE = 512 * 2**20  # bytes; an audit of ten million units has a hundred million


@dataclass(frozen=True, eq=False, repr=False)
class CheckResult:
    """What a check found; `passed` is whether the model may go on."""

    audit: Audit
    facts: CheckFacts
    _inputs: tuple[Path, ...] = field(default=())

    @property
    def passed(self) -> bool:
        """Whether nothing was found that fails the check."""
        return self.facts.passed

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found, most severe first: `code`, `severity`, `message`, `value`, `units`, …"""
        return self.facts.findings

    @property
    def comparison(self) -> BaselineComparison | None:
        """What became of the baseline's units; None without one."""
        return self.facts.comparison

    def report(self, format: str = "terminal") -> str:
        """The result as text: `terminal`, `json`, `markdown`, `junit`, `sarif` or `github`.

        Raises:
            InputError: there is no such format.
        """
        return FORMATS[format_named(format)](self.facts)

    def save(self, path: str | Path, format: str) -> None:
        """Write `report(format)` to a file, whole or not at all.

        Raises:
            InputError: there is no such format.
            OutputError: the file cannot be written, or is one of the check's own inputs.
        """
        text = self.report(format)
        write_whole(check_output(path, self._inputs), text)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and dicts by the schema `deadunits.check/1`."""
        return to_dict(self.facts)

    def __repr__(self) -> str:
        word = "passed" if self.passed else "failed"
        return f"<CheckResult of {self.facts.audit.model.path}: {word}, {len(self.findings)} findings>"


def check(
    model: Model,
    probe: Any = None,
    *,
    budgets: Budgets | Mapping[str, Any] | None = None,
    baseline: str | Path | Mapping[str, Any] | Audit | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> CheckResult:
    """Audit a model and say whether it is fit to be deployed.

    Args:
        model: as for `audit()`.
        probe: as for `audit()`.
        budgets: what is allowed, as in a configuration file: `{"max-dead": "5%", "max-dead-layer": {"*": "50%",
            "/head/*": 3}, "min-samples": 300, "expect-dead": ["/relu:0-3"], "ignore": ["DU003"]}`.
        baseline: an earlier audit: a file that `audit --json` wrote, what it holds, or an `Audit`.
        progress: called as samples are run.
        options: everything else that `audit()` takes; causes are left out unless asked for.

    Raises:
        InputError: the model, the data, the budgets or the baseline cannot be used; the message says what to change.
    """
    allowed = budgets if isinstance(budgets, Budgets) else budgets_of(budgets or {})
    check_codes(allowed)  # before the long work
    before = read_baseline(baseline)
    found = audit(model, probe, progress=progress, **{"causes": False, **options})
    inputs = (*found._inputs, *guarded_files(probe, options.get("holdout"), baseline))
    return CheckResult(found, judge(found.facts, allowed, before), inputs)


def read_baseline(source: str | Path | Mapping[str, Any] | Audit | None) -> Baseline | None:
    """The earlier audit that a baseline stands for.

    Raises:
        InputError: the file cannot be read, or holds something else.
    """
    if source is None:
        return None
    if isinstance(source, Audit):
        return baseline_of(source.to_dict(), "the given audit")
    if isinstance(source, Mapping):
        return baseline_of(source, "the given report")
    path = Path(source)
    try:
        if path.stat().st_size > LARGEST_BASELINE:
            raise InputError(f"{path} is larger than any audit report: give the file that `audit --json` wrote.")
        report = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"The baseline {path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"The baseline {path} is no JSON file: give the file that `audit --json` wrote.") from error
    return baseline_of(report, str(path))


def format_named(name: str) -> str:
    """The name of a format, once it is sure that there is one.

    Raises:
        InputError: there is none.
    """
    if name not in FORMATS:
        raise InputError(f"There is no format {name!r}{suggestion(name, FORMATS)}")
    return name


def explain_finding(code: str) -> str:
    """The page of a finding, in Markdown.

    Raises:
        InputError: there is no finding of this code.
    """
    return page(kind_named(code))
