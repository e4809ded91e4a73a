"""Who is at what: claims that are held, and how the last ones ended."""

from typing import Any

from autoresearch.hub.pages.page import View
from autoresearch.hub.store import claims

FEW = 50


def tell(view: View) -> dict[str, Any]:
    """Claims of all agents on all platforms."""
    return {"held": claims.open_claims(view.db, "", "", view.now), "ended": claims.ended(view.db, FEW, view.now)}
