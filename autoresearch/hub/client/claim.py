"""An idea is claimed before it is tried, and the claim given up if it is not: so that no two agents try the same."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from autoresearch.errors import HubError
from autoresearch.hub.client.api import Api, Request

NO_CLAIMS = (404, 405)  # of a hub that keeps none
MOST_SIMILAR, EXCERPT_CHARS = 5, 200  # a hub sends no more, unless it means harm


class Claimed(NamedTuple):
    """What came of a claim."""

    number: int | None
    """None where there is none."""
    why_not: str
    """Why the idea should be left to another agent, or who measured it before; empty where it is free."""
    similar: list[str]
    """Claims of other agents that are held and have words of this one, a line for each."""


def claim(api: Api, wish: Mapping[str, object]) -> Claimed:
    """Claim an idea.

    Raises:
        HubError: the hub said no for another reason than that it is taken, or is not there.
    """
    try:
        made = api.post("/api/claims", wish)
    except HubError as error:
        if error.status == 409:
            return Claimed(None, str(error), _held_by_others(api, error.more))
        if error.status in NO_CLAIMS:
            return Claimed(None, "", [])
        raise
    try:
        done = [f"{one['agent_id']} ({one['outcome']})" for one in made.get("settled") or ()]
        number = int(made["id"])
    except (KeyError, TypeError, ValueError) as error:
        raise HubError(502, f"a claim must be answered in the form of the wire but {error!r}") from error
    why_not = f"{wish['key']} was measured by {', '.join(done)}; see `hub result`" if done else ""
    return Claimed(number, why_not, _held_by_others(api, made))


def similar(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What an answer to a claim names as similar: claims that are held, and results."""
    found = answer.get("similar")
    return [one for one in found if isinstance(one, dict)][:MOST_SIMILAR] if isinstance(found, list) else []


def in_words(one: Mapping[str, Any]) -> str:
    """One of them in one line."""
    excerpt = " ".join(str(one.get("excerpt", "")).split())[:EXCERPT_CHARS]
    return f"{one.get('kind')} {one.get('subject')} of {one.get('agent_id')}: {excerpt}"


def _held_by_others(api: Api, answer: Mapping[str, Any]) -> list[str]:
    found = [one for one in similar(answer) if one.get("kind") == "claim"]
    return [in_words(one) for one in found if one.get("agent_id") != api.who.agent]


def release(api: Api, number: int) -> None:
    """Give up a claim; one that has ended, or was never there, is fine."""
    try:
        api.call(Request("DELETE", f"/api/claims/{number:d}"))
    except HubError as error:
        if error.status not in (403, 409, *NO_CLAIMS):
            raise
