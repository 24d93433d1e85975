"""Placing the nodes of a directed acyclic graph in layers, so that edges point down and seldom cross.

Each node goes one row below the lowest of its sources. An edge that passes rows gets a place in each of them, shared
by all edges from the same source. Rows are then ordered by the mean position of their neighbours, and placed by least
squares. Nodes without edges fill rows of their own at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_SWEEPS = 12


@dataclass
class Place:
    """A node, or the passage of an edge through a row (`node` is then the source of the edge).

    Attributes:
        node: number of the node.
        row: row from the top.
        width: room it takes.
        x: its centre.
        passage: whether an edge only passes here.
        up, down: the places it is joined with in the rows above and below.
    """

    node: int
    row: int
    width: float
    passage: bool
    up: list[int]
    down: list[int]
    x: float = 0.0


@dataclass(frozen=True)
class Drawing:
    """Places of nodes (the first ones, in their order) and of passages, in `rows`; `width` is that of all."""

    places: list[Place]
    rows: list[list[int]]
    width: float


def layered(sources: Sequence[Sequence[int]], node_width: float, gap: float) -> Drawing:
    """Places a graph.

    Args:
        sources: for each node the nodes it reads, all of lower number.
        node_width: width of a node.
        gap: least distance between two neighbours of a row.
    """
    row = [0] * len(sources)
    for n, above in enumerate(sources):
        row[n] = max((row[s] + 1 for s in above), default=0)
    users: list[list[int]] = [[] for _ in sources]
    for n, above in enumerate(sources):
        for s in dict.fromkeys(above):
            users[s].append(n)
    for n, above in enumerate(sources):  # what reads nothing stands just above its first user
        if not above and users[n]:
            row[n] = min(row[u] for u in users[n]) - 1
    places = [Place(n, row[n], node_width, False, [], []) for n in range(len(sources))]
    for n, below in enumerate(users):
        _join(places, n, below, gap)
    alone = [n for n in range(len(sources)) if not sources[n] and not users[n]]
    rows: list[list[int]] = [[] for _ in range(max(row, default=-1) + 1)]
    for i, place in enumerate(places):
        if place.passage or sources[i] or users[i]:
            rows[place.row].append(i)
    if len(alone) == len(sources):
        rows.clear()
    for members in rows:
        members.sort(key=lambda i: places[i].node)
        _spread(places, members, gap, [float(k) * node_width for k in range(len(members))])
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        for members in rows if down else reversed(rows):
            wish = {i: _mean(places, i, down) for i in members}
            if sweep < _SWEEPS - 4:  # then the order stands
                members.sort(key=lambda i: wish[i])  # noqa: B023 - sorted at once
            _spread(places, members, gap, [wish[i] for i in members])
    placed = [places[i] for members in rows for i in members]
    left = min((p.x - p.width / 2 for p in placed), default=0.0)
    for place in placed:
        place.x -= left
    width = max((p.x + p.width / 2 for p in placed), default=6 * (node_width + gap))
    each = max(1, int((width + gap) / (node_width + gap)))
    for k, n in enumerate(alone):
        if k % each == 0:
            rows.append([])
        places[n].row = len(rows) - 1
        places[n].x = node_width / 2 + (k % each) * (node_width + gap)
        rows[-1].append(n)
    return Drawing(places, rows, max((p.x + p.width / 2 for p in places), default=0.0))


def _join(places: list[Place], source: int, users: list[int], gap: float) -> None:
    """Adds the passages of the edges from `source`."""
    top = places[source].row
    last = max((places[u].row for u in users), default=top)
    at = {top: source}
    for row in range(top + 1, last):
        at[row] = len(places)
        places.append(Place(source, row, gap, True, [at[row - 1]], []))
        places[at[row - 1]].down.append(at[row])
    for u in users:
        above = at[places[u].row - 1]
        places[u].up.append(above)
        places[above].down.append(u)


def _mean(places: list[Place], i: int, down: bool) -> float:
    """Where a place would like to be: the mean of its neighbours, those on the side just placed before all."""
    first, second = (places[i].up, places[i].down) if down else (places[i].down, places[i].up)
    around = first or second
    if not around:
        return places[i].x
    return sum(places[k].x for k in around) / len(around)


def _spread(places: list[Place], members: list[int], gap: float, wish: list[float]) -> None:
    """Gives the members of a row, in their order, the places nearest to what they wish that do not overlap.

    With the distances taken off, these are the isotonic regression of the wishes: neighbours that are out of order
    are pooled at their mean.
    """
    offsets = []
    at = 0.0
    for k, i in enumerate(members):
        if k:
            at += (places[members[k - 1]].width + places[i].width) / 2 + gap
        offsets.append(at)
    pools: list[tuple[float, int]] = []  # (sum, count)
    for w, offset in zip(wish, offsets):
        total, count = w - offset, 1
        while pools and pools[-1][0] / pools[-1][1] > total / count:
            other, n = pools.pop()
            total, count = total + other, count + n
        pools.append((total, count))
    k = 0
    for total, count in pools:
        for _ in range(count):
            places[members[k]].x = total / count + offsets[k]
            k += 1
