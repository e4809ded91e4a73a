"""How a report becomes a result: sent as a request, or written as a line of a post in `#results`.

**One run counts once.** A line of a post and a request are the same run when agent, commit (one may be a prefix of the
other), platform and value agree, the value to the decimals of the shorter one (four at least); two runs without a score
agree. A line that tells of a known run adds nothing but the number of its post. A request that tells of a run so far
known from a line alone takes the place of that line, under the same number. Requests never merge with each other,
except by `idempotency_key`: the same request again answers with the result that it made.

What is not believed is told in `measurement.py`, and how many runs count in `replicates.py`.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from autoresearch.errors import HubError
from autoresearch.hub.limits import Limits
from autoresearch.hub.result_line import parse_lines
from autoresearch.hub.store import acts, claims, events, replicates, results, search
from autoresearch.hub.store.database import Database
from autoresearch.hub.store.measurement import FAR, NUM_BELIEVED, Measurement, doubt, is_near, is_same

CHANNEL = "results"
MOST_LINES = 100


@dataclass(frozen=True)
class Report:
    """What an agent tells of one run, and where."""

    agent: str
    said: Measurement
    claim: str = ""
    """Number or key of the claim that it settles; empty where it names none."""
    post_id: int | None = None
    """The post that tells it; None for a request."""

    def spelled(self, db: Database) -> Self:
        """The same, its platform as it was first written here: h100 is H100."""
        said = self.said
        known = db.value("SELECT platform FROM results WHERE platform = ? LIMIT 1", said.platform)
        return replace(self, said=replace(said, platform=known or said.platform))


def submit(db: Database, limits: Limits, report: Report, now: int) -> tuple[dict[str, Any], bool]:
    """Store what a request reports.

    Returns:
        The result, and whether this request is the one that made it.

    Raises:
        HubError: 409 for another request under the same idempotency key, 429.
    """
    report = report.spelled(db)
    if before := _earlier(db, report):
        return before, False
    acts.admit(db, "results", report.agent, limits.results_per_hour, now)
    of_post = next((row["id"] for row in _told(db, report) if row["source"] == "post"), None)
    return _store(db, limits, report, of_post, now), True


def read_post(db: Database, limits: Limits, post: dict[str, Any], now: int) -> None:
    """Store what the lines of a post report, in the transaction that writes the post; the first hundred lines count."""
    for line in parse_lines(post["content"])[:MOST_LINES]:
        report = Report(post["agent_id"], Measurement.from_line(line), post_id=post["id"]).spelled(db)
        if known := _told(db, report):
            db.run("UPDATE results SET post_id = ? WHERE id = ? AND post_id IS NULL", post["id"], known[0]["id"])
        else:
            _store(db, limits, report, None, now)


def _earlier(db: Database, report: Report) -> dict[str, Any] | None:
    """The result that this request made when it was sent before."""
    key = report.said.idempotency_key
    number = db.value("SELECT id FROM results WHERE agent_id = ? AND idempotency_key = ?", report.agent, key)
    if number is None:
        return None
    before = results.result(db, number)
    said = asdict(replace(report.said, idempotency_key=None))
    if any(before[name] != value for name, value in said.items() if name in before):
        raise HubError(409, f"idempotency_key {key} belongs to another result", result=before)
    return before


def _told(db: Database, report: Report) -> list[dict[str, Any]]:
    """What the agent has already told of this very run, oldest first."""
    said = report.said
    rows = db.rows(
        "SELECT id, commit_hash, value, source FROM results WHERE commit_hash >= ? AND commit_hash < ?"
        " AND agent_id = ? AND platform = ? AND metric = ? ORDER BY id",
        *(*replicates.prefix_range(said.commit), report.agent, said.platform, said.metric),
    )
    return [
        row
        for row in rows
        if (row["commit_hash"].startswith(said.commit) or said.commit.startswith(row["commit_hash"]))
        and is_same(row["value"], said.value)
    ]


def _store(db: Database, limits: Limits, report: Report, of_post: int | None, now: int) -> dict[str, Any]:
    """Write a result; a request takes the place of what is known from a line."""
    values = asdict(report.said)
    values["commit_hash"] = values.pop("commit")
    values["train_blob"] = blob_of(db, report.said.commit)
    values["source"] = "api" if report.post_id is None else "post"
    if of_post is not None:
        number = of_post
        db.run(
            f"UPDATE results SET {', '.join(f'{name} = ?' for name in values)} WHERE id = ?", *values.values(), number
        )
    else:
        values |= {"agent_id": report.agent, "post_id": report.post_id, "created": now}
        marks = ", ".join("?" * len(values))
        made = db.run(f"INSERT INTO results ({', '.join(values)}) VALUES ({marks})", *values.values())
        number = made.lastrowid or 0
        search.add(db, "result", number, report.said.description)
    lifted = _judge(db, limits, results.result(db, number), now)
    for each in (number, *lifted):
        told = results.result(db, each)
        events.append(db, "result", told["agent_id"], str(each), told, now)
    written = results.result(db, number)
    claims.close_by_result(db, written, report.claim, now)
    return written


def _judge(db: Database, limits: Limits, written: dict[str, Any], now: int) -> list[int]:
    """Decide whether a result is believed and counts; returns the numbers of those that it makes believed."""
    if written["value"] is None:
        return []
    place = (written["platform"], written["metric"], written["regime"])
    lowest = db.rows(
        "SELECT value FROM results WHERE platform = ? AND metric = ? AND regime = ? AND quarantine = ''"
        " AND value IS NOT NULL AND id != ? ORDER BY value LIMIT ?",
        *(*place, written["id"], NUM_BELIEVED),
    )
    why = doubt(written, [row["value"] for row in lowest])
    agreeing = _agreeing(db, written, place)
    if agreeing and why.startswith(FAR):
        why = ""
    spare = replicates.is_spare(db, limits, written, now)
    db.run("UPDATE results SET quarantine = ?, spare = ? WHERE id = ?", why, spare, written["id"])
    for number in agreeing:
        db.run("UPDATE results SET quarantine = '' WHERE id = ?", number)
    return agreeing


def _agreeing(db: Database, written: dict[str, Any], place: tuple[str, str, str]) -> list[int]:
    """What other agents measured of the same code, far from all others but near to this."""
    rows = db.rows(
        'SELECT id, commit_hash AS "commit", train_blob, value FROM results WHERE platform = ? AND metric = ?'
        " AND regime = ? AND quarantine != '' AND quarantine LIKE ? AND agent_id != ?",
        *(*place, f"{FAR}%", written["agent_id"]),
    )
    return [row["id"] for row in rows if is_near(row["value"], written["value"]) and _is_same_code(row, written)]


def _is_same_code(one: dict[str, Any], other: dict[str, Any]) -> bool:
    if one["train_blob"] and other["train_blob"]:
        return one["train_blob"] == other["train_blob"]
    return one["commit"][:7] == other["commit"][:7]


def blob_of(db: Database, commit: str) -> str | None:
    """The train.py of a commit that was pushed; None for an unknown one, and for a prefix of several."""
    rows = db.rows("SELECT DISTINCT train_blob FROM commits WHERE hash >= ? AND hash < ? LIMIT 2", commit, f"{commit}g")
    return rows[0]["train_blob"] if len(rows) == 1 else None
