"""Which experts of a mixture the data is routed to, and how much of the rest of the data may go elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb, log
from typing import ClassVar

from analyzer.algebra.pattern import Array
from analyzer.facts.bound import CONFIDENCE
from analyzer.facts.counts import Counted
from analyzer.facts.wording import counted


@dataclass(frozen=True, eq=False)
class RoutedExperts(Counted):
    """One router, which sends each token through `chosen` of its experts.

    `router` is the value that says where to, or what a node gives that chooses inside; `module` is its place in the
    training code (empty: not known). `counts` [experts] is how many tokens each expert was chosen for, `holdout` the
    same of a second data set. `tensors` hold a row for each expert. `removable` numbers can go with the experts that
    were never chosen.
    """

    router: str
    counts: Array
    chosen: int
    names: tuple[str, ...] = ()
    module: str = ""
    tensors: tuple[str, ...] = ()
    holdout: Array | None = None
    removable: int = 0
    words: ClassVar[tuple[str, str, str]] = ("expert", "chosen", "token")

    @property
    def label(self) -> str:
        """Its place in the training code, else the value."""
        return self.module or self.router

    @property
    def experts(self) -> int:
        """Experts among which it chooses."""
        return len(self.counts)

    @property
    def idle(self) -> tuple[int, ...]:
        """Experts that no token was routed to; none where there was no token."""
        return tuple(e for e in range(self.experts) if not self.counts[e]) if self.gathered else ()

    @property
    def draws(self) -> int:
        """Tokens."""
        return self.gathered // self.chosen

    @property
    def unseen_bound(self) -> float | None:
        """The share of tokens that are routed to an expert not seen, at most, with 95 % confidence, if independent.

        A set of u experts that a share q of tokens is routed to is missed by all n tokens with probability
        (1 - q)^n <= exp(-q n). Over all sets of that size, and all e sizes, some set of q > ln(C(e, u) e / d) / n is
        missed with probability d at most.
        """
        if not self.draws:
            return None
        ways = comb(self.experts, len(self.idle)) * self.experts
        return min(1.0, log(ways / (1 - CONFIDENCE)) / self.draws) if self.idle else 0.0

    @property
    def stays(self) -> str:
        """Why no expert goes; empty where some can."""
        if not self.gathered:
            return "no token was routed"
        return "" if self.removable else "nothing is stored for them alone" if self.idle else "all chosen"

    @property
    def tokens(self) -> tuple[int, ...]:
        """For how many tokens each was chosen."""
        return tuple(self.counts.tolist())

    @property
    def gone(self) -> str:
        """What goes, and what that rests on."""
        many = counted(len(self.idle), "expert")
        return f"{self.label}: {many} went that the probe never chooses ({self.sentence})"
