"""Where the boxes of the network's picture lie: ranks from left to right, wrapped into rows like lines of text.

Every chain of boxes keeps one lane, the longest one lane 0; branches and long edges take the nearest lane that is
free over their ranks. All of it is linear in the size of the picture, so 2,000 layers take well under a second.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import networkx as nx

from analyzer.facts.picture import GraphPicture

STEP_X, BOX_Y, EDGE_Y, GUTTER = 168.0, 66.0, 18.0, 34.0
ASPECT = 1.5  # width over height of the view that the rows are wrapped for
FURTHEST_LANE = 8

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Placed:
    """A position per box, and per edge the points it bends at."""

    boxes: tuple[Point, ...]
    bends: tuple[tuple[Point, ...], ...]


def place(picture: GraphPicture) -> Placed:
    """Coordinates for a picture."""
    if not picture.nodes:
        return Placed((), ())
    network: nx.DiGraph[Any] = nx.DiGraph()
    network.add_nodes_from(range(len(picture.nodes)))
    network.add_edges_from(picture.edges)
    ranks = _ranks(network)
    lanes = _Lanes()
    lane = _box_lanes(network, ranks, lanes)
    detour = _edge_lanes(picture.edges, ranks, lane, lanes)
    rows = _wrapped(ranks, picture.edges, lanes)
    boxes = tuple(rows.point(ranks[i], lane[i]) for i in range(len(picture.nodes)))
    bends = tuple(
        tuple(_bends(rows, ranks[a], ranks[b], lane[a], lane[b], detour.get((a, b)))) for a, b in picture.edges
    )
    return Placed(boxes, bends)


def _ranks(network: nx.DiGraph[Any]) -> dict[int, int]:
    """Longest distance from a source; a source itself stands right before its first reader."""
    ranks = {node: rank for rank, group in enumerate(nx.topological_generations(network)) for node in group}
    for node in network:
        if network.in_degree(node) == 0 and network.out_degree(node):
            ranks[node] = min(ranks[after] for after in network.successors(node)) - 1
    return ranks


@dataclass
class _Lanes:
    """Which lanes are taken at which rank, by a box or by a passing edge."""

    boxes: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    edges: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))

    def free(self, lane: int, ranks: Iterable[int]) -> bool:
        return not any(lane in self.boxes[r] or lane in self.edges[r] for r in ranks)

    def nearest(self, wanted: int, ranks: Iterable[int]) -> int | None:
        span = list(ranks)
        order = sorted(range(-FURTHEST_LANE, FURTHEST_LANE + 1), key=lambda lane: (abs(lane - wanted), -lane))
        return next((lane for lane in order if self.free(lane, span)), None)


def _box_lanes(network: nx.DiGraph[Any], ranks: dict[int, int], lanes: _Lanes) -> dict[int, int]:
    """A lane per box: the longest chain first, then what is left, chain by chain in topological order."""
    order = list(nx.topological_sort(network))
    tail: dict[int, int] = {}
    for node in reversed(order):
        tail[node] = 1 + max((tail[n] for n in network.successors(node)), default=0)
    lane: dict[int, int] = {}
    for start in sorted(order, key=lambda n: -tail[n]):
        if start in lane:
            continue
        chain = [start]
        while onward := [n for n in network.successors(chain[-1]) if n not in lane]:
            chain.append(max(onward, key=lambda n: tail[n]))
        span = range(ranks[start], ranks[chain[-1]] + 1)
        wanted = next((lane[p] for p in network.predecessors(start) if p in lane), 0)
        chosen = lanes.nearest(wanted, span)
        for node in chain:
            spot = lanes.nearest(wanted, [ranks[node]]) if chosen is None else chosen
            lane[node] = FURTHEST_LANE + 1 if spot is None else spot
            lanes.boxes[ranks[node]].add(lane[node])
    return lane


def _edge_lanes(
    edges: Iterable[tuple[int, int]], ranks: dict[int, int], lane: dict[int, int], lanes: _Lanes
) -> dict[tuple[int, int], int]:
    """A lane for every edge that passes ranks, short ones first so that they stay close."""
    detours: dict[tuple[int, int], int] = {}
    long = [edge for edge in edges if ranks[edge[1]] - ranks[edge[0]] > 1]
    for a, b in sorted(long, key=lambda e: ranks[e[1]] - ranks[e[0]]):
        span = range(ranks[a] + 1, ranks[b])
        if (chosen := lanes.nearest(lane[a], span)) is not None:
            detours[a, b] = chosen
            for rank in span:
                lanes.edges[rank].add(chosen)
    return detours


@dataclass(frozen=True)
class _Rows:
    """Ranks cut into rows; `heights[row][lane]` is the middle of a lane, `gutters[row]` lies below the row."""

    row_of: list[int]
    column_of: list[int]
    heights: list[dict[int, float]]
    gutters: list[float]
    lengths: list[int]
    width: float

    def point(self, rank: int, lane: int) -> Point:
        return self.column_of[rank] * STEP_X, self.heights[self.row_of[rank]].get(lane, 0.0)

    @property
    def aspect(self) -> float:
        return self.width / max(self.gutters[-1], 1.0)


def _wrapped(ranks: dict[int, int], edges: Iterable[tuple[int, int]], lanes: _Lanes) -> _Rows:
    """The wrapping whose outline comes closest to the view's."""
    total = max(ranks.values()) + 1
    crossing = [0] * (total + 1)
    for a, b in edges:
        for cut in range(ranks[a] + 1, min(ranks[b], ranks[a] + 40) + 1):
            crossing[cut] += 1
    columns, tried = 5, [_rows(total, total, crossing, lanes)]
    while columns < total:
        tried.append(_rows(total, columns, crossing, lanes))
        columns = max(columns + 1, int(columns * 1.15))
    return min(tried, key=lambda rows: max(rows.aspect / ASPECT, ASPECT / rows.aspect))


