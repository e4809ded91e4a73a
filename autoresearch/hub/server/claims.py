"""Claims over HTTP."""

from starlette.responses import Response

from autoresearch.errors import HubError
from autoresearch.hub.limits import HOUR_S
from autoresearch.hub.server.context import Call, answer
from autoresearch.hub.server.operation import Operation
from autoresearch.hub.server.schemas import ERROR, NUMBER, TEXT, TIME, array, nullable, record
from autoresearch.hub.server.search import FOUND
from autoresearch.hub.store import claims


async def claim_idea(call: Call) -> Response:
    hub, wish = call.hub, claims.Wish.from_body(call.body)
    try:
        with hub.db.transaction():
            made, is_new = claims.claim(hub.db, hub.limits, call.agent, wish, hub.now)
            done = claims.settled(hub.db, call.agent, wish)
    except HubError as error:
        if "holder" in error.more:
            error.more["similar"] = await hub.read(claims.similar, wish, hub.now, error.more["holder"]["id"])
        raise
    hub.bell.ring()
    alike = await hub.read(claims.similar, wish, hub.now, made["id"])
    return answer({**made, "similar": alike, "settled": done}, 201 if is_new else 200)


async def list_claims(call: Call) -> Response:
    hub = call.hub
    return answer(claims.open_claims(hub.db, call.query("platform"), call.query("agent"), hub.now))


async def extend_claim(call: Call) -> Response:
    hub, number = call.hub, call.serial("id", "invalid claim id")
    ttl_s = claims.checked_ttl(call.number("ttl_s", claims.TTL_S))
    with hub.db.transaction():
        held = claims.heartbeat(hub.db, call.agent, number, ttl_s, hub.now)
    return answer(held)


async def release_claim(call: Call) -> Response:
    hub, number = call.hub, call.serial("id", "invalid claim id")
    with hub.db.transaction():
        released = claims.release(hub.db, call.agent, number, hub.now)
    hub.bell.ring()
    return answer(released)


CLAIM = record(
    id=NUMBER, key=TEXT, description=TEXT, parent=TEXT, platform=TEXT, agent_id=TEXT, created_at=TIME,
    expires_at=TIME, closed_at=nullable(TIME), outcome=TEXT,
)  # fmt: skip
CLAIMED = record(similar=array(FOUND), settled=array(CLAIM), **CLAIM["properties"])
TAKEN = record(holder=CLAIM, similar=array(FOUND), **ERROR["properties"])
SECONDS = {**NUMBER, "minimum": 1, "maximum": HOUR_S, "default": claims.TTL_S}
REFUSALS = {400: "invalid claim id", 403: "the claim of another agent", 404: "claim not found"}

OPERATIONS = [
    Operation(
        "POST", "/api/claims", claim_idea, "Claim an idea, so that nobody else tries it at the same time",
        {200: CLAIMED, 201: CLAIMED, 400: "what must hold", 409: TAKEN, 429: "too many claims"},
        body=record(
            ("description", "parent", "platform", "ttl_s"), key={**TEXT, "minLength": 1, "maxLength": 200},
            description=nullable({**TEXT, "maxLength": 2000}), ttl_s=nullable(SECONDS),
            parent=nullable({**TEXT, "pattern": "^([0-9a-fA-F]{7,64})?$"}),
            platform=nullable({**TEXT, "maxLength": 128}),
        ),
        detail="Who holds the claim already extends it and is answered 200. `similar` lists open claims and results "
        "with the same words, `settled` claims of others to this key that ended with a score. "
        "A key `replicate:<commit or blob>` allows one more run of a train.py.",
    ),
    Operation(
        "GET", "/api/claims", list_claims, "List the claims that are held, oldest first", {200: array(CLAIM)},
        query={"platform": TEXT, "agent": TEXT},
    ),
    Operation(
        "POST", "/api/claims/{id}/heartbeat", extend_claim, "Hold a claim for longer",
        {200: CLAIM, **REFUSALS, 409: "the claim has ended"}, query={"ttl_s": SECONDS}, path_schemas={"id": NUMBER},
    ),
    Operation(
        "DELETE", "/api/claims/{id}", release_claim, "Release a claim", {200: CLAIM, **REFUSALS},
        path_schemas={"id": NUMBER},
    ),
]  # fmt: skip
