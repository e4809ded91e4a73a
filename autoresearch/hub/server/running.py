"""Open a hub that lies in a folder, and serve it."""

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, cast

import uvicorn

from autoresearch.errors import Refused
from autoresearch.hub import doctor
from autoresearch.hub.folder import ADMIN_KEY, DATABASE, INCOMING, REPOSITORY, write_secret
from autoresearch.hub.limits import Limits
from autoresearch.hub.pages import site
from autoresearch.hub.server.app import make_app
from autoresearch.hub.server.connection import Connection
from autoresearch.hub.server.context import Hub
from autoresearch.hub.server.guard import LOOPBACK
from autoresearch.hub.store import Database, agents
from autoresearch.repo.bare import Bare

NUM_WORKERS = 4
GRACE_S = 5
PATIENCE_S = 30.0
IDLE_S = 75  # longer than proxies keep a connection, so that none sends a request into one that is closing
CHECK_TICKS, TELL_TICKS = 10, 600
PREPARE_S = 5.0


def open_hub(folder: Path, limits: Limits, clock: Callable[[], float], path: str = os.defpath) -> Hub:
    """The hub in a folder; a new one is made, with the key of its administrator in a file that only its owner reads.

    What pushes left over that were cut off is cleared up.

    Args:
        path: where git is looked for.

    Raises:
        Damaged: what lies there is no hub.
        GitFailed: git is not there, or does not take the repository.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    bare, workers = Bare(folder / REPOSITORY, path), ThreadPoolExecutor(NUM_WORKERS, "hub")
    hub = Hub(folder, Database(folder / DATABASE), limits, clock, workers, bare)
    (folder / INCOMING).mkdir(mode=0o700, exist_ok=True)
    bare.create()
    doctor.clear_up(hub.db, bare, folder / INCOMING)
    with hub.db.transaction():
        if not hub.db.value("SELECT 1 FROM facts WHERE name = ?", agents.ADMIN_KEY):
            write_secret(folder / ADMIN_KEY, agents.new_admin_key(hub.db))
    return hub


def listen(host: str, port: int) -> socket.socket:
    """Bind a port; 0 takes any.

    Raises:
        Refused: it is taken, or not ours to take.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise Refused(f"{host} port {port} must be free but: {error.strerror}; choose another with --port") from error
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # inherited; asyncio leaves it out, at 40 ms a call
    return listening


class Server(uvicorn.Server):
    """uvicorn around one hub, on a socket that is bound already."""

    def __init__(
        self,
        hub: Hub,
        listening: socket.socket,
        hosts: Sequence[str] = LOOPBACK,
        proxies: str = "",
        patience_s: float = PATIENCE_S,
        tell: Callable[[], None] = lambda: None,
    ):
        """Set one up.

        Args:
            hosts: names and addresses that it answers to.
            proxies: addresses of proxies whose headers count.
            patience_s: how long to wait for a client that does nothing.
            tell: called once requests are answered.
        """
        config = uvicorn.Config(
            make_app(hub, hosts),
            http=cast(Any, partial(Connection, hub.limits.connections, patience_s)),
            ws="none",
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=bool(proxies),
            forwarded_allow_ips=proxies or None,
            timeout_keep_alive=IDLE_S,
            timeout_graceful_shutdown=GRACE_S,
            lifespan="off",
        )
        super().__init__(config)
        self.hub, self.listening, self.tell = hub, listening, tell

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer requests, once the first page takes no longer than the next; with very many results sooner."""
        await asyncio.wait({asyncio.ensure_future(site.prepare(self.hub))}, timeout=PREPARE_S)
        await super().startup(sockets)
        self.tell()

    async def on_tick(self, counter: int) -> bool:
        """What is to be done from time to time, and at the end; uvicorn calls it ten times a second."""
        self.hub.feed.look()
        if counter % CHECK_TICKS == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                cast(Connection, connection).close_if_overdue(now)
        if counter % TELL_TICKS == 0:
            self.hub.tally.tell()
        if ends := await super().on_tick(counter):
            self.hub.bell.close()
        return ends

    def serve_until_told(self) -> None:
        """Serve until `should_exit`, Ctrl-C or SIGTERM; then close the hub."""
        try:
            self.run(sockets=[self.listening])
        finally:
            self.hub.tally.tell()
            self.hub.workers.shutdown(cancel_futures=True)
            self.hub.db.close()
