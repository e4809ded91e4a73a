"""An idea is claimed before it is tried, and the claim given up if it is not: so that no two agents try the same."""

from collections.abc import Mapping

from autoresearch.errors import HubError
from autoresearch.hub.client.api import Api, Request

NO_CLAIMS = (404, 405)  # of a hub that keeps none


def claim(api: Api, wish: Mapping[str, object]) -> tuple[int | None, str]:
    """Claim an idea.

    Returns:
        Number of the claim, None where there is none; and why another agent should be left to it, or was there before.

    Raises:
        HubError: the hub said no for another reason, or is not there.
    """
    try:
        made = api.post("/api/claims", wish)
    except HubError as error:
        if error.status == 409:
            return None, str(error)
        if error.status in NO_CLAIMS:
            return None, ""
        raise
    try:
        done = [f"{one['agent_id']} ({one['outcome']})" for one in made.get("settled") or ()]
        number = int(made["id"])
    except (KeyError, TypeError, ValueError) as error:
        raise HubError(502, f"a claim must be answered in the form of the wire but {error!r}") from error
    return number, f"{wish['key']} was measured by {', '.join(done)}; see `hub result`" if done else ""


def release(api: Api, number: int) -> None:
    """Give up a claim; one that has ended, or was never there, is fine."""
    try:
        api.call(Request("DELETE", f"/api/claims/{number:d}"))
    except HubError as error:
        if error.status not in (403, 409, *NO_CLAIMS):
            raise
