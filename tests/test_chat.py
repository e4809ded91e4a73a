"""Asking a language model: what is retried, what is corrected, what is refused, and what never leaks."""

import gzip
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import chat_stub
import pytest
from chat_stub import Answer, Stub
from pydantic import BaseModel, Field

from autoresearch.chat import Call, Chat, Endpoint, endpoint
from autoresearch.chat.answer import parse
from autoresearch.errors import BadConfig, ChatFailed, Interrupted

KEY = "sk-very-secret-0123456789"
GOOD = Answer('{"rate": 0.1}')
ASKED = [{"role": "system", "content": "You tune."}, {"role": "user", "content": "Which rate?"}]


class Rate(BaseModel):
    """What the tests ask for."""

    rate: float = Field(gt=0, lt=1)
    why: str = ""


class Patient(threading.Event):
    """Waits without waiting, and remembers for how long."""

    def __init__(self) -> None:
        super().__init__()
        self.waited: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waited.append(timeout or 0.0)
        return self.is_set()


@pytest.fixture
def stub() -> Iterator[Stub]:
    with chat_stub.serve() as served:
        yield served


class Asked:
    """A chat with the stub, its stop and its ledger."""

    def __init__(self, stub: Stub, **more: Any):
        self.stop, self.calls = Patient(), list[Call]()
        self.chat = Chat(Endpoint(stub.url, "tiny", KEY, **more), self.stop, self.calls.append)

    def __call__(self, **more: Any) -> Rate:
        return self.chat.ask(ASKED, Rate, **more).value

    def failure(self) -> ChatFailed:
        with pytest.raises(ChatFailed) as failed:
            self()
        assert KEY not in str(failed.value) + repr(self.calls) + repr(self.chat.endpoint)
        return failed.value


@pytest.fixture
def asked(stub: Stub) -> Asked:
    return Asked(stub)


def test_chat_sends_messages_schema_and_key_and_nothing_of_the_environment(stub, asked, monkeypatch):
    monkeypatch.setenv("OPENAI_ORG_ID", "somebody")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Secret: 1")
    stub.say({"rate": 0.5, "why": "half"})
    assert asked() == Rate(rate=0.5, why="half")
    (request,) = stub.requests
    assert request.path == "/v1/chat/completions"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert set(request.headers) <= {*endpoint.OWN_HEADERS}
    assert request.body["messages"] == ASKED and request.body["model"] == "tiny"
    assert "temperature" not in request.body
    form = request.body["response_format"]["json_schema"]
    assert form["strict"] and set(form["schema"]["required"]) == {"rate", "why"}
    assert form["schema"]["additionalProperties"] is False


def test_chat_sends_a_temperature_that_is_given(stub):
    stub.say({"rate": 0.5})
    Asked(stub, temperature=0.0)()
    assert stub.requests[0].body["temperature"] == 0.0


def test_chat_records_what_a_question_cost(stub, asked):
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "cost": 0.25, "other": {}}
    stub.script += [Answer("no idea", usage=usage), Answer('{"rate": 0.5}', usage=usage)]
    asked()
    (call,) = asked.calls
    assert (call.model, call.status, call.attempts) == ("tiny", "ok", 2)
    assert (call.prompt_tokens, call.completion_tokens, call.cost_usd) == (20, 10, 0.5)
    assert 0 < call.seconds < 20


@pytest.mark.parametrize("usage", [None, "many", {"prompt_tokens": -5}, {"prompt_tokens": 1e300}, {"cost": -1}])
def test_chat_counts_nothing_where_the_server_counts_nonsense(stub, asked, usage):
    stub.script.append(Answer('{"rate": 0.5}', usage=usage))
    asked()
    assert (asked.calls[0].prompt_tokens, asked.calls[0].cost_usd) == (0, 0.0)


