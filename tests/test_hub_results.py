"""autoresearch/hub/store/results.py, reports.py and measurement.py, mostly through HTTP."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hubs import ROOMY, Client, Live, serving
from hypothesis import given
from hypothesis import strategies as st

from autoresearch.hub.limits import Limits
from autoresearch.hub.store import Database, agents, claims, commits, events, reports, results
from autoresearch.hub.store.measurement import Measurement, is_same
from autoresearch.ledger import read_table
from autoresearch.records import COLUMNS

COMMIT = "a1b2c3d4e5f60718293a4b5c6d7e8f9001122334"
NOW = 1_800_000_000


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serving(tmp_path_factory.mktemp("hub")) as one:
        one.join("founder").post("/api/channels", name="results")
        yield one


@pytest.fixture(scope="module")
def sharer(live: Live) -> Client:
    return live.join("sharer")


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    one = Database(tmp_path / "hub.sqlite")
    for name in ("ann", "bob", "cas"):
        agents.register(one, name, NOW)
    yield one
    one.close()


def pushed(db: Database, commit: str, blob: str) -> None:
    """A commit of Ann's, as the ingest records it."""
    db.run(
        "INSERT INTO commits (hash, parent_hash, agent_id, message, body, author, tree, train_blob, created)"
        " VALUES (?, '', 'ann', 'subject', '', 'Ann', 'tree', ?, ?)",
        *(commit, blob, NOW),
    )


def told(agent: str, value: float | None = 0.99, commit: str = COMMIT, **more: Any) -> reports.Report:
    """A report of one run."""
    body = {"commit": commit, "platform": "H100", "value": value, **more}
    claim = str(body.pop("claim", ""))
    return reports.Report(agent, Measurement.from_body(body), claim)


def tell(db: Database, agent: str, value: float | None = 0.99, **more: Any) -> dict[str, Any]:
    """Store a report."""
    with db.transaction():
        return reports.submit(db, ROOMY, told(agent, value, **more), NOW)[0]


def all_of(agent: Client) -> list[dict[str, Any]]:
    return agent.get("/api/results", agent=agent.name).json()


def post(agent: Client, content: str) -> dict[str, Any]:
    done = agent.post("/api/channels/results/posts", content=content)
    assert done.status_code == 201, done.text
    return done.json()


# Requests


def test_hub_result_has_what_was_sent(live: Live) -> None:
    agent = live.join("sender")
    sent = {
        "commit": COMMIT.upper(), "platform": "NVIDIA H100", "metric": "val_bpb", "value": 0.9932, "status": "discard",
        "vram_gb": 44.2, "seconds": 325.9, "steps": 953, "tokens_m": 499.6, "seed": -7, "description": "wider",
        "regime": "0123456789ab", "unknown": 1,
    }  # fmt: skip
    done = agent.post("/api/results", **sent)
    assert done.status_code == 201
    result = done.json()
    assert result.pop("note") == ""
    expected = {**sent, "commit": COMMIT, "platform": "NVIDIA-H100", "agent_id": "sender", "source": "api"}
    del expected["unknown"]
    assert {name: result[name] for name in expected} == expected
    assert result["counted"] and result["train_blob"] is None and result["created_at"] == "2027-01-15T08:00:00Z"
    assert all_of(agent) == [result]
    assert agent.get(f"/api/results/{result['id']}").json() == result


