"""How often somebody did something: the limits that are counted by the hour."""

from autoresearch.errors import HubError
from autoresearch.hub.limits import HOUR_S
from autoresearch.hub.store.database import Database


def admit(db: Database, kind: str, who: str, limit: int, now: int) -> None:
    """Count one more act, in the transaction of the caller.

    Raises:
        HubError: 429, with the seconds to wait; `limit` acts lie within the last hour.
    """
    db.run("DELETE FROM acts WHERE at <= ?", now - HOUR_S)
    taken = db.value("SELECT count(*) FROM acts WHERE kind = ? AND who = ?", kind, who)
    if taken >= limit:
        first = db.value(
            "SELECT at FROM acts WHERE kind = ? AND who = ? ORDER BY at LIMIT 1 OFFSET ?", kind, who, taken - limit
        )
        wait_s = max(1, (first or now) + HOUR_S - now)
        raise HubError(429, f"at most {limit} {kind} an hour; try again in {wait_s} s", retry_after_s=wait_s)
    db.run("INSERT INTO acts (kind, who, at) VALUES (?, ?, ?)", kind, who, now)
