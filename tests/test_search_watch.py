"""Reports of running trials, and which of them are hopeless."""

import json
import os
from pathlib import Path

import pytest

from autoresearch.search import watch
from autoresearch.search.config import Cancel, Objective
from autoresearch.search.forecast import Point
from autoresearch.search.proposal import Report
from autoresearch.search.watch import Trail, hopeless


def test_trail_reads_whole_lines_once(tmp_path: Path) -> None:
    trail, path = Trail(tmp_path / "progress.jsonl"), tmp_path / "progress.jsonl"
    assert trail.read() == 0
    path.write_text('{"step": 1, "metrics": {"loss": 2}}\n{"step": 2, "metr')
    assert trail.read() == 1
    with open(path, "a") as file:
        file.write('ics": {"loss": 1.5, "bad": "x", "nan": NaN}}\nnonsense\n[1]\n{"step": "x"}\n{"step": null}\n')
    assert trail.read() == 1 and trail.read() == 0
    assert [(one.step, one.value) for one in trail.points("loss")] == [(1, 2), (2, 1.5)]
    assert trail.reports[-1].metrics == {"loss": 1.5}


def test_trail_reads_nothing_but_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "progress.jsonl")
    assert Trail(tmp_path / "progress.jsonl").read() == 0


def trail_of(values: list[float], target: float | None = 40) -> Trail:
    reports = [Report(step=step, step_target=target, metrics={"loss": one}) for step, one in enumerate(values, 1)]
    return Trail(Path("none"), reports)


@pytest.mark.parametrize(
    ("values", "best", "target", "is_hopeless"),
    [
        ([9 + 1 / t for t in range(1, 21)], 1.0, 40, True),
        ([9 + 1 / t for t in range(1, 21)], None, 40, False),
        ([0.5] + [9 + 1 / t for t in range(1, 21)], 1.0, 40, False),
        ([9 + 1 / t for t in range(1, 5)], 1.0, 40, False),
        ([9 + 1 / t for t in range(1, 21)], 1.0, None, False),
        ([9 + 1 / t for t in range(1, 21)], 1.0, 20, False),
    ],
)
def test_trial_is_hopeless_only_where_that_is_known(
    values: list[float], best: float | None, target: float | None, is_hopeless: bool
) -> None:
    found = hopeless(trail_of(values, target), best, [], Objective(metric="loss"), Cancel(enabled=True))
    assert bool(found) == is_hopeless


def test_trial_that_already_is_better_goes_on_by_either_rule() -> None:
    peers = [[Point(step, 0.1) for step in range(1, 21)] for _ in range(4)]
    rule = Cancel(enabled=True, rule="median")
    assert hopeless(trail_of([2.0] * 8), 1.0, peers, Objective(metric="loss"), rule)
    assert not hopeless(trail_of([0.9] * 8), 1.0, peers, Objective(metric="loss"), rule)


def test_report_holds_a_bounded_number_of_names() -> None:
    report = watch.parse(json.dumps({"step": 1, "metrics": {"n" * 200: 1} | {f"m{n}": n for n in range(500)}}).encode())
    assert report and len(report.metrics) == watch.MOST_NAMES and report.metrics["m0"] == 0.0
