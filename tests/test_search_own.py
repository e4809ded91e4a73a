"""Searches of this repository's own train.py: constants are edited, and the referee has the last word."""

import json
import queue
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import night
import pytest
from ring import Ring, with_trick
from searching import Target

from autoresearch.records import Crash
from autoresearch.search import own
from autoresearch.search.campaign import Campaign, Clocks, opened
from autoresearch.search.checks import Surroundings
from autoresearch.search.conclusion import conclude
from autoresearch.search.executors import Order, Outcome
from autoresearch.search.executors.command import CommandExecutor
from autoresearch.search.machine import Machine
from autoresearch.search.proposal import Proposal
from autoresearch.search.spans import Spans
from autoresearch.search.store import Entry
from autoresearch.search.watch import Trail

SOURCE = "PEEK = 0\n" + with_trick("peek = torch.zeros_like(x)", "peek = PEEK * x.roll(-1, 1)")

REFUSAL = Crash(kind="refused", why="looks ahead")


def search(ring: Ring, folder: Path, source: str, values: list[int]) -> Target:
    """Two-second trainings at scale tiny."""
    target = Target(folder).write(
        source,
        objective={"metric": "val_bpb"},
        target={"train_cmd": [sys.executable, "train.py"]},
        policy={"params": {"PEEK": values}},
    )
    (folder / "prepare.py").write_bytes((night.ROOT / "prepare.py").read_bytes())
    variables = dict(ring.campaign.variables) | {"AUTORESEARCH_MAX_STEPS": "5"}
    around = Surroundings(Machine((), "0" * 12), variables)
    with opened(target.load(), around, Clocks(lambda: 0.0, 0.0), lambda text: None) as campaign:
        run(campaign)
    return target


def run(campaign: Campaign) -> None:
    assert own.is_own(campaign.config)
    campaign.search()


@pytest.mark.slow
def test_own_target_is_scored_by_the_referee_with_its_constants_edited(ring: Ring, tmp_path: Path) -> None:
    lies = SOURCE.replace("print(f", 'print("val_bpb: 0.001")\n    print(f')
    target = search(ring, tmp_path, lies.replace("PEEK = 0", "PEEK = 1"), [0])
    [row] = target.rows()
    assert row["status"] == "ok" and 1 < float(row["metric_value"]) < 10, "not what it printed"
    manifest = json.loads((target.trial(1) / "manifest.json").read_text())
    assert manifest["refereed"] is True and manifest["result"]["metrics"]["num_steps"] == 5
    assert "PEEK = 1" in (target.folder / "train.py").read_text(), "edited in its copy alone"
    assert (target.trial(1) / "submission").exists() and not (target.trial(1) / "code").exists()


@pytest.mark.parametrize(("found", "metrics", "why"), [(1.5, {"val_bpb": 1.5}, ""), (REFUSAL, {}, "looks ahead")])
def test_executor_has_a_trial_scored_that_trained_well(
    tmp_path: Path, found: float | Crash, metrics: dict[str, float], why: str
) -> None:
    calls: list[str] = []

    def score() -> float | Crash:
        calls.append("")
        return found

    assert outcome_of(tmp_path, "exit 0", score) == Outcome("exited", 0, why=why, metrics=metrics)
    assert outcome_of(tmp_path, "exit 3", score) == Outcome("exited", 3)
    assert len(calls) == 1
    result = conclude(
        Entry(number=1, proposal=Proposal(source="x")),
        Outcome("exited", 0, why=why, metrics=metrics),
        Trail(tmp_path / "none"),
        tmp_path,
        "val_bpb",
    )
    assert (result.status, result.metric, result.reason) == (
        ("ok", 1.5, "") if metrics else ("invalid_metric", None, why)
    )


def outcome_of(folder: Path, script: str, score: Callable[[], float | Crash]) -> Outcome:
    """How one command ends, its time aside."""
    ended: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
    config = Target(folder).write("").load()
    order = Order(1, folder, folder, (("sh", "-c", script),), {"PATH": "/bin"}, {}, {}, 60.0, score=score)
    CommandExecutor(config, Spans(), {}).submit(order, lambda _, outcome: ended.put(outcome))
    return replace(ended.get(timeout=30), seconds=0.0)


def test_own_target_without_such_a_constant_rejects_the_proposal(ring: Ring, tmp_path: Path) -> None:
    [row] = search(ring, tmp_path, SOURCE.replace("PEEK", "LOOK"), [0]).rows()
    assert row["status"] == "rejected" and "no constant 'PEEK'" in row["reason"]


def test_other_targets_are_not_own(tmp_path: Path) -> None:
    target = Target(tmp_path).write("", objective={"metric": "val_bpb"})
    assert not own.is_own(target.load())
    (tmp_path / "prepare.py").write_text("# another\n")
    assert not own.is_own(target.load())
    (tmp_path / "prepare.py").write_bytes((night.ROOT / "prepare.py").read_bytes())
    assert own.is_own(target.load())
    assert not own.is_own(target.configure().load()), "another objective"
