"""drive on several devices, and the gate at which what it starts waits: real agents and the fake trainer."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import night
import pytest
import shared

from autoresearch.attempt.campaign import Campaign
from autoresearch.errors import BadConfig
from autoresearch.night import fleet
from autoresearch.night.gate import Gate

FAST = ("--no-confirm", "--hours", "0.1")


def agent(one: night.Night, mode: str = "once") -> list[str]:
    """Ends after one attempt unless another mode is given."""
    return [sys.executable, str(night.ROOT / "tests" / "scripted_agent.py"), mode, str(one.root.parent / "starts")]


@pytest.mark.slow
def test_drive_on_two_devices_mixes_nothing_up(tmp_path: Path) -> None:
    one = night.begun(tmp_path / "repo")
    done = one.run("drive", *FAST, "--max-attempts", "3", "--gpus", "0,1", "--", *agent(one))
    assert "report.html" in done.stdout
    seats = {tag: night.Night(tmp_path / f"repo-{tag}") for tag in ("t1-g0", "t1-g1")}
    seen = []
    for tag, seat in seats.items():
        records = seat.records(tag)
        assert len(records) == 4 and {record["tag"] for record in records} == {tag}
        assert seat.refs(tag) == {f"{record['id']:04d}": record["commit"] for record in records}
        assert [row["commit"] for row in seat.rows()] == [record["commit"][:7] for record in records]
        assert {record["device"] for record in records[1:]} == {tag[-1]}
        champion = [record["commit"] for record in records if record["status"] == "keep"][-1]
        assert seat.tip(tag) == champion and seat.git("status", "--porcelain") == ""
        seen += [record["commit"] for record in records[1:]]
    assert len(one.records()) == 1 and len(one.rows()) == 1
    lines = (one.root / "results/t1/night/all.tsv").read_text().splitlines()
    assert lines[0].split("\t")[-1] == "tag" and len(lines) == 1 + 2 * 4
    assert {line.split("\t")[-1] for line in lines[1:]} == set(seats)


def test_drive_on_devices_is_refused_while_another_keeps_the_tag(tmp_path: Path) -> None:
    one = night.begun(tmp_path / "repo")
    started = tmp_path / "starts" / "pid-1"
    with one.start("drive", *FAST, "--gpus", "0", "--", *agent(one, "hang")) as fleet_of_one:
        night.until(lambda: started.exists() and started.read_text())
        note = one.text("results/t1/night/g0.json")
        for words in (("--gpus", "0"), ("--gpus", "1"), ()):
            assert "another `drive` keeps t1; see " in one.refuse("drive", *FAST, *words, "--", "true")
        seat = night.Night(tmp_path / "repo-t1-g0")
        assert "another `drive` keeps t1-g0; see " in seat.refuse("drive", *FAST, "--", "true")
        assert night.is_alive(int(started.read_text())) and one.text("results/t1/night/g0.json") == note
        assert not (tmp_path / "repo-t1-g1").exists()
        fleet_of_one.send_signal(signal.SIGTERM)
        fleet_of_one.communicate(timeout=30)
    assert not night.is_alive(int(started.read_text()))


@pytest.mark.slow
def test_drive_on_devices_lays_out_what_a_tag_for_a_hub_leaves_out(tmp_path: Path) -> None:
    one = shared.begun(tmp_path)
    (one.root / "results" / "secret.txt").write_text("ignored by git")
    one.git("worktree", "add", "--quiet", "--detach", str(tmp_path / "repo-t1-g0"), "HEAD")  # killed right after
    left = [(one.root / path).stat().st_size for path in one.git("ls-files", "-o", "--exclude-standard").splitlines()]
    done = one.run("drive", *FAST, "--max-attempts", "1", "--gpus", "0", "--", *agent(one))
    assert "report.html" in done.stdout
    assert f"{len(left)} untracked files, {sum(left)} bytes" in done.stderr
    seat = night.Night(tmp_path / "repo-t1-g0")
    for name, text in shared.OTHERS.items():
        assert seat.text(name) == text
    assert not (seat.root / "results" / "secret.txt").exists()
    assert [record["tag"] for record in seat.records("t1-g0")] == ["t1-g0"] * 2
    assert seat.git("status", "--porcelain", "--untracked-files=no") == ""


def test_seat_has_the_settings_of_agents_as_they_are_now(tmp_path: Path) -> None:
    one = night.begun(tmp_path / "repo")
    campaign, said = Campaign.open(one.root, one.env, lambda text: None), list[str]()
    seat = fleet.take_seat(campaign, "0", said.append)
    assert not said
    texts = {".claude/settings.json": "{}", "opencode.json": "{}", ".aider.conf.yml": "", ".codex/rules/own.rules": "#"}
    ignored = ".claude/settings.local.json"
    (one.root / ".git" / "info" / "exclude").write_text(ignored)
    for name, text in {**texts, ignored: '{"a": 1}', "other.txt": "stays"}.items():
        (one.root / name).parent.mkdir(parents=True, exist_ok=True)
        (one.root / name).write_text(text)
    fleet.take_seat(campaign, "0", said.append)
    assert {name: (seat.root / name).read_text() for name in texts} == texts
    assert (seat.root / ignored).read_text() == '{"a": 1}' and not (seat.root / "other.txt").exists()
    assert len(said) == 1 and ".claude/settings.json" in said[0] and "5 files in all" in said[0]
    (one.root / ".claude" / "settings.json").write_text('{"permissions": {}}')
    fleet.take_seat(campaign, "0", said.append)
    assert (seat.root / ".claude" / "settings.json").read_text() == '{"permissions": {}}'
    assert night.Night(seat.root).git("status", "--porcelain", "--untracked-files=no") == ""


def test_seat_that_was_removed_is_refused_with_what_makes_room(tmp_path: Path) -> None:
    one = night.begun(tmp_path / "repo")
    campaign = Campaign.open(one.root, one.env, lambda text: None)
    seat = night.Night(fleet.take_seat(campaign, "0", print).root)
    seat.run("setup", "t1-g0")
    one.git("worktree", "remove", "--force", str(seat.root))
    said = one.refuse("drive", *FAST, "--gpus", "1,0", "--", "true")
    assert "device 0 has worked under the tag 't1-g0' but " in said and str(seat.root) in said
    subprocess.run(said.split("`")[1], shell=True, cwd=one.root, env=one.env, check=True)
    assert one.git("branch", "--list", "autoresearch/*").split() == ["*", "autoresearch/t1"] and one.refs()
    fleet.take_seat(campaign, "0", print)
    seat.run("setup", "t1-g0")


@pytest.mark.parametrize("text", ["0,0", "", "a", "0;1", "0,-1"])
def test_fleet_refuses_what_is_no_list_of_devices(text: str) -> None:
    with pytest.raises(BadConfig, match="--gpus must list devices"):
        fleet.devices_of(text)
    assert fleet.devices_of("0, 3") == ["0", "3"]


@pytest.mark.parametrize("opens", [True, False])
def test_gate_lets_a_program_run_only_once_it_is_known(tmp_path: Path, opens: bool) -> None:
    script = f"""
import os, pathlib, sys
from autoresearch.night.gate import Gate
gate = Gate()
launch = gate.launch(["touch", "ran"], pathlib.Path({str(tmp_path)!r}), dict(os.environ), pathlib.Path("log"))
print(launch.pid, flush=True)
if {opens}:
    gate.open()
    os._exit(launch.child.wait())
os.kill(os.getpid(), 9)
"""
    command = [sys.executable, "-c", script]
    env = {**os.environ, "PYTHONPATH": str(night.ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
    night.until(lambda: not night.is_alive(int(done.stdout)))
    assert (tmp_path / "ran").exists() == opens
    assert done.returncode == (0 if opens else -signal.SIGKILL)


def test_gate_says_in_one_line_what_cannot_be_run(tmp_path: Path) -> None:
    (tmp_path / "agent").write_text("no program")
    gate = Gate()
    launch = gate.launch([str(tmp_path / "agent")], tmp_path, dict(os.environ), tmp_path / "log")
    gate.open()
    assert launch.wait().exit_code == 126
    assert (tmp_path / "log").read_text() == f"{tmp_path / 'agent'} cannot be run: Permission denied\n"
