"""Open a hub that lies in a folder, and serve it."""

import os
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import uvicorn

from autoresearch.errors import Refused
from autoresearch.hub.limits import Limits
from autoresearch.hub.server.app import LOOPBACK, make_app
from autoresearch.hub.server.context import Hub
from autoresearch.hub.store import Database, agents

DATABASE = "hub.sqlite"
ADMIN_KEY = "admin.key"
NUM_WORKERS = 4
GRACE_S = 5


def open_hub(folder: Path, limits: Limits, clock: Callable[[], float]) -> Hub:
    """The hub in a folder; a new one is made, with the key of its administrator in a file that only its owner reads.

    Raises:
        Damaged: what lies there is no hub.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    hub = Hub(folder, Database(folder / DATABASE), limits, clock, ThreadPoolExecutor(NUM_WORKERS, "hub"))
    with hub.db.transaction():
        if not hub.db.value("SELECT 1 FROM facts WHERE name = ?", agents.ADMIN_KEY):
            write_secret(folder / ADMIN_KEY, agents.new_admin_key(hub.db))
    return hub


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner can read, at no instant anybody else."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.unlink(missing_ok=True)
    with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)


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

    def __init__(self, hub: Hub, listening: socket.socket, hosts: Sequence[str] = LOOPBACK, proxies: str = ""):
        config = uvicorn.Config(
            make_app(hub, hosts),
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=bool(proxies),
            forwarded_allow_ips=proxies or None,
            timeout_graceful_shutdown=GRACE_S,
            lifespan="off",
        )
        super().__init__(config)
        self.hub, self.listening = hub, listening

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: tell those who wait of what another process wrote, and of the end."""
        self.hub.feed.look()
        if ends := await super().on_tick(counter):
            self.hub.bell.close()
        return ends

    def serve_until_told(self) -> None:
        """Serve until `should_exit`, Ctrl-C or SIGTERM; then close the hub."""
        try:
            self.run(sockets=[self.listening])
        finally:
            self.hub.workers.shutdown(cancel_futures=True)
            self.hub.db.close()
