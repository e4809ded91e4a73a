"""The leaderboards and the progress of platforms."""

from collections import defaultdict
from typing import Any

from autoresearch.hub import leaderboard
from autoresearch.hub.pages import progress
from autoresearch.hub.pages.words import number
from autoresearch.hub.store import Database, commits, results
from autoresearch.hub.store.measurement import METRIC
from autoresearch.report import text

RUNS = 40
"""Of one entry that are listed."""


def of_platforms(db: Database, platform: str, limit: int) -> list[dict[str, Any]]:
    """Leaderboards with what counts on them, those with the most results first; those of all platforms if none is named."""
    rows = results.scored(db, platform, METRIC)
    boards = leaderboard.boards(rows, limit=limit)
    return sorted(boards, key=lambda board: -board["num_results"])


def best(db: Database) -> list[tuple[str, str]]:
    """Platforms with the commit that leads on each, as far as it was pushed."""
    found: dict[str, str] = {}
    for board in of_platforms(db, "", 1):
        leader = board["entries"][0]["commit"]
        known = commits.by_prefix(db, [leader])
        if leader in known and board["platform"] not in found:
            found[board["platform"]] = known[leader]
    return list(found.items())


def span(board: dict[str, Any]) -> tuple[float, float]:
    """Ends of the axis on which the intervals of a board are drawn; the worst may reach beyond."""
    entries = board["entries"]
    lows, highs = [one["low"] for one in entries], sorted(one["high"] for one in entries)
    low, high = min(lows), highs[int(0.9 * (len(highs) - 1))]
    return low, max(high, low + 1e-9)


def with_runs(board: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """Give each entry of a board the runs that it stands for."""
    runs = defaultdict(list)
    for row in rows:
        if row["regime"] == board["regime"]:
            runs[leaderboard.code_of(row)].append(row)
    for entry in board["entries"]:
        entry["runs"] = runs[leaderboard.code_of(entry)][:RUNS]


def chart(db: Database, board: dict[str, Any], num_marks: int) -> progress.Chart:
    """The progress of a board, runs without a score included."""
    rows = results.series(db, board["platform"], board["regime"], METRIC)
    firsts = {entry["first_result"]: entry["mean"] for entry in board["records"]}
    points = [
        progress.Point(
            row["created"],
            row["value"],
            f"{number(row['value'])} · {row['agent_id']} · {text.line(row['description'], 80)}",
            f"/commit/{row['commit']}",
            row["id"] in firsts,
        )
        for row in rows
    ]
    steps = [(row["created"], firsts[row["id"]]) for row in rows if row["id"] in firsts]
    return progress.draw(points, steps, board["sigma"], num_marks)
