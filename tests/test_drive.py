"""drive: real agents of a few lines, each with a way to go wrong, and the fake trainer."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import night
import pytest

from autoresearch.attempt.campaign import Campaign
from autoresearch.commands import terminal
from autoresearch.night.cost import number_in
from autoresearch.night.rules import Limits
from autoresearch.night.watch import Watch, World

AGENT = Path(__file__).with_name("scripted_agent.py")
FAST = ("--no-confirm", "--hours", "0.1")
SPEED = 30.0  # the watch lives this many times faster than its agents


def agent(one: night.Night, mode: str) -> list[str]:
    return [sys.executable, str(AGENT), mode, str(one.root.parent / "starts")]


def drive(one: night.Night, *options: str, code: int | None = 0) -> subprocess.CompletedProcess:
    return one.run("drive", *FAST, *options, code=code)


def watched(one: night.Night, mode: str, cost_command: str = "", **limits: Any) -> str:
    """A whole night in this process, with a clock that runs fast; returns why it ended."""
    watch = watch_over(one, mode, cost_command, **limits)
    reason = watch.run()
    watch.close(reason)
    return reason


def watch_over(
    one: night.Night, mode: str, cost_command: str = "", say: Callable[[str], None] = lambda text: None, **limits: Any
) -> Watch:
    """A watch with such a clock."""
    begun = time.time()
    campaign = Campaign.open(one.root, one.env, lambda text: None)
    lock = one.root / "results" / ".lock"
    world = World(
        clock=lambda: begun + SPEED * (time.time() - begun),
        sleep=lambda seconds: time.sleep(seconds / SPEED),
        variables=one.env,
        is_busy=lambda: terminal.is_held(lock),
        say=say,
    )
    return Watch(campaign, agent(one, mode), Limits(**limits), cost_command, world)


def events(one: night.Night, kind: str = "") -> list[dict[str, Any]]:
    lines = (one.root / "results" / "t1" / "night" / "journal.jsonl").read_text().splitlines()
    return [found for found in map(json.loads, lines) if kind in ("", found["event"])]


def prompts(one: night.Night) -> list[str]:
    folder = one.root.parent / "starts"
    return [(folder / f"start-{number}.txt").read_text() for number in range(1, len(list(folder.iterdir())) + 1)]


def statuses(one: night.Night) -> list[str]:
    return [row["status"] for row in one.rows()][1:]


def test_drive_restarts_an_agent_that_stops_after_every_attempt(tmp_path: Path) -> None:
    one = night.begun(tmp_path / "repo")
    assert watched(one, "once", max_attempts=3) == "attempts: 3 are done"
    assert len(statuses(one)) == 3 and len(events(one, "life")) == 3
    assert [life["num_attempts"] for life in events(one, "life")] == [1, 1, 1]
    first, second, _ = prompts(one)
    assert "program.md" in first and "autoresearch/t1" in first and "Attempts so far: 1." in first
    assert "Attempts so far: 2." in second and "0002 has no analysis" in second
    heartbeat = json.loads((one.root / "results" / "t1" / "night" / "heartbeat.json").read_text())
    assert heartbeat["elapsed_s"] >= 0 and events(one)[-1]["event"] == "end"


def test_drive_ends_an_agent_that_hangs_and_starts_another(tmp_path: Path) -> None:
    one = night.begun(tmp_path / "repo")
    with one.start("drive", *FAST, "--patience", "0.05", "--", *agent(one, "hang")) as watch:
        starts = one.root.parent / "starts"
        night.until(lambda: (starts / "pid-2").exists() and (starts / "pid-2").read_text())
        first = int((starts / "pid-1").read_text())
        assert not night.is_alive(first)
        watch.send_signal(signal.SIGTERM)
        watch.communicate(timeout=30)
        assert watch.returncode == 143
    second = int((starts / "pid-2").read_text())
    assert not night.is_alive(second)
    assert events(one, "life")[0]["exit_code"] is None and events(one, "life")[0]["num_attempts"] == 0
    assert "ended without an attempt" in (starts / "start-2.txt").read_text()


def test_drive_gives_up_on_an_agent_that_dies_at_once(tmp_path: Path) -> None:
    one = night.begun(tmp_path / "repo")
    reason = watched(one, "dead")
    assert reason.startswith("agent: 8 starts on end without an attempt; the last left with 1: Error: cannot find")
    pauses = [event["seconds"] for event in events(one, "pause")]
    assert pauses == [2, 4, 8, 16, 32, 64, 128]


def test_drive_waits_as_long_as_the_service_asks(tmp_path: Path) -> None:
    one = night.begun(tmp_path / "repo")
    with one.start("drive", *FAST, "--", *agent(one, "limited")) as watch:
        night.until(lambda: (one.root / "results/t1/night/journal.jsonl").exists() and events(one, "pause"))
        watch.send_signal(signal.SIGINT)
        _, said = watch.communicate(timeout=30)
    assert watch.returncode == 130
    assert events(one, "pause")[0]["seconds"] == 60 and "asks for a pause" in said


def test_drive_ends_an_agent_that_works_without_attempts(tmp_path: Path) -> None:
    one = night.begun(tmp_path / "repo")
    assert watched(one, "idle", hours=0.02, patience_s=20) == "time: 0.02 hours are over"
    lives = events(one, "life")
    assert len(lives) >= 2 and lives[0]["exit_code"] is None and "thinking" in lives[0]["tail"]


def test_drive_lets_the_attempt_under_way_end_with_the_night(tmp_path: Path) -> None:
    one = night.begun(tmp_path / "repo")
    assert watched(one, "steady", hours=0.02).startswith("time: ")
    assert statuses(one) and "cancelled" not in statuses(one)


def test_drive_bounds_what_a_flooding_agent_leaves(tmp_path: Path) -> None:
    one = night.begun(tmp_path / "repo")
    watched(one, "flood", max_attempts=1)
    log = one.root / "results" / "t1" / "night" / "agent-0001.log"
    assert log.stat().st_size < 12 << 20 and "bytes left out" in log.read_text()
    assert len(events(one, "life")[0]["tail"]) <= 2000


def test_drive_stops_when_the_cost_is_reached(tmp_path: Path) -> None:
    one = night.begun(tmp_path / "repo")
    cost = one.root.parent / "starts" / "cost"
    cost.parent.mkdir()
    cost.write_text("0")
    reason = watched(one, "steady", f"cat {cost}", max_cost=2.0)
    assert reason.startswith("cost: ") and reason.endswith(" of 2.00 are spent") and len(statuses(one)) >= 2


@pytest.mark.parametrize(
    ("before", "after", "spent"),
    [
        (["5", "9", "12", "1"], "2", (12 - 5) + 2),  # a counter of each day, at midnight
        (["5", "9", "12"], "2", (12 - 5) + 2),  # midnight while nobody watched
        (["nobody home", "4", "7"], "8", 8 - 4),
        ([], "3", 0),
    ],
)
def test_watch_that_was_killed_forgets_no_money(tmp_path: Path, before: list[str], after: str, spent: float) -> None:
    one = night.begun(tmp_path / "repo")
    cost = tmp_path / "cost"
    cost.write_text(before[0] if before else "")
    first = watch_over(one, "dead", f"cat {cost}")
    first.take_up()
    for answer in before[1:]:
        cost.write_text(answer)
        first.ask_cost(at_once=True)
    cost.write_text(after)
    second = watch_over(one, "dead", f"cat {cost}")
    second.take_up()
    assert second.meter.spent == spent
    second.beat()
    assert json.loads(one.text("results/t1/night/heartbeat.json"))["cost"] == spent


def test_watch_goes_on_though_the_heartbeat_cannot_be_written(tmp_path: Path) -> None:
    one, said = night.begun(tmp_path / "repo"), list[str]()
    (one.root / "results/t1/night/heartbeat.json").mkdir(parents=True)  # what stands for a disk that is full
    watch = watch_over(one, "once", say=said.append, max_attempts=3)
    assert watch.run() == "attempts: 3 are done"
    assert sum("the heartbeat cannot be written" in text for text in said) == 1


def test_watch_waits_until_the_journal_can_be_written(tmp_path: Path) -> None:
    one, said = night.begun(tmp_path / "repo"), list[str]()
    watch = watch_over(one, "dead", say=said.append)
    watch.take_up()
    disk, away = tmp_path / "disk", tmp_path / "away"
    away.mkdir()
    watch.journal.path.rename(away / "journal.jsonl")
    watch.journal.path.symlink_to(disk / "journal.jsonl")  # on a disk that comes back
    timer = threading.Timer(0.5, lambda: away.rename(disk))
    timer.start()
    watch.note("pause", seconds=1)
    timer.join()
    assert [event["event"] for event in events(one)] == ["begin", "pause"]
    assert len(said) == 1 and "the journal cannot be written" in said[0]


def test_watch_gives_up_on_a_journal_that_stays_unwritable(tmp_path: Path) -> None:
    one, passed = night.begun(tmp_path / "repo"), [1000.0]
    (one.root / "results/t1/night/journal.jsonl").mkdir(parents=True)
    campaign = Campaign.open(one.root, one.env, lambda text: None)
    world = World(
        clock=lambda: passed[-1],
        sleep=lambda seconds: passed.append(passed[-1] + seconds),
        variables=one.env,
        is_busy=lambda: False,
        say=lambda text: None,
    )
    with pytest.raises(IsADirectoryError):
        Watch(campaign, agent(one, "dead"), Limits(), "", world).note("pause", seconds=1)
    assert passed[-1] == 1600


def test_journal_on_a_full_disk_stays_as_it_was(tmp_path: Path) -> None:
    script = """
