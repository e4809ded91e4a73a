"""Fetches under way: a bundle is made by a process and sent from a file, and both are bounded for all clients together.

Not covered: how long a client may take for what it is sent; that is for the connection.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import BinaryIO

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from autoresearch.errors import HubError

CHUNK_BYTES = 64 << 10
SENDING_BYTES = 1 << 30
"""Of all files that are being sent."""
WAITING = 4
"""How many wait for each that is made."""
WAIT_S = 10


class Fetches:
    """What all fetches of one hub take."""

    def __init__(self, most: int):
        """Begin without any.

        Args:
            most: bundles that are made at one time.
        """
        self.sending_bytes = self.num_asked = 0
        self._most_asked = most * (1 + WAITING)
        self._turns = asyncio.Semaphore(most)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Make a bundle in the block, once it is one's turn.

        Raises:
            HubError: 503, too many others wait or it takes too long.
        """
        if self.num_asked >= self._most_asked:
            raise busy()
        self.num_asked += 1
        try:
            try:
                async with asyncio.timeout(WAIT_S):
                    await self._turns.acquire()
            except TimeoutError as error:
                raise busy() from error
            try:
                yield
            finally:
                self._turns.release()
        finally:
            self.num_asked -= 1


def busy() -> HubError:
    """The refusal of one fetch too many."""
    return HubError(503, f"too many fetches are under way; try again in {WAIT_S} s", WAIT_S)


class Sent(StreamingResponse):
    """A file as an answer: closed, and counted no longer, however it ends."""

    def __init__(self, fetches: Fetches, file: BinaryIO, headers: dict[str, str], media_type: str):
        """Take over a file.

        Raises:
            HubError: 503, too much is being sent; the file is closed.
        """
        self.fetches, self.file, self.num_bytes = fetches, file, os.fstat(file.fileno()).st_size
        if fetches.sending_bytes and fetches.sending_bytes + self.num_bytes > SENDING_BYTES:
            file.close()
            raise busy()
        fetches.sending_bytes += self.num_bytes
        file.seek(0)
        super().__init__(
            chunks(file), headers={"Content-Length": str(self.num_bytes), **headers}, media_type=media_type
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.fetches.sending_bytes -= self.num_bytes
            self.file.close()


async def chunks(file: BinaryIO) -> AsyncIterator[bytes]:
    """What a file holds."""
    while chunk := file.read(CHUNK_BYTES):
        yield chunk
