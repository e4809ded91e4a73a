"""The budget of replicates: how many runs of one train.py by one agent count.

Of one train.py (of one commit, as long as that was not pushed) an agent has `Limits.replicates` runs on a platform.
More are stored but do not count ("spare"), unless the agent holds a claim `replicate:<commit or blob>` at the time; the
result closes that claim, so that each further run takes a claim of its own. Otherwise whoever repeats one configuration
most often would look best. Runs without a score are free. What was told before its commit was pushed is counted again
once that shows which train.py it was; what is spare already stays so.
"""

import json
from collections.abc import Iterable
from typing import Any

from autoresearch.hub.limits import Limits
from autoresearch.hub.store import claims, events, results
from autoresearch.hub.store.database import Database

GROUP = ("agent_id", "platform", "metric", "regime", "train_blob")
IN_GROUP = " AND ".join(f"{name} = ?" for name in GROUP)


def is_spare(db: Database, limits: Limits, written: dict[str, Any], now: int) -> bool:
    """Whether the agent of a result has had its runs of this code on this platform.

    Args:
        written: in the shape of the wire.
    """
    commit, blob, agent = written["commit"], written["train_blob"], written["agent_id"]
    of_code = ("train_blob = ?", (blob,)) if blob else ("commit_hash >= ? AND commit_hash < ?", prefix_range(commit))
    runs = db.value(
        f"SELECT count(*) FROM results WHERE {of_code[0]} AND agent_id = ? AND platform = ? AND metric = ?"
        " AND regime = ? AND value IS NOT NULL AND id < ?",
        *(*of_code[1], agent, written["platform"], written["metric"], written["regime"], written["id"]),
    )
    return runs >= limits.replicates and not claims.may_replicate(db, agent, commit, blob, now)


def prefix_range(commit: str) -> tuple[str, str]:
    """Between which two texts all names of a commit lie, short and long ones."""
    return commit[:7], f"{commit[:7]}g"


def count_again(db: Database, limits: Limits, pushed: Iterable[str], now: int) -> None:
    """Tell results that came before their commits did which train.py they are of, and which of them are spare then.

    Args:
        pushed: hashes of the commits that came.
    """
    told = db.rows(
        # every prefix of a hash sorts between its first seven digits and itself; + so that the index of hashes is taken
        f"""UPDATE results SET train_blob = arrived.train_blob FROM (
            SELECT hash, train_blob FROM commits
            WHERE hash IN (SELECT value FROM json_each(?)) AND train_blob IS NOT NULL
        ) AS arrived
        WHERE results.commit_hash BETWEEN substr(arrived.hash, 1, 7) AND arrived.hash
        AND substr(arrived.hash, 1, length(results.commit_hash)) = results.commit_hash
        AND +results.train_blob IS NULL RETURNING {", ".join(GROUP)}""",
        json.dumps([*pushed]),
    )
    for group in sorted({tuple(row[name] for name in GROUP) for row in told}):
        for number in _beyond(db, limits, group):
            db.run("UPDATE results SET spare = 1 WHERE id = ?", number)
            events.append(db, "result", group[0], str(number), results.result(db, number), now)


def _beyond(db: Database, limits: Limits, group: tuple[str, ...]) -> list[int]:
    """Numbers of the runs of a group that count, are more than it may have, and took no claim to replicate."""
    rows = db.rows(
        f"SELECT id, commit_hash, spare FROM results WHERE {IN_GROUP} AND value IS NOT NULL ORDER BY id"
        " LIMIT -1 OFFSET ?",
        *(*group, limits.replicates),
    )
    claimed = claims.replicated(db, group[0]) if rows else {}
    return [
        row["id"]
        for row in rows
        if not row["spare"]
        and not any(claims.is_code(code, row["commit_hash"], group[-1]) for code in claimed.get(row["id"], ()))
    ]
