"""Asks a model until its answer is acceptable, or it is clear that none will come."""

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, Field, ValidationError

from autoresearch.chat.answer import parse
from autoresearch.chat.endpoint import Choice, Endpoint, Line, Passing
from autoresearch.errors import ChatFailed, Interrupted

NO_SCHEMA = ("http 400", "http 422")  # what servers answer that take none; DeepSeek has used both
QUOTED_CHARS = 8000  # of a refused answer that goes back to the model, and of what is wrong with it

Message = dict[str, str]
"""`role` (system, user or assistant) and `content`."""
Model = TypeVar("Model", bound=BaseModel)


@dataclass
class Call:
    """What one question cost, whatever became of it."""

    model: str
    status: str = "invalid"
    """ok, or how it failed: invalid (no answer was acceptable), timeout, connection, `http 503`, stopped."""
    attempts: int = 0
    """Requests."""
    prompt_tokens: int = 0
    """As the server counts; 0 where it does not."""
    completion_tokens: int = 0
    cost_usd: float = 0.0
    """As the server says; few do."""
    seconds: float = 0.0
    """Waiting between requests included."""


@dataclass(frozen=True)
class Reply(Generic[Model]):
    """An acceptable answer."""

    value: Model
    text: str
    """In the model's words."""


class _Usage(BaseModel, allow_inf_nan=False):
    prompt_tokens: int = Field(default=0, ge=0, lt=1 << 40)
    completion_tokens: int = Field(default=0, ge=0, lt=1 << 40)
    cost: float | None = Field(default=None, ge=0)


class Chat:
    """Asks one endpoint; may be used by several threads."""

    def __init__(
        self,
        endpoint: Endpoint,
        stop: threading.Event | None = None,
        record: Callable[[Call], None] = lambda call: None,
    ):
        """Take an endpoint; nothing is sent yet.

        Args:
            stop: once set, a question under way ends within a tenth of a second.
            record: is given the cost of every question, failed ones included.

        Raises:
            BadConfig: the URL is none, the key cannot be sent, or the extra is missing.
        """
        self.endpoint, self.stop, self.record = endpoint, stop or threading.Event(), record
        self.line = Line(endpoint, self.stop)
        self.takes_schema = True

    def ask(
        self, messages: Sequence[Message], schema: type[Model], check: Callable[[Model], str] = lambda value: ""
    ) -> Reply[Model]:
        """Ask until an answer is acceptable.

        Args:
            schema: what the answer must be; the model is asked for every field, also for those with a default.
            check: says what else is wrong with an answer, nothing when it is acceptable; this too is told the model.

        Raises:
            ChatFailed: the endpoint failed, or no answer was acceptable.
            Interrupted: `stop` was set.
        """
        call, begun = Call(self.endpoint.model), time.monotonic()
        try:
            reply = self._converse(list(messages), schema, check, call)
            call.status = "ok"
            return reply
        except ChatFailed as error:
            call.status = error.status
            raise
        except (Interrupted, KeyboardInterrupt):
            call.status = "stopped"
            raise
        finally:
            call.seconds = time.monotonic() - begun
            self.record(call)

    def _converse(
        self, talk: list[Message], schema: type[Model], check: Callable[[Model], str], call: Call
    ) -> Reply[Model]:
        complaint = ""
        for _ in range(1 + self.endpoint.num_corrections):
            choice = self._complete(talk, schema, call)
            text = choice.message.content or ""
            try:
                value = parse(text, schema)
            except ValueError as error:
                complaint = _explained(str(error), choice)
            else:
                complaint = check(value)
                if not complaint:
                    return Reply(value, text)
            again = f"Refused: {complaint[:QUOTED_CHARS]}\nCorrect this, and answer with the whole JSON object again."
            talk += [{"role": "assistant", "content": text[:QUOTED_CHARS]}, {"role": "user", "content": again}]
        what = f"{self.endpoint} must give an acceptable answer but gave none in {1 + self.endpoint.num_corrections}"
        raise ChatFailed(f"{what}: {self.endpoint.clean(complaint)}", "invalid")

    def _complete(self, talk: list[Message], schema: type[BaseModel], call: Call) -> Choice:
        """One completion, asked for again where that may help."""
        for attempt in range(1 + self.endpoint.num_retries):
            try:
                return self._request(talk, schema, call)
            except Passing as error:
                failed = error
            wait_s = 2.0**attempt if failed.after_s is None else failed.after_s
            if attempt == self.endpoint.num_retries or wait_s > self.endpoint.longest_wait_s:
                break
            if self.stop.wait(wait_s):
                raise Interrupted(f"stopped before {self.endpoint} was asked again")
        asked = f"; it asks to wait {failed.after_s:.0f} s" if failed.after_s else ""
        what = f"{self.endpoint} must answer but did not in {1 + attempt} requests"
        raise ChatFailed(f"{what}: {failed}{asked}", failed.status) from failed

    def _request(self, talk: list[Message], schema: type[BaseModel], call: Call) -> Choice:
        """One completion, by the server's own structured output unless it has none."""
        wanted = self.line.sdk.pydantic_function_tool(schema)["function"]["parameters"]
        if self.takes_schema:
            form = {"name": schema.__name__, "strict": True, "schema": wanted}
            try:
                return self._send(call, messages=talk, response_format={"type": "json_schema", "json_schema": form})
            except ChatFailed as error:
                if error.status not in NO_SCHEMA:
                    raise
        asked = f"Answer with one JSON object of this schema, and nothing else:\n{json.dumps(wanted)}"
        last = talk[-1] | {"content": f"{talk[-1]['content']}\n\n{asked}"}
        choice = self._send(call, messages=[*talk[:-1], last])
        self.takes_schema = False  # only now: the fault might have lain with the messages
        return choice

    def _send(self, call: Call, **body: Any) -> Choice:
        call.attempts += 1
        if self.endpoint.temperature is not None:
            body["temperature"] = self.endpoint.temperature
        completion = self.line.send(body)
        try:
            used = _Usage.model_validate(completion.usage)
        except ValidationError:
            used = _Usage()  # a server that does not count, or nonsense
        call.prompt_tokens += used.prompt_tokens
        call.completion_tokens += used.completion_tokens
        call.cost_usd += used.cost or 0.0
        return completion.choices[0]


def _explained(complaint: str, choice: Choice) -> str:
    """A complaint with what the server says about the answer."""
    if choice.message.refusal:
        return f"you refused with the words {choice.message.refusal[:QUOTED_CHARS]!r}"
    if choice.finish_reason == "length":
        return f"{complaint}; the answer was cut off for its length, so give a shorter one"
    return complaint
