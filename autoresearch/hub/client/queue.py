"""What waits to be sent to a hub: results/hub-queue.jsonl, which outlives kills and the absence of the hub.

Every change replaces the file under a lock. What was acknowledged leaves it, what the hub will never take moves to
results/hub-refused.jsonl with the reason. What is for one hub and one agent there is told to no other. Not covered: a
hub that acknowledges and forgets.
"""

import fcntl
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError

from autoresearch.errors import Away, Damaged, GitFailed, HubError, Refused
from autoresearch.hub.client.credentials import Credentials
from autoresearch.ledger import locked
from autoresearch.notes import replace
from autoresearch.records import Record

DAMAGED = "damaged"
PROMISE = "promise"  # what is not to be sent, but to be unfolded once it can be
LATER = (401, 408, 421, 425, 429)  # says nothing about the message: it stays, and so do those behind it


class Item(Record):
    """One thing to be told to a hub, which is the same thing however often it is sent."""

    key: str
    """What makes it the same."""
    kind: str
    """What to do with it."""
    data: dict[str, Any]
    tries: int = 0
    """How often it was sent, the time that is under way included."""
    refused: str = ""
    """Why the hub will not take it."""
    hub: str = ""
    """Address of the hub that it is for; empty where that was not known: for whichever comes next."""
    agent: str = ""
    """Who tells it there; empty as above."""
    needs: str = ""
    """Key of another, without which it is not to be told: what refuses that one refuses this one."""

    @property
    def whom(self) -> str:
        """For whom it is, in one word."""
        return f"{self.agent}@{self.hub}" if self.hub else ""

    def to(self, who: Credentials) -> Self:
        """The same, for one hub and one agent there."""
        return self.model_copy(update={"hub": who.hub, "agent": who.agent})

    def is_for(self, who: Credentials) -> bool:
        """Whether that agent may tell it at that hub."""
        return not self.hub or (self.hub, self.agent) == (who.hub, who.agent)

    def is_same(self, other: "Item") -> bool:
        """Whether both are the same thing to be told to the same."""
        return (self.key, self.whom) == (other.key, other.whom)


Deliver = Callable[[Item], None]
"""Sends an item; HubError where that cannot be, Away where nobody is there."""
Unfold = Callable[[Item], list[Item] | None]
"""What a promise becomes, without asking anybody; None where it stays as it is."""


@dataclass
class Sent:
    """What became of a round of sending."""

    delivered: list[Item] = field(default_factory=list)
    refused: list[Item] = field(default_factory=list)
    halted: str = ""
    """Why the others wait; empty where nothing hinders them."""
    left: list[Item] = field(default_factory=list)
    """What is for another hub, or another agent."""


