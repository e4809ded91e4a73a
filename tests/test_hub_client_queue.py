"""autoresearch/hub/client/queue.py: nothing is lost and nothing blocks, whoever is killed and whatever the hub says."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import night
import pytest

from autoresearch.errors import Away, Damaged, GitFailed, HubError, Refused
from autoresearch.hub.client.credentials import Credentials
from autoresearch.hub.client.queue import PROMISE, Deliver, Item, Queue

ME = Credentials("http://here", "k", "one")
OTHERS = [Credentials("http://there", "k", "one"), Credentials("http://here", "k", "two")]
ADD = """
import sys
from pathlib import Path
from autoresearch.hub.client.queue import Item, Queue
queue = Queue(Path(sys.argv[1]))
for number in range(int(sys.argv[3])):
    queue.add(Item(key=f"{sys.argv[2]}{number}", kind="post", data={"n": number}))
    print(number, flush=True)
"""
SEND = """
import os, sys, time
from pathlib import Path
from autoresearch.hub.client.credentials import Credentials
from autoresearch.hub.client.queue import Queue
log = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def deliver(item):
    os.write(log, f"{item.key} {item.tries}\\n".encode())
Queue(Path(sys.argv[1])).send(deliver, Credentials("http://here", "k", "one"))
"""


def item(key: str, **data: object) -> Item:
    return Item(key=key, kind="post", data=data)


def process(script: str, *args: object) -> subprocess.Popen[str]:
    env = {**night.KEPT, "PYTHONPATH": str(night.ROOT)}
    words = [sys.executable, "-c", script, *map(str, args)]
    return subprocess.Popen(words, env=env, stdout=subprocess.PIPE, text=True)


def take(told: list) -> Deliver:
    """A hub that takes everything and tells what it was."""

    def deliver(one: Item) -> None:
        told.append((one.key, one.data, one.tries))

    return deliver


def keys(queue: Queue) -> list[str]:
    return [one.key for one in queue.items()]


def aside(queue: Queue) -> list[dict]:
    return [json.loads(line) for line in queue.aside.read_text().split("\n") if line] if queue.aside.exists() else []


def test_queue_sends_in_order_and_forgets_what_was_taken(tmp_path: Path) -> None:
    queue, told = Queue(tmp_path), list[tuple]()
    text = "one line\u2028\u0085\nanother"
    queue.add(item("a", text=text), item("b"))
    queue.add(item("c"), item("a", text="a second time"))
    sent = queue.send(take(told), ME)
    assert told == [("a", {"text": text}, 1), ("b", {}, 1), ("c", {}, 1)]
    assert [one.key for one in sent.delivered] == ["a", "b", "c"] and not sent.halted and not sent.refused
    assert keys(queue) == [] and queue.path.read_text() == ""


def test_queue_waits_while_the_hub_is_away_and_knows_what_may_have_arrived(tmp_path: Path) -> None:
    queue, told = Queue(tmp_path), list[tuple]()

    def fail(one: Item) -> None:
        raise Away("nobody there")

    queue.add(item("a"), item("b"))
    assert queue.send(fail, ME).halted == "nobody there"
    assert keys(queue) == ["a", "b"]
    queue.send(take(told), ME)
    assert told == [("a", {}, 2), ("b", {}, 1)]


@pytest.mark.parametrize("status", [401, 408, 425, 429])
def test_queue_waits_when_the_answer_says_nothing_about_the_message(tmp_path: Path, status: int) -> None:
    queue = Queue(tmp_path)
    queue.add(item("a"), item("b"))

    def refuse(one: Item) -> None:
        raise HubError(status, "later")

    assert queue.send(refuse, ME).halted == "later"
    assert keys(queue) == ["a", "b"] and aside(queue) == []


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (HubError(400, "content is required"), "400: content is required"),
        (HubError(404, "not found"), "404: not found"),
        (GitFailed("no such ref"), "400: no such ref"),
        (Damaged("torn"), "400: torn"),
        (Refused("private files"), "400: private files"),
    ],
)
def test_queue_sets_aside_what_is_refused_for_good_and_names_it(tmp_path: Path, error: Exception, reason: str) -> None:
    queue, told = Queue(tmp_path), []

    def deliver(one: Item) -> None:
        if one.key == "bad":
            raise error
        told.append(one.key)

    queue.add(item("bad", text="mine"), item("good"))
    sent = queue.send(deliver, ME)
    assert told == ["good"] and keys(queue) == [] and not sent.halted
    assert [(one.key, one.refused) for one in sent.refused] == [("bad", reason)]
    assert [(one["key"], one["data"], one["refused"]) for one in aside(queue)] == [("bad", {"text": "mine"}, reason)]
    queue.path.write_text(queue.aside.read_text())  # a person moves it back
    assert queue.send(lambda one: None, ME).delivered[0].key == "bad"


def test_queue_tells_nothing_that_needs_what_is_refused(tmp_path: Path) -> None:
    queue, told = Queue(tmp_path), []

    def deliver(one: Item) -> None:
        if one.key == "bad":
            raise HubError(400, "no platform")
        told.append((one.key, one.whom))

    line = item("line").model_copy(update={"needs": "bad"})
    queue.add(item("bad"), line, line.to(OTHERS[0]), item("good"))
    sent = queue.send(deliver, ME)
    assert told == [("good", "one@http://here")] and [one.key for one in sent.refused] == ["bad"]
    assert [(one.key, one.whom) for one in queue.items()] == [("line", "one@http://there")]
    assert [one["refused"] for one in aside(queue)] == ["400: no platform", "bad is refused, 400: no platform"]


def test_queue_sends_nothing_that_was_dropped_meanwhile(tmp_path: Path) -> None:
    queue, told = Queue(tmp_path), []

    def deliver(one: Item) -> None:
        told.append(one.key)
        queue.drop("b")

    queue.add(item("a"), item("b"), item("c"))
    queue.send(deliver, ME)
    assert told == ["a", "c"] and keys(queue) == []


def test_queue_goes_on_past_a_message_at_which_the_hub_fails(tmp_path: Path) -> None:
    queue = Queue(tmp_path)

    def deliver(one: Item) -> None:
        if one.key == "poison":
            raise HubError(500, "internal error")

    queue.add(item("poison"), item("good"))
    assert [one.key for one in queue.send(deliver, ME).delivered] == ["good"]
    assert keys(queue) == ["poison"] and aside(queue) == []


def test_queue_puts_what_a_promise_becomes_in_its_place_and_keeps_what_is_not_ready(tmp_path: Path) -> None:
    queue, told = Queue(tmp_path), list[tuple]()
    promises = [Item(key=key, kind=PROMISE, data={}) for key in ("early", "many", "lost")]
    queue.add(promises[0], item("first"), *promises[1:], item("last"))

    def unfold(one: Item) -> list[Item] | None:
        if one.key == "lost":
            raise Damaged("its record is torn")
        return {"early": None, "many": [item("x"), item("y")]}[one.key]

    queue.unfold(unfold)
    assert keys(queue) == ["early", "first", "x", "y", "last"]
    assert [(one["key"], one["refused"]) for one in aside(queue)] == [("lost", "its record is torn")]
    queue.send(take(told), ME)
    assert [key for key, _, _ in told] == ["first", "x", "y", "last"] and keys(queue) == ["early"]


def test_queue_tells_each_hub_and_agent_its_own_alone(tmp_path: Path) -> None:
    queue, told = Queue(tmp_path), list[tuple]()
    queue.add(*(item("a").to(who) for who in (*OTHERS, ME)), item("old"))
    queue.add(item("a").to(ME), item("old").to(ME))
    sent = queue.send(take(told), ME)
    assert told == [("a", {}, 1), ("old", {}, 1)]
    waiting = [one.whom for one in queue.items()]
    assert [one.whom for one in sent.left] == waiting == ["one@http://there", "two@http://here"]
    queue.add(Item(key="p", kind=PROMISE, data={}).to(OTHERS[0]))
    queue.unfold(lambda one: [item("x")])
    assert queue.send(take(told), ME).delivered == []
    assert [one.key for one in queue.turn("one@http://there", ME)] == ["a", "x"]
    assert [one.key for one in queue.send(take(told), ME).delivered] == ["a", "x"]
    assert [one.key for one in queue.turn("two@http://here", None)] == ["a"] and keys(queue) == []


def test_queue_lines_of_before_are_for_whoever_is_here_and_then_for_nobody_else(tmp_path: Path) -> None:
    queue, told = Queue(tmp_path), list[tuple]()
    queue.add(item("a"))
    line = json.loads(queue.path.read_text())
    queue.path.write_text(json.dumps({name: line[name] for name in ("key", "kind", "data", "tries", "refused")}) + "\n")

    def fail(one: Item) -> None:
        raise Away("the answer was lost")

    queue.send(fail, ME)
    assert queue.send(take(told), OTHERS[0]).delivered == [] and keys(queue) == ["a"]
    queue.send(take(told), ME)
    assert told == [("a", {}, 2)]


def test_queue_drops_what_it_is_told_to(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    queue.add(item("a"), item("b"))
    queue.drop("a")
    queue.drop("nothing")
    assert keys(queue) == ["b"]


@pytest.mark.parametrize("line", ["{torn", '{"key":"x"}', "\udcff", '{"key":"x","kind":"y","data":{},"more":1}'])
def test_queue_sets_damaged_lines_aside_and_goes_on(tmp_path: Path, line: str) -> None:
    queue = Queue(tmp_path)
    queue.add(item("a"))
    with open(queue.path, "ab") as file:
        file.write(line.encode(errors="surrogateescape") + b"\n")
    queue.add(item("b"))
    assert keys(queue) == ["a", "b"]
    assert [one["kind"] for one in aside(queue)] == ["damaged"]


def test_queue_of_two_processes_loses_nothing(tmp_path: Path) -> None:
    adders = [process(ADD, tmp_path, name, 25) for name in "ab"]
    senders = []
    while any(one.poll() is None for one in adders):
        senders.append(process(SEND, tmp_path, tmp_path / "log"))
        senders[-1].wait(30)
    for one in (*adders, *senders):
        assert one.wait(30) == 0 and one.stdout
        one.stdout.close()
    last = process(SEND, tmp_path, tmp_path / "log")
    assert last.wait(30) == 0 and last.stdout
    last.stdout.close()
    told = (tmp_path / "log").read_text().splitlines()
    assert sorted(told) == sorted(f"{name}{number} 1" for name in "ab" for number in range(25))


def test_queue_is_sent_by_one_process_at_a_time(tmp_path: Path) -> None:
    queue, entered, leave, told = Queue(tmp_path), threading.Event(), threading.Event(), []
    queue.add(item("a"))

    def slowly(one: Item) -> None:
        told.append(one.key)
        entered.set()
        assert leave.wait(30)

    thread = threading.Thread(target=queue.send, args=(slowly, ME))
    thread.start()
    assert entered.wait(30)
    queue.add(item("b"))
    assert queue.send(slowly, ME).delivered == []  # and returns at once
    leave.set()
    thread.join(30)
    assert told == ["a"] and keys(queue) == ["b"]


def test_queue_survives_kills_while_messages_are_put_in(tmp_path: Path) -> None:
    for place, name in enumerate("abcdefgh"):
        adder = process(ADD, tmp_path, name, 10_000)
        assert adder.stdout
        told = [adder.stdout.readline() for _ in range(3 + place)]
        time.sleep(0.002 * place)
        adder.send_signal(signal.SIGKILL)
        told += adder.stdout.readlines()
        adder.wait(30)
        adder.stdout.close()
        acknowledged = [f"{name}{line.strip()}" for line in told if line.endswith("\n")]
        mine = [key for key in keys(Queue(tmp_path)) if key.startswith(name)]
        assert mine[: len(acknowledged)] == acknowledged and len(mine) <= len(acknowledged) + 1
    assert aside(Queue(tmp_path)) == []


def test_queue_survives_kills_while_it_is_sent(tmp_path: Path) -> None:
    queue, log = Queue(tmp_path), tmp_path / "log"
    wanted = [f"m{number}" for number in range(60)]
    queue.add(*map(item, wanted))
    log.touch()
    for _ in range(6):
        before = log.stat().st_size
        sender = process(SEND, tmp_path, log)
        while log.stat().st_size == before and sender.poll() is None:
            time.sleep(0.001)
        sender.send_signal(signal.SIGKILL)
        sender.wait(30)
        assert sender.stdout
        sender.stdout.close()
    last = process(SEND, tmp_path, log)
    assert last.wait(30) == 0 and last.stdout
    last.stdout.close()
    told = [line.split() for line in log.read_text().splitlines()]
    assert list(dict.fromkeys(key for key, _ in told)) == wanted and keys(queue) == []
    for key in wanted:  # each but the first telling is known to be one that may have arrived before
        again = [int(tries) > 1 for name, tries in told if name == key]
        assert all(again[1:]), told


def test_queue_says_that_the_disk_is_full_and_keeps_what_it_has(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    queue.add(item("a"))
    script = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from autoresearch.hub.client.queue import Item, Queue\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "try: Queue(Path(sys.argv[1])).add(Item(key='b', kind='post', data={'text': 'x' * 500}))\n"
        "except OSError as error: print(type(error).__name__)\n"
    )
    done = process(script, tmp_path)
    assert done.communicate(timeout=30)[0] == "OSError\n"
    assert keys(queue) == ["a"] and sorted(os.listdir(tmp_path / "results")) == [".hub-queue.lock", "hub-queue.jsonl"]
