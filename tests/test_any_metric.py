"""examples/any_metric: another script, another number, higher is better; the loop is the same."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import night
import pytest

from autoresearch import sandbox

EXAMPLE = night.ROOT / "examples" / "any_metric"


def begun(folder: Path) -> night.Night:
    """The example as a repository of its own, after `setup`."""
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    one = night.Night(folder)
    (folder / ".gitignore").write_text(night.IGNORED)
    one.git("init", "-q", "-b", "main", ".")
    one.git("add", "-A")
    one.git("commit", "-qm", "any metric")
    subprocess.run([sys.executable, "draw.py"], cwd=folder, check=True)
    one.run("setup", "t1")
    return one


def attempt(one: night.Night, what: str, old: str, new: str) -> str:
    path = one.root / "classify.py"
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    return one.run("try", "-m", what).stdout


def test_any_metric_takes_ten_lines_of_rules() -> None:
    text = (EXAMPLE / "autoresearch.toml").read_text()
    assert len(text.splitlines()) <= 10 and tomllib.loads(text)["metric"] == {"name": "accuracy", "direction": "max"}


def test_any_metric_is_raised_by_the_same_loop(tmp_path: Path) -> None:
    one = begun(tmp_path / "any")
    assert 0.75 < float(one.rows()[0]["accuracy"]) < 0.85
    assert "keep  +0." in attempt(one, "ask nine", "NUM_NEIGHBOURS = 1", "NUM_NEIGHBOURS = 9")
    assert "discard  −0." in attempt(one, "ask many", "NUM_NEIGHBOURS = 9", "NUM_NEIGHBOURS = 101")
    told = attempt(one, "answer too little", "json.dumps(answers)", "json.dumps(answers[1:])")
    assert "crash  refused: scoring: Invalid: there must be 1000 answers" in told
    rows = [(row["status"], row["description"]) for row in one.rows()]
    assert rows[1:] == [("keep", "ask nine"), ("discard", "ask many"), ("crash", "answer too little")]
    assert all(float(row["run_seconds"]) < 20 for row in one.rows())
    one.run("report")
    html = one.text("results/t1/report.html")
    assert "accuracy" in html and "run_seconds" in html and "ask nine" in html
    table = str(one.root / "results.tsv")
    one.run("report", "--ledger", table, "--metric", "accuracy", "--direction", "max", "--out", str(tmp_path / "out"))
    assert "ask nine" in (tmp_path / "out" / "report.html").read_text()


def test_answers_are_out_of_reach_of_a_trial(tmp_path: Path) -> None:
    if sandbox.find().kind == "open":
        pytest.skip("nothing confines a trial on this machine")
    one = begun(tmp_path / "any")
    places = ["answers.json", "../../../../../answers.json", str(one.root / "answers.json")]
    cheat = f"answers = next(json.loads(Path(name).read_text()) for name in {places} if Path(name).is_file())"
    told = attempt(one, "copy them", "    folder = Path(", f"    {cheat}\n    folder = Path(")
    assert "crash" in told and "StopIteration" in told, told


LINK = 'path.unlink(); path.symlink_to("../../../../answers.json")'
DEEP = 'os.chdir(folder); [(os.mkdir("d" * 200), os.chdir("d" * 200)) for _ in range(25)]'
PIPE = "path.unlink(); os.mkfifo(path)"
SOCKET = 'import socket; os.chdir(folder); socket.socket(socket.AF_UNIX).bind("s")'
ODD = [
    (LINK, "answers.json is a link"),
    (DEEP, "a folder cannot be listed"),
    (PIPE, "answers.json is a pipe or a device"),
]


@pytest.mark.parametrize(("left", "words"), ODD, ids=["link", "deep", "pipe"])
def test_scorer_is_led_nowhere_by_what_a_trial_leaves(tmp_path: Path, left: str, words: str) -> None:
    one = begun(tmp_path / "any")
    cheat = f'    path = folder / "answers.json"; {left}\n'
    told = attempt(one, "leave it", "\n\nif __name__", f"{cheat}\n\nif __name__")
    assert f"must hold neither links nor pipes when it is scored but {words}" in told, told


def test_a_socket_that_a_library_left_costs_no_score(tmp_path: Path) -> None:
    one = begun(tmp_path / "any")
    left = f'    path = folder / "answers.json"; {SOCKET}\n'
    told = attempt(one, "leave it", "\n\nif __name__", f"{left}\n\nif __name__")
    assert one.record(2)["status"] in ("keep", "discard") and one.record(2)["trials"][0]["score"], told


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_scorer_by_itself_follows_no_link_and_waits_for_no_pipe(tmp_path: Path, kind: str) -> None:
    (tmp_path / "trial").mkdir()
    (tmp_path / "answers.json").write_text("[0, 1]")
    left = tmp_path / "trial" / "answers.json"
    os.mkfifo(left) if kind == "pipe" else left.symlink_to("../answers.json")
    command = [sys.executable, str(EXAMPLE / "score.py"), "trial"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert done.returncode != 0 and "accuracy" not in done.stdout
