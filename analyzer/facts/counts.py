"""How often each of several things was chosen, and how often others may be in further data."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.facts.wording import counted, number


class Counted:
    """`counts` is how often each thing was chosen, `holdout` the same of a second data set."""

    counts: Array
    holdout: Array | None
    #: What is counted, what is done with it, and what one such event is called.
    words: ClassVar[tuple[str, str, str]]

    @property
    def label(self) -> str:
        """What a reader knows it by."""
        raise NotImplementedError

    @property
    def tokens(self) -> tuple[int, ...]:
        """For how many tokens each was chosen, where they are few enough to be listed."""
        return ()

    @cached_property
    def seen(self) -> tuple[int, ...]:
        """What was chosen, in order."""
        return tuple(np.flatnonzero(self.counts).tolist())

    @property
    def gathered(self) -> int:
        """How many choices there were in all, counted each time."""
        return int(self.counts.sum())

    @property
    def draws(self) -> int:
        """Independent draws, at best, that the choices are made of."""
        return self.gathered

    @property
    def unseen_share(self) -> float | None:
        """Good and Turing's estimate of the share of further draws of something not seen: of things seen once.

        Good, "The population frequencies of species and the estimation of population parameters", Biometrika 40
        (1953). None without draws.
        """
        return float((self.counts == 1).sum()) / self.draws if self.draws else None

    @property
    def unseen_bound(self) -> float | None:
        """The share of draws that what was not seen has, at most, with 95 % confidence, if draws are independent."""
        raise NotImplementedError

    @property
    def new_on_holdout(self) -> int | None:
        """Choices of the holdout of what the probe never chooses; None without a holdout."""
        return None if self.holdout is None else int(self.holdout[self.counts == 0].sum())

    @property
    def also(self) -> str:
        """What else is known; empty where nothing is."""
        return ""

    @property
    def sentence(self) -> str:
        """What was seen, and what is to be expected of further data."""
        what, done, draw = self.words
        said = f"{counted(len(self.seen), what)} of {number(len(self.counts))} {done} in {counted(self.draws, draw)}"
        if self.unseen_share is None or self.unseen_bound is None:
            return said
        estimate, bound = (f"{100 * share:.2g} %" for share in (self.unseen_share, self.unseen_bound))
        return (
            f"{said}; of further {draw}s {estimate} are estimated to be of other {what}s, "
            f"at most {bound} if independent"
        )
