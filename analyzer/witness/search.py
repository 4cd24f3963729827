"""The search for inputs that refute claims: cheap points first, then gradients from a pool that all claims share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import prod

import numpy as np

from analyzer.errors import RunError
from analyzer.facts.domain import Domain
from analyzer.facts.proof import Method
from analyzer.facts.statistics import Bools, Floats
from analyzer.graph import LoadedModel
from analyzer.witness.ascent import Ascent, Goal
from analyzer.witness.claims import Aim, Claims, Seen
from analyzer.witness.clock import Clock, OutOfTime
from analyzer.witness.gradients import Gradients
from analyzer.witness.nearest_points import Pool
from analyzer.witness.points import Points, Sampler, count_of, taken
from analyzer.witness.sight import Feeding, Sight
from analyzer.witness.snapping import Grid

CHEAP, CHEAP_TURNS = {Method.CORNERS: 100, Method.UNIFORM: 50, Method.MIXES: 50}, 5
IN_VAIN = 24  # rounds in a row that refute nothing before the search ends
SLOPES = (0.3, 0.0, 0.1, 0.5)  # that what is flat pretends to have, round after round
WIDEST = (0.15, 0.5, 0.05)  # the first step of a climb, round after round, as a share of the width of the domain
STIRRED, STIRRED_FROM = 0.05, 3  # share of elements that are thrown to an end, from this round on
TOGETHER, LEAST_TOGETHER, WORK = 64, 4, 1 << 31  # points that are run or climb at a time, by multiply-adds of each
NEAREST = 3  # of a claim's nearest points one is taken
POOL, POOL_BYTES = 512, 1 << 28
LEAST, LARGE = 1e-12, 1e30  # beside a spread of nothing, and for what is not finite
WANDERERS = 64  # points at least that are changed at random in a turn
CHANGED = (0.05, 0.3, 0.01, 0.1)  # share of the elements that are drawn anew where there is no gradient
CROWDS, APART = (16, 8, 4, 1), 2  # claims that climb on one point, turn by turn; room of each along an axis
CHEAP_SHARE = 0.85  # of the time that is left, to be kept for the rest
HINTED_SHARE = 0.9  # of the time that is left, to be kept for gradients
CLIMBED = 1 << 29  # multiply-adds of the points that climb at a time, in all
CLIMBED_UNTIL = 0.95  # of the time: what was found last is run by itself in the rest
BEYOND = 0.01  # how far a point goes beyond a limit, in shares of how much what it shows varies


def together(multiply_adds: int) -> int:
    """How many points of a model of this size are run at a time, so that the time can be kept."""
    return min(max(WORK // max(multiply_adds, 1), LEAST_TOGETHER), TOGETHER)


@dataclass(frozen=True)
class Witness:
    """A point that refutes claims, and how it was found."""

    point: Points  # of length 1
    method: Method
    claims: tuple[int, ...]


class Search:
    """What is found for all claims.

    Attributes:
        open: per claim whether nothing is known yet.
        witnesses: what was found; each was run by itself before it counted.
        contradicted: claims that are proven, each with a point that refutes it all the same: bugs.
        tried: how many points were run.
        refused: how many were not, as the model refuses them, takes another branch, or as the time was over.
        notes: what was not done, in sentences.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        claims: Claims,
        domain: Domain,
        feeding: Feeding,
        *,
        samples: Points,
        proven: Bools,
        seed: int,
        threads: int | None,
        clock: Clock,
        grid: Grid,
        multiply_adds: int,
    ) -> None:
        """`samples` are some of the probe, which mixes are made of; `proven`, per claim, is not looked for."""
        self._together = together(multiply_adds)
        self._loaded, self._claims, self._domain, self._feeding = loaded, claims, domain, feeding
        self._samples, self._proven, self._threads, self._clock, self._grid = samples, proven, threads, clock, grid
        self.open: Bools = ~proven
        self.witnesses: list[Witness] = []
        self.contradicted: list[tuple[int, Points]] = []
        self.tried = self.refused = 0
        self.notes: list[str] = []
        self._sampler = Sampler(domain, np.random.default_rng(seed))
        most = max(min(POOL, POOL_BYTES // max(self._sampler.bytes, 1)), 2 * NEAREST)
        self._pool = Pool(claims.count, most)
        self._bar: Floats = np.zeros(claims.count)  # what a point has to pass in nearness to be worth a run by itself
        self._climbing = min(max(CLIMBED // max(multiply_adds, 1), LEAST_TOGETHER), TOGETHER)
        self._many = Sight(loaded, claims, feeding, threads=threads)
        apart = feeding.together > 1
        self._single = Sight(loaded, claims, feeding, threads=threads, alone=True) if apart else self._many
        self._gradients = Gradients(loaded, claims, feeding, threads=threads)

    def close(self) -> None:
        """Free all sessions."""
        self._many.close()
        self._single.close()
        self._gradients.close()

    def cheap(self) -> bool:
        """Try cheap points; False where the time was over before all were tried."""
        return self._ends(self._cheap)

    def climb(self, proven: Bools, hints: Iterable[Points]) -> bool:
        """Search on for what is open and not `proven`, until nothing is left to try; False where it was ended before.

        `hints` are values of some inputs that look promising.
        """
        self._proven = self._proven | proven
        self.open &= ~proven
        return self._ends(lambda: self._hinted(hints)) and self._ends(self._led)

    def further(self, points: Points, proven: Bools, clock: Clock) -> None:
        """Try points, by another clock, beside what is `proven` by now."""
        self._clock, self._proven, self.open = clock, self._proven | proven, self.open & ~proven
        self._ends(lambda: self._look(points, Method.STEEPEST))

    def _ends(self, stage: Callable[[], None]) -> bool:
        try:
            if self.open.any():
                stage()
        except (OutOfTime, KeyboardInterrupt):
            return not self.open.any()
        return True

    # -- stages ------------------------------------------------------------------------------------------------------

    def _cheap(self) -> None:
        enough = self._clock.left * CHEAP_SHARE if self._climbs else 0.0
        for _ in range(CHEAP_TURNS):
            for method, points in self._sampler.cheap(CHEAP, self._samples):
                for start in range(0, count_of(points), self._piece):
                    if not self.open.any():
                        return
                    if self._clock.left < enough:
                        self.notes.append("Not all corners, draws and mixes were tried: the time went to gradients.")
                        return
                    self._look(taken(points, slice(start, start + self._piece)), method)

    def _hinted(self, hints: Iterable[Points]) -> None:
        enough = self._clock.left * HINTED_SHARE if self._climbs else 0.0
        for points in hints:
            self._clock.check()
            if self._clock.left < enough:
                return
            if not points:
                continue
            whole = {**self._sampler.uniform(count_of(points)), **points}
            for start in range(0, count_of(points), self._piece):
                self._look(taken(whole, slice(start, start + self._piece)), Method.STEEPEST)

    @property
    def _climbs(self) -> bool:
        """Whether some input that varies has gradients at all."""
        return any(self._domain.boxes[0][name].low.dtype.kind == "f" for name in self._domain.varying)

    def _led(self) -> None:
        turn, last, clock = 0, 0, self._clock.until(CLIMBED_UNTIL)
        while self.open.any() and len(self._pool) and turn - last < IN_VAIN:
            before, nearer, left = len(self.witnesses), False, self.open.copy()
            self._gradients.renew(self.open)
            for ascent in self._gradients.ascents:
                while crowds := self._crowds(ascent, left & self.open, turn)[: self._climbing]:
                    clock.check()
                    left[[claim for crowd in crowds for claim in crowd]] = False
                    self._climb(ascent, crowds, turn, clock)
            for claims in self._gradients.without(self.open):
                for start in range(0, len(claims), self._together):
                    self._clock.check()
                    piece = [claim for claim in claims[start : start + self._together] if self.open[claim]]
                    nearer |= bool(piece) and self._wander(piece, turn)
            turn += 1
            last = turn if nearer or len(self.witnesses) > before else last
        self.notes.extend(self._gradients.notes)

    def _wander(self, claims: Sequence[int], turn: int) -> bool:
        """Draw some elements of points anew that came near claims, where nothing says which way to go.

        Returns whether any came nearer.
        """
        before, least = self._pool.near[:, claims].max(axis=0), -(-WANDERERS // len(claims))
        ranks = self._sampler.random.integers(min(NEAREST, len(self._pool)), size=(least, len(claims)))
        nearest = np.argsort(-self._pool.near[:, claims], axis=0, kind="stable")
        starts = nearest[ranks, np.arange(len(claims))].reshape(-1)
        for start in range(0, len(starts), self._piece):
            points = self._pool.taken(starts[start : start + self._piece])
            boxes = [self._sampler.box_of({n: a[i] for n, a in points.items()}) for i in range(count_of(points))]
            points = self._sampler.redrawn(points, boxes, CHANGED[turn % len(CHANGED)])
            self._look(points, Method.CHANGED)
        return bool((self._pool.near[:, claims].max(axis=0) > before).any())

    def _climb(self, ascent: Ascent, crowds: Sequence[Sequence[int]], turn: int, clock: Clock) -> None:
        """Towards claims, those of a crowd from one point, which came near them all."""
        near, spread, random = self._finite_near, self._spread, self._sampler.random
        starts, goals = list[int](), list[list[Goal]]()
        for crowd in crowds:
            nearest = np.argsort(-(near[:, crowd] / spread[crowd]).mean(axis=1), kind="stable")[:NEAREST]
            starts.append(int(nearest[random.integers(len(nearest)) if turn else 0]))
            least = float(spread[crowd].min())
            goals.append([self._goal(claim, turn, float(spread[claim]), least) for claim in crowd])
        points = self._pool.taken(np.array(starts))
        boxes = [self._sampler.box_of({n: a[i] for n, a in points.items()}) for i in range(len(starts))]
        if turn >= STIRRED_FROM:
            points = self._sampler.stirred(points, boxes, STIRRED)
        bounds = [self._domain.boxes[box] for box in boxes]
        slope, widest = SLOPES[turn % len(SLOPES)], WIDEST[turn % len(WIDEST)]
        with suppress(RunError):
            ascent.climb(points, bounds, goals, slope, widest, self._glance, clock.goes_on)
        self._harvest()

    def _goal(self, claim: int, turn: int, spread: float, least: float) -> Goal:
        """Where a claim breaks, one of several ways by turns; `spread` is how much nearness varies, `least` of all that
        climb with it.
        """
        layer, place = self._claims.place(claim)
        aim = self._aim(claim, turn)
        limit = aim.limit + float(self._bar[claim]) + BEYOND * spread
        return Goal(aim.value, int(layer.units[place]), aim.sign, limit, least / spread)

    def _aim(self, claim: int, turn: int) -> Aim:
        aims = self._claims.aims(claim)
        return aims[turn % len(aims)]

    def _crowds(self, ascent: Ascent, wanted: Bools, turn: int) -> list[list[int]]:
        """Claims that climb on one point, of one value as far as that goes: large crowds first, then those that are
        nearest, for how much they vary.
        """
        gap, by_value = -self._finite_near.max(axis=0) / self._spread, dict[str, list[int]]()
        for claim in np.argsort(gap, kind="stable").tolist():
            if wanted[claim] and self._claims.aims(claim) and (value := self._aim(claim, turn).value) in ascent.values:
                by_value.setdefault(value, []).append(claim)
        by_room: dict[int, list[int]] = {}
        for claims in by_value.values():
            room = min(CROWDS[min(turn, len(CROWDS) - 1)], self._room(self._aim(claims[0], turn)))
            by_room.setdefault(room, []).extend(claims)
        crowds = [claims[i : i + room] for room, claims in by_room.items() for i in range(0, len(claims), room)]
        return sorted(crowds, key=lambda crowd: (-len(crowd), float(gap[crowd].min())))

    def _room(self, aim: Aim) -> int:
        """How many claims may climb on one point."""
        lengths = self._feeding.shapes.shapes[aim.value]
        return max(prod(max(length // APART, 1) for a, length in enumerate(lengths) if a != aim.axis), CROWDS[-2])

    @property
    def _finite_near(self) -> Floats:
        return np.asarray(np.clip(np.nan_to_num(self._pool.near, neginf=-LARGE), -LARGE, LARGE))

    @property
    def _spread(self) -> Floats:
        """By how much the points of the pool differ in nearness, per claim; of those that show it."""
        near, known = self._finite_near, np.isfinite(self._pool.near)
        count = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, near, 0).sum(axis=0) / count
        return np.asarray(np.sqrt(np.where(known, (near - mean) ** 2, 0).sum(axis=0) / count) + LEAST)

    # -- looking -----------------------------------------------------------------------------------------------------

    @property
    def _piece(self) -> int:
        return max(self._feeding.together, min(self._together, self._sampler.most))

    def _look(self, points: Points, method: Method) -> None:
        """Run points; whoever refutes an open claim by itself, too, is a witness."""
        kept, seen = self._many.look(points, self._clock.goes_on)
        self.tried += count_of(kept)
        self.refused += count_of(points) - count_of(kept)
        if not count_of(kept):
            self._clock.check()
            return
        refuted = self._claims.refuted(seen)
        for claim in np.flatnonzero((refuted & self._proven).any(axis=0)):
            place = int(np.argmax(refuted[:, claim]))
            self.contradicted.append((int(claim), taken(kept, slice(place, place + 1))))
        new = refuted & self.open
        while new.any():
            place = int(np.argmax(new.sum(axis=1)))
            self._take(taken(kept, slice(place, place + 1)), method)
            new[place] = False
            new &= self.open
        self._pool.add(kept, self._claims.nearness(seen), self.open, NEAREST)
        self._clock.check()

    def _glance(self, points: Points, seen: Seen) -> None:
        """What points show on their way: whoever seems to refute something is looked at later, by itself."""
        self.tried += count_of(points)
        near = self._claims.nearness(seen)
        wrong = (near > self._bar) & self._proven
        if wrong.any():
            self._look(taken(points, np.flatnonzero(wrong.any(axis=1))), Method.GRADIENT)
            self._bar = np.where(wrong.any(axis=0), np.maximum(self._bar, near.max(axis=0)), self._bar)
        self._pool.add(points, near, self.open, 1)

    def _harvest(self) -> None:
        """Run points of the pool by themselves that seem to refute what is open, those of most claims first."""
        while (promising := (self._pool.near > self._bar) & self.open).any():
            place = int(np.argmax(promising.sum(axis=1)))
            claims, near = np.flatnonzero(promising[place]), self._pool.near[place].copy()
            self._take(self._pool.taken(np.array([place])), Method.GRADIENT)
            self._bar[claims] = near[claims]
            if self._clock.left <= 0:
                break

    def _take(self, point: Points, method: Method) -> None:
        """Count a point for the claims that it refutes by itself; on the grid of pictures, if it does there."""
        confirmed = self._confirmed(point)
        if confirmed and (snapped := self._grid.snapped(point, self._domain)) is not None:
            again = self._confirmed(snapped)
            if again >= confirmed:
                point, confirmed = snapped, again
        if confirmed:
            self.witnesses.append(Witness(point, method, tuple(sorted(confirmed))))
            self.open[list(confirmed)] = False

    def _confirmed(self, point: Points) -> set[int]:
        """The open claims that a point refutes, run by itself."""
        kept, seen = self._single.look(point)
        return set(np.flatnonzero(self._claims.refuted(seen)[0] & self.open).tolist()) if count_of(kept) else set()
