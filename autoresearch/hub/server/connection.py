"""One connection of a client, with an end to the server's patience.

uvicorn ends idle connections alone; here a request that trickles in and an answer that nobody takes end as well, and
there are only so many connections.
"""

from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from autoresearch.errors import HubError
from autoresearch.hub.server.context import refusal

STEP_BYTES = 256 * 1024
"""What a client has to take or to send within the patience that it is given, again and again."""


class Connection(H11Protocol):
    """Speaks HTTP/1.1 with one client."""

    def __init__(self, most: int, patience_s: float, **given: Any):
        """Make one.

        Args:
            most: connections at one time; further ones are told to come again.
            patience_s: how long to wait for a client that does nothing.
            given: what uvicorn gives to each connection.
        """
        super().__init__(**given)
        self.most, self.patience_s = most, patience_s
        self.received = self.drained = 0
        self.waits: tuple[object, ...] = ()
        self.since = 0.0

    def connection_made(self, transport: Any) -> None:
        """Begin, unless there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            self.turn_away(HubError(503, "too many connections", retry_after_s=5))

    def data_received(self, data: bytes) -> None:
        """Take what the client sent."""
        self.received += len(data)
        super().data_received(data)

    def resume_writing(self) -> None:
        """The client has taken most of what it was sent."""
        self.drained += 1
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP in the form of every refusal; in the midst of another answer there is only an end."""
        if self.cycle and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.abort()
        else:
            self.turn_away(HubError(400, "invalid http request"))

    def turn_away(self, error: HubError) -> None:
        """Answer outside of any request, and close."""
        answer = refusal(error)
        lines = [f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}".encode()]
        lines += [name + b": " + value for name, value in (*answer.raw_headers, (b"connection", b"close"))]
        self.transport.write(b"\r\n".join(lines) + b"\r\n\r\n" + bytes(answer.body))
        self.transport.close()

    def close_if_overdue(self, now: float) -> None:
        """Cut the client off if it has kept us waiting for too long; to be called every second or so.

        Args:
            now: time of the event loop.
        """
        waits = self._waits_for()
        if waits != self.waits:
            self.waits, self.since, self.received = waits, now, 0
        elif waits and now - self.since > self.patience_s * (1 + self._credit() / STEP_BYTES):
            self.transport.abort()

    def _waits_for(self) -> tuple[object, ...]:
        """What the client has to do next, equal for as long as it does not; empty when it is our turn."""
        if self.transport.is_closing():
            return ("leave",)
        if self.flow.write_paused:
            return ("read", self.cycle, self.drained)
        state = self.conn.their_state
        is_between = state is h11.IDLE and self.cycle and not self.conn.trailing_data[0]  # uvicorn ends those
        return ("send", self.cycle, state) if state in (h11.IDLE, h11.SEND_BODY) and not is_between else ()

    def _credit(self) -> int:
        """Bytes for which the client is given more time; none for a body that was refused already."""
        if self.flow.write_paused:
            return self.transport.get_write_buffer_size()
        return 0 if self.cycle and self.cycle.response_complete else self.received
