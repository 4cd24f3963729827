"""The search for inputs that refute claims: cheap points first, then gradients from a pool that all claims share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from analyzer.errors import RunError
from analyzer.facts.domain import Domain
from analyzer.facts.proof import Method
from analyzer.facts.statistics import Bools, Floats
from analyzer.graph import LoadedModel
from analyzer.ops.context import Context
from analyzer.witness.ascent import Ascent, Target, spread
from analyzer.witness.claims import Aim, Claims, LayerClaims
from analyzer.witness.points import Points, Sampler, count_of, joined, taken
from analyzer.witness.sight import Feeding, Sight
from analyzer.witness.snapping import Grid

CHEAP, CHEAP_TURNS = {Method.CORNERS: 100, Method.UNIFORM: 50, Method.MIXES: 50}, 5
IN_VAIN = 8  # rounds in a row that refute nothing before the search ends
SLOPES = (0.3, 0.0, 0.1, 0.5)  # that what is flat pretends to have, round after round
STIRRED, STIRRED_FROM = 0.05, 3  # share of elements that are thrown to an end, from this round on
TOGETHER, LEAST_TOGETHER, WORK = 64, 4, 1 << 31  # points that are run or climb at a time, by multiply-adds of each
NEAREST = 3  # of a claim's nearest points one is taken
POOL, POOL_BYTES = 512, 1 << 28
LEAST, LARGE = 1e-12, 1e30  # beside a spread of nothing, and for what is not finite
WANDERERS = 64  # points at least that are changed at random in a turn
CHANGED = (0.05, 0.3, 0.01, 0.1)  # share of the elements that are drawn anew where there is no gradient
CROWDS, APART = (16, 8, 4, 1), 8  # claims that climb on one point, turn by turn; a map has room for one in so many
CHEAP_SHARE = 0.5  # of the time that is left, at most
HINTED_SHARE = 0.7  # of the time that is left, to be kept for gradients


def together(multiply_adds: int) -> int:
    """How many points of a model of this size are run at a time, so that the time can be kept."""
    return min(max(WORK // max(multiply_adds, 1), LEAST_TOGETHER), TOGETHER)


class OutOfTime(Exception):
    """The time is over, or somebody asked to end: what is settled is kept."""


class Clock:
    """So many seconds from now on, unless `stopped` says earlier that it is enough."""

    def __init__(self, seconds: float, stopped: Callable[[], bool], tick: Callable[[float], None]) -> None:
        """`tick` is told, now and then, how many seconds have passed."""
        self._begin, self._seconds, self._stopped, self._tick = time.monotonic(), seconds, stopped, tick

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return max(self._begin + self._seconds - time.monotonic(), 0.0)

    def goes_on(self) -> bool:
        """Whether there is time left."""
        self._tick(self._seconds - self.left)
        return bool(self.left) and not self._stopped()

    def until(self, share: float) -> Clock:
        """The same clock, that ends when this share of all its time is over."""
        sooner = Clock(share * self._seconds, self._stopped, self._tick)
        sooner._begin = self._begin
        return sooner

    def check(self) -> None:
        """Go on, or not.

        Raises:
            OutOfTime: the time is over.
        """
        if not self.goes_on():
            raise OutOfTime


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
        self._pool: Points = {}
        self._near: Floats = np.zeros((0, claims.count))
        self._many = Sight(loaded, claims, feeding, threads=threads)
        apart = feeding.together > 1
        self._single = Sight(loaded, claims, feeding, threads=threads, alone=True) if apart else self._many
        self._ascents: dict[tuple[str, int], Ascent | None] = {}
        self._blocked: dict[str, str] = {}

    def close(self) -> None:
        """Free all sessions."""
        self._many.close()
        self._single.close()
        for ascent in filter(None, self._ascents.values()):
            ascent.close()

    def cheap(self) -> bool:
        """Try cheap points; False where the time was over before all were tried."""
        return self._ends(self._cheap)

    def climb(self, proven: Bools, hints: Iterable[Points]) -> bool:
        """Search on for what is open and not `proven`, until nothing is left to try; False where it was ended before.

        `hints` are values of some inputs that look promising.
        """
        self._proven = self._proven | proven
        self.open &= ~proven
        return self._ends(lambda: self._hinted(hints)) and self._ends(self._gradients)

    def _ends(self, stage: Callable[[], None]) -> bool:
        try:
            if self.open.any():
                stage()
        except (OutOfTime, KeyboardInterrupt):
            return not self.open.any()
        return True

    def place(self, claim: int) -> tuple[LayerClaims, int]:
        """The layer of a claim, and which of its units it is about."""
        number = int(np.searchsorted(self._claims.starts, claim, side="right")) - 1
        return self._claims.layers[number], claim - self._claims.starts[number]

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

    def _gradients(self) -> None:
        turn = last = 0
        while self.open.any() and count_of(self._pool) and turn - last < IN_VAIN:
            before, nearer = len(self.witnesses), False
            for members in self._groups():
                size = max(self._together, CROWDS[0])
                for start in range(0, len(members), size):
                    claims = [(c, aims) for c, aims in members[start : start + size] if self.open[c]]
                    self._clock.check()
                    ascent = self._ascent(claims[0][1][0]) if claims else None
                    if ascent is not None:
                        self._climb(ascent, claims, turn)
                    elif claims:
                        nearer |= self._wander([claim for claim, _ in claims], turn)
            turn += 1
            last = turn if nearer or len(self.witnesses) > before else last
        by_reason: dict[str, list[str]] = {}
        for value, reason in self._blocked.items():
            by_reason.setdefault(reason, []).append(value)
        for reason, values in by_reason.items():
            self.notes.append(f"No gradient was had of {', '.join(values)} ({reason}): points were changed at random.")

    def _wander(self, claims: Sequence[int], turn: int) -> bool:
        """Draw some elements of points anew that came near claims, where nothing says which way to go.

        Returns whether any came nearer.
        """
        before, pool = self._near[:, claims].max(axis=0), self._pool  # which looks replace, and do not change
        least = -(-WANDERERS // len(claims))
        ranks = self._sampler.random.integers(min(NEAREST, len(self._near)), size=(least, len(claims)))
        nearest = np.argsort(-self._near[:, claims], axis=0, kind="stable")
        starts = nearest[ranks, np.arange(len(claims))].reshape(-1)
        for start in range(0, len(starts), self._piece):
            points = taken(pool, starts[start : start + self._piece])
            boxes = [self._sampler.box_of({n: a[i] for n, a in points.items()}) for i in range(count_of(points))]
            points = self._sampler.redrawn(points, boxes, CHANGED[turn % len(CHANGED)])
            self._look(points, Method.CHANGED)
        return bool((self._near[:, claims].max(axis=0) > before).any())

    def _climb(self, ascent: Ascent, claims: Sequence[tuple[int, tuple[Aim, ...]]], turn: int) -> None:
        """Towards claims of one value, from points that came near, several on one point where the value is a map."""
        random, aims = self._sampler.random, {claim: aims[turn % len(aims)] for claim, aims in claims}
        first = claims[0][1][0]
        lengths = self._feeding.shapes.shapes[first.value]
        room = prod(max(length // APART, 1) for axis, length in enumerate(lengths) if axis != first.axis)
        crowd = min(CROWDS[min(turn, len(CROWDS) - 1)], room)
        groups = [claims[start : start + crowd] for start in range(0, len(claims), crowd)]
        starts = list[int]()
        for (claim, _), *_ in groups:
            nearest = np.argsort(-self._near[:, claim], kind="stable")[:NEAREST]
            starts.append(int(nearest[0 if turn == 0 else random.integers(len(nearest))]))
        points = taken(self._pool, np.array(starts))
        boxes = [self._sampler.box_of({n: a[i] for n, a in points.items()}) for i in range(len(starts))]
        if turn >= STIRRED_FROM:
            points = self._sampler.stirred(points, boxes, STIRRED)
        bounds = [self._domain.boxes[box] for box in boxes]
        with suppress(RunError):
            values, targets = ascent.values(points), list[list[Target]]()
            for row, group in enumerate(groups):
                chosen = [(self._unit(claim), aims[claim]) for claim, _ in group]
                targets.append(spread(values[row], lengths, chosen))
            found = ascent.climb(points, bounds, targets, SLOPES[turn % len(SLOPES)], self._clock.goes_on)
            for start in range(0, count_of(found), self._piece):
                self._look(taken(found, slice(start, start + self._piece)), Method.GRADIENT)

    def _unit(self, claim: int) -> int:
        layer, place = self.place(claim)
        return int(layer.units[place])

    def _ascent(self, aim: Aim) -> Ascent | None:
        """The gradient of a value; None where there is none."""
        key = aim.value, aim.axis
        if key not in self._ascents:
            ascent, reason = None, "onnxruntime does not run it"
            with suppress(RunError):
                ascent = Ascent(self._loaded, self._context, aim, self._feeding, threads=self._threads)
                reason = ", ".join(sorted(ascent.blocked)) or "no input that varies is of floats"
            self._ascents[key] = ascent if ascent is not None and ascent.reached else None
            if self._ascents[key] is None:
                self._blocked[aim.value] = reason
        return self._ascents[key]

    @cached_property
    def _context(self) -> Context:
        return Context(self._loaded.graph, self._feeding.shapes)

    def _groups(self) -> list[list[tuple[int, tuple[Aim, ...]]]]:
        """Open claims by the value that tells how near they are; the nearest, for how much they vary, come first."""
        near = np.where(np.isfinite(self._near), self._near, -LARGE).clip(-LARGE, LARGE)
        gap = -near.max(axis=0, initial=-LARGE) / (near.std(axis=0) + LEAST)
        order: dict[tuple[str, int], list[tuple[int, tuple[Aim, ...]]]] = {}
        for claim in np.argsort(gap, kind="stable").tolist():
            layer, place = self.place(claim)
            if self.open[claim] and (aims := layer.aims[place]):
                order.setdefault((aims[0].value, aims[0].axis), []).append((claim, aims))
        return [*order.values()]

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
        self._keep(kept, self._claims.nearness(seen))
        self._clock.check()

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

    def _keep(self, points: Points, near: Floats) -> None:
        """Add points to the pool; of too many those stay that are nearest to refuting something open."""
        self._pool = joined([self._pool, points]) if self._pool else dict(points)
        self._near = np.concatenate([self._near, near])
        most = max(min(POOL, POOL_BYTES // max(self._sampler.bytes, 1)), 2 * NEAREST)
        if len(self._near) > most and self.open.any():
            ranked = np.argsort(-self._near[:, self.open], axis=0, kind="stable")
            kept = [*dict.fromkeys(ranked.reshape(-1).tolist())][:most]  # the nearest of each claim first
            self._pool, self._near = taken(self._pool, np.array(kept)), self._near[kept]
