"""Who is at what: claims that are held, and how the last ones ended."""

from typing import Any

from autoresearch.hub.server.context import Call
from autoresearch.hub.store import Database, claims

FEW = 50


def tell(db: Database, call: Call) -> dict[str, Any]:
    """Claims."""
    return {
        "held": claims.open_claims(db, call.query("platform"), call.query("agent"), call.hub.now),
        "ended": claims.ended(db, FEW, call.hub.now),
    }
