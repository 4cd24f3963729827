"""What lies around values for the inputs of a domain: intervals, and what is linear in the inputs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager

from analyzer.api.options import Progress
from analyzer.api.rewritten import Source
from analyzer.bounds import IntervalGraph
from analyzer.bounds.arithmetic import ARITHMETIC
from analyzer.bounds.linear_bounds import Asked, LinearBounds
from analyzer.bounds.part_bounds import PartBounds
from analyzer.errors import RunError
from analyzer.facts.domain import Box, Domain, hull_of
from analyzer.facts.statistics import Bools
from analyzer.witness.claims import Claims
from analyzer.witness.part_looks import ByRows, OneByOne
from analyzer.witness.points import Points
from analyzer.witness.splitting import Splitter
from analyzer.witness.wanted_bounds import asked_of, counts_of, worth_bounding

Bounding = Callable[[Mapping[str, Box]], Mapping[str, Box]]
MOST_BOXES = 64  # that are bounded one by one
SLOPE_TURNS = 30  # in which slopes of linear bounds are sought


@contextmanager
def bounding(
    source: Source, values: Collection[str], domain: Domain, arithmetic: str
) -> Iterator[tuple[Bounding, list[str]]]:
    """What bounds these values (none: all) for inputs of a part of the domain, and what to know of it.

    Of a value that is absent nothing is known. The bounds hold for what is computed in this arithmetic.
    """
    try:
        graph = IntervalGraph(
            source.computed,
            source.shapes,
            hull_of(domain.boxes),
            arithmetic=arithmetic,
            values=values,
            threads=source.run.threads,
        )
    except RunError as error:
        yield lambda _: {}, [f"Nothing was bounded: {error}"]
        return
    with graph:
        yield graph.bounds, []


class LinearBounding:
    """Linear bounds of what some claims are about; none where the model is too large, or onnxruntime does not run it.

    Attributes:
        bounds: None where there are none.
        notes: what to know, in sentences.
    """

    def __init__(self, source: Source, claims: Claims, chosen: Bools, domain: Domain, arithmetic: str) -> None:
        self._claims, self._domain, self._shapes = claims, domain, source.shapes
        self._asked: Mapping[str, Asked] = asked_of(claims, chosen, source.shapes)
        self.bounds: LinearBounds | None = None
        self.notes = list[str]()
        if not self._asked:
            return
        if ARITHMETIC[arithmetic].narrow:
            self.notes.append(f"No linear bounds are computed for {arithmetic}: only intervals were.")
            return
        if not worth_bounding(source.shapes):
            self.notes.append(
                "The model's values are too many numbers for linear bounds: only intervals were computed."
            )
            return
        try:
            self.bounds = LinearBounds(
                source.computed,
                source.shapes,
                hull_of(domain.boxes),
                self._asked,
                arithmetic=arithmetic,
                threads=source.run.threads,
            )
        except RunError as error:
            self.notes.append(f"No linear bounds were computed: {error}")

    def __enter__(self) -> LinearBounding:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bounds is not None:
            self.bounds.__exit__()

    def around(self, goes_on: Callable[[], bool] = lambda: True) -> Bounding:
        """What bounds the values of the claims for inputs of a part of the domain, as long as it `goes_on`."""
        return lambda box: self._bounded(box, self._asked, goes_on, 0)

    def with_slopes(self, chosen: Bools, goes_on: Callable[[], bool] = lambda: True) -> Bounding:
        """The same, of what some of the claims are about, with slopes that are sought."""
        asked = asked_of(self._claims, chosen, self._shapes)
        return lambda box: self._bounded(box, asked, goes_on, SLOPE_TURNS)

    def _bounded(
        self, box: Mapping[str, Box], asked: Mapping[str, Asked], goes_on: Callable[[], bool], turns: int
    ) -> Mapping[str, Box]:
        if self.bounds is None:
            return {}
        try:
            return self.bounds.bounds(box, asked, goes_on, turns)
        except RunError as error:  # the way back from a value is written where it is first asked about
            self.give_up(error)
            return {}

    def give_up(self, error: RunError) -> None:
        """Have no linear bounds from here on."""
        self.notes.append(f"No linear bounds were computed: {error}")
        self.__exit__()
        self.bounds = None

    def splitter(self, bound: Bounding, tries: Callable[[Points], None] = lambda _: None) -> Splitter:
        """What proves the claims part by part: by linear bounds, where there are none by others.

        `tries` is given points at which claims may break.
        """
        if self.bounds is None:
            return Splitter(OneByOne(bound, self._claims), self._domain)
        alone = OneByOne(self.around(), self._claims, counts_of(self.bounds, self._claims))
        return Splitter(ByRows(PartBounds(self.bounds), self._claims, alone), self._domain, tries=tries)


def bounds_over(bound: Bounding, domain: Domain, progress: Progress | None = None) -> Mapping[str, Box]:
    """What lies around all that values can be, over all boxes of the domain; of very many, neighbours together."""
    step, found = -(-len(domain.boxes) // MOST_BOXES), list[Mapping[str, Box]]()
    for place in range(0, len(domain.boxes), step):
        found.append(bound(hull_of(domain.boxes[place : place + step])))
        if progress is not None:
            progress("bounds", min(place + step, len(domain.boxes)), len(domain.boxes))
    return hull_of(found)
