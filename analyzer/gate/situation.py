"""What findings are looked for in: an audit, the budgets, the baseline's comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from analyzer.facts.audit import AuditFacts, LayerVerdicts
from analyzer.facts.baseline import BaselineComparison
from analyzer.facts.bound import samples_for_bound
from analyzer.facts.budgets import Budgets
from analyzer.facts.wording import counted

USEFUL_BOUND = 0.05  # 59 samples: fewer cannot even say that a unit fires on less than 5 % of inputs


@dataclass(frozen=True)
class Situation:
    """One check: facts in, nothing computed yet."""

    audit: AuditFacts
    budgets: Budgets
    comparison: BaselineComparison | None = None

    @property
    def layers(self) -> Sequence[LayerVerdicts]:
        """The audited layers, in the order of the graph."""
        return self.audit.layers

    @property
    def samples(self) -> int:
        """Samples of the probe; 0 without one."""
        return self.audit.probe.samples if self.audit.probe else 0

    @property
    def enough_samples(self) -> int:
        """What counts as enough: what the budgets ask for, else what bounds the firing share by 5 %."""
        return self.budgets.min_samples or samples_for_bound(USEFUL_BOUND)

    @cached_property
    def _modules(self) -> dict[str, str]:
        return self.audit.modules

    def expected(self, value: str) -> frozenset[int] | None:
        """Units of a value that may be dead; None: all of them."""
        names = (value, self._modules.get(value, ""))
        units: set[int] = set()
        for entry in self.budgets.expect_dead:
            if entry.covers(*names):
                if entry.units is None:
                    return None
                units |= entry.units
        return frozenset(units)

    def unexpected(self, layer: LayerVerdicts, units: Sequence[int]) -> tuple[int, ...]:
        """Those of the units that the budgets do not expect to be dead."""
        expected = self.expected(layer.value)
        return () if expected is None else tuple(unit for unit in units if unit not in expected)

    @staticmethod
    def still(layer: LayerVerdicts) -> tuple[int, ...]:
        """The dead units of which one can tell that they do not change: a single sample makes every constant."""
        return layer.dead if layer.samples > 1 else layer.structural


def and_others(names: Sequence[str], noun: str) -> str:
    """What follows the first of several names: ` and in 3 other values`, or nothing."""
    return f" and {counted(len(names) - 1, f'other {noun}')}" if len(names) > 1 else ""


def first_of(layers: Sequence[object], layer: object) -> str:
    """Where to look: later layers mostly inherit what the first one has."""
    return "; the first such layer of the model" if len(layers) > 1 and layer is layers[0] else ""
