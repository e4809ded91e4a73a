"""hub queue: what waits to be sent from this checkout, and to whom."""

import os
from pathlib import Path
from typing import Annotated

import typer

from autoresearch.commands import terminal
from autoresearch.commands.hub import link
from autoresearch.errors import Refused
from autoresearch.hub.client.queue import Item, Queue
from autoresearch.repo import Repo


def queue(
    drop: Annotated[str, typer.Option(metavar="NAME@URL", help="Forget what is for this agent and hub.")] = "",
    send: Annotated[str, typer.Option(metavar="NAME@URL", help="Send that to the hub where you are now.")] = "",
    as_json: terminal.Json = False,
) -> None:
    """List what waits to be told, oldest first, and nothing is sent; or decide about what is for another hub."""
    if drop and send:
        raise typer.BadParameter("--drop and --send exclude each other")
    waiting = Queue(Repo.find(Path.cwd(), os.environ).root)
    if not drop and not send:
        show(waiting.items(), as_json)
        return
    found = waiting.turn(drop or send, link.connect().who if send else None)
    if not found:
        known = ", ".join(dict.fromkeys(one.whom for one in waiting.items() if one.whom)) or "none"
        raise Refused(f"something must wait for {drop or send!r} but what waits is for {known}")
    print(f"{len(found)} messages {'dropped' if drop else 'are for the hub where you are now'}", flush=True)
    if send:
        link.connect_and_send()


def show(items: list[Item], as_json: bool) -> None:
    """What waits, as JSON or a line for each."""
    if as_json:
        terminal.print_json([one.model_dump() for one in items])
        return
    if not items:
        terminal.say("nothing waits")
    for one in items:
        print(link.plain(f"{one.kind:<8} {one.whom or 'whichever hub comes next'}  {one.key}"))