class Queue:
    """The messages of one checkout."""

    def __init__(self, root: Path):
        self.path = root / "results" / "hub-queue.jsonl"
        self.aside = self.path.with_name("hub-refused.jsonl")

    def items(self) -> list[Item]:
        """All that waits, oldest first."""
        with self._edit() as items:
            return list(items)

    def messages(self) -> list[Item]:
        """What of it could be sent now."""
        return [one for one in self.items() if one.kind != PROMISE]

    def add(self, *items: Item) -> None:
        """Put items at the end; one that is waiting already, for the same or for whoever comes, is not put again."""
        with self._edit() as waiting:
            known = {(one.key, one.whom) for one in waiting}
            waiting += [one for one in items if known.isdisjoint({(one.key, one.whom), (one.key, "")})]

    def drop(self, key: str) -> None:
        """Forget what has this key, whoever it is for."""
        with self._edit() as items:
            items[:] = [one for one in items if one.key != key]

    def turn(self, whom: str, who: Credentials | None) -> list[Item]:
        """Forget all that is for somebody, or have it told by and to `who` instead; returns what that was."""
        with self._edit() as items:
            found = [one for one in items if one.whom == whom]
            kept = [one for one in items if who or one.whom != whom]
            items[:] = [one.to(who) if who and one.whom == whom else one for one in kept]
        return found

    def unfold(self, unfold: Unfold) -> None:
        """Put what promises become in their place; one of which that cannot be said is set aside."""
        with self._edit() as items:
            for item in [one for one in items if one.kind == PROMISE]:
                place = items.index(item)
                try:
                    if (successors := unfold(item)) is not None:
                        whose = {"hub": item.hub, "agent": item.agent}
                        items[place : place + 1] = [one.model_copy(update=whose) for one in successors]
                except (Refused, Damaged) as error:
                    self._set_aside(item.model_copy(update={"refused": str(error)}))
                    del items[place]

    def send(self, deliver: Deliver, who: Credentials) -> Sent:
        """Send what waits for this hub and agent, in order, unless another process is at it.

        What the hub refuses for good is set aside, what makes it fail waits, and neither holds up the others.
        """
        sent = Sent(left=[one for one in self.messages() if not one.is_for(who)])
        with locked(self.path.with_name(".hub-sending")) as alone:
            for item in [one for one in self.messages() if one.is_for(who)] if alone else []:
                self._send_one(item, deliver, who, sent)
                if sent.halted:
                    break
        return sent

    def _send_one(self, waiting: Item, deliver: Deliver, who: Credentials, sent: Sent) -> None:
        item = waiting.to(who).model_copy(update={"tries": waiting.tries + 1})
        if not self._replace(waiting, item):  # a message that may have arrived must be known as such
            return  # it was dropped meanwhile
        try:
            deliver(item)
        except (HubError, GitFailed, Refused, Damaged) as error:
            status = error.status if isinstance(error, HubError) else 400
            if isinstance(error, Away) or status in LATER:
                sent.halted = str(error)
            elif status < 500:
                item = item.model_copy(update={"refused": f"{status}: {error}"})
                self._refuse(item)
                sent.refused.append(item)
            return
        self._replace(item)
        sent.delivered.append(item)

    def _replace(self, item: Item, *states: Item) -> bool:
        """Put later states, or nothing, in the place of an item; False where it is not there."""
        with self._edit() as items:
            is_there = any(map(item.is_same, items))
            items[:] = [new for one in items for new in (states if one.is_same(item) else (one,))]
        return is_there

    def _refuse(self, item: Item) -> None:
        """Set an item aside, with those that need it."""
        why = f"{item.key} is refused, {item.refused}"
        with self._edit() as items:
            needing = [one for one in items if one.needs == item.key and one.whom in ("", item.whom)]
            for one in (item, *(one.model_copy(update={"refused": why}) for one in needing)):
                self._set_aside(one)
            items[:] = [one for one in items if one not in needing and not one.is_same(item)]

    def _set_aside(self, item: Item) -> None:
        """Write down, once and under the lock, what will not be sent."""
        kept = _read(self.aside)
        if not any(map(item.is_same, kept)):
            _write(self.aside, [*kept, item])

    @contextmanager
    def _edit(self) -> Iterator[list[Item]]:
        """The items, which nobody else touches while the block runs; what it leaves of them is what there is."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path.with_name(".hub-queue.lock"), "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            before = _read(self.path)
            for one in before:
                if one.kind == DAMAGED:
                    self._set_aside(one)
            items = [one for one in before if one.kind != DAMAGED]
            yield items
            if items != before:
                _write(self.path, items)


def _read(path: Path) -> list[Item]:
    """Items of a file that may not be there; a line that is none comes as a damaged one."""
    text = path.read_text(errors="replace") if path.exists() else ""
    return [_item(line) for line in text.split("\n") if line]


def _item(line: str) -> Item:
    try:
        return Item.model_validate_json(line)
    except ValidationError:
        key = f"line {hashlib.sha256(line.encode()).hexdigest()[:12]}"
        return Item(key=key, kind=DAMAGED, data={"line": line}, refused="it is no message")


def _write(path: Path, items: list[Item]) -> None:
    replace(path, "".join(f"{one.model_dump_json()}\n" for one in items))
