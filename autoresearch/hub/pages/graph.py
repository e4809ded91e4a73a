"""Commits as a graph: one row each, newest first, joined by lines; tries on one commit that led nowhere are one row."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

MOST_LANES = 6


@dataclass(frozen=True)
class Node:
    """A commit, or several leaves on one parent."""

    key: str
    """Its hash; of a fan, any other word."""
    parents: tuple[str, ...]
    commits: list[dict[str, Any]]
    """The commit, in the shape of the wire, or those of the fan that are shown."""
    count: int = 1
    """How many commits it stands for."""
    is_tip: bool = False
    """Whether nothing was built on it."""


@dataclass
class Row:
    """A node, and the lines beside and through it. Lanes count from 0 at the left."""

    node: Node
    lane: int
    strong: bool
    """Whether it lies on the line that is pointed out."""
    passing: list[tuple[int, bool]] = field(default_factory=list)
    """Lanes that go by, and whether they are pointed out."""
    above: list[tuple[int, bool]] = field(default_factory=list)
    """Lanes that come down to the node."""
    below: list[tuple[int, bool]] = field(default_factory=list)
    """Lanes that go down from it."""
    stub: bool = False
    """Whether its first parent lies on a later page."""


def lay_out(nodes: Sequence[Node], pointed_out: Iterable[str] = ()) -> list[Row]:
    """Give every node its row and lane.

    Lines to what lies on another page end below their node, and so do lines for which there is no lane.

    Args:
        nodes: children before their parents.
        pointed_out: hashes of a line of commits.
    """
    strong, keys = set(pointed_out), {node.key: place for place, node in enumerate(nodes)}
    lanes: list[tuple[str, bool] | None] = []
    rows = []
    for place, node in enumerate(nodes):
        coming = [lane for lane, held in enumerate(lanes) if held and held[0] == node.key]
        lane = coming[0] if coming else _free(lanes)
        row = Row(node, lane, node.key in strong)
        row.above = [(one, held[1]) for one in coming if (held := lanes[one])]
        for one in coming:
            lanes[one] = None
        row.passing = [(one, held[1]) for one, held in enumerate(lanes) if held]
        for position, parent in enumerate(node.parents):
            to, is_strong = None, row.strong and parent in strong
            if keys.get(parent, -1) > place:
                held_by = (one for one, held in enumerate(lanes) if position and held and held[0] == parent)
                to = next(held_by, lane if lanes[lane] is None else _free(lanes))
            if to is None or to >= MOST_LANES:
                row.stub = row.stub or position == 0
                continue
            lanes[to] = lanes[to] or (parent, is_strong)
            row.below.append((to, is_strong))
        rows.append(row)
    return rows


def _free(lanes: list[tuple[str, bool] | None]) -> int:
    """The first lane that nobody holds; a new one where all are held."""
    for lane, held in enumerate(lanes):
        if held is None:
            return lane
    lanes.append(None)
    return len(lanes) - 1


def width(rows: Sequence[Row]) -> int:
    """How many lanes are to be drawn."""
    return 1 + max(
        (max([row.lane, *(lane for lane, _ in row.passing + row.above + row.below)]) for row in rows), default=0
    )
