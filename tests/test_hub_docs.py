"""docs/hub.md says what the code does: limits, verbs and their options, names in the folder, numbers of the rules.

Not covered: whether nginx, Caddy and systemd take their files; they are not here.
"""

import dataclasses
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from hubs import serving
from pages import ROOT, inline_code, named, read, table_rows

from autoresearch.commands.hub_ import VERBS
from autoresearch.hub import folder, leaderboard
from autoresearch.hub.limits import Limits
from autoresearch.hub.server import connection, running
from autoresearch.hub.store import measurement

OURS = ("hub.server", "hub.agents", "hub.upkeep")
TEXT = read("docs/hub.md")


def options(verb: str) -> set[str]:
    """Visible options of a verb of the hub."""
    one = typer.Typer(add_completion=False)
    one.command()(getattr(importlib.import_module(f"autoresearch.commands.{VERBS[verb][0]}"), verb))
    given = typer.main.get_command(one).params
    return {word for each in given if each.name != "help" for word in each.opts if word.startswith("-")}


def test_docs_of_the_hub_have_the_limits_of_the_code() -> None:
    rows = [(named(row[0])[0], int(row[1])) for row in table_rows(TEXT, "name")]
    assert rows == [(one.name, one.default) for one in dataclasses.fields(Limits)]


def test_docs_of_the_hub_have_the_verbs_and_options_of_the_code() -> None:
    ours = {verb: options(verb) for verb, (module, _) in VERBS.items() if module in OURS}
    assert {named(row[0])[0]: set(named(row[2])) for row in table_rows(TEXT, "verb")} == ours


def test_docs_of_the_hub_call_verbs_and_options_that_exist() -> None:
    calls = re.findall(r"python -m autoresearch hub (\w+)(.*)|--extra hub -m autoresearch hub (\w+)(.*)", TEXT)
    assert len(calls) >= 5
    for one, its, other, other_its in calls:
        used = set(re.findall(r"(?<=\s)--[a-z]+", its + other_its))
        assert used <= options(one or other), (one or other, used)


def test_docs_of_the_hub_name_what_lies_in_its_folder(tmp_path: Path) -> None:
    with serving(tmp_path / "hub") as live, folder.held(live.hub.folder, "test"):
        there = {path.name for path in live.hub.folder.iterdir() if not path.name.startswith("hub.sqlite-")}
    assert there == {named(row[0])[0] for row in table_rows(TEXT, "in the folder")}


def test_docs_of_the_hub_state_the_numbers_of_the_code() -> None:
    for words in (
        f"less than {connection.STEP_BYTES // 1024} KiB in {running.PATIENCE_S:g} s is cut off",
        f"on which nothing happens for {running.IDLE_S} s",
        f"the {leaderboard.INTERVAL:.0%} interval",
        f"an error of {leaderboard.FALSE_RECORDS:.0%} for all",
        f"within {measurement.CONFIRM_FRAC:.0%}",
    ):
        assert words in TEXT, words
    assert Limits().replicates == 3 and "beyond three count only" in TEXT
    labels = {"baseline", "record", "candidate", "self-reported", "replicated", "disputed"}
    assert labels <= set(inline_code(TEXT))


@pytest.mark.slow
def test_hub_benchmark_runs_on_a_small_hub() -> None:
    words = ("--commits", "60", "--seconds", "0.5", "--listeners", "5", "--pushes", "2")
    command = [sys.executable, "benchmarks/hub.py", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "| answers of 500 and above | 0 | 0 |" in done.stdout and re.search(r"events \(15, 0 lost\)", done.stdout)
