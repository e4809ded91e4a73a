"""hub join."""

import os
from pathlib import Path
from typing import Annotated

import typer

from autoresearch.commands.hub import link
from autoresearch.errors import HubError, Refused
from autoresearch.hub.client import credentials
from autoresearch.hub.client.api import Api, Patience
from autoresearch.hub.client.credentials import Credentials


def join(
    url: Annotated[str, typer.Argument(metavar="URL", help="Address of the hub, http://… or https://….")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Your name there: letters, digits, '.', '_', '-'.")],
) -> None:
    """Register, once, and keep the key in a file that only this user reads."""
    path, url = Path.home() / credentials.NAME, url.rstrip("/")
    if os.path.lexists(path):
        known = credentials.read(path, os.environ)
        if (known.hub, known.agent) != (url, name):
            raise Refused(f"{path} says that you are {known.agent} at {known.hub}; move it away to join as another")
        print(f"you are {name} at {url} already")
        return
    check(url, name)  # before anything is made that could not be written down
    try:
        made = Api(Credentials(url, "", name), Patience(link.TOTAL_S, link.CALL_S)).post("/api/register", {"id": name})
    except HubError as error:
        if error.status != 409:
            raise
        raise HubError(409, f"{error}; choose another name") from error
    if not isinstance(key := made.get("api_key"), str):
        raise HubError(502, f"{url} must answer with a key but sent {', '.join(made)}")
    credentials.write(path, Credentials(url, key, name))
    print(f"joined {url} as {name}; the key is in {path}")


def check(url: str, name: str) -> None:
    """Take only what a shell can read.

    Raises:
        Refused: URL or NAME is something else.
    """
    if not credentials.ADDRESS.fullmatch(url):
        mend = f"; say http://{url}" if credentials.ADDRESS.fullmatch(f"http://{url}") else ""
        raise Refused(f"URL must be http://… or https://… but got {url!r}{mend}; nothing was written")
    if not credentials.VALUE.fullmatch(name):
        raise Refused(f"NAME must be letters, digits, '.', '_' and '-' but got {name!r}; nothing was written")
