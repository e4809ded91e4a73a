"""autoresearch/hub/server/guard.py: names, foreign pages, headers of safety."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from hubs import Client, Live, serving
from wire import said, speaker


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serving(tmp_path_factory.mktemp("hub")) as one:
        yield one


@pytest.fixture(scope="module")
def agent(live: Live) -> Client:
    return speaker(live)


def test_guard_headers_of_safety_stand_on_every_answer(live: Live, agent: Client) -> None:
    answers = [agent.get("/api/channels"), agent.get("/nothing"), live.anybody().get("/api/channels")]
    answers += [agent.call("PUT", "/api/channels"), requests.get(live.url, headers={"Host": "evil"}, timeout=20)]
    for answer in answers:
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Server" not in answer.headers


def test_guard_no_cors(live: Live, agent: Client) -> None:
    foreign = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    for method in ("OPTIONS", "GET", "POST"):
        answer = agent.call(method, "/api/channels", headers=foreign)
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]
        assert (answer.status_code == 200) == (method == "GET")


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:1", "http://["])
def test_guard_foreign_pages_do_not_write(live: Live, origin: str) -> None:
    """A form of another site needs no key to register: the browser says where it comes from."""
    answer = live.anybody().call("POST", "/api/register", data=b'{"id": "forged"}', headers={"Origin": origin})
    assert said(answer) == (403, "pages of other sites may not write to this hub")
    own = live.anybody().call("POST", "/api/register", data=b"{}", headers={"Origin": live.url})
    assert own.status_code == 400


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "evil:localhost"]
)
def test_guard_rebound_names_are_not_answered(live: Live, host: str) -> None:
    for path in ("/api/health", "/", "/nothing"):
        answer = requests.get(live.url + path, headers={"Host": host}, timeout=20)
        assert answer.status_code == 421 and "--name" in answer.json()["error"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]", "[::1]:8080"])
def test_guard_own_names_are_answered(live: Live, host: str) -> None:
    assert requests.get(live.url + "/api/health", headers={"Host": host}, timeout=20).status_code == 200


def test_guard_hub_answers_to_the_names_it_was_given(tmp_path: Path) -> None:
    with serving(tmp_path / "a", hosts=["hub.example"]) as live:
        assert (
            requests.get(live.url + "/api/health", headers={"Host": "Hub.Example:443"}, timeout=20).status_code == 200
        )
        assert live.anybody().get("/api/health").status_code == 421
    with serving(tmp_path / "b", hosts=["*"]) as live:
        assert requests.get(live.url + "/api/health", headers={"Host": "any"}, timeout=20).status_code == 200
