"""One request to an OpenAI-compatible server: its deadline, its size, what its failure means.

The SDK sends; it is kept from retrying, redirecting, reading more than a bound, and sending what the environment holds.
The look-up of a server's name is the one thing that neither the deadline nor `stop` cuts short.
"""

import asyncio
import email.utils
import sys
import threading
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, ValidationError

from autoresearch.chat.answer import complaint_of
from autoresearch.errors import BadConfig, ChatFailed, Interrupted

MOST_BYTES = 2 << 20  # of one response; the longest answers of models have half a megabyte
SHOWN_CHARS = 300  # of what a server says that goes into an error
OWN_HEADERS = (  # the last is how the SDK remembers that it is to hand over the body as it came
    *("host", "authorization", "content-type", "content-length", "accept", "accept-encoding", "user-agent"),
    *("connection", "x-stainless-raw-response"),
)
PASSING = (408, 429)
LASTING = {  # what every further request would meet too
    401: "; check the key", 402: "; check the account", 403: "; check the key",
    404: "; check the URL and the name of the model",
}  # fmt: skip


@dataclass(frozen=True)
class Endpoint:
    """Where a model is asked, and how patiently."""

    url: str = field(repr=False)
    """Base of an OpenAI-compatible interface, most often ending in /v1."""
    model: str
    key: str = field(default="", repr=False)
    """Empty where the server asks for none."""
    temperature: float | None = None
    """None leaves it to the server; some models take no other."""
    timeout_s: float = 60.0
    """For one request, from its first byte to the last of the response."""
    num_retries: int = 3
    """More requests after one that failed for a passing reason."""
    num_corrections: int = 2
    """Times that a refused answer goes back with the reason."""
    longest_wait_s: float = 120.0
    """A server that asks for a longer wait counts as failed."""

    def __str__(self) -> str:
        """For messages: the URL without what may be secret in it."""
        parts = urlsplit(self.url)
        return f"{self.model} at {parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def clean(self, text: str) -> str:
        """What somebody else said, on one short line without the key."""
        if self.key:
            text = text.replace(self.key, "***")
        return "".join(one for one in " ".join(text.split()) if one.isprintable())[:SHOWN_CHARS]


class Passing(Exception):
    """A request failed for a reason that may pass."""

    def __init__(self, status: str, words: str, after_s: float | None = None):
        super().__init__(words)
        self.status = status
        """As in ChatFailed."""
        self.after_s = after_s
        """When the server wants to be asked again; None where it does not say."""


class Said(BaseModel):
    """What the model says."""

    content: str | None = None
    refusal: str | None = None


class Choice(BaseModel):
    """One answer."""

    message: Said
    finish_reason: str | None = None


class Completion(BaseModel):
    """What is read of a response."""

    choices: list[Choice] = Field(min_length=1)
    usage: Any = None


