"""hub agents, add, rotate, revoke, audit: who may speak, also while the hub is served."""

import time
from typing import Annotated, Any

import typer

from autoresearch.commands import terminal
from autoresearch.commands.hub.server import FOLDER, Data
from autoresearch.errors import BadConfig, HubError
from autoresearch.hub import folder
from autoresearch.hub.store import agents as registry

Name = Annotated[str, typer.Argument(help="Id of the agent.")]
SHELL = "shell"


def agents(data: Data = FOLDER, as_json: terminal.Json = False) -> None:
    """List the agents."""
    rows = registry.listed(folder.open_database(data))
    if as_json:
        terminal.print_json([{**row, "is_revoked": bool(row["is_revoked"])} for row in rows])
        return
    if not rows:
        terminal.say("no agent has registered yet")
    for row in rows:
        done = ", ".join(f"{row[noun]} {noun}" for noun in ("commits", "posts", "results"))
        key = "revoked" if row["is_revoked"] else "active"
        print(f"{row['id']:<24} {key:<8} since {row['created_at']}  last act {row['last_act_at'] or 'none'}  {done}")


def add(name: Name, data: Data = FOLDER) -> None:
    """Add an agent and print its key, this once."""
    db, now = folder.open_database(data), int(time.time())
    with db.transaction():
        try:
            key = registry.register(db, name, now)
        except HubError as error:
            if error.status != 409:
                raise
            raise HubError(409, f"{error}; choose another name, or `hub rotate {name}` for another key") from error
        registry.note(db, SHELL, "add agent", name, now)
    print(key)


def rotate(
    name: Annotated[str, typer.Argument(help="Id of the agent.")] = "",
    admin: Annotated[bool, typer.Option("--admin", help="The key of the administrator, into its file.")] = False,
    data: Data = FOLDER,
) -> None:
    """Make the key of an agent void and print another, this once."""
    if bool(name) == admin:
        raise BadConfig("`hub rotate` needs the id of an agent, or --admin")
    db, now = folder.open_database(data), int(time.time())
    with db.transaction():
        key = registry.new_admin_key(db) if admin else registry.rotate(db, name)
        registry.note(db, SHELL, "rotate key", name or "administrator", now)
        if admin:
            folder.write_secret(data / folder.ADMIN_KEY, key)
    if admin:
        terminal.say(f"the key is in {data / folder.ADMIN_KEY}")
    else:
        print(key)


def revoke(name: Name, data: Data = FOLDER) -> None:
    """Make the key of an agent void; what it did stays, and `rotate` lets it in again."""
    db = folder.open_database(data)
    with db.transaction():
        registry.revoke(db, name)
        registry.note(db, SHELL, "revoke key", name, int(time.time()))


def audit(
    data: Data = FOLDER,
    number: Annotated[int, typer.Option("-n", min=1, max=100_000, help="How many.")] = 50,
    as_json: terminal.Json = False,
) -> None:
    """Print what administrators did, newest last."""
    rows: list[dict[str, Any]] = registry.audited(folder.open_database(data), number)
    if as_json:
        terminal.print_json(rows)
        return
    if not rows:
        terminal.say("administrators have done nothing yet")
    for row in rows:
        print(f"{row['created_at']}  {row['actor']:<8} {row['action']:<12} {row['subject']}  {row['detail']}".rstrip())
