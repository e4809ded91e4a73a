"""The leaderboards as the pages show them, and the progress behind each."""

from typing import Any

from autoresearch.hub.pages import progress
from autoresearch.hub.pages.page import View
from autoresearch.hub.pages.words import number, plural
from autoresearch.hub.store import commits, results
from autoresearch.hub.store.measurement import METRIC
from autoresearch.report import text

RUNS = 40
"""Of one entry that are listed."""
WORST_FRAC = 0.9
"""Share of the entries whose whole interval is drawn."""


def largest(view: View) -> list[dict[str, Any]]:
    """The board with the most results of each platform, the largest first."""
    found: dict[str, dict[str, Any]] = {}
    for board in sorted(view.boards, key=lambda board: -board["num_results"]):
        found.setdefault(board["platform"], board)
    return list(found.values())


def leaders(view: View) -> dict[str, str]:
    """The commit that leads on each platform, by the name of the platform; only those that were pushed."""
    named = {board["platform"]: board["entries"][0]["commit"] for board in largest(view)}
    known = commits.by_prefix(view.db, named.values())
    return {platform: known[commit] for platform, commit in named.items() if commit in known}


def span(entries: list[dict[str, Any]]) -> tuple[float, float]:
    """Ends of the axis on which intervals are drawn; the worst may reach beyond."""
    low, highs = min(one["low"] for one in entries), sorted(one["high"] for one in entries)
    return low, max(highs[int(WORST_FRAC * (len(highs) - 1))], low + 1e-9)


def with_runs(view: View, board: dict[str, Any], most: int) -> list[dict[str, Any]]:
    """The first entries of a board, each with the runs that it stands for."""
    where = (board["platform"], board["regime"], METRIC)
    return [
        {
            **entry,
            "runs": results.runs(view.db, where, entry["train_blob"], entry["commit"], RUNS) if entry["n"] > 1 else [],
        }
        for entry in board["entries"][:most]
    ]


def chart(view: View, board: dict[str, Any], num_marks: int) -> progress.Chart:
    """The progress of a board.

    Args:
        num_marks: how many of the newest results can be pointed at; records always can be.
    """
    series = results.series(view.db, (board["platform"], board["regime"], METRIC))
    times = {number: at for number, at, _ in series}
    newest = [number for number, _, _ in series[-num_marks:]]
    points = [
        progress.Point(times[row["id"]], row["value"], _title(row), f"/commit/{row['commit']}")
        for row in results.numbered(view.db, newest)
    ]
    records = [
        progress.Point(times[one["first_result"]], one["mean"], _title_of_record(one), f"/commit/{one['commit']}")
        for one in board["records"]
        if one["first_result"] in times
    ]
    return progress.draw([(at, value) for _, at, value in series[:-num_marks]], points, records, board["sigma"] or 0.0)


def _title_of_record(entry: dict[str, Any]) -> str:
    what = f"{number(entry['mean'])}, {entry['label']}, {plural(entry['n'], 'run')}"
    return f"{what} · {text.line(entry['description'], 80)}"


def _title(row: dict[str, Any]) -> str:
    score = row["status"] if row["value"] is None else number(row["value"])
    return f"{score} · {row['agent_id']} · {text.line(row['description'], 80)}"