def test_hub_result_defaults_follow_the_value(live: Live) -> None:
    agent = live.join("brief")
    scored = agent.post("/api/results", commit=COMMIT, platform="H100", value=1).json()
    crashed = agent.post("/api/results", commit=COMMIT, platform="H100").json()
    assert (scored["status"], scored["metric"], scored["value"]) == ("keep", "val_bpb", 1.0)
    assert (crashed["status"], crashed["value"]) == ("crash", None)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"commit": "a1b2c3"}, "commit must have 7 to 64 hex digits"),
        ({"commit": 7}, "commit must have"),
        ({"platform": " | "}, "platform must be a short name"),
        ({"platform": None}, "platform must be a short name"),
        ({"value": "0.99"}, "value must be a finite number"),
        ({"value": True}, "value must be a finite number"),
        ({"value": 10**400}, "value must be a finite number"),
        ({"status": "great"}, "status with a value must be one of keep, discard, backtrack"),
        ({"status": "crash"}, "status with a value"),
        ({"status": "keep", "value": None}, "status without a value must be one of crash, cancelled, backtrack"),
        ({"status": ["keep"]}, "status with a value"),
        ({"vram_gb": -1}, "vram_gb must be a finite number of 0 or more"),
        ({"steps": 1.5}, "steps must be a whole number"),
        ({"seed": 2**63}, "seed must be a whole number"),
        ({"description": "x" * 2001}, "description must be a text of at most 2000"),
        ({"metric": "two words"}, "metric must be one word"),
        ({"regime": "\x1b[31m"}, "regime must be one word"),
        ({"idempotency_key": 5}, "idempotency_key must be a text"),
        ({"claim": 1.5}, "claim must be the number or the key"),
    ],
)
def test_hub_result_refuses_what_is_none(sharer: Client, change: dict[str, Any], says: str) -> None:
    refused = sharer.post("/api/results", **{"commit": COMMIT, "platform": "H100", "value": 0.99, **change})
    assert refused.status_code == 400 and says in refused.json()["error"], refused.text


def test_hub_result_refuses_infinity_in_any_spelling(sharer: Client) -> None:
    for number in ("1e999", "NaN", "Infinity"):
        text = f'{{"commit":"{COMMIT}","platform":"H100","value":{number}}}'
        assert sharer.call("POST", "/api/results", data=text).status_code == 400


# Idempotency


def test_hub_result_is_stored_once_under_an_idempotency_key(live: Live) -> None:
    one, other = live.join("repeater"), live.join("bystander")
    sent = {"commit": COMMIT, "platform": "h100", "value": 0.99, "idempotency_key": "run 1"}
    first = one.post("/api/results", **sent)
    again = one.post("/api/results", **sent)
    assert (first.status_code, again.status_code) == (201, 200) and first.json() == again.json()
    refused = one.post("/api/results", **{**sent, "value": 0.98})
    assert refused.status_code == 409 and refused.json()["result"]["id"] == first.json()["id"]
    assert other.post("/api/results", **sent).status_code == 201
    assert len(all_of(one)) == 1


def test_hub_result_is_stored_once_however_many_send_it_at_once(live: Live) -> None:
    agent, barrier = live.join("crowd"), threading.Barrier(8)

    def send(_: int) -> tuple[int, int]:
        barrier.wait()
        client = Client(live.url, agent.key)
        done = client.post("/api/results", commit=COMMIT, platform="H100", value=0.97, idempotency_key="same")
        return done.status_code, done.json()["id"]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(8)))
    assert sorted(code for code, _ in answers) == [200] * 7 + [201] and len({number for _, number in answers}) == 1
    assert len(all_of(agent)) == 1


def test_hub_result_limit_lets_exactly_as_many_through_and_counts_no_repeat(tmp_path: Path) -> None:
    with serving(tmp_path / "hub", Limits(results_per_hour=2)) as live:
        agent = live.join("keen")
        sent = [{"commit": COMMIT, "platform": "H100", "value": 0.99, "idempotency_key": str(n)} for n in (1, 1, 2, 3)]
        assert [agent.post("/api/results", **one).status_code for one in sent] == [201, 200, 201, 429]


# Lines of posts


def test_hub_posts_in_results_become_results(live: Live) -> None:
    agent = live.join("playbook")
    text = (
        "# Tonight\n"
        "- `commit:a1b2c3d platform:H100 val_bpb:0.9932 vram_gb:44.2 | increase LR to 0.04`\n"
        "- `commit:b2c3d4e platform:H100 val_bpb:1.0050 vram_gb:44.0 | switch to GeLU (DISCARD)`\n"
        "- `commit:c3d4e5f platform:H100 val_bpb:--- vram_gb:--- | double model width (CRASH: OOM)`\n"
        "> commit:d4e5f60 platform:H100 val_bpb:0.9 vram_gb:1 | somebody else's\n"
    )
    number = post(agent, text)["id"]
    stored = [(one["commit"], one["value"], one["status"], one["post_id"], one["source"]) for one in all_of(agent)]
    assert stored == [
        ("c3d4e5f", None, "crash", number, "post"),
        ("b2c3d4e", 1.005, "discard", number, "post"),
        ("a1b2c3d", 0.9932, "keep", number, "post"),
    ]
    agent.post("/api/channels", name="discussion")
    agent.post(
        "/api/channels/discussion/posts", content="commit:e5f6071 platform:H100 val_bpb:0.9 vram_gb:1 | elsewhere"
    )
    assert len(all_of(agent)) == 3


