"""Stands before every answer: the names that the hub answers to, requests of foreign pages, and headers of safety.

Not covered: who may do what, which each operation asks for itself.
"""

from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from autoresearch.errors import HubError
from autoresearch.hub.server.context import refusal

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
READING = ("GET", "HEAD")
HEADERS = {  # where an answer does not set its own
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Guard:
    """Lets through what is meant for this hub."""

    def __init__(self, app: ASGIApp, names: Iterable[str] = LOOPBACK):
        """Stand before an application.

        Args:
            names: names and addresses that the hub answers to, without a port; `*` for any.
        """
        self.app, self.names = app, {name.lower() for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or have it answered."""

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refused = self.why_not(scope["method"], Headers(scope=scope))
        await (refusal(refused) if refused else self.app)(scope, receive, send_guarded)

    def why_not(self, method: str, headers: Headers) -> HubError | None:
        """Why a request is refused; None when it is not."""
        host = headers.get("host", "").lower()
        if not self.names & {"*", without_port(host)}:  # a name that was rebound to this address reads nothing
            told = f"this hub must be asked by a name of its own but was asked as {host!r}; see `hub serve --name`"
            return HubError(421, told)  # says nothing about the request: a client may send it again
        origin = headers.get("origin")
        if origin is not None and method not in READING and origin.lower().partition("://")[2] != host:
            return HubError(403, "pages of other sites may not write to this hub")
        return None


def without_port(host: str) -> str:
    """The name in a Host header; an IPv6 address keeps its brackets."""
    return host if host.endswith("]") else host.rpartition(":")[0] or host
