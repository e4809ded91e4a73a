"""Claims: who is at which idea, so that no two agents spend a night on the same one.

A claim is held from when it is made until it runs out, is released, or a result of its holder closes it. Of one key on
one platform there is one holder; a claim without a platform is one on all of them. Keys are compared without regard to
case. A result of the holder closes a claim of its platform when the result names the claim (`claim`: its number or
key), when its description holds the key as whole words, or when the key, or what follows its `replicate:`, names the
commit or train.py of the result. A claim is advice: nobody is kept from running what another has claimed.
"""

import re
from dataclasses import dataclass
from typing import Any, Self

from autoresearch.errors import HubError
from autoresearch.hub.limits import HOUR_S, Limits
from autoresearch.hub.result_line import platform_name
from autoresearch.hub.store import acts, events, measurement, search
from autoresearch.hub.store.database import Database, stamp

TTL_S = 900
KEY_CHARS = 200
REPLICATE = "replicate:"
NUM_SIMILAR, NUM_LOOKED_AT = 5, 40
CLAIM = (
    f"SELECT id, key, description, parent, platform, agent_id, {stamp('created')} AS created_at,"
    f" {stamp('expires')} AS expires_at, {stamp('closed')} AS closed_at, outcome FROM claims"
)
OPEN = "closed IS NULL AND expires > ?"


@dataclass(frozen=True)
class Wish:
    """What an agent wants to claim."""

    key: str
    description: str = ""
    parent: str = ""
    """The commit that the idea starts from; empty where it does not matter."""
    platform: str = ""
    """Empty for all of them."""
    ttl_s: int = TTL_S

    @classmethod
    def from_body(cls, body: dict[str, Any]) -> Self:
        """What a request asks for.

        Raises:
            HubError: 400, with what must hold.
        """
        key = " ".join(measurement.text(body, "key", KEY_CHARS).split())
        if not key:
            raise HubError(400, f"key must name the idea in 1 to {KEY_CHARS} characters")
        parent, ttl_s = body.get("parent"), measurement.whole(body, "ttl_s", 1)
        return cls(
            key,
            measurement.text(body, "description", measurement.DESCRIPTION_CHARS),
            measurement.commit_name(parent, "parent") if parent else "",
            platform_name(measurement.text(body, "platform", measurement.WORD_CHARS)),
            checked_ttl(TTL_S if ttl_s is None else ttl_s),
        )


def checked_ttl(ttl_s: int) -> int:
    """Seconds for which a claim may be held.

    Raises:
        HubError: 400.
    """
    if not 1 <= ttl_s <= HOUR_S:
        raise HubError(400, f"ttl_s must be 1 to {HOUR_S} but got {ttl_s}; extend a claim by its heartbeat")
    return ttl_s


def claim(db: Database, limits: Limits, agent: str, wish: Wish, now: int) -> tuple[dict[str, Any], bool]:
    """Claim an idea; whoever holds it already keeps it, at least as long as wished.

    Returns:
        The claim, and whether it is a new one.

    Raises:
        HubError: 409 with the claim of the holder, 429.
    """
    holder = db.row(
        f"{CLAIM} WHERE key = ? AND {OPEN} AND (platform = ? OR platform = '' OR ? = '') ORDER BY agent_id = ?",
        *(wish.key, now, wish.platform, wish.platform, agent),
    )
    if holder and holder["agent_id"] != agent:
        raise HubError(
            409,
            f"{wish.key} is claimed by {holder['agent_id']} until {holder['expires_at']}; take another idea",
            holder=holder,
        )
    if holder:
        return heartbeat(db, agent, holder["id"], wish.ttl_s, now), False
    acts.admit(db, "claims", agent, limits.claims_per_hour, now)
    made = db.run(
        "INSERT INTO claims (key, description, parent, platform, agent_id, created, expires)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        *(wish.key, wish.description, wish.parent, wish.platform, agent, now, now + wish.ttl_s),
    )
    written = by_number(db, made.lastrowid or 0)
    search.add(db, "claim", written["id"], f"{wish.key}\n{wish.description}")
    events.append(db, "claim", agent, str(written["id"]), written, now)
    return written, True


def similar(db: Database, wish: Wish, now: int, but: int) -> list[dict[str, Any]]:
    """Open claims and results with words of the wish, the most alike first; takes a while among many texts.

    Args:
        but: number of the claim that is known already.
    """
    found = search.similar(db, f"{wish.key} {wish.description}", ("claim", "result"), NUM_LOOKED_AT)
    still_open = {str(row["id"]) for row in db.rows(f"SELECT id FROM claims WHERE {OPEN} AND id != ?", now, but)}
    return [one for one in found if one["kind"] == "result" or one["subject"] in still_open][:NUM_SIMILAR]


def settled(db: Database, agent: str, wish: Wish) -> list[dict[str, Any]]:
    """Claims of others to this very idea that a result with a value has closed, newest first."""
    return db.rows(
        f"{CLAIM} WHERE key = ? AND closed IS NOT NULL AND (platform IN (?, '') OR ? = '') AND agent_id != ?"
        " AND outcome IN (SELECT 'result ' || id FROM results WHERE id = CAST(substr(claims.outcome, 8) AS INTEGER)"
        " AND value IS NOT NULL) ORDER BY claims.id DESC LIMIT ?",
        *(wish.key, wish.platform, wish.platform, agent, NUM_SIMILAR),
    )


