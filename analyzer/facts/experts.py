"""Which experts of a mixture the data is routed to, and how much of the rest of the data may go elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    same of a second data set. `tensors` hold a row for each expert. `settled` experts are chosen, and give one constant
    whatever they read. `removable` numbers can go with these and with the experts that were never chosen.
    """

    router: str
    counts: Array
    chosen: int
    names: tuple[str, ...] = ()
    module: str = ""
    tensors: tuple[str, ...] = ()
    holdout: Array | None = None
    removable: int = 0
    settled: tuple[int, ...] = ()
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
    def gone(self) -> tuple[int, ...]:
        """Experts that can go."""
        return tuple(sorted((*self.idle, *self.settled)))

    @property
    def left(self) -> tuple[int, ...]:
        """Experts that stay."""
        return tuple(e for e in self.seen if e not in self.settled)

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
        return "" if self.removable else "nothing is stored for them alone" if self.gone else "all chosen"

    @property
    def tokens(self) -> tuple[int, ...]:
        """For how many tokens each was chosen."""
        return tuple(self.counts.tolist())

    @property
    def also(self) -> str:
        """Which experts are settled."""
        if not self.settled:
            return ""
        many, give = ("expert", "gives") if len(self.settled) == 1 else ("experts", "give")
        return f"{many} {', '.join(map(str, self.settled))} always {give} one constant"

    @property
    def why_gone(self) -> str:
        """What goes, and what that rests on."""
        never = f"{counted(len(self.idle), 'expert')} went that the probe never chooses" if self.idle else ""
        constant = f"{counted(len(self.settled), 'expert')} became the constant that it always gives"
        constant = constant.replace("it always gives", "each always gives") if len(self.settled) > 1 else constant
        what = ", ".join(filter(None, (never, constant if self.settled else "")))
        return f"{self.label}: {what} ({self.sentence})"


def unchosen(experts: Sequence[RoutedExperts] | None, removed: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether some of the experts that went, by router, did so as no token was routed to them."""
    return any(not {*facts.idle}.isdisjoint(removed.get(facts.router, ())) for facts in experts or ())
