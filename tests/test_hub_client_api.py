"""autoresearch/hub/client/api.py: time, size, refusals, and where the key goes."""

import gzip
import time
from pathlib import Path

import hubs
import night
import pytest
import scripted
from scripted import Answer

from autoresearch.errors import Away, HubError
from autoresearch.hub.client.api import Api, Patience, Request
from autoresearch.hub.client.credentials import Credentials


def ample() -> Patience:
    return Patience(total_s=30, call_s=10)


def test_api_speaks_to_a_hub(tmp_path: Path) -> None:
    with hubs.serving(tmp_path) as live:
        anybody = Api(Credentials(live.url, "", ""), ample())
        key = anybody.post("/api/register", {"id": "one", "other": "ignored"})["api_key"]
        api = Api(Credentials(live.url, key, "one"), ample())
        assert api.post("/api/channels", {"name": "talk"})["name"] == "talk"
        text = "Zeile\n\u2028 \x00 ☃"
        assert api.post("/api/channels/talk/posts", {"content": text})["content"] == text
        assert [one["content"] for one in api.rows("/api/channels/talk/posts", limit=5)] == [text]
        with pytest.raises(HubError, match="channel already exists") as caught:
            api.post("/api/channels", {"name": "talk"})
        assert caught.value.status == 409
        with pytest.raises(HubError, match="unauthorized"):
            anybody.get("/api/channels")


def test_api_keeps_what_stands_beside_an_error() -> None:
    with scripted.serving(Answer(409, {"error": "taken", "holder": {"agent_id": "b"}})) as server:
        with pytest.raises(HubError) as caught:
            Api(server.who, ample()).post("/x", {})
        assert (caught.value.status, str(caught.value), caught.value.more) == (
            409,
            "taken",
            {"holder": {"agent_id": "b"}},
        )


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (Answer(500, b"<html>oops"), 500, "status 500"),
        (Answer(200, [{}]), 502, "must answer with a JSON dict"),
        (Answer(400, {"error": {"a": 1}}), 400, "a"),
        (Answer(400, [1]), 400, "status 400"),
        (Answer(200, b"no json"), 502, "must answer with a JSON dict"),
        (Answer(200, b"[" * 100_000), 502, "must answer with a JSON dict"),
        (Answer(400, b"[" * 100_000), 400, "status 400"),
    ],
)
def test_api_tells_of_strange_answers(answer: Answer, status: int, words: str) -> None:
    with scripted.serving(answer) as server, pytest.raises(HubError, match=words) as caught:
        Api(server.who, ample()).get("/x")
    assert caught.value.status == status


def test_api_sends_the_key_nowhere_else() -> None:
    with (
        scripted.serving(Answer(200, "{}")) as other,
        scripted.serving(Answer(302, b"", {"Location": other.url})) as one,
    ):
        with pytest.raises(HubError, match="sends us to"):
            Api(one.who, ample()).get("/x")
        assert one.asked[0].headers["Authorization"] == "Bearer k3y" and not other.asked


def test_api_takes_no_key_from_netrc(tmp_path: Path) -> None:
    with scripted.serving(Answer(200, [])) as server:
        (tmp_path / ".netrc").write_text("machine 127.0.0.1 login person password secret\n")
        script = (
            "import sys; from autoresearch.hub.client.api import *\n"
            "Api(Credentials(sys.argv[1], '', ''), Patience(9, 9)).rows('/x')"
        )
        one = night.Night(tmp_path, HOME=str(tmp_path))
        done = one.python(script, server.url)
        assert done.returncode == 0, done.stderr
        assert "Authorization" not in server.asked[0].headers


def test_api_bounds_the_answer() -> None:
    with (
        scripted.serving(Answer(200, b"x" * 200_000)) as server,
        pytest.raises(HubError, match="at most 100,000 bytes"),
    ):
        Api(server.who, ample()).call(Request("GET", "/x", most_bytes=100_000))


def test_api_unpacks_nothing() -> None:
    bomb = gzip.compress(b"0" * 50_000_000)
    with scripted.serving(Answer(200, bomb, {"Content-Encoding": "gzip"})) as server:
        assert Api(server.who, ample()).call(Request("GET", "/x")) == bomb
        assert server.asked[0].headers["Accept-Encoding"] == "identity"


def test_api_waits_as_long_as_the_hub_asks() -> None:
    full = Answer(429, {"error": "at most 1 posts an hour"}, {"Retry-After": "1"})
    with scripted.serving(full, Answer(201, {"id": 1})) as server:
        begun = time.monotonic()
        assert Api(server.who, ample()).post("/x", {}) == {"id": 1}
        assert time.monotonic() - begun >= 1 and len(server.asked) == 2


def test_api_does_not_wait_longer_than_its_patience() -> None:
    with scripted.serving(Answer(429, {"error": "full"}, {"Retry-After": "1800"})) as server:
        begun = time.monotonic()
        with pytest.raises(HubError) as caught:
            Api(server.who, ample()).post("/x", {})
        assert (caught.value.status, caught.value.retry_after_s) == (429, 1800)
        assert time.monotonic() - begun < 5 and len(server.asked) == 1


def test_api_asks_for_a_page_again_but_never_posts_twice() -> None:
    for method, count in (("GET", 3), ("POST", 1)):
        with scripted.serving(Answer(200, b"", {"Content-Length": "99", "Connection": "close"})) as server:
            with pytest.raises(Away, match="does not answer"):
                Api(server.who, ample()).call(Request(method, "/x"))
            assert len(server.asked) == count


def test_api_says_that_nobody_is_there() -> None:
    url = scripted.nobody()
    with pytest.raises(Away, match=f"{url} does not answer: .*refused"):
        Api(Credentials(url, "k", "a"), Patience(0.5, 0.5)).get("/x")


@pytest.mark.parametrize("kind", ["silent", "dripping"])
def test_api_spends_no_more_time_than_it_was_given(kind: str) -> None:
    patience = Patience(total_s=0.9, call_s=0.4)
    with scripted.silent() as mute, scripted.serving(Answer(200, b"[" + b" " * 300 + b"]", drip_s=0.05)) as server:
        api = Api(Credentials(mute if kind == "silent" else server.url, "k", "a"), patience)
        begun = time.monotonic()
        for _ in range(5):
            with pytest.raises(Away):
                api.post("/x", {})
        assert 0.8 < time.monotonic() - begun < 1.5
