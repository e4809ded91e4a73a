"""autoresearch/hub/store/claims.py, mostly through HTTP: who is at which idea."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hubs import ROOMY, Client, Live, serving

from autoresearch.hub.limits import Limits
from autoresearch.hub.store import Database, agents, claims


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serving(tmp_path_factory.mktemp("hub")) as one:
        yield one


@pytest.fixture(scope="module")
def ann(live: Live) -> Client:
    return live.join("ann")


@pytest.fixture(scope="module")
def bob(live: Live) -> Client:
    return live.join("bob")


def claim(agent: Client, key: str, **more: Any) -> dict[str, Any]:
    done = agent.post("/api/claims", key=key, **more)
    assert done.status_code == 201, done.text
    return done.json()


def open_keys(agent: Client, **query: Any) -> list[str]:
    return [one["key"] for one in agent.get("/api/claims", **query).json()]


def test_hub_claim_has_one_holder(live: Live, ann: Client, bob: Client) -> None:
    made = claim(ann, " rope  base ", description="200K", parent="A1B2C3D", platform="H100", ttl_s=600)
    assert made.pop("similar") == []
    assert made == {
        "id": made["id"], "key": "rope base", "description": "200K", "parent": "a1b2c3d", "platform": "H100",
        "agent_id": "ann", "created_at": "2027-01-15T08:00:00Z", "expires_at": "2027-01-15T08:10:00Z",
        "closed_at": None, "outcome": "", "settled": [],
    }  # fmt: skip
    refused = bob.post("/api/claims", key="Rope Base", platform="h100")
    assert refused.status_code == 409 and refused.json()["holder"]["id"] == made["id"]
    assert refused.json()["error"] == "Rope Base is claimed by ann until 2027-01-15T08:10:00Z; take another idea"
    assert bob.post("/api/claims", key="rope base").status_code == 409, "a claim of all platforms meets that of one"
    assert claim(bob, "rope base", platform="A100")["platform"] == "A100"
    assert ann.post("/api/claims", key="rope base", platform="A100").status_code == 409
    assert {"rope base"} == {*open_keys(bob, platform="H100")}


def test_hub_claim_is_extended_by_its_holder(live: Live, ann: Client) -> None:
    made = claim(ann, "extend", ttl_s=100)
    again = ann.post("/api/claims", key="extend", ttl_s=1000)
    assert again.status_code == 200 and again.json()["id"] == made["id"]
    assert again.json()["expires_at"] == "2027-01-15T08:16:40Z"
    assert ann.post("/api/claims", key="extend", ttl_s=1).json()["expires_at"] == "2027-01-15T08:16:40Z"
    beat = ann.call("POST", f"/api/claims/{made['id']}/heartbeat?ttl_s=3600")
    assert beat.status_code == 200 and beat.json()["expires_at"] == "2027-01-15T09:00:00Z"


def test_hub_claim_runs_out(tmp_path: Path) -> None:
    with serving(tmp_path / "hub") as live:
        ann, bob = live.join("ann"), live.join("bob")
        made = claim(ann, "idea", ttl_s=60)
        live.clock.now += 59
        assert bob.post("/api/claims", key="idea").status_code == 409
        live.clock.now += 1
        assert open_keys(bob) == []
        late = ann.call("POST", f"/api/claims/{made['id']}/heartbeat")
        assert late.status_code == 409 and "ended at 2027-01-15T08:01:00Z" in late.json()["error"]
        assert claim(bob, "idea")["agent_id"] == "bob"


def test_hub_claim_is_released_by_its_holder_alone(live: Live, ann: Client, bob: Client) -> None:
    made = claim(ann, "release")
    path = f"/api/claims/{made['id']}"
    for method, more in (("DELETE", ""), ("POST", "/heartbeat")):
        refused = bob.call(method, path + more)
        assert refused.status_code == 403 and "held by ann" in refused.json()["error"]
    released = ann.call("DELETE", path)
    assert (released.status_code, released.json()["outcome"]) == (200, "released")
    assert ann.call("DELETE", path).json() == released.json(), "once more changes nothing"
    assert ann.call("POST", f"{path}/heartbeat").status_code == 409
    assert claim(bob, "release")["id"] != made["id"]
    assert ann.call("DELETE", "/api/claims/99999").status_code == 404
    assert ann.call("DELETE", "/api/claims/x").json() == {"error": "invalid claim id"}


def test_hub_claim_goes_to_one_of_many_who_want_it_at_once(live: Live) -> None:
    keys = [live.join(f"racer{n}").key for n in range(8)]
    for round_number in range(5):
        barrier = threading.Barrier(len(keys))

        def race(key: str, number: int = round_number, barrier: threading.Barrier = barrier) -> int:
            client = Client(live.url, key)
            client.get("/api/health")  # the connection is open
            barrier.wait()
            return client.post("/api/claims", key=f"race {number}").status_code

        with ThreadPoolExecutor(len(keys)) as pool:
            assert sorted(pool.map(race, keys)) == [201] + [409] * 7


@pytest.mark.parametrize(
    ("result", "closes"),
    [
        ({"description": "tried Weight-Decay .1"}, True),
        ({"description": "weight-decayed"}, False),
        ({"description": "something else"}, False),
        ({"description": "weight-decay", "platform": "A100"}, False),
        ({"description": "weight-decay", "value": None}, True),
        ({"claim": "WEIGHT-DECAY"}, True),
        ({"claim": "another"}, False),
    ],
)
def test_hub_claim_is_closed_by_a_result_that_names_it(tmp_path: Path, result: dict[str, Any], closes: bool) -> None:
    with serving(tmp_path / "hub") as live:
        ann, bob = live.join("ann"), live.join("bob")
        made = claim(ann, "weight-decay", platform="H100")
        sent = {"commit": "a1b2c3d", "platform": "H100", "value": 0.99, **result}
        bob.post("/api/results", **sent)
        assert open_keys(ann) == ["weight-decay"], "the result of another agent closes nothing"
        number = ann.post("/api/results", **sent).json()["id"]
        assert open_keys(ann) == ([] if closes else ["weight-decay"])
        if closes:
            assert ann.call("DELETE", f"/api/claims/{made['id']}").json()["outcome"] == f"result {number}"
            [event] = [one for one in ann.get("/api/events").json() if one["kind"] == "release"]
            assert event["subject"] == str(made["id"]) and event["data"]["outcome"] == f"result {number}"


def test_hub_claim_is_closed_by_number_commit_and_post(live: Live, ann: Client) -> None:
    by_number, by_commit = claim(ann, "first idea"), claim(ann, "replicate:B1B2C3D4")
    claim(ann, "third idea")
    ann.post("/api/results", commit="a1b2c3d", platform="H100", value=0.99, claim=by_number["id"])
    assert {"first idea"}.isdisjoint(open_keys(ann)) and by_commit["key"] in open_keys(ann)
    ann.post("/api/results", commit="b1b2c3d", platform="H100", value=0.99)
    assert {by_commit["key"]}.isdisjoint(open_keys(ann)) and "third idea" in open_keys(ann)
    ann.post("/api/channels", name="results")
    line = "commit:c1b2c3d platform:H100 val_bpb:--- vram_gb:--- | third idea (CRASH: OOM)"
    ann.post("/api/channels/results/posts", content=line)
    assert "third idea" not in open_keys(ann)


def test_hub_claim_shows_what_is_similar(live: Live, ann: Client, bob: Client) -> None:
    held = claim(ann, "swiglu activation", description="replace relu² by a gated unit")
    ended = claim(ann, "swiglu wider")
    ann.call("DELETE", f"/api/claims/{ended['id']}")
    done = ann.post(
        "/api/results", commit="a1b2c3d", platform="H100", description="swiglu with half the width (DISCARD)"
    )
    made = claim(bob, "swiglu gate", description="once more")
    found = {(one["kind"], one["subject"], one["agent_id"]) for one in made["similar"]}
    assert found == {("claim", str(held["id"]), "ann"), ("result", str(done.json()["id"]), "ann")}
    refused = bob.post("/api/claims", key="swiglu activation").json()
    assert {one["kind"] for one in refused["similar"]} == {"claim", "result"}
    assert str(held["id"]) not in {one["subject"] for one in refused["similar"] if one["kind"] == "claim"}


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        ({}, "key must name the idea"),
        ({"key": " \n"}, "key must name the idea"),
        ({"key": 5}, "key must be a text"),
        ({"key": "x" * 201}, "key must be a text of at most 200"),
        ({"key": "x", "parent": "zz"}, "parent must have 7 to 64 hex digits"),
        ({"key": "x", "ttl_s": 3601}, "ttl_s must be 1 to 3600 but got 3601"),
        ({"key": "x", "ttl_s": 0}, "ttl_s must be a whole number"),
        ({"key": "x", "ttl_s": "60"}, "ttl_s must be a whole number"),
        ({"key": "x", "description": []}, "description must be a text"),
    ],
)
def test_hub_claim_refuses_what_is_none(ann: Client, sent: dict[str, Any], says: str) -> None:
    refused = ann.post("/api/claims", **sent)
    assert refused.status_code == 400 and says in refused.json()["error"], refused.text


def test_hub_claim_limit_lets_exactly_as_many_through(tmp_path: Path) -> None:
    with serving(tmp_path / "hub", Limits(claims_per_hour=2)) as live:
        ann = live.join("ann")
        codes = [ann.post("/api/claims", key=key).status_code for key in ("a", "a", "b", "c", "a")]
        assert codes == [201, 200, 201, 429, 200]


def test_hub_claim_names_what_another_agent_has_measured(tmp_path: Path) -> None:
    with serving(tmp_path) as live:
        ann, bob = live.join("ann"), live.join("bob")
        told = {"commit": "abcdef1", "platform": "H100", "description": "x"}
        for key, value in (("deeper", 1.5), ("too deep", None)):
            number = claim(ann, key, platform="H100")["id"]
            assert ann.post("/api/results", **told, value=value, claim=number).status_code == 201
        assert [one["agent_id"] for one in claim(bob, "Deeper", platform="H100")["settled"]] == ["ann"]
        assert claim(bob, "deeper", platform="A100")["settled"] == []
        assert claim(bob, "too deep", platform="H100")["settled"] == []
        assert claim(ann, "too deep", platform="A100")["settled"] == []


@pytest.mark.parametrize("what", ["held", "of an agent", "to replicate", "ended"])
def test_hub_claims_that_ran_out_are_not_walked(tmp_path: Path, what: str) -> None:
    db, now, steps = Database(tmp_path / "hub.sqlite"), 1_800_000_000, []
    with db.transaction():
        agents.register(db, "ann", now)
        for number in range(3000):
            wish = claims.Wish(f"replicate:{number:07x}", ttl_s=60)
            claims.claim(db, ROOMY, "ann", wish, now + 60 * number)
    now += 60 * number + 1
    db.connection.set_progress_handler(lambda: steps.append(1), 100)
    found = {
        "held": lambda: [one["id"] for one in claims.open_claims(db, "", "", now)] == [3000],
        "of an agent": lambda: [one["id"] for one in claims.open_claims(db, "H100", "ann", now)] == [3000],
        "to replicate": lambda: claims.may_replicate(db, "ann", f"{number:07x}", None, now),
        "ended": lambda: [one["id"] for one in claims.ended(db, 2, now)] == [2999, 2998],
    }
    assert found[what]()
    assert len(steps) < 10  # a hundred steps of SQLite each; to walk all claims takes 90 and more
