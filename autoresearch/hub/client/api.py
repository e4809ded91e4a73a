"""Calls to a hub: bounded in time and size, and refusals in its words.

Each call runs in a thread that is left behind when its time is over: name look-ups know no time-out, and an answer may
come byte by byte. Redirects are not followed, so that the key goes nowhere else.
"""

import errno
import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from autoresearch.errors import Away, HubError
from autoresearch.hub.client.credentials import Credentials

T = TypeVar("T")
ANSWER_BYTES = 8 * 1024 * 1024
PART_BYTES = 64 * 1024
TRIES = 3
PAUSE_S = 0.3
REFUSED = os.strerror(errno.ECONNREFUSED)


@dataclass
class Patience:
    """How long calls may take: each, and all in sum; the time between them does not count."""

    total_s: float
    call_s: float
    spent_s: float = 0.0

    @property
    def left_s(self) -> float:
        """For the next call."""
        return min(self.call_s, self.total_s - self.spent_s)

    def spend(self, action: Callable[[], T]) -> T:
        """Do something, and count its time."""
        begun = time.monotonic()
        try:
            return action()
        finally:
            self.spent_s += time.monotonic() - begun


@dataclass(frozen=True)
class Request:
    """What is asked of a hub."""

    method: str
    path: str
    """With its first slash; parts of it must be plain already."""
    query: Mapping[str, str | int] = field(default_factory=dict)
    body: Mapping[str, object] | bytes | None = None
    """A JSON object, or raw bytes."""
    most_bytes: int = ANSWER_BYTES
    """Of the answer."""


class Api:
    """One hub, called by one agent; or by nobody, where there is no key yet."""

    def __init__(self, who: Credentials, patience: Patience):
        import requests  # takes a tenth of a second, which verbs without a hub do not pay

        self.who, self.patience = who, patience
        self._session = requests.Session()
        self._session.auth = self._sign  # so that requests looks for none in ~/.netrc
        self._session.headers["Accept-Encoding"] = "identity"

    def _sign(self, prepared: Any) -> Any:
        if self.who.key:
            prepared.headers["Authorization"] = f"Bearer {self.who.key}"
        return prepared

    def get(self, path: str, **query: str | int) -> dict[str, Any]:
        """The object that a route answers with."""
        return self._shaped(Request("GET", path, query), dict)

    def rows(self, path: str, **query: str | int) -> list[dict[str, Any]]:
        """The list of objects that a route answers with."""
        found = self._shaped(Request("GET", path, query), list)
        return [one for one in found if isinstance(one, dict)]

    def post(self, path: str, body: Mapping[str, object] | bytes) -> dict[str, Any]:
        """The object that a route answers with."""
        return self._shaped(Request("POST", path, body=body), dict)

    def _shaped(self, request: Request, shape: type[T]) -> T:
        """The JSON of an answer; refusals as in `call`."""
        content = self.call(request)
        try:
            found = json.loads(content)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, shape):
            wanted = f"{self.who.hub}{request.path} must answer with a JSON {shape.__name__}"
            raise HubError(502, f"{wanted} but got {content[:80]!r}")
        return found

    def call(self, request: Request) -> bytes:
        """The body of an answer.

        What was refused with a time to wait is asked again, and a GET that was not answered, as far as patience goes.

        Raises:
            HubError: the hub said no, in its words.
            Away: it did not answer, or not in time.
        """
        for tries in range(1, TRIES + 1):
            try:
                return self.patience.spend(lambda: self._call_once(request))
            except HubError as error:
                wait_s = _pause_s(error, request.method, tries)
                if tries == TRIES or wait_s is None or wait_s >= self.patience.total_s - self.patience.spent_s:
                    raise
                self.patience.spend(lambda: time.sleep(wait_s))  # noqa: B023  it is called at once
        raise AssertionError

    def _call_once(self, request: Request) -> bytes:
        left_s = self.patience.left_s
        if left_s <= 0:
            raise Away(f"{self.who.hub} was given all the time there is")
        until = time.monotonic() + left_s
        status, headers, content = within(left_s, lambda: self._exchange(request, until), self.who.hub)
        if 200 <= status < 300:
            return content
        raise refusal(status, headers, content)

    def _exchange(self, request: Request, until: float) -> tuple[int, Mapping[str, str], bytes]:
        """Send and receive, in a thread."""
        import requests
        import urllib3

        body = request.body
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body, ensure_ascii=False).encode(errors="replace")
        left_s = max(0.01, until - time.monotonic())
        try:
            with self._session.request(
                request.method, self.who.hub + request.path, params={**request.query}, data=body, timeout=left_s,
                stream=True, allow_redirects=False,
            ) as answer:  # fmt: skip
                content = bytearray()
                for part in answer.raw.stream(PART_BYTES, decode_content=False):
                    content += part
                    if len(content) > request.most_bytes:
                        raise HubError(502, f"an answer must have at most {request.most_bytes:,} bytes but has more")
                return answer.status_code, answer.headers, bytes(content)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            cause = _cause(error)
            mend = "; is it served there? `hub serve` begins it" if cause == REFUSED else ""
            raise Away(f"{self.who.hub} does not answer: {cause}{mend}") from error


def within(seconds: float, action: Callable[[], T], hub: str) -> T:
    """The result of an action in a thread, which is left behind when it takes longer.

    Raises:
        Away: it took longer.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(action())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if results:
        return results[0]
    raise errors[0] if errors else Away(f"{hub} does not answer within {seconds:.1f} s")


def refusal(status: int, headers: Mapping[str, str], content: bytes) -> HubError:
    """What an answer other than 2xx says."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = None
    more = {str(name): value for name, value in found.items() if name != "error"} if isinstance(found, dict) else {}
    said = str(found["error"]) if isinstance(found, dict) and found.get("error") else f"answered with status {status}"
    if 300 <= status < 400:
        said = f"the hub must answer by itself but sends us to {headers.get('Location', 'elsewhere')!r}"
    wait = headers.get("Retry-After", "")
    error = HubError(status if status >= 400 else 502, said[:1000], int(wait[:9]) if wait.isdecimal() else None)
    error.more = more
    return error


def _pause_s(error: HubError, method: str, tries: int) -> float | None:
    """Seconds after which to ask again; None where that would not help, or might do something twice."""
    if isinstance(error, Away):
        return PAUSE_S * tries if method == "GET" else None
    return float(error.retry_after_s) if error.retry_after_s is not None and error.status in (429, 503) else None


def _cause(error: BaseException) -> str:
    """The innermost reason, in few words."""
    while isinstance(inner := getattr(error, "reason", None) or next(iter(error.args), None), BaseException):
        error = inner
    return getattr(error, "strerror", "") or str(error).rpartition(": ")[2] or type(error).__name__