@pytest.mark.parametrize("status", [400, 422])
def test_chat_falls_back_to_the_prompt_for_servers_that_take_no_schema(stub, asked, status):
    stub.script.append(Answer("response_format.type `json_schema` is unavailable now", status=status))
    stub.say({"rate": 0.5}, {"rate": 0.25})
    assert asked().rate == 0.5
    assert "response_format" not in stub.requests[1].body
    assert "Which rate?" in stub.requests[1].text and '"required": ["rate", "why"]' in stub.requests[1].text
    assert asked().rate == 0.25
    assert "response_format" not in stub.requests[2].body  # the server is not tried with a schema again


def test_chat_tries_the_schema_again_when_the_400_was_about_something_else(stub, asked):
    stub.script += [Answer("too long", status=400), Answer("too long", status=400)]
    assert asked.failure().status == "http 400"
    stub.say({"rate": 0.5})
    asked()
    assert "response_format" in stub.requests[-1].body


@pytest.mark.parametrize("status", [401, 403, 404, 409, 307])
def test_chat_raises_at_once_on_a_status_that_will_not_pass(stub, asked, status):
    stub.always = Answer(f"no such key {KEY}", status=status, headers={"Location": stub.url})
    failed = asked.failure()
    assert len(stub.requests) == 1 and not asked.stop.waited
    assert failed.lasting == (status in (401, 403, 404)) and failed.status == asked.calls[0].status == f"http {status}"
    assert "tiny at http://127.0.0.1" in str(failed) and f"HTTP {status}" in str(failed)


@pytest.mark.parametrize("status", [408, 429, 500, 599])
def test_chat_retries_a_status_that_may_pass(stub, asked, status):
    stub.script += [Answer("busy", status=status)] * 3
    stub.say({"rate": 0.5})
    asked()
    assert asked.stop.waited == [1, 2, 4] and asked.calls[0].attempts == 4


def test_chat_gives_up_after_its_retries(stub):
    asked = Asked(stub, num_retries=1)
    stub.always = Answer("down for \x1b[31mrepair", status=503)
    failed = asked.failure()
    assert not failed.lasting and failed.status == "http 503" and len(stub.requests) == 2
    assert "in 2 requests" in str(failed) and "down for [31mrepair" in str(failed)


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "0"}, 0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:30 GMT", "Date": "Wed, 21 Oct 2015 07:28:00 GMT"}, 30),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:30 GMT", "Date": "Wed, 21 Oct 2015 07:29:00 GMT"}, 0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:30 GMT", "Date": ""}, 1),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:30 -0000", "Date": "Wed, 21 Oct 2015 07:28:00 GMT"}, 1),
        ({"Retry-After": "soon"}, 1),
        ({"Retry-After": "-5"}, 1),
        ({"Retry-After": "9" * 400}, 1),
    ],
)
def test_chat_waits_as_long_as_the_server_asks(stub, asked, headers, wait_s):
    stub.script.append(Answer("slow down", status=429, headers=headers))
    stub.say({"rate": 0.5})
    asked()
    assert asked.stop.waited == [wait_s]


def test_chat_does_not_ask_sooner_than_told_when_that_is_too_late(stub, asked):
    stub.always = Answer("tomorrow", status=429, headers={"Retry-After": "86400"})
    assert "asks to wait 86400 s" in str(asked.failure())
    assert len(stub.requests) == 1 and not asked.stop.waited