import pathlib, resource
from autoresearch.night.journal import Journal
journal = Journal(pathlib.Path("night"))
journal.add("begin", 1.0)
text, limits = journal.path.read_text(), resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (len(text) + 7, limits[1]))
try:
    journal.add("pause", 2.0)
except OSError as error:
    print(type(error), journal.path.read_text() == text)
resource.setrlimit(resource.RLIMIT_FSIZE, limits)
journal.add("pause", 2.0)
print([one["event"] for one in journal.events()], len(journal.path.read_text().splitlines()))
"""
    done = night.Night(tmp_path).python(script)
    assert done.stdout == "<class 'OSError'> True\n['begin', 'pause'] 2\n", done.stderr


def test_heartbeat_counts_the_starts_of_all_nights(tmp_path: Path) -> None:
    one = night.begun(tmp_path / "repo")
    for number in (1, 2):
        watch = watch_over(one, "dead")
        watch.take_up()
        watch.live()
        path = watch.journal.heartbeat
        path.unlink(missing_ok=True)
        watch.rest(10.0)
        assert json.loads(path.read_text())["agent"] == number == events(one, "start")[-1]["number"]
        watch.close("enough")


def test_drive_takes_a_cost_that_nobody_can_tell_as_reached(tmp_path: Path) -> None:
    one = night.begun(tmp_path / "repo")
    reason = watched(one, "hang", "false", max_cost=2.0)
    assert reason.startswith("cost: the cost command failed ") and reason.endswith("so the cost is unknown")


def test_drive_refuses_a_limit_of_cost_without_a_command(tmp_path: Path) -> None:
    one = night.begun(tmp_path / "repo")
    done = drive(one, "--max-cost", "2", "--", "true", code=2)
    assert "--cost-command" in done.stderr


def test_drive_refuses_an_agent_that_is_not_there(tmp_path: Path) -> None:
    one = night.begun(tmp_path / "repo")
    done = drive(one, "--", "no-such-agent", code=2)
    assert "no 'no-such-agent'" in done.stderr and not (one.root / "results/t1/night/journal.jsonl").exists()


def test_drive_stops_at_the_same_failure_again_and_again(tmp_path: Path) -> None:
    one = night.begun(tmp_path / "repo")
    assert watched(one, "crash").startswith("same failure: the last 5 attempts all ended with out of memory")
    assert statuses(one) == ["crash"] * 5


def test_drive_killed_and_started_again_goes_on_with_the_same_night(tmp_path: Path) -> None:
    one = night.begun(tmp_path / "repo")
    with one.start("drive", *FAST, "--max-attempts", "4", "--", *agent(one, "steady")) as watch:
        night.until(lambda: len(one.rows()) >= 3)
        watch.kill()
        watch.communicate()
    left = events(one, "start")[-1]
    assert night.is_alive(left["pid"])  # nobody was there to end it
    done = drive(one, "--max-attempts", "4", "--", *agent(one, "once"))
    assert "attempts: 4 are done" in done.stdout and "report.html" in done.stdout
    assert not night.is_alive(left["pid"])
    assert "going on with the night" in done.stderr
    assert [event["event"] for event in events(one)].count("begin") == 1 and events(one, "resume")[0]["ended_agent"]
    records = one.records()
    assert all(record["state"] == "closed" for record in records)
    told = [record for record in records[1:] if record["status"] != "cancelled"]
    assert 4 <= len(told) <= 5 and one.git("status", "--porcelain") == ""


def test_drive_refuses_a_second_watch_over_the_same_tag(tmp_path: Path) -> None:
    one = night.begun(tmp_path / "repo")
    with one.start("drive", *FAST, "--", *agent(one, "hang")) as watch:
        night.until(lambda: (one.root.parent / "starts" / "pid-1").exists())
        done = drive(one, "--", "true", code=1)
        assert "another `drive` keeps t1" in done.stderr
        watch.send_signal(signal.SIGTERM)
        watch.communicate(timeout=30)


def test_drive_confirms_what_was_kept(tmp_path: Path) -> None:
    one = night.begun(tmp_path / "repo")
    done = one.run("drive", "--hours", "0.1", "--max-attempts", "1", "--", sys.executable, "-c", KEEPER)
    assert statuses(one) == ["keep"] and "champion against baseline on fresh seeds" in done.stdout


KEEPER = """
import re, subprocess, sys
text = open("train.py").read()
open("train.py", "w").write(re.sub(r"^DEPTH = .*$", "DEPTH = 6", text, flags=re.MULTILINE))
subprocess.run([sys.executable, "-m", "autoresearch", "try", "-m", "deeper"])
"""


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("3.5\n", 3.5),
        ("spent: $1,234.50 today\n", 1234.5),
        ('{"cost": 2}', 2.0),
        ("nan", None),
        ("", None),
        ("{}", None),
    ],
)
def test_cost_is_the_last_number_printed(text: str, number: float | None) -> None:
    assert number_in(text) == number


def test_agent_has_the_environment_of_the_person(tmp_path: Path) -> None:
    one = night.begun(tmp_path / "repo", AGENT_KEY="secret")
    script = "import os, pathlib, sys; pathlib.Path(sys.argv[1]).write_text(os.environ['AGENT_KEY']); sys.exit(1)"
    place = tmp_path / "seen"
    with one.start("drive", *FAST, "--", sys.executable, "-c", script, str(place), "{prompt}") as watch:
        night.until(place.exists)
        watch.send_signal(signal.SIGTERM)
        watch.communicate(timeout=30)
    assert place.read_text() == "secret" and os.environ.get("AGENT_KEY") is None


@pytest.mark.slow
def test_night_in_small_ends_with_confirm_and_report(tmp_path: Path) -> None:
    one = night.fresh(tmp_path / "repo", RUN=sys.executable, ATTEMPTS="4", TAG="t1")
    folder = night.ROOT / "examples" / "night_in_small"
    (one.root / "examples").mkdir()
    shutil.copytree(folder, one.root / "examples" / "night_in_small")
    one.git("add", "-A")
    one.git("commit", "-qm", "examples")
    command = ["sh", "examples/night_in_small/night.sh"]
    done = subprocess.run(command, cwd=one.root, env=one.env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "attempts: 4 are done" in done.stdout and "report.html" in done.stdout
    rows = one.rows()[1:]
    assert len(rows) == 4 and all(row["description"].startswith("suggested: ") for row in rows)
    assert all(record["analysis"] for record in one.records()[1:-1])  # the night may end before the last is written