class Line:
    """Sends requests to an endpoint; may be used by several threads."""

    def __init__(self, endpoint: Endpoint, stop: threading.Event):
        """Load the SDK; nothing is sent.

        Raises:
            BadConfig: the URL is none, the key cannot be sent, or the extra is missing.
        """
        self.endpoint, self.stop = endpoint, stop
        parts = urlsplit(endpoint.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadConfig(f"the URL of a model must begin with https:// or http:// but got {endpoint}")
        if not (endpoint.key.isascii() and endpoint.key.isprintable()) or " " in endpoint.key:
            raise BadConfig(
                f"the key for {endpoint} must be printable ASCII without spaces but is not; look at its ends"
            )
        try:
            import openai
        except ModuleNotFoundError as error:
            what = "a language model needs more packages; run `uv run --extra search -m autoresearch ...`"
            raise BadConfig(what) from error
        self.sdk: Any = openai
        self.http: Any = sys.modules[openai.DefaultAsyncHttpxClient.__mro__[1].__module__]  # httpx or its successor
        self.tls = self.http.create_ssl_context()  # reading the certificates takes longer than most of a request

    def send(self, body: Mapping[str, Any]) -> Completion:
        """One request.

        Raises:
            Passing: it may go well the next time.
            ChatFailed: it will not.
            Interrupted: `stop` was set.
        """
        try:
            return Completion.model_validate_json(asyncio.run(self._until_stopped(self._post(body))))
        except (TimeoutError, self.sdk.APITimeoutError) as error:
            raise Passing("timeout", f"nothing within {self.endpoint.timeout_s:g} s") from error
        except self.sdk.APIConnectionError as error:
            raise Passing("connection", self.endpoint.clean(f"{error} {error.__cause__ or ''}")) from error
        except self.sdk.APIStatusError as error:
            raise self._refusal(error) from None  # whose chain holds the request, and so the key
        except ValidationError as error:
            raise Passing("connection", f"a response that is no completion: {complaint_of(error)}") from error

    async def _until_stopped(self, work: Coroutine[Any, Any, bytes]) -> bytes:
        task = asyncio.create_task(work)
        async with asyncio.timeout(self.endpoint.timeout_s):
            while not task.done():
                if self.stop.is_set():
                    raise Interrupted(f"stopped while {self.endpoint} was asked")
                await asyncio.wait({task}, timeout=0.05)
        return task.result()

    async def _post(self, body: Mapping[str, Any]) -> bytes:
        """The body of the response."""
        hooks = {"request": [_strip], "response": [self._bound]}
        async with self.sdk.AsyncOpenAI(
            base_url=self.endpoint.url, api_key=self.endpoint.key or "none", timeout=self.endpoint.timeout_s,
            max_retries=0, default_headers={"Accept-Encoding": "identity"},
            http_client=self.sdk.DefaultAsyncHttpxClient(event_hooks=hooks, follow_redirects=False, verify=self.tls),
        ) as client:  # fmt: skip
            response = await client.chat.completions.with_raw_response.create(model=self.endpoint.model, **body)
            return bytes(response.content)

    async def _bound(self, response: Any) -> None:
        """Have the response fail where it is longer than MOST_BYTES, or compressed to hide how long it is."""
        response.headers["Content-Type"] = "application/json"  # its charset would choose the decoder
        fault, stream = self.http.RemoteProtocolError, response.stream
        if response.headers.get("content-encoding", "identity") != "identity":
            raise fault("a compressed response, though none was asked for")

        class Bounded(self.http.AsyncByteStream):  # type: ignore[name-defined, misc]
            async def __aiter__(self) -> Any:
                num_bytes = 0
                async for piece in stream:
                    num_bytes += len(piece)
                    if num_bytes > MOST_BYTES:
                        raise fault(f"more than {MOST_BYTES:,} bytes")
                    yield piece

            async def aclose(self) -> None:
                await stream.aclose()

        response.stream = Bounded()

    def _refusal(self, error: Any) -> Exception:
        """What an HTTP status means for us."""
        status = error.status_code
        words = self.endpoint.clean(f"HTTP {status}: {error.message.removeprefix(f'Error code: {status} - ')}")
        if status in PASSING or status >= 500:
            return Passing(f"http {status}", words, retry_after_s(error.response.headers))
        what = f"{self.endpoint} must answer but: {words}{LASTING.get(status, '')}"
        return ChatFailed(what, f"http {status}", lasting=status in LASTING)


async def _strip(request: Any) -> None:
    """Send nothing about this machine, and nothing that the SDK takes from the environment."""
    for name in set(request.headers) - {*OWN_HEADERS}:
        del request.headers[name]


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait; a date counts from its own `Date`, so that no clock of ours is needed."""
    given = headers.get("retry-after", "").strip()
    if given.isdecimal() and len(given) < 10:
        return float(given)
    try:
        until, now = (email.utils.parsedate_to_datetime(one) for one in (given, headers.get("date", "")))
        return max(0.0, (until - now).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None