@pytest.mark.parametrize(
    "fault",
    [
        Answer(reset=True),
        Answer('{"rate": 0.5}', send_frac=0.5),
        Answer(body=b""),
        Answer(body=b"<html>Bad gateway</html>"),
        Answer(body=b'{"choices": []}'),
        Answer(body=b'{"choices": "\xff\xfe"}'),
        Answer(body=b'{"choices": ' + b"[" * 100_000),
        Answer(body=b'{"choices": [{"message": {"content": "\\ud800"}}]}'),
        Answer(body=b"[" * 100_000, status=500),
        Answer(body=b"\xff" * 10, status=500, headers={"Content-Type": "text/plain; charset=hex"}),
        Answer(body=gzip.compress(chat_stub.body_of(GOOD, {"model": "x"})), headers={"Content-Encoding": "gzip"}),
        Answer('{"rate": 0.1}' + " " * endpoint.MOST_BYTES),
        Answer(body=b"x" * (endpoint.MOST_BYTES + 1), status=500),
        Answer(
            body=b"x" * (endpoint.MOST_BYTES + 1), status=400, headers={"Content-Length": "", "Connection": "close"}
        ),
    ],
)
def test_chat_retries_a_response_that_is_broken(stub, asked, fault):
    stub.script.append(fault)
    stub.say({"rate": 0.5})
    assert asked().rate == 0.5
    assert asked.calls[0].attempts == 2


def test_chat_names_a_server_that_is_not_there(stub):
    asked = Asked(stub, num_retries=0)
    asked.chat.line.endpoint = replace(asked.chat.endpoint, url="http://user:word@127.0.0.1:1/v1?key=x")
    asked.chat.endpoint = asked.chat.line.endpoint
    failed = asked.failure()
    assert failed.status == "connection" and "tiny at http://127.0.0.1:1/v1 must answer" in str(failed)
    assert "word" not in str(failed) and "key=x" not in str(failed)


@pytest.mark.parametrize("fault", [Answer(hold=True), Answer('{"rate": 0.5}', drip_s=0.05)])
def test_chat_ends_a_request_at_its_deadline_however_the_server_dawdles(stub, fault):
    asked = Asked(stub, timeout_s=0.3, num_retries=1)
    stub.always = fault
    begun = time.monotonic()
    assert asked.failure().status == "timeout"
    assert len(stub.requests) == 2 and time.monotonic() - begun < 10


def test_chat_stops_in_the_midst_of_a_request(stub, asked):
    stub.always = Answer(hold=True)
    threading.Timer(0.2, asked.stop.set).start()
    begun = time.monotonic()
    with pytest.raises(Interrupted):
        asked()
    assert time.monotonic() - begun < 10 and asked.calls[0].status == "stopped"


def test_chat_stops_while_it_waits_to_ask_again(stub):
    calls: list[Call] = []
    stop = threading.Event()
    chat = Chat(Endpoint(stub.url, "tiny"), stop, calls.append)
    stub.always = Answer("later", status=429, headers={"Retry-After": "60"})
    threading.Timer(0.3, stop.set).start()
    begun = time.monotonic()
    with pytest.raises(Interrupted):
        chat.ask(ASKED, Rate)
    assert time.monotonic() - begun < 10 and len(stub.requests) == 1 and calls[0].status == "stopped"


@pytest.mark.parametrize(
    "text",
    [
        '{"rate": 0.5}',
        'Certainly!\n```json\n{"rate": 0.5}\n```\nThat is {half}.',
        '<think>a set {1, 2}</think>{"rate": 0.5, "more": {"deep": {}}}',
        '\ufeff {"rate": "0.5"} ',
    ],
)
def test_answer_is_found_alone_fenced_or_among_prose(text):
    assert parse(text, Rate) == Rate(rate=0.5)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "exactly one JSON object but holds none"),
        ("I would rather not.", "holds none"),
        ('{"rate": 0.5', "holds none"),
        ("[0.5]", "holds none"),
        ('{"rate": NaN}', "holds none"),
        ('{"rate": 0.1} or {"rate": 0.2}', "holds 2"),
        ('{"rate": 5}', "rate: Input should be less than 1"),
        ('{"rate": 1e999}', "rate: Input should be less than 1"),
        ('{"why": "x"}', "rate: Field required"),
        ('{"rate": "' + "9" * 100_000 + '"}', "rate: "),
        ("{" * 1_000_000, "holds none"),
        ('{"a":' * 200_000, "holds none"),
        ('{"rate": ' + "[" * 100_000, "holds none"),
    ],
)
def test_answer_that_does_not_fit_is_refused_in_few_words(text, complaint):
    begun = time.monotonic()
    with pytest.raises(ValueError, match=r"rate|holds") as refused:
        parse(text, Rate)
    assert complaint in str(refused.value) and len(str(refused.value)) < 300
    assert time.monotonic() - begun < 10