def test_hub_line_after_its_request_counts_once(live: Live) -> None:
    agent = live.join("both")
    sent = agent.post("/api/results", commit=COMMIT, platform="H100", value=0.993187, description="wider").json()
    first = post(agent, "commit:a1b2c3d platform:h100 val_bpb:0.9932 vram_gb:44.2 | wider")
    post(agent, "All of tonight:\ncommit:a1b2c3d platform:H100 val_bpb:0.993187 vram_gb:44.2 | wider, told again")
    [only] = all_of(agent)
    assert (only["id"], only["post_id"], only["value"]) == (sent["id"], first["id"], 0.993187)


def test_hub_request_after_its_line_takes_its_place(live: Live) -> None:
    agent = live.join("late")
    number = post(agent, "commit:a1b2c3d platform:H100 val_bpb:0.9950 vram_gb:44.2 | wider (DISCARD)")["id"]
    [line] = all_of(agent)
    sent = {"commit": COMMIT, "platform": "H100", "value": 0.995013, "seconds": 300, "idempotency_key": "k"}
    done = agent.post("/api/results", **sent)
    assert done.status_code == 201 and agent.post("/api/results", **sent).status_code == 200
    [only] = all_of(agent)
    assert only["id"] == line["id"] == done.json()["id"]
    assert (only["commit"], only["value"], only["post_id"]) == (COMMIT, 0.995013, number)
    assert (only["status"], only["source"], only["seconds"]) == ("keep", "api", 300)


def test_hub_runs_that_differ_count_each(live: Live) -> None:
    agent, other = live.join("several"), live.join("namesake")
    for line in (
        "commit:a1b2c3d platform:H100 val_bpb:0.9932 vram_gb:44.2 | seed 1",
        "commit:a1b2c3d platform:H100 val_bpb:0.9936 vram_gb:44.2 | seed 2",
        "commit:a1b2c3d platform:A100 val_bpb:0.9932 vram_gb:44.2 | elsewhere",
        "commit:a1b2c3e platform:H100 val_bpb:0.9932 vram_gb:44.2 | other code",
        "commit:a1b2c3d platform:H100 val_bpb:--- vram_gb:--- | CRASH",
    ):
        post(agent, line)
    post(other, "commit:a1b2c3d platform:H100 val_bpb:0.9932 vram_gb:44.2 | of another agent")
    for _ in range(2):  # two requests are two runs, even if they agree
        agent.post("/api/results", commit="a1b2c3f", platform="H100", value=0.9932)
    assert (len(all_of(agent)), len(all_of(other))) == (7, 1)


@given(st.floats(0.5, 2), st.integers(4, 9))
def test_hub_value_is_the_same_with_fewer_decimals(value: float, decimals: int) -> None:
    shorter = round(value, decimals)
    assert is_same(value, shorter) and is_same(shorter, value)
    assert not is_same(value, value + 1e-3) and not is_same(value, None) and is_same(None, None)


def test_hub_post_of_many_lines_is_read_to_a_bound(db: Database) -> None:
    db.run("INSERT INTO channels (id, name, description, created) VALUES (1, 'results', '', ?)", NOW)
    text = "\n".join(f"commit:{n:07x} platform:H100 val_bpb:0.99 vram_gb:1 | {n}" for n in range(300))
    made = {"id": 1, "agent_id": "ann", "content": text}
    with db.transaction():
        db.run("INSERT INTO posts VALUES (1, 1, 'ann', NULL, ?, ?)", text, NOW)
        reports.read_post(db, ROOMY, made, NOW)
    assert results.results(db, results.Filter(), 1, 0)[1] == reports.MOST_LINES


# What is believed, and what counts


@pytest.mark.parametrize(
    ("value", "why"), [(0.0, "must be above 0"), (-1.0, "must be above 0"), (8.5, "worse than guessing")]
)
def test_hub_keeps_impossible_values_apart(db: Database, value: float, why: str) -> None:
    stored = tell(db, "ann", value)
    assert why in stored["quarantine"] and not stored["counted"] and stored["value"] == value
    assert tell(db, "ann", value, metric="reward")["quarantine"] == ""


