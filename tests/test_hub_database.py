"""autoresearch/hub/store/database.py: older files, a disk that is full, and another process that writes."""

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hub_process import ROOT
from hubs import ROOMY, serving
from wire import said

from autoresearch.errors import Damaged, HubError
from autoresearch.hub.store import Database, database
from autoresearch.hub.store.database import LATER, SCHEMA_VERSION

SCHEMA = Path(database.__file__).with_name("schema.sql")


def test_database_full_disk_is_said_and_nothing_is_half_done(tmp_path: Path) -> None:
    heard: list[str] = []
    with serving(tmp_path / "hub", ROOMY) as live:
        live.hub.tally.say = heard.append
        agent = live.join("writer")
        agent.post("/api/channels", name="talk")
        pages = live.hub.db.value("PRAGMA page_count")
        live.hub.db.run(f"PRAGMA max_page_count={pages}")  # SQLite then says what it says on a full disk
        codes: list[int] = []
        while 507 not in codes and len(codes) < 100:
            answer = agent.post("/api/channels/talk/posts", content="x" * 30_000)
            codes.append(answer.status_code)
        assert "make room" in said(answer)[1]
        assert len(agent.get("/api/channels/talk/posts", limit=200).json()) == codes.count(201)
        live.hub.db.run("PRAGMA max_page_count=1000000")
        assert agent.post("/api/channels/talk/posts", content="x").status_code == 201
    assert "could not serve" in heard[0] and "full" in heard[0]


def test_database_another_writer_is_waited_for(tmp_path: Path) -> None:
    with serving(tmp_path / "hub") as live:
        agent = live.join("patient")
        other = sqlite3.connect(live.hub.db.path, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        threading.Timer(0.3, lambda: other.execute("COMMIT")).start()
        assert agent.post("/api/channels", name="talk").status_code == 201
        other.close()


def test_database_transaction_that_cannot_be_committed_is_taken_back(tmp_path: Path) -> None:
    db = Database(tmp_path / "hub.sqlite")

    def post_of_nobody() -> None:
        with db.transaction():
            db.run("PRAGMA defer_foreign_keys=ON")  # refused at COMMIT, which leaves the transaction open
            db.run("INSERT INTO posts (channel_id, agent_id, content, created) VALUES (9, 'nobody', 'x', 1)")

    with pytest.raises(sqlite3.IntegrityError):
        post_of_nobody()
    assert db.value("SELECT count(*) FROM posts") == 0
    with db.transaction():
        db.run("INSERT INTO facts (name, value) VALUES ('after', 'that')")
    assert (db.value("PRAGMA synchronous"), db.value("PRAGMA journal_mode")) == (2, "wal")  # survives a loss of power
    db.close()


def test_database_of_the_first_version_becomes_one_of_today(tmp_path: Path) -> None:
    new, old = Database(tmp_path / "new.sqlite"), sqlite3.connect(tmp_path / "old.sqlite", isolation_level=None)
    for statement in LATER.split(SCHEMA.read_text())[0].split(";\n"):
        old.execute(statement)
    old.execute("INSERT INTO facts (name, value) VALUES ('kept', 'yes')")
    old.execute("PRAGMA user_version=1")
    old.close()
    mended = Database(tmp_path / "old.sqlite")
    parts = "SELECT type, name, sql FROM sqlite_master ORDER BY name"
    assert mended.rows(parts) == new.rows(parts) and "claims_open" in str(new.rows(parts))
    assert mended.value("SELECT value FROM facts WHERE name = 'kept'") == "yes"
    versions = [one.value("PRAGMA user_version") for one in (mended, new)]
    assert versions == [SCHEMA_VERSION] * 2 == [len(LATER.split(SCHEMA.read_text()))] * 2
    mended.run(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    for one in (mended, new):
        one.close()
    with pytest.raises(Damaged, match="or older"):
        Database(tmp_path / "old.sqlite")


def test_database_that_cannot_be_written_is_no_damaged_one(tmp_path: Path) -> None:
    Database(tmp_path / "hub.sqlite").close()
    before = (tmp_path / "hub.sqlite").read_bytes()
    script = "from pathlib import Path; from autoresearch.hub.store import Database; Database(Path('hub.sqlite'))"
    env = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}  # it would be cut off as well
    limited = ["prlimit", "--fsize=1000", sys.executable, "-c", script]  # too little for what lies beside a database
    done = subprocess.run(limited, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert "HubError: hub.sqlite must be writable, with room beside it, but: disk I/O error; see" in done.stderr
    assert (tmp_path / "hub.sqlite").read_bytes() == before
    with pytest.raises(HubError, match=r"must be writable.*unable to open") as raised:
        Database(tmp_path)
    assert raised.value.status == 507
    with pytest.raises(sqlite3.OperationalError) as untold:
        Database(tmp_path, read_only=True)
    assert str(tmp_path) not in str(untold.value)


def test_database_of_something_else_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "hub.sqlite").write_bytes(b"no database " * 99)
    with pytest.raises(Damaged, match="put a backup in its place"):
        Database(tmp_path / "hub.sqlite")


@pytest.mark.slow
def test_database_that_another_process_writes_is_no_damaged_one(tmp_path: Path) -> None:
    path = tmp_path / "hub.sqlite"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(HubError, match="another process writes") as raised:
        Database(path)
    assert raised.value.status == 503
    other.close()