def test_chat_quotes_what_was_wrong_until_the_answer_fits(stub, asked):
    stub.say("Half.", {"rate": 7}, {"rate": 0.5})
    assert asked().rate == 0.5
    talk = stub.requests[2].body["messages"]
    assert [one["role"] for one in talk] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert talk[2]["content"] == "Half." and "holds none" in talk[3]["content"]
    assert "rate: Input should be less than 1" in talk[5]["content"]


def test_chat_gives_up_after_its_corrections(stub, asked):
    stub.always = Answer(f"{KEY} is what I know")
    failed = asked.failure()
    assert failed.status == asked.calls[0].status == "invalid" and not failed.lasting
    assert len(stub.requests) == 3 and "none in 3" in str(failed)


def test_chat_lets_the_caller_refuse_an_answer(stub, asked):
    stub.say({"rate": 0.5}, {"rate": 0.25})
    assert asked(check=lambda value: "0.5 was tried" if value.rate == 0.5 else "").rate == 0.25
    assert "Refused: 0.5 was tried" in stub.requests[1].text


def test_chat_tells_the_model_no_more_than_the_beginning_of_a_complaint(stub, asked):
    stub.say({"rate": 0.5}, {"rate": 0.25})
    asked(check=lambda value: "wrong " * 9999 if value.rate == 0.5 else "")
    assert len(stub.requests[1].text) < 10_000


def test_chat_lets_a_fault_of_the_caller_through(stub, asked):
    stub.say({"rate": 0.5})
    with pytest.raises(ValueError, match="invalid literal"):
        asked(check=lambda value: str(int("x")))
    assert len(stub.requests) == 1


def test_chat_tells_the_model_that_it_was_cut_off_or_refused(stub, asked):
    stub.script += [Answer('{"rate": 0.', finish="length"), Answer(None, message={"refusal": "Not my task."})]
    stub.say({"rate": 0.5})
    asked()
    assert "give a shorter one" in stub.requests[1].text
    assert "'Not my task.'" in stub.requests[2].text


def test_chat_sends_only_the_beginning_of_a_refused_answer_back(stub, asked):
    stub.say("x" * 1_000_000, {"rate": 0.5})
    asked()
    assert len(stub.requests[1].text) < 10_000


@pytest.mark.parametrize("url", ["", "localhost:1/v1", "ftp://x/v1", "http:///v1", "file:///etc/passwd"])
def test_chat_refuses_an_address_that_is_none(url):
    with pytest.raises(BadConfig, match="must begin with https"):
        Chat(Endpoint(url, "tiny"))


@pytest.mark.parametrize("key", ["sk-ends-in-a-break\n", "sk with spaces", "sk-\x00", "sk-\u2013"])
def test_chat_refuses_a_key_that_cannot_be_sent_without_saying_it(key):
    with pytest.raises(BadConfig, match="printable ASCII") as refused:
        Chat(Endpoint("http://127.0.0.1:1/v1", "tiny", key))
    assert "sk" not in str(refused.value).replace("asked", "")


def test_chat_reads_a_response_of_any_stated_charset(stub, asked):
    stub.script.append(Answer('{"rate": 0.5, "why": "é"}', headers={"Content-Type": "text/html; charset=hex"}))
    assert asked().why == "é"


def test_chat_names_the_extra_that_is_missing():
    script = """
import sys
sys.modules["openai"] = None
from autoresearch.chat import Chat, Endpoint
try:
    Chat(Endpoint("http://127.0.0.1:1/v1", "tiny"))
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("BadConfig") and "uv run --extra search" in done.stdout
