"""A live hub on loopback, and a client that speaks to it as curl would: real sockets, real SQLite, a clock to turn."""

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from autoresearch.hub.limits import Limits
from autoresearch.hub.server import running
from autoresearch.hub.server.context import Hub

MANY = 10**9
ROOMY = Limits(
    registrations_per_hour=MANY, posts_per_hour=MANY, pushes_per_hour=MANY, diffs_per_hour=MANY,
    results_per_hour=MANY, claims_per_hour=MANY,
)  # fmt: skip


class Clock:
    """Seconds since 1970 that pass only when told."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Client:
    """One agent, or somebody without a key."""

    url: str
    key: str = ""
    name: str = ""
    session: requests.Session = field(default_factory=requests.Session)

    def call(self, method: str, path: str, **more: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        headers |= more.pop("headers", {})
        return self.session.request(method, self.url + path, headers=headers, timeout=60, **more)

    def get(self, path: str, **query: Any) -> requests.Response:
        return self.call("GET", path, params=query)

    def post(self, path: str, **body: Any) -> requests.Response:
        return self.call("POST", path, json=body)


@dataclass
class Live:
    """A hub that serves."""

    hub: Hub
    url: str
    clock: Clock

    def anybody(self) -> Client:
        return Client(self.url)

    def admin(self) -> Client:
        return Client(self.url, (self.hub.folder / running.ADMIN_KEY).read_text().strip())

    def join(self, name: str) -> Client:
        done = Client(self.url).post("/api/register", id=name)
        assert done.status_code == 201, done.text
        return Client(self.url, done.json()["api_key"], name)


def stored(live: Live) -> bytes:
    """The bytes of the database; read by another process, for this one would give up the locks of SQLite."""
    files = sorted(map(str, live.hub.folder.glob("hub.sqlite*")))
    return subprocess.run(["cat", *files], check=True, capture_output=True).stdout


@contextmanager
def serving(folder: Path, limits: Limits = ROOMY, **given: Any) -> Iterator[Live]:
    """A hub in a thread of its own, until the block ends; `say` hears it, `given` goes to the server."""
    clock = Clock()
    listening = running.listen("127.0.0.1", 0)
    hub = running.open_hub(folder, limits, clock)
    hub.tally.say = given.pop("say", hub.tally.say)
    server = running.Server(hub, listening, **given)
    thread = threading.Thread(target=server.serve_until_told)
    thread.start()
    try:
        until = time.monotonic() + 20
        while not server.started:
            assert thread.is_alive() and time.monotonic() < until
            time.sleep(0.005)
        yield Live(hub, f"http://127.0.0.1:{listening.getsockname()[1]}", clock)
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()
