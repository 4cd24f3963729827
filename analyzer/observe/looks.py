"""What one session after the other looks at: much at first, then ever less; everything where something is not finite.

Most units are cleared of every suspicion by their extremes on the first sample. A look says what it wants computed,
when the next one pays, and which that is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from analyzer.algebra.pattern import Array
from analyzer.bounds.magnitudes import within
from analyzer.facts.thresholds import Thresholds
from analyzer.facts.units import Kind, ShapeTable
from analyzer.graph import Graph
from analyzer.observe.nan_guards import Guards, guards
from analyzer.observe.statistics.finiteness import Defect, Mean
from analyzer.observe.statistics.maximum import Maximum
from analyzer.observe.statistics.minimum import Minimum
from analyzer.observe.statistics.positions import Magnitude, Nonzero
from analyzer.observe.statistics.statistic import Statistic
from analyzer.observe.tally import Tally
from analyzer.observe.targets import Target, elements

Wanted = dict[type[Statistic], Sequence[Target]]

FEW_FEEDS = 2  # so little data is run more quickly than a session is opened
WORTH = 0.75  # a new session is opened when at most this share of what suspects make it read is left
SESSION_IN_FEEDS = 30  # what opening one takes, in feeds of which nothing is looked at any more but was until then
NARROWING = (3, 17)  # feeds after which the minimum is narrowed further to the units that still need it


@dataclass(frozen=True, slots=True)
class Course:
    """How far an observation is: feeds that were run, and samples that are left (None: not known)."""

    feeds: int
    left: int | None
    size: int  # samples of a feed

    @property
    def nearly_done(self) -> bool:
        """Whether so little is left that no further session pays."""
        return self.left is not None and self.left <= (1 + FEW_FEEDS) * self.size


@dataclass(frozen=True)
class Look(ABC):
    """What a session computes, for all targets of the observation."""

    targets: Sequence[Target]

    @abstractmethod
    def wanted(self) -> Wanted:
        """The statistics, and the targets of each. Of flat targets the maximum is the value itself."""

    @property
    def counted(self) -> Sequence[Target]:
        """The targets for which a feed that is looked at so counts."""
        return self.targets

    def sized(self) -> Sequence[Target]:
        """Targets of which the number of elements is wanted too."""
        return ()

    def ends(self, course: Course, tally: Tally) -> bool:
        """Whether the next feed is the last one that is looked at so.

        This is known before that feed, since memory that it gives back would cost the feed after it much time.
        """
        return False

    def may_end(self, course: Course, samples: int) -> bool:
        """Whether `ends` may say so after so many samples, whatever they showed; if not, the next feed is no last."""
        return False

    def after(self, tally: Tally) -> Look:
        """What comes next, once it has ended."""
        return self

    def suited_to(self, feeds: Mapping[str, Array]) -> Look:
        """The look that shows everything that this feed may bring."""
        return self

    def alarmed(self) -> Look:
        """What comes next, once something is not finite: the feed that showed it is run again."""
        return self


@dataclass(frozen=True)
class Settling:
    """When layers are no longer looked at: once no verdict of theirs can change, after the first samples.

    `samples`: of the whole data set. The first `full` of them are counted for every layer. `guarding` says what to
    check for numbers that are not finite where only some targets are looked at.
    """

    thresholds: Thresholds
    samples: int
    full: int
    guarding: Callable[[Sequence[Target]], Guards]

    def due(self, course: Course, samples: int) -> bool:
        """Whether after so many the next feed ends the first samples, or twice as many as the last time."""
        before, after = (n // self.full for n in (samples, samples + course.size))
        return before.bit_length() < after.bit_length()

    def pays(self, course: Course, looked: Sequence[Target], left: Sequence[Target]) -> bool:
        """Whether what is saved over the feeds that are left is more than opening a session takes."""
        if course.left is None or len(left) == len(looked):
            return False
        return (1 - elements(left) / elements(looked)) * course.left >= SESSION_IN_FEEDS * course.size


@dataclass(frozen=True)
class Firing(Look):
    """Maxima, minima of the units that are still suspects, and what shows that something is not finite.

    `looked` are targets whose maxima are looked at (None: all).
    """

    suspects: Sequence[Target]
    guards: Guards
    settling: Settling | None = None
    looked: Sequence[Target] | None = None

    @property
    def counted(self) -> Sequence[Target]:
        """A linear value fires on every sample, looked at or not."""
        return self.targets if self.looked is None else [*self.looked, *filter(_is_linear, self.targets)]

    def wanted(self) -> Wanted:
        """A linear value is done with once all its units were seen to vary: there is no firing to count."""
        suspected = {s.start for s in self.suspects}
        looked = self.targets if self.looked is None else self.looked
        maxima = [t for t in looked if t.flat or not _is_linear(t) or t.start in suspected]
        return {Maximum: maxima, Minimum: self.suspects, Mean: self.guards.targets}

    def ends(self, course: Course, tally: Tally) -> bool:
        """When much fewer units need their minimum than are looked at, or much fewer layers anything."""
        if course.nearly_done:
            return False
        if self.settling is not None and self.settling.due(course, tally.samples):
            looked = self.targets if self.looked is None else self.looked
            if self.settling.pays(course, looked, self._open(tally, self.settling)):
                return True
        return self._narrows(course) and elements(tally.suspects()) < WORTH * elements(self.suspects)

    def may_end(self, course: Course, samples: int) -> bool:
        settles = self.settling is not None and self.settling.due(course, samples)
        return not course.nearly_done and (settles or self._narrows(course))

    def _narrows(self, course: Course) -> bool:
        return bool(self.suspects) and course.feeds + 1 in NARROWING

    def after(self, tally: Tally) -> Look:
        if self.settling is None or tally.samples < self.settling.full:
            return Firing(self.targets, tally.suspects(), self.guards, self.settling, self.looked)
        looked = self._open(tally, self.settling)
        starts = {t.start for t in looked}
        suspects = [s for s in tally.suspects() if s.start in starts]
        return Firing(self.targets, suspects, self.settling.guarding(looked), self.settling, looked)

    def _open(self, tally: Tally, settling: Settling) -> list[Target]:
        """The targets that must go on being looked at: what was left out once stays out."""
        starts = None if self.looked is None else {t.start for t in self.looked}
        found = tally.undecided(settling.thresholds, settling.samples)
        return [t for t in found if starts is None or t.start in starts]

    def suited_to(self, feeds: Mapping[str, Array]) -> Look:
        """With more guards from a feed on that is so large that values may overflow that otherwise cannot."""
        if self.guards.beyond is None or within(feeds):
            return self
        return replace(self, guards=Guards(self.guards.beyond))

    def alarmed(self) -> Look:
        return Exact(self.targets)


@dataclass(frozen=True)
class First(Firing):
    """One small feed by itself, all minima included: its extremes clear most units."""

    def ends(self, course: Course, tally: Tally) -> bool:
        return bool(self.suspects) or super().ends(course, tally)

    def may_end(self, course: Course, samples: int) -> bool:
        return bool(self.suspects) or super().may_end(course, samples)


@dataclass(frozen=True)
class Exact(Look):
    """All extremes, and which samples are finite."""

    def wanted(self) -> Wanted:
        return {Maximum: self.targets, Minimum: _layered(self.targets), Defect: _layered(self.targets)}


@dataclass(frozen=True)
class Full(Look):
    """All extremes, and positions counted and added up, which shows whatever is not finite; `exact`: where that is."""

    exact: bool = False

    def wanted(self) -> Wanted:
        every = {Maximum: self.targets, Minimum: _layered(self.targets), Nonzero: self.targets, Magnitude: self.targets}
        return every | ({Defect: _layered(self.targets)} if self.exact else {})

    def sized(self) -> Sequence[Target]:
        return self.targets

    def alarmed(self) -> Look:
        return self if self.exact else Full(self.targets, exact=True)


def first_look(
    graph: Graph,
    shapes: ShapeTable,
    targets: Sequence[Target],
    *,
    small: bool,
    carried: bool = True,
    settled: tuple[Thresholds, int, int] | None = None,
) -> Firing:
    """The look that an observation begins with; `small`: its first feed is, so that it pays to look at much there.

    `carried`: a NaN goes through kernels as the operators' traits say; else each value is looked at by itself.
    `settled`: the thresholds by which layers are settled, how many samples there are, and how many are counted for
    every layer (None: all).
    """
    layered = _layered(targets)
    checked = guards(graph, targets, shapes) if carried else Guards(layered)
    settling = Settling(*settled, partial(guards, graph, targets, shapes)) if settled and carried else None
    return (First if small else Firing)(targets, layered, checked, settling)


def _is_linear(target: Target) -> bool:
    return target.audited.kind is Kind.LINEAR


def _layered(targets: Sequence[Target]) -> list[Target]:
    """Those with several positions per sample."""
    return [t for t in targets if not t.flat]