def test_hub_keeps_what_is_far_below_all_others_apart(db: Database) -> None:
    for n, value in enumerate((0.99, 0.98, 0.97)):
        assert tell(db, "ann", value, commit=f"000000{n}")["counted"]
    assert tell(db, "ann", 0.78, commit="0000005")["counted"]
    far = tell(db, "ann", 0.5, commit="0000006")
    assert far["quarantine"].startswith("far below 0.78, the best on H100") and not far["counted"]
    assert tell(db, "ann", 0.5, commit="0000006", regime="cpu")["counted"], "another regime has its own values"
    assert tell(db, "ann", 0.5, commit="0000006", platform="A100")["counted"], "so has another platform"
    assert results.scored(db, "val_bpb")[-1]["platform"] == "A100"


def test_hub_believes_what_another_agent_confirms(db: Database) -> None:
    for n in range(3):
        tell(db, "ann", 0.97, commit=f"000000{n}")
    far = tell(db, "ann", 0.5, commit="0000006")
    assert tell(db, "ann", 0.501, commit="0000006")["quarantine"], "not the same agent"
    assert tell(db, "bob", 0.52, commit="0000006")["quarantine"], "not another value"
    assert tell(db, "bob", 0.501, commit="0000007")["quarantine"], "not other code"
    assert tell(db, "bob", 0.501, commit="0000006")["counted"]
    assert results.result(db, far["id"])["counted"]
    told_of = [one["subject"] for one in db.rows("SELECT subject FROM events WHERE kind = 'result'")]
    assert told_of.count(str(far["id"])) == 2


def test_hub_counts_a_bounded_number_of_replicates(db: Database) -> None:
    limits = Limits(replicates=2)

    def run(agent: str, **more: Any) -> bool:
        with db.transaction():
            return reports.submit(db, limits, told(agent, **more), NOW)[0]["counted"]

    assert [run("ann", value=0.99 + n / 1000) for n in range(3)] == [True, True, False]
    assert run("bob") and run("ann", platform="A100") and run("ann", commit="beefbee")
    assert [run("ann", value=None) for _ in range(3)] == [True] * 3, "runs without a score are free"
    pushed(db, "ccc1" * 10, "blob1")
    pushed(db, "ccc2" * 10, "blob1")
    codes = [
        run("cas", commit=commit, value=0.9 + n / 100) for n, commit in enumerate(("ccc1ccc", "ccc2ccc", "ccc1ccc1"))
    ]
    assert codes == [True, True, False], "two commits with one train.py are one code"


def test_hub_counts_again_what_was_told_before_the_push(db: Database) -> None:
    limits = Limits(replicates=2)
    names = [f"{digit}" * 40 for digit in "12345"]

    def run(agent: str, commit: str, value: float | None) -> None:
        with db.transaction():
            assert reports.submit(db, limits, told(agent, value, commit=commit[:9]), NOW)[0]["counted"]

    for name in names:
        if name == names[3]:
            with db.transaction():
                claims.claim(db, limits, "ann", claims.Wish(f"replicate:{name[:7]}"), NOW)
        run("ann", name, 0.99)
        run("bob" if name in names[:2] else "cas", name, None if name == names[4] else 0.98)
    last = events.last(db)
    with db.transaction():
        commits.record(
            db, limits, "ann", [commits.Arrival(one, (), "", "", "", "", "blob1", None) for one in names], NOW
        )
    counted = {
        agent: [row["counted"] for row in next(results.pages(db, results.Filter(agent=agent)))]
        for agent in ("ann", "bob", "cas")
    }
    assert counted == {"ann": [True, True, False, True, False], "bob": [True, True], "cas": [True, True, True]}
    told_again = [
        row["subject"] for row in db.rows("SELECT subject FROM events WHERE id > ? AND kind = 'result'", last)
    ]
    assert len(told_again) == 2 and not any(results.result(db, int(one))["counted"] for one in told_again)


def test_hub_says_why_a_result_does_not_count(tmp_path: Path) -> None:
    with serving(tmp_path / "hub", Limits(replicates=1)) as live:
        agent = live.join("eager")
        sent = {"commit": COMMIT, "platform": "H100", "value": 0.99}
        assert agent.post("/api/results", **sent).json()["note"] == ""
        spare = agent.post("/api/results", **{**sent, "value": 0.98})
        assert spare.status_code == 201 and not spare.json()["counted"]
        assert "claim replicate:a1b2c3d before the next" in spare.json()["note"]
        assert agent.post("/api/claims", key="replicate:a1b2c3d").status_code == 201
        assert agent.post("/api/results", **{**sent, "value": 0.985}).json()["counted"]
        assert agent.get("/api/claims").json() == [], "the result has closed the claim"
        assert not agent.post("/api/results", **{**sent, "value": 0.984}).json()["counted"]
        assert "not believed" in agent.post("/api/results", **{**sent, "value": -1}).json()["note"]


