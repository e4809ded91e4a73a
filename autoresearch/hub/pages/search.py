"""Full text search."""

from typing import Any

from autoresearch.hub.pages import markup
from autoresearch.hub.pages.page import View
from autoresearch.hub.store import Database, results, search

MOST = 50


def tell(view: View) -> dict[str, Any]:
    """What holds all the words."""
    words, kind = view.call.query("q"), view.call.query("kind")
    kinds = (kind,) if kind in search.KINDS else search.KINDS
    found = search.search(view.db, words, kinds, MOST)
    told = {results.result(view.db, int(one["subject"]))["post_id"] for one in found if one["kind"] == "result"}
    found = [one for one in found if one["kind"] != "post" or int(one["subject"]) not in told]  # of the same run
    for one in found:
        one["link"] = _link(view.db, one["kind"], one["subject"])
        one["excerpt"] = markup.flat(one["excerpt"]) if one["kind"] == "post" else one["excerpt"]
    return {"words": words, "kind": kind, "kinds": search.KINDS, "found": found}


def _link(db: Database, kind: str, subject: str) -> str:
    """Where the page about something is."""
    if kind == "result":
        return f"/commit/{results.result(db, int(subject))['commit']}#result-{subject}"
    return f"/claims#claim-{subject}" if kind == "claim" else f"/{kind}/{subject}"
