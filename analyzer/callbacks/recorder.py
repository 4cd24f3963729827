"""Audits of one net while it is trained: what died and what revived since, as numbers for a log and as a course."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

from analyzer.api.audit_result import Audit
from analyzer.api.auditing import Model, audit
from analyzer.api.comparing import Compared
from analyzer.api.options import Data, Run
from analyzer.callbacks.loggers import logger_of
from analyzer.errors import DeadunitsError, InputError, ModelError, RunError
from analyzer.facts.audit import AuditFacts
from analyzer.facts.history import course_of
from analyzer.facts.thresholds import Thresholds

PREFIX = "deadunits/"


class Recorder:
    """Audits a net whenever it is shown, and keeps the course.

    Attributes:
        audits: per step what was found, in order.
        last: the last audit as a whole, with all that it can be asked.
        problems: per step why the net could not be looked at; training goes on.
    """

    def __init__(
        self,
        data: Data | Any,
        *,
        run: Run | None = None,
        thresholds: Thresholds | str = "default",
        log: Any = None,
    ) -> None:
        """Look at the net on `data`, as for `analyzer.audit`; it must be readable again and again.

        `log` takes the numbers: a function of a dict and a step, a SummaryWriter of TensorBoard, a run of Weights &
        Biases, or the module `mlflow` (None: they are only returned).

        Raises:
            InputError: nothing is known to be logged to like that.
        """
        self._data, self._run, self._thresholds = Data.of(data), run, thresholds
        self._log: Callable[[Mapping[str, float], int], None] = logger_of(log)
        self.audits: dict[int, AuditFacts] = {}
        self.last: Audit | None = None
        self.problems: dict[int, str] = {}

    def record(self, export: Callable[[], Model], step: int) -> dict[str, float]:
        """Export and audit the net; returns (and logs) what was found, by names that begin with `deadunits/`.

        A net that cannot be exported or run does not end the training: a warning and `problems` say why, and nothing
        is returned.

        Raises:
            InputError: at the first look, the data or the options cannot be used.
        """
        try:
            model = export()
        except Exception as error:  # noqa: BLE001  exporters raise what they like, and a training run may be days old
            return self._problem(step, error)
        try:
            found = audit(model, self._data, run=self._run, thresholds=self._thresholds, causes=False)
        except DeadunitsError as error:
            if not self.audits and not isinstance(error, ModelError | RunError):
                raise
            return self._problem(step, error)
        self.audits[step], self.last = found.facts, found
        numbers = {f"{PREFIX}{name}": number for name, number in self._numbers(found.facts).items()}
        self._log(numbers, step)
        return numbers

    def _problem(self, step: int, error: Exception) -> dict[str, float]:
        problem = f"{type(error).__name__}: {error}"
        if problem not in self.problems.values():
            warnings.warn(f"deadunits could not look at the net at step {step}: {problem}", stacklevel=3)
        self.problems[step] = problem
        return {}

    def _numbers(self, facts: AuditFacts) -> dict[str, float]:
        numbers = {
            "dead": float(facts.dead),
            "dead_share": facts.dead / facts.units if facts.units else 0.0,
            "removable_share": float(facts.removable.parameters_share),
        }
        if len(self.audits) > 1:
            *_, before, _ = self.audits.values()
            died, revived, _ = course_of([before, facts], ["", ""]).total()
            numbers |= {"died": float(died), "revived": float(revived)}
        return numbers | {f"layers/{a.audited.module or a.value}": a.dead_share for a in facts.layers}

    def course(self) -> Compared:
        """All audits held against each other, as `analyzer.compare` gives it: to show, to write as JSON.

        Raises:
            InputError: there are fewer than two.
        """
        if len(self.audits) < 2:
            why = f" (step {min(self.problems)}: {self.problems[min(self.problems)]})" if self.problems else ""
            raise InputError(f"A course needs two audits, and there are {len(self.audits)}{why}.")
        return Compared(course_of([*self.audits.values()], [f"step {step}" for step in self.audits]), ())
