"""Who we are at a hub: a file that shells may source, and that is read here without running it.

Not covered: a hub reached by plain http, over which the key can be read on its way.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from autoresearch.errors import Damaged, Refused
from autoresearch.hub.folder import write_secret

NAME = ".agenthub_creds"
VALUE = re.compile(r"[A-Za-z0-9._:/-]+")
ADDRESS = re.compile(r"https?://[A-Za-z0-9.-]+(?::[0-9]{1,5})?(?:/[A-Za-z0-9._/-]*)?")
LINE = re.compile(r"(?:export\s+)?(HUB|HUB_KEY|AGENT_ID)=(.*)")
MOST_BYTES = 64 * 1024
JOIN = "`uv run -m autoresearch hub join URL NAME`"


@dataclass(frozen=True)
class Credentials:
    """An agent at a hub."""

    hub: str
    """Its address, without a slash at the end."""
    key: str = field(repr=False)
    agent: str


def read(path: Path, variables: Mapping[str, str]) -> Credentials:
    """Read the file; its address wins over that of the environment, so that the key goes to no other hub.

    Raises:
        Refused: there is no file, or no address.
        Damaged: a line that a shell would not take as a plain value; the value is not repeated.
    """
    try:
        with open(path, "rb") as file:
            text = file.read(MOST_BYTES).decode(errors="replace")
    except FileNotFoundError as error:
        raise Refused(f"{path} must name you at a hub; register with {JOIN}") from error
    found = parse(text, path)
    address = found.get("HUB") or variables.get("HUB", "")
    if lacks := [name for name in ("HUB_KEY", "AGENT_ID") if name not in found]:
        raise Damaged(f"{path} must set {' and '.join(lacks)}; move it away and register with {JOIN}")
    if not ADDRESS.fullmatch(address):
        raise Refused(f"HUB must be the address of a hub, http://… or https://…, but got {address!r}; set it in {path}")
    return Credentials(address.rstrip("/"), found["HUB_KEY"], found["AGENT_ID"])


def parse(text: str, path: Path) -> dict[str, str]:
    """Values by name; the last of a name counts, as in a shell, and lines of other names are left alone.

    Raises:
        Damaged: see `read`.
    """
    found = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if match := LINE.fullmatch(line.strip()):
            name, value = match.groups()
            plain = value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value
            if not VALUE.fullmatch(plain):
                raise Damaged(f"{path} line {number}: {name} must match ^{VALUE.pattern}$; move the file away")
            found[name] = plain
    return found


def check(who: Credentials) -> dict[str, str]:
    """The lines of the file, by name.

    Raises:
        Refused: a value that a shell might take for something else, or no address.
    """
    values = {"HUB": who.hub, "HUB_KEY": who.key, "AGENT_ID": who.agent}
    for name, value in values.items():
        if not VALUE.fullmatch(value):
            raise Refused(f"{name} must match ^{VALUE.pattern}$, so that a shell can read it; nothing was written")
    if not ADDRESS.fullmatch(who.hub):
        raise Refused(f"HUB must be the address of a hub, http://… or https://…, but got {who.hub!r}")
    return values


def write(path: Path, who: Credentials) -> None:
    """Write the file, at no instant readable by anybody else; a link in its place is replaced, not followed.

    Raises:
        Refused: see `check`.
    """
    write_secret(path, "\n".join(f'export {name}="{value}"' for name, value in check(who).items()))
