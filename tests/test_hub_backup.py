"""autoresearch/hub/backup.py: what is written can be restored, while the hub goes on; what cannot be is refused."""

import hashlib
import io
import json
import sqlite3
import subprocess
import sys
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hub_process import bundle
from hubs import Live, serving
from test_hub_admin import hub

from autoresearch.errors import Damaged, GitFailed, Refused
from autoresearch.hub import backup, doctor
from autoresearch.hub.limits import Limits
from autoresearch.hub.store import Database, commits
from autoresearch.repo.bare import Bare

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "benchmarks"))

import hub_data  # noqa: E402

NOW = 1_800_000_000


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a hub with commits, posts and results; not to be changed."""
    folder = tmp_path_factory.mktemp("filled") / "hub"
    hub_data.fill(folder, num_commits=80, num_posts=20, num_results=20, num_agents=3)
    return folder


@pytest.fixture(scope="module")
def written(filled: Path) -> Path:
    """Its backup."""
    path = filled.parent / "backup.tar"
    db = Database(filled / "hub.sqlite")
    backup.write(db, Bare(filled / "git"), path, NOW)
    db.close()
    return path


def dump(folder: Path) -> list[str]:
    """All that the database of a hub holds."""
    db = sqlite3.connect(folder / "hub.sqlite")
    lines = list(db.iterdump())
    db.close()
    return lines


def objects(folder: Path) -> set[str]:
    """All commits of a hub, with what they lead to."""
    done = subprocess.run(
        ["git", "rev-list", "--objects", "--all", "--no-object-names"],
        cwd=folder / "git",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    return set(done.stdout.split())


def test_backup_restores_all_of_a_hub(filled: Path, written: Path, tmp_path: Path) -> None:
    about = backup.restore(written, tmp_path / "hub")
    assert about["counts"] == {"agents": 3, "commits": 80, "posts": 40, "results": 20}
    assert about["created_at"] == "2027-01-15T08:00:00Z"
    assert dump(tmp_path / "hub") == dump(filled)
    assert objects(tmp_path / "hub") == objects(filled) and len(objects(filled)) > 200
    assert sorted(path.name for path in (tmp_path / "hub").iterdir()) == ["git", "hub.sqlite", "incoming"]
    assert [path.name for path in tmp_path.iterdir()] == ["hub"]


def test_backup_is_for_its_owner_alone_and_git_can_clone_it(written: Path, filled: Path, tmp_path: Path) -> None:
    assert written.stat().st_mode & 0o777 == 0o600
    with tarfile.open(written) as tar:
        tar.extractall(tmp_path, filter="data")
    subprocess.run(["git", "clone", "-q", "--mirror", "commits.bundle", "git"], cwd=tmp_path, check=True)
    assert objects(tmp_path) == objects(filled)


def test_backup_of_a_hub_without_commits(tmp_path: Path) -> None:
    with serving(tmp_path / "hub") as live:
        live.join("alone")
        hub("backup", tmp_path / "b.tar", "--data", live.hub.folder)
    assert "1 agents, 0 commits" in hub("restore", tmp_path / "b.tar", "--data", tmp_path / "new")


def test_backup_overwrites_nothing(written: Path, filled: Path, tmp_path: Path) -> None:
    before = written.read_bytes()
    db = Database(filled / "hub.sqlite")
    with pytest.raises(Refused, match="must not be there yet"):
        backup.write(db, Bare(filled / "git"), written, NOW)
    db.close()
    assert written.read_bytes() == before
    (tmp_path / "file").write_text("mine")
    for taken in (filled, tmp_path, tmp_path / "file"):
        with pytest.raises(Refused, match="must be empty or not there yet"):
            backup.restore(written, taken)
    (tmp_path / "empty").mkdir()
    backup.restore(written, tmp_path / "empty")


def members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        return {one.name: tar.extractfile(one).read() for one in tar}  # type: ignore[union-attr]


def archive(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path


def resealed(files: dict[str, bytes], **about: object) -> dict[str, bytes]:
    """The same with digests that fit: damage from before the backup was written."""
    digests = {name: hashlib.sha256(files[name]).hexdigest() for name in ("hub.sqlite", "commits.bundle")}
    told = json.loads(files["backup.json"]) | {"sha256": digests} | about
    return files | {"backup.json": json.dumps(told).encode()}


def with_one_commit_more(files: dict[str, bytes], folder: Path) -> bytes:
    """The database, in which a commit is recorded that no bundle has."""
    path = folder / "more.sqlite"
    path.write_bytes(files["hub.sqlite"])
    db = Database(path)
    lost = commits.Arrival("f" * 40, (), "0" * 40, "a", "lost", "", None, None)
    with db.transaction():
        commits.record(db, Limits(), "agent0", [lost], NOW)
    db.run("PRAGMA journal_mode=DELETE")
    db.close()
    return path.read_bytes()


def test_backup_that_is_damaged_is_refused_and_leaves_nothing(written: Path, tmp_path: Path) -> None:
    good = members(written)
    half = good["commits.bundle"][: len(good["commits.bundle"]) // 2]
    bad = {
        "no tar": None,
        "a file is missing": {name: content for name, content in good.items() if name != "commits.bundle"},
        "a bit has turned": good | {"hub.sqlite": good["hub.sqlite"][:5000] + b"!" + good["hub.sqlite"][5001:]},
        "a later format": resealed(good, format=9),
        "no manifest": good | {"backup.json": b"[]"},
        "a bundle that was cut": resealed(good | {"commits.bundle": half}),
        "no commits though some are recorded": resealed(good | {"commits.bundle": b""}),
        "a commit that is recorded is missing": resealed(good | {"hub.sqlite": with_one_commit_more(good, tmp_path)}),
        "no database": resealed(good | {"hub.sqlite": b"text" * 1000}),
    }
    for name, files in bad.items():
        path = tmp_path / f"{name}.tar"
        archive(path, files) if files else path.write_bytes(b"x" * 3000)
        with pytest.raises(Damaged, match=r"\.tar"):
            backup.restore(path, tmp_path / "hub")
        assert not (tmp_path / "hub").exists() and not [one for one in tmp_path.iterdir() if one.is_dir()], name


def test_backup_names_never_leave_the_folder(written: Path, tmp_path: Path) -> None:
    path = archive(tmp_path / "b.tar", members(written) | {"../outside": b"x", "/tmp/outside": b"x"})
    backup.restore(path, tmp_path / "in" / "hub")
    assert not (tmp_path / "in" / "outside").exists()
    assert sorted(one.name for one in (tmp_path / "in" / "hub").iterdir()) == ["git", "hub.sqlite", "incoming"]


def test_backup_of_a_broken_hub_is_not_taken_for_one(filled: Path, tmp_path: Path) -> None:
    """A commit that is recorded and not there shows when the backup is made, not when it is needed."""
    db = Database(filled / "hub.sqlite")
    empty = Bare(tmp_path / "git")
    empty.create()
    with pytest.raises(GitFailed, match="bad object"):
        backup.write(db, empty, tmp_path / "b.tar", NOW)
    db.close()
    assert [path.name for path in tmp_path.iterdir()] == ["git"]


@pytest.mark.slow
def test_backup_while_agents_push_is_of_one_moment(tmp_path: Path) -> None:
    """Each round pushes a commit and then posts: a backup holds as many commits as posts, or one more."""

    def work(live: Live, stop: threading.Event) -> None:
        agent = live.join("worker")
        agent.post("/api/channels", name="talk")
        for number in range(10_000):
            if stop.is_set():
                return
            assert agent.call("POST", "/api/git/push", data=bundle(str(number))).status_code == 201
            assert agent.post("/api/channels/talk/posts", content=str(number)).status_code == 201

    with serving(tmp_path / "hub") as live, ThreadPoolExecutor() as pool:
        stop = threading.Event()
        working = pool.submit(work, live, stop)
        for number in range(2):
            hub("backup", tmp_path / f"{number}.tar", "--data", live.hub.folder)
            hub("gc", "--data", live.hub.folder)
        stop.set()
        working.result(60)
    found = []
    for number in range(2):
        counts = backup.restore(tmp_path / f"{number}.tar", tmp_path / f"{number}")["counts"]
        assert counts["commits"] - counts["posts"] in (0, 1)
        assert not doctor.examine(tmp_path / f"{number}", repair=False)
        found.append(counts["commits"])
    assert found == sorted(set(found))
    assert not doctor.examine(tmp_path / "hub", repair=False)


def test_gc_while_agents_read_keeps_every_commit(filled: Path, tmp_path: Path) -> None:
    backup.restore(filled.parent / "backup.tar", tmp_path / "hub")
    before = objects(tmp_path / "hub")
    assert "MB" in hub("gc", "--data", tmp_path / "hub")
    assert objects(tmp_path / "hub") == before
    assert json.loads(hub("audit", "--json", "--data", tmp_path / "hub"))[-1]["action"] == "gc"
