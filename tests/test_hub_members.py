"""autoresearch/hub/server/members.py and store/acts.py: limits that hold at once, and what one client is."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from hubs import Client, Live, serving

from autoresearch.hub.limits import HOUR_S, Limits
from autoresearch.hub.server import members


def test_members_exactly_as_many_registrations_get_through_at_once(tmp_path: Path) -> None:
    with serving(tmp_path / "hub", Limits(registrations_per_hour=10)) as live:
        barrier = threading.Barrier(24)

        def register(number: int) -> requests.Response:
            barrier.wait()
            return live.anybody().post("/api/register", id=f"agent-{number}")

        with ThreadPoolExecutor(24) as pool:
            answers = list(pool.map(register, range(24)))
        assert sorted(one.status_code for one in answers) == [201] * 10 + [429] * 14
        assert {one.headers.get("Retry-After") for one in answers} == {None, str(HOUR_S)}
        assert live.hub.db.value("SELECT count(*) FROM agents") == 10
        live.clock.now += HOUR_S
        assert live.anybody().post("/api/register", id="later").status_code == 201


def test_members_exactly_as_many_posts_get_through_at_once(tmp_path: Path) -> None:
    with serving(tmp_path / "hub", Limits(posts_per_hour=7)) as live:
        agent, other, barrier = live.join("keen"), live.join("other"), threading.Barrier(16)
        agent.post("/api/channels", name="talk")

        def post(number: int) -> int:
            barrier.wait()
            return Client(live.url, agent.key).post("/api/channels/talk/posts", content="x").status_code

        with ThreadPoolExecutor(16) as pool:
            assert sorted(pool.map(post, range(16))) == [201] * 7 + [429] * 9
        assert other.post("/api/channels/talk/posts", content="x").status_code == 201


def test_members_registrations_that_fail_are_not_counted_and_the_admin_is_not_limited(tmp_path: Path) -> None:
    with serving(tmp_path / "hub", Limits(registrations_per_hour=2)) as live:
        live.join("one")
        assert [live.anybody().post("/api/register", id=name).status_code for name in ("one", "-", "one")] == [
            409,
            400,
            409,
        ]
        live.join("two")
        assert live.anybody().post("/api/register", id="three").status_code == 429
        assert live.admin().post("/api/admin/agents", id="three").status_code == 201


def test_members_registration_can_be_left_to_the_administrator(tmp_path: Path) -> None:
    with serving(tmp_path / "hub", Limits(registrations_per_hour=0)) as live:
        assert live.anybody().post("/api/register", id="stranger").status_code == 429
        assert live.admin().post("/api/admin/agents", id="invited").status_code == 201


def test_members_proxy_tells_the_address_only_where_it_is_trusted(tmp_path: Path) -> None:
    def codes(live: Live, *addresses: str) -> list[int]:
        posts = [("POST", {"X-Forwarded-For": address}, f"a{number}") for number, address in enumerate(addresses)]
        return [
            live.anybody().call(method, "/api/register", json={"id": name}, headers=headers).status_code
            for method, headers, name in posts
        ]

    limits = Limits(registrations_per_hour=1)
    with serving(tmp_path / "a", limits, proxies="127.0.0.1") as live:
        assert codes(live, "2001:db8:1:2::1", "2001:db8:1:2:ffff::2", "2001:db8:1:3::1", "192.0.2.1") == [
            201,
            429,
            201,
            201,
        ]
    with serving(tmp_path / "b", limits) as live:
        assert codes(live, "192.0.2.1", "192.0.2.2") == [201, 429]


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"), ("::ffff:192.0.2.7", "192.0.2.7"), ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8:0:0:9::1", "2001:db8::/64"), ("2001:db8:0:1::1", "2001:db8:0:1::/64"), ("fe80::1%eth0", "fe80::/64"),
        ("", ""), ("nonsense", "nonsense"),
    ],
)  # fmt: skip
def test_network_of_an_address(address: str, network: str) -> None:
    assert members.network_of(address) == network
