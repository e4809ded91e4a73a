"""Launchers that take a trial to another machine, with a stand-in for their client."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import cloud
import night
import pytest
from pages import fenced, read

ARENA = """\
command = ["modal", "run", "train.py"]
frozen = ["rules.txt"]
timeout_s = 900
sandbox = { network = true, env = ["CLOUD_MODE", "CLOUD_CANCEL_S"] }
"""
RUN = "results/t1/0002/1"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tag whose trials go elsewhere, after `setup`, and the clients."""
    folder = tmp_path_factory.mktemp("remote")
    one = night.fresh(folder / "night", PATH=f"{cloud.install(folder / 'tools')}:{os.environ['PATH']}")
    one.arena(ARENA)
    one.run("setup", "t1", "--baseline-runs", "1")
    return folder


@pytest.fixture
def away(base: Path, tmp_path: Path) -> night.Night:
    """A copy of it."""
    shutil.copytree(base / "night", tmp_path / "night", symlinks=True)
    one = night.Night(tmp_path / "night", PATH=f"{base / 'tools'}:{os.environ['PATH']}")
    one.git("status")
    return one


def wrapper(folder: Path) -> None:
    """Put there what docs/arenas.md has around SkyPilot's client."""
    (block,) = fenced(read("docs/arenas.md"), "bash")
    (folder / "launch.sh").write_text(block.replace("task.yaml", "train.py"))


def test_remote_log_is_streamed_back_and_the_record_says_remote(away: night.Night) -> None:
    away.edit(LR=0.5, SLEEP_S=3.0)
    process = away.start("try", "-m", "halve")
    log = away.root / RUN / "run.log"
    night.until(lambda: log.exists() and "provisioning" in log.read_text())
    assert process.poll() is None
    out, err = process.communicate(timeout=60)
    assert "keep" in out, out + err
    (trial,) = away.record(2)["trials"]
    assert (trial["sealed"], trial["network"], trial["unrefereed"]) == ("remote", "open", True)
    assert trial["metrics"]["num_steps"] == 10 and trial["metrics"]["peak_vram_mb"] == 1024.0


def test_remote_connection_that_was_lost_says_nothing_about_the_code(away: night.Night) -> None:
    away.env["CLOUD_MODE"] = "drop"
    out = away.attempt("halve", LR=0.5)
    assert "crash  interrupted: modal.exception.ConnectionError" in out
    assert "train.py is as you edited; the same code may be tried again" in out
    del away.env["CLOUD_MODE"]
    assert "keep" in away.run("try", "-m", "halve again").stdout


def test_remote_exit_codes_and_missing_scores_are_crashes(away: night.Night) -> None:
    assert "crash  error" in away.attempt("fails there", MODE="exit", LR=0.5)
    assert away.record(2)["trials"][0]["exit_code"] == 3
    away.env["CLOUD_MODE"] = "mute"
    assert "crash  error: the log has no finite val_bpb" in away.attempt("says nothing", LR=0.4)


def test_remote_work_is_cancelled_at_the_time_limit(base: Path, tmp_path: Path) -> None:
    one = night.fresh(tmp_path / "night", PATH=f"{base / 'tools'}:{os.environ['PATH']}", CLOUD_MODE="hang")
    one.env["CLOUD_CANCEL_S"] = "6"  # longer than work on this machine is given
    wrapper(one.root)
    one.git("add", "launch.sh")
    one.arena(ARENA.replace('"modal", "run", "train.py"', '"sh", "launch.sh"').replace("900", "4"))
    err = one.refuse("setup", "t1", "--baseline-runs", "1", code=3)
    assert "timeout, the trial took longer than 4 s" in err
    assert (one.root / "results/t1/0001/1/cancelled").exists()
    assert not night.processes_with(str(one.root / "results/t1/0001/1"))


def test_remote_work_is_cancelled_when_its_client_is_told_before_the_wrapper(base: Path, tmp_path: Path) -> None:
    wrapper(tmp_path)
    (tmp_path / "train.py").write_text("")
    env = {
        "PATH": f"{base / 'tools'}:{os.environ['PATH']}",
        "CLOUD_MODE": "hang",
        "AUTORESEARCH_TRIAL_DIR": str(tmp_path),
    }
    with subprocess.Popen(["sh", "launch.sh"], cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and [process.stdout.readline() for _ in range(2)] == ["provisioning\n", "waiting\n"]
        (client,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(client), signal.SIGTERM)
        process.stdout.read()
    assert process.returncode == 143 and (tmp_path / "cancelled").exists()


def test_remote_work_that_ends_by_itself_keeps_the_cluster_and_its_code(base: Path, tmp_path: Path) -> None:
    wrapper(tmp_path)
    (tmp_path / "train.py").write_text("raise SystemExit(3)")
    env = {"PATH": f"{base / 'tools'}:{os.environ['PATH']}", "AUTORESEARCH_TRIAL_DIR": str(tmp_path)}
    assert subprocess.run(["sh", "launch.sh"], cwd=tmp_path, env=env).returncode == 3
    assert not (tmp_path / "cancelled").exists()


def test_remote_work_is_cancelled_with_the_attempt(away: night.Night) -> None:
    away.env["CLOUD_MODE"] = "hang"
    away.edit(LR=0.5)
    process = away.start("try", "-m", "halve")
    log = away.root / RUN / "run.log"
    night.until(lambda: log.exists() and "waiting" in log.read_text())
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130 and away.record(2)["status"] == "cancelled"
    assert (away.root / RUN / "cancelled").exists()


def test_remote_work_is_cancelled_by_who_heals_after_a_kill(away: night.Night) -> None:
    away.env.update(CLOUD_MODE="hang", CLOUD_CANCEL_S="8")  # longer than work on this machine is given
    away.edit(LR=0.5)
    process = away.start("try", "-m", "halve")
    log = away.root / RUN / "run.log"
    night.until(lambda: log.exists() and "waiting" in log.read_text())
    process.kill()
    process.communicate()
    away.env.update(CLOUD_MODE="", CLOUD_CANCEL_S="0")
    away.run("try", "-m", "halve again", code=None)
    assert (away.root / RUN / "cancelled").exists()
