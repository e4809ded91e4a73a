"""hub result, claim, brief: who tries what, and what came of it."""

import math
import os
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from autoresearch import knobs
from autoresearch.commands import terminal
from autoresearch.commands.hub import link
from autoresearch.commands.hub.commits import checked
from autoresearch.errors import HubError, Refused
from autoresearch.hub.client import claim as claims
from autoresearch.hub.client import share
from autoresearch.hub.client.api import Request
from autoresearch.hub.client.queue import Item, Queue
from autoresearch.hub.limits import HOUR_S
from autoresearch.records import Status
from autoresearch.repo import Repo

NEXT = re.compile(r"GET /api/brief\?since=([0-9]{1,18})\Z")
"""The end of a brief."""
Platform = Annotated[str, typer.Option(help="Short name of the hardware: H100, 4090, M4-Max.")]


def result(
    commit: Annotated[str, typer.Argument(metavar="COMMIT", help="What ran, of this repository.")] = "",
    description: Annotated[str, typer.Option("-m", "--description", help="What it tried, one line.")] = "",
    status: Annotated[str, typer.Option(help="keep, discard or crash.")] = "keep",
    value: Annotated[float | None, typer.Option(help="val_bpb; none for a crash.")] = None,
    memory_gb: Annotated[float | None, typer.Option(help="Peak memory.")] = None,
    platform: Platform = "",
    number: Annotated[int, typer.Option("-n", min=1, max=200, help="The newest so many.")] = 20,
    as_json: terminal.Json = False,
) -> None:
    """Tell the result of a run by hand; without COMMIT, list the newest results."""
    if not commit:
        query = {"platform": platform} if platform else {}
        link.show(link.connect_and_send().rows("/api/results", limit=number, **query), as_json, line)
        return
    check_numbers(status, value, memory_gb)
    place = share.short_platform(platform)
    if not description.strip() or not place:
        raise typer.BadParameter("-m must say what was tried, and --platform where, in letters or digits")
    repo = Repo.find(Path.cwd(), os.environ)
    told = {
        **{"commit": repo.resolve(commit), "platform": place, "metric": share.METRIC},
        **{"value": value, "status": status, "vram_gb": memory_gb, "description": " ".join(description.split())},
    }
    tell(repo, told)
    print(share.line_of(told))


def check_numbers(status: str, value: float | None, memory_gb: float | None) -> None:
    """Take only what a run can have measured: a hub reads anything else as a crash, or believes it.

    Raises:
        BadParameter: it is something else.
    """
    if status not in share.TOLD or (value is None) != (status == Status.CRASH):
        raise typer.BadParameter("--status must be keep or discard, with --value, or crash, without")
    if value is not None and not 0 < value < math.inf:
        raise typer.BadParameter(f"--value must be a {share.METRIC}, positive and finite, but got {value}")
    if memory_gb is not None and not 0 <= memory_gb < math.inf:
        raise typer.BadParameter(f"--memory-gb must be 0 or more, and finite, but got {memory_gb}")


def tell(repo: Repo, told: dict[str, Any]) -> None:
    """Tell a result and its line, now or when the hub is there; a line is not told of what the hub refused.

    Raises:
        Refused: nobody has joined a hub; it waits until then.
        Exit: the hub refused it, which has been said.
    """
    key = f"by hand {knobs.text_digest(repr(told))[:40]}"
    post = {"channel": "results", "content": share.line_of(told)}
    items = [
        Item(key=key, kind="result", data={**told, "idempotency_key": key.replace(" ", "-")}),
        Item(key=f"{key} line", kind="post", data=post, needs=key, tries=1),  # the same may have been told before
    ]
    queue = Queue(repo.root)
    try:
        api = link.connect()
    except Refused as error:
        queue.add(*items)
        waits = f"the result waits in {queue.path.relative_to(repo.root)} until then"
        raise Refused(f"{error}; {waits}") from error
    items = [one.to(api.who) for one in items]
    queue.add(*items)
    if any(one.is_same(mine) for one in link.send_waiting(api, repo).refused for mine in items):
        raise typer.Exit(1)


def claim(
    idea: Annotated[str, typer.Argument(metavar="IDEA", help="In few words, by which two of a kind are known.")] = "",
    description: Annotated[str, typer.Option("-m", "--description", help="More about it.")] = "",
    parent: Annotated[str, typer.Option(metavar="HASH", help="Commit that it starts from.")] = "",
    platform: Platform = "",
    minutes: Annotated[int, typer.Option(min=1, max=HOUR_S // 60, help="How long it is held.")] = 15,
    release: Annotated[int, typer.Option(metavar="ID", min=0, help="Give this one up.")] = 0,
    as_json: terminal.Json = False,
) -> None:
    """Claim an idea, so that nobody else tries it meanwhile; without IDEA, list the claims that are held."""
    api = link.connect_and_send()
    if release:
        api.call(Request("DELETE", f"/api/claims/{release}"))
        print(f"claim {release} released")
        return
    if not idea:
        link.show(api.rows("/api/claims"), as_json, claim_line)
        return
    wish = {"key": idea, "description": description, "platform": platform, "ttl_s": 60 * minutes}
    try:
        made = api.post("/api/claims", {**wish, **({"parent": checked(parent)} if parent else {})})
    except HubError as error:
        for one in claims.similar(error.more):
            terminal.say(link.plain(f"similar: {claims.in_words(one)}"))
        raise
    if as_json:
        terminal.print_json(made)
        return
    print(link.plain(claim_line(made)))
    for one in claims.similar(made):
        print(link.plain(f"similar: {claims.in_words(one)}"))


def brief(
    since: Annotated[int, typer.Option(min=0, help="Number at the end of the last one that was read.")] = 0,
    as_json: terminal.Json = False,
) -> None:
    """Print where things stand, on one page: best, claims, frontier, dead ends, replies to you, news."""
    content = link.connect_and_send().call(Request("GET", "/api/brief", {"since": since}))
    text = content.decode(errors="replace").rstrip()
    if as_json:
        last = NEXT.search(text)
        terminal.print_json({"brief": text, "since": int(last[1]) if last else None})
        return
    print(link.plain(NEXT.sub(r"`hub brief --since \1`", text)))


def line(result: dict[str, Any]) -> str:
    """One result in one line."""
    value = result.get("value")
    score = f"{value:.6f}" if isinstance(value, int | float) else "---"
    words = [str(result.get(name, "?")) for name in ("commit", "platform", "status", "agent_id", "description")]
    doubt = f"  (not believed: {result['quarantine']})" if result.get("quarantine") else ""
    if not doubt and value is not None and result.get("counted") is False:
        doubt = "  (spare: more runs than one agent may count)"
    return "  ".join([words[0][:7], words[1], score, *words[2:]]) + doubt


def claim_line(claim: dict[str, Any]) -> str:
    """One claim in one line."""
    words = [str(claim.get(name, "?")) for name in ("id", "agent_id", "expires_at", "key", "description")]
    return f"claim {words[0]}  {words[1]}  until {words[2]}  {words[3]}  {words[4]}".rstrip()
