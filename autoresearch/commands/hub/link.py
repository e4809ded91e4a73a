"""What the verbs of a hub share of the rim: the hub that we are at, what waits for it, and its words on a terminal."""

import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from autoresearch.commands import terminal
from autoresearch.errors import Refused
from autoresearch.hub.client import credentials
from autoresearch.hub.client.api import Api, Patience
from autoresearch.hub.client.delivery import Delivery
from autoresearch.hub.client.queue import Queue, Sent
from autoresearch.repo import Repo

TOTAL_S, CALL_S = 60.0, 20.0
CONTROL = re.compile(r"[^\n\t\x20-\x7e\u00a0-\U0010ffff]")


def connect(patience: Patience | None = None) -> Api:
    """The hub that this person's credentials name; unless told, with patience for a verb of its own.

    Raises:
        Refused: there are none.
    """
    return Api(credentials.read(Path.home() / credentials.NAME, os.environ), patience or Patience(TOTAL_S, CALL_S))


def connect_and_send() -> Api:
    """The same, once it was sent what waits in this checkout, if we are in one."""
    api = connect()
    try:
        repo = Repo.find(Path.cwd(), os.environ)
    except Refused:
        return api
    send_waiting(api, repo)
    return api


def send_waiting(api: Api, repo: Repo) -> Sent:
    """Send what waits, and say what became of it: a line if anything did, and one for each refusal."""
    queue, delivery = Queue(repo.root), Delivery(repo, api)
    queue.unfold(delivery.unfold)
    sent = queue.send(delivery, api.who)
    for item in sent.refused:
        terminal.say(f"hub: {item.key} is refused, {plain(item.refused)}; kept in {queue.aside.relative_to(repo.root)}")
    told = f"told {', '.join(dict.fromkeys(one.kind for one in sent.delivered))}" if sent.delivered else ""
    ours = sum(one.is_for(api.who) for one in queue.messages()) if sent.halted else 0
    waits = f"{plain(sent.halted)}; {ours} messages wait" if sent.halted else ""
    if told or waits:
        terminal.say(f"hub: {'; '.join(filter(None, (told, waits)))}")
    for whom, number in Counter(one.whom for one in sent.left).items():
        terminal.say(
            f"hub: {number} messages are for {plain(whom)} and wait; `hub queue` can send them here, or drop them"
        )
    return sent


def plain(text: str) -> str:
    """A text of strangers without what a terminal would obey."""
    return CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def show(rows: Sequence[Any], as_json: bool, line: Callable[[Any], str]) -> None:
    """A list of the wire: as JSON, or a line for each; that there is none is said beside it."""
    if as_json:
        terminal.print_json(rows)
    else:
        for row in rows:
            print(plain(line(row)))
        if not rows:
            terminal.say("none is known at this hub")
