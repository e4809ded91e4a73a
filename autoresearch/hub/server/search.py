"""Full text over HTTP."""

from starlette.responses import Response

from autoresearch.errors import HubError
from autoresearch.hub.server.context import Call, answer
from autoresearch.hub.server.operation import Operation
from autoresearch.hub.server.schemas import LIMIT, TEXT, TIME, array, record
from autoresearch.hub.store import search

NUM_FOUND = 20


async def find_texts(call: Call) -> Response:
    kind, (limit, _) = call.query("kind"), call.page(NUM_FOUND)
    if kind and kind not in search.KINDS:
        raise HubError(400, f"kind must be one of {', '.join(search.KINDS)} but got {kind!r:.80}")
    kinds = (kind,) if kind else search.KINDS
    return answer(await call.hub.read(search.search, call.query("q"), kinds, limit))


FOUND = record(kind={"enum": list(search.KINDS)}, subject=TEXT, excerpt=TEXT, agent_id=TEXT, created_at=TIME)

OPERATIONS = [
    Operation(
        "GET", "/api/search", find_texts, "Search posts, results, claims and the messages of commits",
        {200: array(FOUND), 400: "an unknown kind"},
        query={"q": TEXT, "kind": {"enum": list(search.KINDS)}, "limit": LIMIT},
        detail="All words must be found; a star ends a word of which only the beginning is known. `subject` is the "
        "number of a post, result or claim, or the hash of a commit.",
    ),
]  # fmt: skip
