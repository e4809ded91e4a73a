"""Calls to the API that runs trials: bounded in time and size, and each says what is known of a failure.

Redirects are not followed, so that headers with keys go nowhere else.
"""

import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from autoresearch.sandbox import files

ANSWER_BYTES = 8 << 20
PART_BYTES = 64 << 10
CONNECT_S = 10.0
VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
AGAIN = {408, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True)
class Answer:
    """What came of a call."""

    status: int = 0
    """Of HTTP; 0: no answer came."""
    body: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""
    """One line about a failure."""
    retry_after_s: float = 0.0
    may_have_arrived: bool = True
    """False where nothing can have been done: there was no connection."""

    @property
    def is_good(self) -> bool:
        """Whether the body counts."""
        return 200 <= self.status < 300

    @property
    def may_change(self) -> bool:
        """Whether the same call may succeed later."""
        return self.status == 0 or self.status in AGAIN


@dataclass(frozen=True)
class Request:
    """One call."""

    method: str
    id: str = ""
    """Of the trial; empty: the API itself."""
    part: str = ""
    """Below the trial."""
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    timeout_s: float = 60.0


class Remote:
    """One API; its calls may be made by several threads."""

    def __init__(self, url: str, headers: Mapping[str, str]):
        self.url, self.headers = url, dict(headers)

    def begin(self, request: Request, answer: Callable[[Answer], None]) -> None:
        """Make a call in a thread of its own, which nobody has to wait for: look-ups of names know no time-out."""
        threading.Thread(target=lambda: answer(self.call(request)), daemon=True).start()

    def ask(self, request: Request) -> Answer:
        """Make a call and wait for its answer, no longer than it may take."""
        answers: SimpleQueue[Answer] = SimpleQueue()
        self.begin(request, answers.put)
        try:
            return answers.get(timeout=request.timeout_s + CONNECT_S)
        except Empty:
            return Answer(why=f"no answer within {request.timeout_s:g} s")

    def address(self, request: Request) -> str:
        """The URL of a call, below the path of the API's own."""
        parts = urlsplit(self.url)
        below = [one for one in (quote(request.id, safe=""), quote(request.part)) if one]
        return urlunsplit(parts._replace(path="/".join([parts.path.rstrip("/"), *below]) if below else parts.path))

    def save(self, request: Request, path: Path, size: int) -> Answer:
        """Fetch a file of a known size, which takes the place of whatever is there once it is whole."""
        aside = path.with_name(f".{path.name}.part")
        try:
            with files.create(aside) as file:
                answer = self.call(request, file, size)
                found = file.tell()
            if answer.is_good and found != size:
                answer = Answer(why=f"{size:,} bytes were promised but {found:,} came")
            if answer.is_good:
                aside.replace(path)
            return answer
        finally:
            aside.unlink(missing_ok=True)

    def call(self, request: Request, file: FileIO | None = None, most_bytes: int = ANSWER_BYTES) -> Answer:
        """Make a call in this thread.

        Args:
            file: takes a good answer as it comes; without one that is JSON.
        """
        import requests
        import urllib3

        until, content, size = time.monotonic() + request.timeout_s, bytearray(), 0
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", **self.headers}
        if request.method == "POST" and request.body and "id" in request.body:
            headers["Idempotency-Key"] = str(request.body["id"])
        try:
            with requests.request(
                request.method, self.address(request), params=dict(request.query), json=request.body, headers=headers,
                timeout=(min(CONNECT_S, request.timeout_s), request.timeout_s), stream=True, allow_redirects=False,
                auth=lambda prepared: prepared,  # so that none is looked for in ~/.netrc
            ) as answer:  # fmt: skip
                for part in answer.raw.stream(PART_BYTES, decode_content=False):
                    size += len(part)
                    if size > most_bytes:
                        return Answer(599, why=f"an answer must have at most {most_bytes:,} bytes but has more")
                    if file and answer.status_code == 200:
                        file.write(part)
                    else:
                        content += part
                    if time.monotonic() > until:
                        return Answer(why=f"no answer within {request.timeout_s:g} s")
                return read(answer.status_code, answer.headers, bytes(content))
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            return Answer(why=cause(error), may_have_arrived=not is_unconnected(error))


def read(status: int, headers: Mapping[str, str], content: bytes) -> Answer:
    """An answer that came whole."""
    try:
        found = json.loads(content) if content.strip() else {}
    except (ValueError, RecursionError):
        found = None
    body = found if isinstance(found, dict) else {}
    wait = headers.get("Retry-After", "")
    retry_after_s = float(wait[:6]) if wait.isdecimal() else 0.0
    if 200 <= status < 300:
        if isinstance(found, dict):
            return Answer(status, body)
        return Answer(599, why=f"an answer must be a JSON object but is {content[:80]!r}")
    said = body.get("error") or body.get("detail") or content[:200].decode(errors="replace")
    if 300 <= status < 400:
        said = f"sends us to {headers.get('Location', 'elsewhere')!r}, which is not followed; correct target.url"
    return Answer(status, body, f"HTTP {status}: {' '.join(str(said).split())[:300]}", retry_after_s)


def is_unconnected(error: BaseException) -> bool:
    """Whether nothing was sent."""
    import urllib3
    from requests import exceptions

    inner = getattr(error.args[0], "reason", None) if error.args else None
    unconnected = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
    return isinstance(error, exceptions.ConnectTimeout | exceptions.InvalidURL) or isinstance(inner, unconnected)


def cause(error: BaseException) -> str:
    """The innermost reason, in a line."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]


def filled(headers: Mapping[str, str], variables: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Headers with `$NAME` and `${NAME}` replaced from the environment, and the names that are missing there."""
    names = [name for text in headers.values() for pair in VARIABLE.findall(text) for name in pair if name]
    found = {
        key: VARIABLE.sub(lambda match: variables.get(match[1] or match[2], ""), text) for key, text in headers.items()
    }
    return found, [name for name in names if not variables.get(name)]