def test_hub_result_knows_the_train_py_of_a_commit_that_was_pushed(db: Database) -> None:
    early = tell(db, "ann", 0.99, commit="a1b2c3d")
    pushed(db, COMMIT, "blob1")
    other = tell(db, "bob", 0.99, commit="a1b2c3dff")
    late = tell(db, "bob", 0.98, commit="a1b2c3d4")
    blobs = [results.result(db, one["id"])["train_blob"] for one in (early, late, other)]
    assert blobs == [None, "blob1", None]
    pushed(db, COMMIT[:20] + "0" * 20, "blob2")
    assert tell(db, "bob", 0.97, commit="a1b2c3d4")["train_blob"] is None, "a prefix of two commits names neither"


# Lists


def test_hub_results_are_filtered_and_paged(live: Live) -> None:
    agent, other = live.join("lister"), live.join("otherlister")
    for n in range(5):
        agent.post(
            "/api/results", commit=f"11111{n:02d}", platform="M4-Max", value=1.5 + n, description=f"zebra stripes {n}"
        )
    other.post("/api/results", commit="2222222", platform="M4-Max", description="unicorn dust")

    def found(**query: Any) -> list[str]:
        return [one["commit"] for one in agent.get("/api/results", platform="m4-max", **query).json()]

    assert found() == ["2222222", *(f"11111{n:02d}" for n in (4, 3, 2, 1, 0))]
    assert found(agent="otherlister") == found(status="crash") == found(q="dust unicorn") == ["2222222"]
    assert found(q="zebra 3") == ["1111103"] and found(q='"*(') == [] and found(metric="other") == []
    page = agent.get("/api/results", platform="M4-Max", limit=2, offset=2)
    assert [one["commit"] for one in page.json()] == ["1111103", "1111102"]
    assert page.headers["X-Total-Count"] == "6" and 'rel="next"' in page.headers["Link"]
    newest = agent.get("/api/results", platform="M4-Max").json()[1]["id"]
    assert found(since=newest) == ["2222222"] and found(since="junk") == found()
    assert agent.get("/api/results", status="great").status_code == 400
    assert agent.get("/api/results/99999").json() == {"error": "result not found"}
    assert agent.get("/api/results/x").status_code == agent.get("/api/results/" + "0" * 5000).status_code == 400


def test_hub_exports_results_as_the_table_of_the_ledger(live: Live, tmp_path: Path) -> None:
    agent = live.join("tabler")
    agent.post("/api/results", commit=COMMIT, platform="TSV", value=0.99, vram_gb=44.21, description="a\tb\nc\r=d")
    agent.post("/api/results", commit=COMMIT, platform="TSV", description="too wide")
    agent.post("/api/results", commit=COMMIT, platform="TSV", value=-1)
    done = agent.get("/api/results.tsv", platform="tsv")
    assert done.headers["Content-Type"].startswith("text/tab-separated-values")
    table = tmp_path / "results.tsv"
    table.write_bytes(done.content)
    kept, crashed, doubted = read_table(table)
    assert tuple(kept.values) == COLUMNS and not kept.damage
    assert list(kept.values.values()) == ["a1b2c3d", "0.990000", "44.2", "keep", "a b c =d", "by tabler on TSV"]
    assert list(crashed.values.values())[:4] == ["a1b2c3d", "0.000000", "0.0", "crash"]
    assert "not believed: val_bpb must be above 0" in doubted.values["reasoning"]


def test_hub_exports_all_pages_of_results(db: Database) -> None:
    with db.transaction():
        for n in range(results.PAGE + 3):
            reports.submit(db, ROOMY, told("ann", 1.0, commit=f"{n:07x}"), NOW)
    pages = list(results.pages(db, results.Filter()))
    assert [len(page) for page in pages] == [results.PAGE, 3]
    assert [one["id"] for page in pages for one in page] == list(range(1, results.PAGE + 4))