def _rows(total: int, columns: int, crossing: list[int], lanes: _Lanes) -> _Rows:
    """Rows of about `columns` ranks, each cut where the fewest edges cross."""
    cuts, slack = [0], max(columns // 6, 1)
    while total - cuts[-1] > columns:
        window = range(cuts[-1] + columns - slack, cuts[-1] + columns + 1)
        cuts.append(min(window, key=lambda cut: (crossing[cut], -cut)))
    row_of = [0] * total
    heights, gutters, top = [], [], 0.0
    for row, (start, end) in enumerate(zip(cuts, [*cuts[1:], total], strict=True)):
        row_of[start:end] = [row] * (end - start)
        with_box = set().union(*(lanes.boxes[r] for r in range(start, end)))
        used = sorted(with_box.union(*(lanes.edges[r] for r in range(start, end))))
        middle: dict[int, float] = {}
        for lane in used:
            size = BOX_Y if lane in with_box else EDGE_Y
            middle[lane] = top + size / 2
            top += size
        heights.append(middle)
        gutters.append(top + GUTTER / 2)
        top += GUTTER
    column_of = [rank - cuts[row_of[rank]] for rank in range(total)]
    lengths = [end - start for start, end in zip(cuts, [*cuts[1:], total], strict=True)]
    return _Rows(row_of, column_of, heights, gutters, lengths, max(lengths) * STEP_X)


def _bends(rows: _Rows, start: int, end: int, lane_a: int, lane_b: int, detour: int | None) -> Iterator[Point]:
    """Where an edge bends: along its own lane, and through the gutters between rows."""
    row_a, row_b = rows.row_of[start], rows.row_of[end]
    half = STEP_X / 2
    x_a, y_a = rows.point(start, lane_a)
    x_b, y_b = rows.point(end, lane_b)
    if row_a == row_b:
        if detour is not None and not (detour == lane_a == lane_b):
            y = rows.heights[row_a].get(detour, y_a)
            yield from ((x_a + half, y), (x_b - half, y))
        elif lane_a != lane_b:
            yield from ((x_b - half, y_a), (x_b - half, y_b))
        return
    below, above, margin = rows.gutters[row_a], rows.gutters[row_b - 1], -half
    x = x_a + half
    if detour is not None and detour != lane_a:
        y = rows.heights[row_a].get(detour, y_a)
        x += (rows.lengths[row_a] - rows.column_of[start] - 1) * STEP_X
        yield from ((x_a + half, y_a), (x_a + half, y), (x, y))
    else:
        yield (x, y_a)
    yield (x, below)
    if below != above:
        yield from ((margin, below), (margin, above))
    yield from ((x_b - half, above), (x_b - half, y_b))
