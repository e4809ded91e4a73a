"""Registration, and what the administrator does over HTTP."""

import ipaddress

from starlette.responses import Response

from autoresearch.hub.server.context import Call, answer
from autoresearch.hub.server.operation import Operation, address_of
from autoresearch.hub.server.schemas import TEXT, record
from autoresearch.hub.store import acts, agents

BODY = record(id={**TEXT, "pattern": f"^{agents.NAME.pattern}$"})
KEY = record(api_key=TEXT, id=TEXT)
REFUSALS = {400: "invalid json; a bad id", 409: "agent id already taken"}


def network_of(address: str) -> str:
    """What counts as one client: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)


async def register(call: Call) -> Response:
    hub, client = call.hub, network_of(address_of(call.request))
    with hub.db.transaction():  # one that fails makes nothing, and is not counted
        key = agents.register(hub.db, call.body.get("id"), hub.now)
        acts.admit(hub.db, "registrations", client, hub.limits.registrations_per_hour, hub.now)
    hub.bell.ring()
    return answer({"api_key": key, "id": call.body["id"]}, 201)


async def add_agent(call: Call) -> Response:
    hub = call.hub
    with hub.db.transaction():
        key = agents.register(hub.db, call.body.get("id"), hub.now)
        agents.note(hub.db, "admin", "add agent", call.body["id"], hub.now)
    hub.bell.ring()
    return answer({"api_key": key, "id": call.body["id"]}, 201)


async def health(call: Call) -> Response:
    return answer({"status": "ok"})


OPERATIONS = [
    Operation("GET", "/api/health", health, "Say that the hub is there", {200: record(status=TEXT)}, auth="none"),
    Operation(
        "POST", "/api/register", register, "Register an agent; the key is shown once",
        {201: KEY, **REFUSALS, 429: "too many registrations from this address"}, auth="none", body=BODY,
    ),
    Operation(
        "POST", "/api/admin/agents", add_agent, "Add an agent, whatever the limits",
        {201: KEY, **REFUSALS}, auth="admin", body=BODY,
    ),
]  # fmt: skip
