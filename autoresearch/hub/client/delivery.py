"""How a waiting message is sent: each kind its own way, and each harmless when it is sent again."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from autoresearch.arena import SHARED
from autoresearch.errors import Away, Damaged, HubError, Refused
from autoresearch.hub.client import claim, share
from autoresearch.hub.client.api import Api
from autoresearch.hub.client.queue import Item
from autoresearch.ledger import Ledger
from autoresearch.repo import Repo

PAGE, MOST_PAGES = 200, 5
ABOUT = {"results": "experiment results, every run", "discussion": "ideas, observations, questions"}


@dataclass(frozen=True)
class Delivery:
    """From one checkout to one hub."""

    repo: Repo
    api: Api

    def unfold(self, item: Item) -> list[Item] | None:
        """What the promise to tell of an attempt becomes; None before that is closed."""
        data = item.data
        with _in_form(item):
            return share.fulfil(Ledger(self.repo.root, data["tag"]), data["after"], data["claim"])

    def __call__(self, item: Item) -> None:
        """Send a message.

        Raises:
            HubError: the hub said no, or is not there.
        """
        with _in_form(item):
            self._send(item)

    def _send(self, item: Item) -> None:
        data = item.data
        match item.kind:
            case "result":
                submit(self.api, data)
            case "post":
                if item.tries == 1 or not self.has_posted(data["channel"], data["content"]):
                    post(self.api, data["channel"], data["content"])
            case "push":
                push(self.api, self.repo, data["commit"])
            case "release":
                claim.release(self.api, data["claim"])
            case _:
                raise Damaged(f"a message must be of a known kind but is {item.kind!r}")

    def has_posted(self, channel: str, content: str) -> bool:
        """Whether the hub has this very post of ours, among its latest: a post has no key of its own."""
        for place in range(MOST_PAGES):
            try:
                page = self.api.rows(posts_of(channel), limit=PAGE, offset=PAGE * place)
            except HubError as error:
                if error.status == 404:
                    return False
                raise
            if any(one.get("agent_id") == self.api.who.agent and one.get("content") == content for one in page):
                return True
            if len(page) < PAGE:
                return False
        return False


@contextmanager
def _in_form(item: Item) -> Iterator[None]:
    """What a message lacks, in words."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise Damaged(f"message {item.key} is not what was written: {error!r}") from error


def submit(api: Api, result: Mapping[str, Any]) -> None:
    """Submit a structured result; a hub that keeps none has the line, which tells the same."""
    try:
        api.post("/api/results", result)
    except HubError as error:
        if error.status not in (404, 405):
            raise
        check_hub(api)


def check_hub(api: Api) -> None:
    """Believe a 404 only of a hub: a proxy that leads nowhere gives one for every path.

    Raises:
        Away: what answers there is no hub.
    """
    try:
        api.get("/api/health")
    except HubError as error:
        raise Away(f"what answers there is no hub: {error}") from error


def posts_of(channel: str) -> str:
    """The route of a channel's posts."""
    return f"/api/channels/{quote(channel, safe='')}/posts"


def post(api: Api, channel: str, content: str) -> dict[str, Any]:
    """Post to a channel, which is made if it is one that every hub has; returns the post."""
    try:
        return api.post(posts_of(channel), {"content": content})
    except HubError as error:
        if error.status != 404:
            raise
        check_hub(api)
        if channel not in ABOUT:
            raise
        create_channel(api, channel, ABOUT[channel])
        return api.post(posts_of(channel), {"content": content})


def create_channel(api: Api, name: str, description: str) -> bool:
    """Make a channel; False when it is there already."""
    try:
        api.post("/api/channels", {"name": name, "description": description})
    except HubError as error:
        if error.status != 409:
            raise
        return False
    return True


def push(api: Api, repo: Repo, commit: str) -> list[str]:
    """Send a commit with what the hub lacks of its history; returns the hashes that the hub names.

    Raises:
        Refused: other files than the shared ones are part of that.
    """
    known = [parent for parent in repo.parents(commit)[:1] if knows(api, parent)]
    if beyond := sorted(repo.touched(commit, known) - {*SHARED}):
        raise Refused(
            f"commits for a hub hold {', '.join(SHARED)} alone, but the history of {commit[:7]} holds "
            f"{', '.join(beyond[:3])}; work on the branch of `uv run -m autoresearch setup TAG --hub`"
        )
    answer = api.post("/api/git/push", repo.bundle(commit, known))
    return [str(one) for one in answer.get("hashes") or ()]


def knows(api: Api, commit: str) -> bool:
    """Whether a hub has a commit."""
    try:
        api.get(f"/api/git/commits/{commit}")
    except HubError as error:
        if error.status == 404:
            return False
        raise
    return True
