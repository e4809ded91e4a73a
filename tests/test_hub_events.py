"""autoresearch/hub/server/events.py and feed.py: the long poll and the stream, on real sockets."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hubs import Client, Live, serving

from autoresearch.hub.limits import Limits
from autoresearch.hub.server import running
from autoresearch.hub.server.feed import NUM_KEPT, Bell, Feed
from autoresearch.hub.store import Database, agents, events

NUM_LISTENERS = 200


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serving(tmp_path_factory.mktemp("hub")) as one:
        yield one


@pytest.fixture(scope="module")
def ann(live: Live) -> Client:
    return live.join("ann")


class Listener:
    """One open stream, read by a plain socket."""

    def __init__(self, agent: Client, resume: str = "", path: str = "/api/stream"):
        host, _, port = agent.url.removeprefix("http://").partition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=20)
        more = f"Last-Event-ID: {resume}\r\n" if resume else ""
        head = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {agent.key}\r\n{more}\r\n"
        self.socket.sendall(head.encode())
        self.text = b""
        self.read_to(b"\n\n")  # the headers, and the first line of the stream

    def read_to(self, end: bytes) -> bytes:
        """Everything up to an ending, which counts only after the headers."""
        while end not in self.text:
            part = self.socket.recv(65536)
            assert part, self.text[-300:]
            self.text += part
        before, _, self.text = self.text.partition(end)
        return before

    def event(self) -> dict[str, Any]:
        """The next event, heartbeats passed over for a while."""
        until = time.monotonic() + 20
        while True:
            assert time.monotonic() < until
            block = self.read_to(b"\n\n").decode()
            fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
            if "data" in fields:
                event = json.loads(fields["data"])
                assert fields["id"] == str(event["id"])
                return event

    def __enter__(self) -> "Listener":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def act(agent: Client, number: int = 0) -> int:
    """Something that happens; the number of its event."""
    name = f"c{number}-{time.monotonic_ns()}"[:31]
    assert agent.post("/api/channels", name=name).status_code == 201
    return agent.get("/api/events", since=newest(agent) - 1).json()[-1]["id"]


def newest(agent: Client) -> int:
    return int(agent.get("/api/events", since=10**12).headers["X-Last-Event-ID"])


def wait_until(holds: Any) -> None:
    until = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_hub_answers_without_waiting_for_acknowledgements(live: Live) -> None:
    client, seconds = live.anybody(), []
    for _ in range(20):
        start = time.monotonic()
        assert client.get("/api/health").status_code == 200
        seconds.append(time.monotonic() - start)
    assert min(seconds[1:]) < 0.03


# Long poll


def test_hub_events_are_listed_in_order(live: Live, ann: Client) -> None:
    first = act(ann)
    assert act(ann) == first + 1
    done = ann.get("/api/events", since=first - 1, limit=1)
    [event] = done.json()
    assert set(event) == {"id", "kind", "agent_id", "subject", "data", "created_at"}
    assert (event["id"], event["kind"], event["agent_id"]) == (first, "channel", "ann")
    assert event["data"]["name"] == event["subject"] and done.headers["X-Last-Event-ID"] == str(first)
    assert ann.get("/api/events").json()[0]["kind"] == "register"
    assert ann.get("/api/events", since=first + 1, wait=0).json() == []


def test_hub_long_poll_wakes_as_soon_as_something_happens(live: Live, ann: Client) -> None:
    last, answers = newest(ann), []

    def poll() -> None:
        start = time.monotonic()
        rows = Client(live.url, ann.key).get("/api/events", since=last, wait=30).json()
        answers.append((rows, time.monotonic() - start))

    waiting = threading.Thread(target=poll)
    waiting.start()
    time.sleep(0.3)
    assert not answers
    act(ann)
    waiting.join(10)
    [(rows, seconds)] = answers
    assert [one["id"] for one in rows] == [last + 1] and 0.3 <= seconds < 5


def test_hub_long_poll_ends_with_nothing(live: Live, ann: Client) -> None:
    start = time.monotonic()
    assert ann.get("/api/events", since=newest(ann), wait=1).json() == []
    assert 0.9 <= time.monotonic() - start < 5


def test_hub_events_that_another_process_writes_wake_those_who_wait(live: Live, ann: Client) -> None:
    last = newest(ann)
    with Listener(ann) as listener:
        timer = threading.Timer(0.3, add_agent, (live.hub.db.path, "shell-made"))
        timer.start()
        [polled] = ann.get("/api/events", since=last, wait=20).json()
        assert polled["subject"] == "shell-made" == listener.event()["subject"]
        timer.join()


def add_agent(path: Path, name: str) -> None:
    """What the command line does beside a running hub."""
    db = Database(path)
    with db.transaction():
        agents.register(db, name, 1_800_000_000)
    db.close()


# Stream


def test_hub_stream_tells_what_happens_from_now_on(live: Live, ann: Client) -> None:
    act(ann)
    with Listener(ann) as listener:
        expected = [act(ann) for _ in range(3)]
        assert [listener.event()["id"] for _ in range(3)] == expected


def test_hub_stream_resumes_where_it_was_left(live: Live, ann: Client) -> None:
    numbers = [act(ann) for _ in range(4)]
    with Listener(ann, resume=str(numbers[1])) as listener:
        assert [listener.event()["id"] for _ in range(2)] == numbers[2:]
    with Listener(ann, path=f"/api/stream?since={numbers[2]}") as listener:
        assert listener.event()["id"] == numbers[3]
        after = act(ann)
        assert listener.event()["id"] == after
    with Listener(ann, resume=str(10**12)) as listener:
        after = act(ann)
        assert listener.event()["id"] == after, "a number that never was means from now on"


def test_hub_stream_needs_a_key_and_answers_head(live: Live, ann: Client) -> None:
    assert live.anybody().get("/api/stream").status_code == 401
    head = ann.call("HEAD", "/api/stream")
    assert head.status_code == 200 and head.headers["Content-Type"].startswith("text/event-stream")


def test_hub_stream_reaches_many_listeners_at_once(live: Live, ann: Client) -> None:
    wait_until(lambda: live.hub.feed.num_listeners == 0)
    with ExitStack() as stack:
        listeners = [stack.enter_context(Listener(ann)) for _ in range(NUM_LISTENERS)]
        assert live.hub.feed.num_listeners == NUM_LISTENERS
        start = time.monotonic()
        number = act(ann)
        assert {one.event()["id"] for one in listeners} == {number}
        assert time.monotonic() - start < 5
    wait_until(lambda: live.hub.feed.num_listeners == 0)


def test_hub_stream_bounds_its_listeners(tmp_path: Path) -> None:
    with serving(tmp_path / "hub", Limits(listeners=1)) as live:
        ann = live.join("ann")
        with Listener(ann):
            refused = ann.get("/api/stream")
            assert refused.status_code == 503 and refused.headers["Retry-After"] == "60"
        wait_until(lambda: live.hub.feed.num_listeners == 0)
        with Listener(ann) as listener:
            number = act(ann)
            assert listener.event()["id"] == number


def test_hub_stream_drops_a_listener_that_takes_nothing(tmp_path: Path) -> None:
    with serving(tmp_path / "hub", Limits(stalled_s=1, posts_per_hour=10**6)) as live:
        ann = live.join("ann")
        ann.post("/api/channels", name="talk")
        with Listener(ann) as idle, Listener(ann) as reader:
            last = newest(ann)
            for n in range(400):
                ann.post("/api/channels/talk/posts", content="x" * 32_000)
                assert reader.event()["id"] == last + n + 1
                if live.hub.feed.num_listeners == 1:
                    break
            wait_until(lambda: live.hub.feed.num_listeners == 1)
            seen = idle.event()["id"]
        with Listener(ann, resume=str(seen)) as again:
            assert again.event()["id"] == seen + 1


def test_hub_stream_catches_up_from_the_database(tmp_path: Path) -> None:
    folder, num = tmp_path / "hub", NUM_KEPT + 60
    folder.mkdir()
    db = Database(folder / running.DATABASE)
    happen(db, Bell(), num)
    db.close()
    with serving(folder) as live, Listener(live.join("ann"), resume="2") as listener:
        assert [listener.event()["id"] for _ in range(num - 1)] == list(range(3, num + 2))


def test_hub_ends_at_once_whoever_listens(tmp_path: Path) -> None:
    with ExitStack() as stack:
        with serving(tmp_path / "hub") as live:
            ann = live.join("ann")
            listener = stack.enter_context(Listener(ann))
            answers: list[Any] = []
            polling = threading.Thread(
                target=lambda: answers.append(Client(live.url, ann.key).get("/api/events", since=10**9, wait=60).json())
            )
            polling.start()
            time.sleep(0.3)
            start = time.monotonic()
        polling.join(10)
        assert time.monotonic() - start < 3 and answers == [[]]
        assert listener.read_to(b"0\r\n\r\n") is not None


# The feed


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    one = Database(tmp_path / "hub.sqlite")
    yield one
    one.close()


def happen(db: Database, bell: Bell, num: int) -> None:
    with db.transaction():
        for _ in range(num):
            events.append(db, "channel", "ann", "c", {"text": "two\nlines \u2028"}, 1_800_000_000)
    bell.ring()


def numbers(text: bytes) -> list[int]:
    return [int(line[4:]) for line in text.splitlines() if line.startswith(b"id: ")]


def drain(feed: Feed, last: int) -> list[int]:
    """All that a listener reads until nothing is new."""
    found: list[int] = []
    while True:
        text, last = feed.after(last)
        if not text:
            return found
        found += numbers(text)


def test_feed_gives_every_event_once_to_fast_and_slow(db: Database) -> None:
    bell = Bell()
    happen(db, bell, 3)
    feed = Feed(db, bell)
    assert feed.after(3) == (b"", 3)
    happen(db, bell, 2)
    assert drain(feed, 3) == [4, 5] and drain(feed, 4) == [5] and drain(feed, 0) == [1, 2, 3, 4, 5]
    happen(db, bell, 3 * NUM_KEPT)
    end = 5 + 3 * NUM_KEPT
    for start in (0, 4, 5, end - NUM_KEPT - 1, end - NUM_KEPT, end - 1, end):
        assert drain(feed, start) == list(range(start + 1, end + 1))


def test_feed_encodes_an_event_once_for_all(db: Database) -> None:
    bell = Bell()
    feed = Feed(db, bell)
    happen(db, bell, 1)
    one, other = feed.after(0)[0], feed.after(0)[0]
    assert one.count(b"\n") == 3 and one == other
    kept = feed._latest[0][1]
    feed.after(0)
    assert feed._latest[0][1] is kept and len(feed._latest) == 1


def test_feed_looks_at_the_database_only_after_a_ring(db: Database) -> None:
    bell = Bell()
    feed = Feed(db, bell)
    with db.transaction():
        events.append(db, "channel", "ann", "c", {}, 1_800_000_000)
    assert feed.after(0) == (b"", 0)
    bell.ring()
    assert numbers(feed.after(0)[0]) == [1]


def test_feed_rings_for_what_another_connection_wrote(db: Database) -> None:
    bell = Bell()
    feed = Feed(db, bell)
    happen(db, bell, 1)
    feed.look()
    assert bell.num_rings == 1, "its own writing is rung for already"
    add_agent(db.path, "other")
    feed.look()
    feed.look()
    assert bell.num_rings == 2 and numbers(feed.after(1)[0]) == [2]
