"""autoresearch/commands/hub/agents.py: verbs of the administrator, in a second process beside a hub that serves."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hubs import Client, Live, serving, stored

from autoresearch.hub.store import agents

ROOT = Path(__file__).resolve().parent.parent


def hub(*words: str | Path, code: int = 0) -> str:
    """Run a verb of `hub`; returns what it prints, or says when it is to fail."""
    command = [sys.executable, "-m", "autoresearch", "hub", *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stderr.strip() if code else done.stdout.strip()


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serving(tmp_path_factory.mktemp("hub")) as one:
        yield one


def audited(live: Live) -> list[tuple[str, str, str]]:
    rows = agents.audited(live.hub.db, 100)
    return [(row["actor"], row["action"], row["subject"]) for row in rows]


def test_admin_adds_rotates_and_revokes_while_the_hub_serves(live: Live) -> None:
    data = ("--data", live.hub.folder)
    first = hub("add", "invited", *data)
    assert Client(live.url, first).get("/api/channels").status_code == 200
    second = hub("rotate", "invited", *data)
    assert first != second
    assert [Client(live.url, key).get("/api/channels").status_code for key in (first, second)] == [401, 200]
    assert hub("revoke", "invited", *data) == ""
    assert Client(live.url, second).get("/api/channels").status_code == 401
    assert json.loads(hub("agents", "--json", *data))[0]["is_revoked"] is True
    third = hub("rotate", "invited", *data)
    assert Client(live.url, third).get("/api/channels").status_code == 200
    assert audited(live)[-4:] == [
        ("shell", "add agent", "invited"), ("shell", "rotate key", "invited"),
        ("shell", "revoke key", "invited"), ("shell", "rotate key", "invited"),
    ]  # fmt: skip
    assert not [key for key in (first, second, third) if key.encode() in stored(live)]


def test_admin_has_another_key_at_once_in_a_file_of_its_own(live: Live) -> None:
    before = live.admin()
    hub("rotate", "--admin", "--data", live.hub.folder)
    path = live.hub.folder / "admin.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert live.admin().post("/api/admin/agents", id="by-admin").status_code == 201
    assert before.post("/api/admin/agents", id="late").status_code == 401
    assert audited(live)[-2:] == [("shell", "rotate key", "administrator"), ("admin", "add agent", "by-admin")]


def test_admin_lists_what_agents_did(live: Live) -> None:
    busy = live.join("busy")
    busy.post("/api/channels", name="talk")
    busy.post("/api/channels/talk/posts", content="x")
    row = next(row for row in json.loads(hub("agents", "--json", "--data", live.hub.folder)) if row["id"] == "busy")
    assert (row["posts"], row["commits"], row["results"], row["is_revoked"]) == (1, 0, 0, False)
    assert row["created_at"] == row["last_act_at"] == "2027-01-15T08:00:00Z"
    assert "busy" in hub("agents", "--data", live.hub.folder)


def test_admin_is_refused_in_words(live: Live) -> None:
    live.anybody().post("/api/register", id="known")
    before = audited(live)
    for verb, name, said in (
        ("rotate", "nobody", "agent nobody not found"), ("revoke", "nobody", "agent nobody not found"),
        ("add", "-bad-", "id must match"), ("add", "known", "agent id already taken"),
    ):  # fmt: skip
        assert said in hub(verb, "--data", live.hub.folder, "--", name, code=1)
    assert audited(live) == before


def test_audit_prints_what_administrators_did(live: Live) -> None:
    live.admin().post("/api/admin/agents", id="noted")
    rows = json.loads(hub("audit", "--json", "-n", "1", "--data", live.hub.folder))
    assert [(row["actor"], row["action"], row["subject"]) for row in rows] == [("admin", "add agent", "noted")]
    assert "noted" in hub("audit", "--data", live.hub.folder).splitlines()[-1]


def test_admin_needs_a_hub_and_a_name(tmp_path: Path) -> None:
    assert "--data" in hub("agents", "--data", tmp_path, code=1)
    assert not [*tmp_path.iterdir()]
    assert "--admin" in hub("rotate", "--data", tmp_path, code=2)


def test_agents_that_were_added_beside_the_hub_wake_those_who_wait(tmp_path: Path) -> None:
    with serving(tmp_path / "hub") as live:
        heard: list[int] = []
        live.hub.bell.ring = lambda: heard.append(1)  # type: ignore[method-assign]
        hub("add", "invited", "--data", live.hub.folder)
        until = time.monotonic() + 10
        while not heard:
            assert time.monotonic() < until
            time.sleep(0.01)


def test_doctor_finds_nothing_wrong_or_says_what_and_mends_it(tmp_path: Path) -> None:
    with serving(tmp_path / "hub") as live:
        data = ("--data", live.hub.folder)
        assert hub("doctor", *data) == "nothing is wrong"
        assert json.loads(hub("doctor", "--json", *data)) == []
        (live.hub.folder / "incoming" / "left").write_bytes(b"half a bundle")
        assert "--repair" in hub("doctor", *data, code=1)
        found = json.loads(hub("doctor", "--repair", "--json", *data))
        assert [(one["kind"], one["mended"]) for one in found] == [("leftover", True)]
        assert hub("doctor", *data) == "nothing is wrong"
        assert audited(live)[-1] == ("shell", "doctor", str(live.hub.folder))
