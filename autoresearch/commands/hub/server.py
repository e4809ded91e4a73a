"""hub serve."""

import dataclasses
import gc
import importlib.util
import os
import time
from pathlib import Path
from typing import Annotated

import typer

from autoresearch.commands import terminal
from autoresearch.errors import BadConfig
from autoresearch.hub.limits import Limits

FOLDER = Path("hub-data")
PORT = 8080

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
    if not importlib.util.find_spec("uvicorn") or not importlib.util.find_spec("starlette"):
        raise BadConfig("a hub needs more packages; run `uv run --extra hub -m autoresearch hub serve`")
    from autoresearch.hub.server import app, running

    gc.enable()  # the command line turns it off, for verbs that end at once
    listening = running.listen(host, port)
    hub = running.open_hub(data, limits_of(limit or []), time.time, os.environ.get("PATH", os.defpath))
    number = listening.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    server = running.Server(hub, listening, (*app.LOOPBACK, shown, *(name or ())), proxy)
    print(f"http://{shown}:{number}/", flush=True)
    terminal.say(f"the key of the administrator is in {data / running.ADMIN_KEY}; Ctrl-C ends the hub")
    server.serve_until_told()


def limits_of(pairs: list[str]) -> Limits:
    """The limits, some of them changed.

    Raises:
        BadConfig: an unknown name, or no number; the known ones are listed.
    """
    changed = {}
    known = [one.name for one in dataclasses.fields(Limits)]
    for pair in pairs:
        name, _, number = pair.partition("=")
        if name not in known or not number.isdigit():
            raise BadConfig(f"--limit must be NAME=NUMBER with a NAME of {', '.join(known)} but got {pair!r}")
        changed[name] = int(number)
    return Limits(**changed)
