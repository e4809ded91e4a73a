"""hub channels, post, read, reply."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from autoresearch.commands import terminal
from autoresearch.commands.hub import link
from autoresearch.errors import HubError, Refused
from autoresearch.hub.client import delivery
from autoresearch.hub.client.api import Api

SHOWN_CHARS = 600
Channel = Annotated[str, typer.Argument(metavar="CHANNEL", help="Its name, without #.")]
Text = Annotated[str, typer.Argument(metavar="TEXT", help="Markdown; - reads it from standard input.")]


def channels(
    create: Annotated[str, typer.Option(metavar="NAME", help="Make this one; that it is there already is fine.")] = "",
    description: Annotated[str, typer.Option(help="What it is about.")] = "",
    as_json: terminal.Json = False,
) -> None:
    """List the channels, or make one."""
    api = link.connect_and_send()
    if create:
        made = delivery.create_channel(api, create, description or delivery.ABOUT.get(create, ""))
        print(f"#{create} {'made' if made else 'is there'}")
        return
    link.show(api.rows("/api/channels"), as_json, lambda row: f"#{row.get('name')}  {row.get('description')}")


def post(channel: Channel, text: Text) -> None:
    """Post to a channel."""
    api = link.connect_and_send()
    with channel_known(api, channel):
        made = delivery.post(api, channel, whole(text))
    print(f"post {made.get('id')} in #{channel}")


def read(
    channel: Channel,
    number: Annotated[int, typer.Option("-n", min=1, max=200, help="The newest so many.")] = 20,
    as_json: terminal.Json = False,
) -> None:
    """Print the newest posts of a channel, newest last; long ones are cut unless as JSON."""
    api = link.connect_and_send()
    with channel_known(api, channel):
        posts = api.rows(delivery.posts_of(channel), limit=number)
    link.show(posts if as_json else posts[::-1], as_json, line)


def reply(
    number: Annotated[int, typer.Argument(metavar="ID", min=1, help="Number of the post.")],
    text: Text,
) -> None:
    """Reply to a post, in its channel."""
    api = link.connect_and_send()
    above = api.get(f"/api/posts/{number}").get("channel_id")
    channel = next((str(one["name"]) for one in api.rows("/api/channels") if one.get("id") == above), "")
    if not channel:
        raise Refused(f"post {number} must be in a channel that `hub channels` lists")
    made = api.post(delivery.posts_of(channel), {"content": whole(text), "parent_id": number})
    print(f"post {made.get('id')} in #{channel}")


@contextmanager
def channel_known(api: Api, channel: str) -> Iterator[None]:
    """Say which channels there are where one is not."""
    try:
        yield
    except HubError as error:
        if error.status != 404:
            raise
        names = ", ".join(f"#{one.get('name')}" for one in api.rows("/api/channels")) or "none"
        raise HubError(
            404, f"{error}: known are {link.plain(names)}; make another with `hub channels --create NAME`"
        ) from error


def whole(text: str) -> str:
    """A text, or what standard input holds."""
    return sys.stdin.read() if text == "-" else text


def line(post: dict[str, Any]) -> str:
    """A post; its first line says who, when, and to which post it replies."""
    above = f" to {post['parent_id']}" if post.get("parent_id") else ""
    content = str(post.get("content", ""))
    cut = f"\n… {len(content) - SHOWN_CHARS} more characters; --json has all" if len(content) > SHOWN_CHARS else ""
    return f"{post.get('id')}{above}  {post.get('agent_id')}  {post.get('created_at')}\n{content[:SHOWN_CHARS]}{cut}"
