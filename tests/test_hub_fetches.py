"""autoresearch/hub/server/fetches.py: so many bundles at one time, and no more."""

import base64
import random
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import pytest
from clones import Clone
from hubs import Client, Live, serving
from test_hub_ingest import wait_for

from autoresearch.hub.limits import Limits
from autoresearch.hub.server import fetches
from autoresearch.repo.bare import Bare


class SlowBare(Bare):
    """Makes bundles when it is told."""

    def __init__(self, root: Path):
        super().__init__(root)
        self.told, self.lock, self.num_made, self.num_at_once, self.most_at_once = (
            threading.Event(),
            threading.Lock(),
            0,
            0,
            0,
        )

    def bundle(self, commit: str, file: BinaryIO) -> None:
        with self.lock:
            self.num_at_once += 1
            self.most_at_once = max(self.most_at_once, self.num_at_once)
        assert self.told.wait(20)
        super().bundle(commit, file)
        with self.lock:
            self.num_at_once -= 1
            self.num_made += 1


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    with serving(tmp_path / "hub", Limits(fetches=2)) as one:
        yield one


def test_fetches_beyond_a_short_queue_are_told_to_come_again(live: Live, tmp_path: Path) -> None:
    agent, clone = live.join("ada"), Clone(tmp_path / "clone")
    path = f"/api/git/fetch/{clone.commit('a = 1')}"
    clone.push(agent)
    slow = SlowBare(live.hub.bare.root)
    live.hub.bare = slow
    places = 2 * (1 + fetches.WAITING)
    with ThreadPoolExecutor(places) as pool:
        asked = [pool.submit(Client(live.url, agent.key).get, path) for _ in range(places)]
        wait_for(lambda: live.hub.fetches.num_asked == places)
        refused = agent.get(path)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, str(fetches.WAIT_S))
        slow.told.set()
        assert {one.result().status_code for one in asked} == {200}
    assert (slow.num_made, slow.most_at_once) == (places, 2)
    assert agent.get(path).status_code == 200
    wait_for(lambda: live.hub.fetches.sending_bytes == live.hub.fetches.num_asked == 0)


def test_fetches_hold_no_more_on_the_disk_than_is_allowed(live: Live, tmp_path: Path) -> None:
    agent, clone = live.join("ada"), Clone(tmp_path / "clone")
    noise = base64.b64encode(random.Random(1).randbytes(4_500_000)).decode()
    path = f"/api/git/fetch/{clone.commit(noise=noise)}"
    clone.push(agent)
    host, port = live.url.removeprefix("http://").split(":")
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)  # the rest of the answer has to wait
        line.connect((host, int(port)))
        line.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {agent.key}\r\n\r\n".encode())
        assert line.recv(12) == b"HTTP/1.1 200"
        assert live.hub.fetches.sending_bytes > 4_000_000  # of which this client takes no more
        live.hub.fetches.sending_bytes += fetches.SENDING_BYTES
        refused = agent.get(path)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, str(fetches.WAIT_S))
        live.hub.fetches.sending_bytes -= fetches.SENDING_BYTES
    wait_for(lambda: live.hub.fetches.sending_bytes == 0)
    assert agent.get(path).status_code == 200
