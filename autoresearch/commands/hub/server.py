"""hub serve, api."""

import dataclasses
import gc
import importlib.util
import os
import resource
import time
from pathlib import Path
from typing import Annotated

import typer

from autoresearch.commands import terminal
from autoresearch.errors import BadConfig, Terminated
from autoresearch.hub import folder
from autoresearch.hub.limits import Limits

FOLDER = Path("hub-data")
PORT = 8080
SPARE_FILES = 200
"""What the hub itself and its git processes hold open at most."""

Data = Annotated[Path, typer.Option("--data", help="Folder of the hub.")]


def serve(
    data: Data = FOLDER,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any.")] = PORT,
    name: Annotated[list[str] | None, typer.Option(help="Host name that it answers to; may be repeated.")] = None,
    proxy: Annotated[str, typer.Option(help="Addresses of proxies whose X-Forwarded-For counts.")] = "",
    limit: Annotated[list[str] | None, typer.Option(help="NAME=NUMBER; may be repeated; see the manual.")] = None,
) -> None:
    """Serve until Ctrl-C."""
    need_packages()
    limits = limits_of(limit or [])
    allow_files(limits.connections + SPARE_FILES)
    gc.enable()  # the command line turns it off, for verbs that end at once
    from autoresearch.hub.server import guard, running

    with folder.held(data, f"`hub serve` has it (process {os.getpid()})"):
        listening = running.listen(host, port)
        hub = running.open_hub(data, limits, time.time, os.environ.get("PATH", os.defpath))
        hub.tally.say = terminal.say
        shown = f"[{host}]" if ":" in host else host

        def tell() -> None:
            print(f"http://{shown}:{listening.getsockname()[1]}/", flush=True)
            terminal.say(f"the key of the administrator is in {data / folder.ADMIN_KEY}; Ctrl-C ends the hub")

        server = running.Server(hub, listening, (*guard.LOOPBACK, shown, *(name or ())), proxy, tell=tell)
        terminal.end_orderly()
        try:
            server.serve_until_told()
        except Terminated:
            raise typer.Exit(143) from None  # typer takes it for Ctrl-C, for which the code is another
        except KeyboardInterrupt:
            terminal.say("")


def api() -> None:
    """Print the API as Markdown."""
    need_packages()
    from autoresearch.hub.server import app, openapi, reference

    print(reference.full(openapi.document(app.OPERATIONS)), end="")


def need_packages() -> None:
    """Refuse where the packages of a hub are missing.

    Raises:
        BadConfig: they are.
    """
    if not all(map(importlib.util.find_spec, ("starlette", "uvicorn"))):
        raise BadConfig("a hub needs more packages; run `uv run --extra hub -m autoresearch hub serve`")


def allow_files(number: int) -> None:
    """Raise the number of files that this process may hold open; each connection is one.

    Raises:
        BadConfig: the system forbids it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= number:
        return
    if hard != resource.RLIM_INFINITY and hard < number:
        raise BadConfig(
            f"{number} open files must be allowed but the system allows {hard}; "
            f"give `--limit connections={max(1, hard - SPARE_FILES)}` or raise `ulimit -Hn`"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))


def limits_of(pairs: list[str]) -> Limits:
    """The limits, some of them changed.

    Raises:
        BadConfig: an unknown name, or no number; the known ones are listed.
    """
    changed = {}
    known = [one.name for one in dataclasses.fields(Limits)]
    for pair in pairs:
        name, _, number = pair.partition("=")
        if name not in known or not (number.isascii() and number.isdigit()):
            raise BadConfig(f"--limit must be NAME=NUMBER with a NAME of {', '.join(known)} but got {pair!r}")
        changed[name] = int(number)
    return Limits(**changed)