def by_number(db: Database, number: int) -> dict[str, Any]:
    """One claim, open or not.

    Raises:
        HubError: 404.
    """
    if found := db.row(f"{CLAIM} WHERE id = ?", number):
        return found
    raise HubError(404, "claim not found")


def open_claims(db: Database, platform: str, agent: str, now: int) -> list[dict[str, Any]]:
    """Claims that are held now, oldest first.

    Args:
        platform: only those that bind there; all where empty.
        agent: only its own; everybody's where empty.
    """
    return db.rows(  # + so that the index of what is held is taken
        f"{CLAIM} WHERE {OPEN} AND (platform IN (?, '') OR ? = '') AND (agent_id = ? OR ? = '') ORDER BY +id",
        *(now, platform, platform, agent, agent),
    )


def heartbeat(db: Database, agent: str, number: int, ttl_s: int, now: int) -> dict[str, Any]:
    """Hold a claim for `ttl_s` from now, if that is longer.

    Raises:
        HubError: 404; 403 for another's claim; 409 for one that is closed or has run out.
    """
    found = _own(db, agent, number)
    held = db.run(f"UPDATE claims SET expires = max(expires, ?) WHERE id = ? AND {OPEN}", now + ttl_s, number, now)
    if not held.rowcount:
        ended = found["closed_at"] or found["expires_at"]
        raise HubError(409, f"claim {number} ended at {ended}; claim {found['key']} anew")
    return by_number(db, number)


def release(db: Database, agent: str, number: int, now: int, outcome: str = "released") -> dict[str, Any]:
    """Close a claim of the agent; one that is closed stays as it is.

    Raises:
        HubError: 404; 403 for another's claim.
    """
    found = _own(db, agent, number)
    if found["closed_at"]:
        return found
    db.run("UPDATE claims SET closed = ?, outcome = ? WHERE id = ?", now, outcome, number)
    closed = by_number(db, number)
    events.append(db, "release", agent, str(number), closed, now)
    return closed


def _own(db: Database, agent: str, number: int) -> dict[str, Any]:
    found = by_number(db, number)
    if found["agent_id"] != agent:
        raise HubError(403, f"claim {number} is held by {found['agent_id']}")
    return found


def close_by_result(db: Database, result: dict[str, Any], named: str, now: int) -> list[int]:
    """Close what a result of the holder settles.

    Args:
        result: in the shape of the wire.
        named: number or key of the claim that the result names; empty where it names none.

    Returns:
        Their numbers.
    """
    held = open_claims(db, result["platform"], result["agent_id"], now)
    settled = [one["id"] for one in held if _settles(result, one, named.casefold())]
    for number in settled:
        release(db, result["agent_id"], number, now, outcome=f"result {result['id']}")
    return settled


def _settles(result: dict[str, Any], held: dict[str, Any], named: str) -> bool:
    key = held["key"].casefold()
    code = key.removeprefix(REPLICATE).strip()
    return bool(
        named in (str(held["id"]), key)
        or re.search(rf"(?<!\w){re.escape(key)}(?!\w)", result["description"].casefold())
        or is_code(code, result["commit"], result["train_blob"])
    )


def may_replicate(db: Database, agent: str, commit: str, blob: str | None, now: int) -> bool:
    """Whether the agent holds a claim to replicate this code."""
    held = db.rows(
        f"SELECT key FROM claims WHERE +agent_id = ? AND {OPEN} AND +key LIKE ?", agent, now, f"{REPLICATE}%"
    )
    return any(is_code(one["key"][len(REPLICATE) :].strip().casefold(), commit, blob) for one in held)


def replicated(db: Database, agent: str) -> dict[int, list[str]]:
    """The codes that an agent had claimed to replicate, by the number of the result that closed the claim."""
    found: dict[int, list[str]] = {}
    for row in db.rows(
        "SELECT key, CAST(substr(outcome, 8) AS INTEGER) AS result FROM claims"
        " WHERE agent_id = ? AND outcome LIKE 'result %' AND key LIKE ?",
        *(agent, f"{REPLICATE}%"),
    ):
        found.setdefault(row["result"], []).append(row["key"][len(REPLICATE) :].strip().casefold())
    return found


def is_code(name: str, commit: str, blob: str | None) -> bool:
    """Whether seven hex digits or more name a commit (either may be the longer one) or its train.py."""
    if len(name) < 7:
        return False
    return commit.startswith(name) or name.startswith(commit) or (blob or "").startswith(name)


def ended(db: Database, limit: int, now: int) -> list[dict[str, Any]]:
    """Claims that were closed or have run out, the last first."""
    return db.rows(f"{CLAIM} WHERE NOT ({OPEN}) ORDER BY coalesce(closed, expires) DESC, id DESC LIMIT ?", now, limit)
