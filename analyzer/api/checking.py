"""The gate: an audit held against budgets and an earlier audit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from analyzer.api.audit_result import Audit
from analyzer.api.auditing import Model, audit
from analyzer.api.kept_statistics import statistics_of
from analyzer.api.options import Data, Progress, Run
from analyzer.api.outputs import guarded_files
from analyzer.api.reporting import WithPage
from analyzer.errors import InputError
from analyzer.facts.baseline import Baseline, BaselineComparison, baseline_of
from analyzer.facts.budgets import Budgets, budgets_of
from analyzer.facts.checked import CheckFacts
from analyzer.facts.findings import Finding
from analyzer.facts.model_report import CheckReport
from analyzer.facts.thresholds import Thresholds
from analyzer.gate import check_codes, judge
from analyzer.json_files import read_json
from analyzer.report.console import ReportConsole
from analyzer.report.result_tables import Findings

LARGEST_BASELINE = 512 * 2**20  # bytes; an audit of ten million units has a hundred million


@dataclass(frozen=True, eq=False, repr=False)
class CheckResult(WithPage):
    """What a check found; `passed` is whether the model may go on."""

    _command: ClassVar[str] = "check"
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
        return Findings(self.facts.findings)

    @property
    def comparison(self) -> BaselineComparison | None:
        """What became of the baseline's units; None without one."""
        return self.facts.comparison

    @property
    def _reported(self) -> CheckReport:
        return CheckReport(
            self.facts.audit, self.audit.picture, self.audit._fed, self.audit._witnesses, checked=self.facts
        )

    def show(self, *, show_all: bool = False) -> None:
        """Print the report for a person; `show_all` shows every finding of a code."""
        from analyzer.report.check.terminal import render

        render(self.facts, ReportConsole(), show_all=show_all)

    def save_baseline(self, path: str | Path) -> None:
        """Write the audit, as the baseline of later checks.

        Raises:
            InputError: little of the model was looked at, so that later checks would be held against next to nothing.
            OutputError: the file cannot be written.
        """
        if self.facts.audit.judged.little:
            raise InputError(
                f"This audit looked at too little to be a baseline (judged: {self.facts.audit.judged.shares}): "
                f"{path} stays as it is. See `deadunits explain DU031`."
            )
        self.audit.to_json(path)

    def _repr_html_(self) -> str:
        """What a notebook shows: whether it passed, and what was found."""
        from analyzer.report.notebook import render_check

        return render_check(self.facts)

    def __repr__(self) -> str:
        word = "passed" if self.passed else "failed"
        return f"<CheckResult of {self.facts.audit.model.path}: {word}, {len(self.findings)} findings>" + (
            f"\n{self.findings!r}" if self.findings else ""
        )


def check(
    model: Model,
    data: Data | Any = None,
    *,
    budgets: Budgets | Mapping[str, Any] | None = None,
    baseline: str | Path | Mapping[str, Any] | Audit | None = None,
    run: Run | None = None,
    thresholds: Thresholds | str = "default",
    causes: bool = False,
    domain: Any = None,
    budget: float = 60.0,
    progress: Progress | None = None,
) -> CheckResult:
    """Audit a model and say whether it is fit to be deployed.

    Args:
        model: as for `audit()`.
        data: as for `audit()`.
        budgets: what is allowed, as in a configuration file: `{"max-dead": "5%", "max-dead-layer": {"*": "50%",
            "/head/*": 3}, "min-samples": 300, "expect-dead": ["/relu:0-3"], "ignore": ["DU003"]}`.
        baseline: an earlier audit: a file that `audit --json` wrote, what it holds, or an `Audit`.
        run: as for `audit()`.
        thresholds: as for `audit()`.
        causes: as for `audit()`; no finding needs them.
        domain: as for `audit()`; with one, units that are dead on the probe only are found, and `min-proven` asks how
            many must be proven.
        budget: as for `audit()`: seconds, of the search for inputs that refute.
        progress: called as samples are run.

    Raises:
        InputError: the model, the data, the budgets or the baseline cannot be used; the message says what to change.
    """
    data = Data.of(data)
    allowed = budgets if isinstance(budgets, Budgets) else budgets_of(budgets or {})
    check_codes(allowed)  # before the long work
    before = read_baseline(baseline)
    audited = audit(
        model,
        data,
        run=run,
        thresholds=thresholds,
        causes=causes,
        domain=domain,
        budget=budget,
        progress=progress,
    )
    inputs = (*audited._inputs, *guarded_files(baseline))
    return CheckResult(audited, judge(audited.facts, allowed, before), inputs)


def check_replaceable(baseline: str | Path | None, data: Data) -> None:
    """Refuse what is no baseline to be replaced, and data that makes none: before the long work.

    Raises:
        InputError: no file is named, it holds something else than an audit, or there is no real data.
    """
    if baseline is None:
        raise InputError("--update-baseline replaces a baseline, and none is named: give --baseline FILE.")
    random = data.statistics is not None and statistics_of(data.statistics).random
    if (data.probe is None and data.statistics is None) or random:
        raise InputError("--update-baseline needs real data, which later checks are held against: give --probe DATA.")
    if Path(baseline).exists():
        read_baseline(baseline)


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
    make = f"`deadunits audit MODEL --probe DATA --json {path}` makes one, of the model as it should be"
    report = read_json(
        path,
        "audit report",
        "give the file that `audit --json` wrote",
        most=LARGEST_BASELINE,
        missing=f"There is no baseline at {path}: {make}.",
    )
    return baseline_of(report, str(path))
