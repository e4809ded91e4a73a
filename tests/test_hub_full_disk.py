"""A hub on a full disk: its verbs say so and what mends it, and never that a healthy hub be overwritten."""

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from hub_process import ROOT, command, served
from test_hub_admin import hub

from autoresearch.hub.store import Database

VERB = [sys.executable, "-m", "autoresearch", "hub"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(folder)], capture_output=True).returncode:
        pytest.skip("this user cannot mount")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take all the room there is."""
    with open(folder / "filler", "wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 512):
            pass
    return folder / "filler"


def test_hub_on_a_full_disk_says_that_it_is_full_and_goes_on_with_room(small_disk: Path) -> None:
    data = ("--data", str(small_disk / "hub"))
    with served(small_disk / "hub") as live:
        live.join("early")
        assert live.end(signal.SIGTERM)[0] == 143
    filler = fill(small_disk)
    said = [hub(verb, *data, code=1) for verb in ("doctor", "agents")]
    said.append(subprocess.run(command(small_disk / "hub"), cwd=ROOT, capture_output=True, text=True).stderr)
    assert all("the disk is full; make room" in one and "Damaged" not in one and "backup" not in one for one in said)
    filler.unlink()
    assert "early" in hub("agents", *data)
    with served(small_disk / "hub") as live:
        live.join("later")


def test_hub_killed_on_a_full_disk_serves_again_what_it_has(small_disk: Path) -> None:
    with served(small_disk / "hub") as live:
        agent = live.join("early")
        live.end(signal.SIGKILL)
    fill(small_disk)
    with served(small_disk / "hub") as live:
        agent.url = live.url
        assert agent.get("/api/channels").json() == []
        full = agent.post("/api/channels", name="talk")
        assert full.status_code == 507 and "make room" in full.json()["error"]
        assert requests.get(f"{live.url}/", timeout=20).status_code == 200


def test_backup_of_a_hub_on_a_full_disk_is_done_and_only_its_audit_line_is_missing(
    small_disk: Path, tmp_path: Path
) -> None:
    with served(small_disk / "hub") as live:
        live.join("early")
        live.end(signal.SIGKILL)
    filler = fill(small_disk)
    words = ("backup", str(tmp_path / "hub.tar"), "--data", str(small_disk / "hub"))
    done = subprocess.run([*VERB, *words], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'hub.tar'}: 1 agents, 0 commits, 0 posts, 0 results\n")
    assert "warning: the backup is done, but the audit log does not say so" in done.stderr
    filler.unlink()
    assert "1 agents" in hub("restore", tmp_path / "hub.tar", "--data", tmp_path / "restored")
    assert "restore" in hub("audit", "--data", tmp_path / "restored")


def test_backup_to_a_full_disk_is_refused_and_leaves_nothing(small_disk: Path, tmp_path: Path) -> None:
    Database(tmp_path / "hub.sqlite").close()
    fill(small_disk)
    said = hub("backup", small_disk / "hub.tar", "--data", tmp_path, code=1)
    assert said.startswith(f"Refused: {small_disk} must take a backup but: database or disk is full; make room")
    assert [path.name for path in small_disk.iterdir()] == ["filler"]
