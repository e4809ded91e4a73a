"""Follows the reports of running trials, and decides which of them are hopeless."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autoresearch.sandbox.files import SAFE
from autoresearch.search import forecast, metrics
from autoresearch.search.config import Cancel, Objective
from autoresearch.search.forecast import Point
from autoresearch.search.proposal import Report

MOST_BYTES = 8 << 20  # read at once
MOST_KEPT = 4096  # reports of one trial in memory
MOST_NAMES, MOST_NAME_CHARS = 50, 100  # of a report


@dataclass
class Trail:
    """The reports of one trial so far."""

    path: Path
    reports: list[Report] = field(default_factory=list)
    offset: int = 0
    cancelled: str = ""
    """Why it was asked to leave; empty if it was not."""

    def read(self) -> int:
        """Take in what was appended since the last time; returns the number of new reports."""
        try:
            with open(os.open(self.path, os.O_RDONLY | SAFE), "rb") as file:
                file.seek(self.offset)
                data = file.read(MOST_BYTES)
        except OSError:
            return 0
        end = data.rfind(b"\n") + 1
        whole = data[:end] if end or len(data) < MOST_BYTES else data  # a line without end is skipped
        self.offset += len(whole)
        found = [report for line in whole.splitlines() if (report := parse(line))]
        self.reports += found
        if len(self.reports) > MOST_KEPT:
            self.reports = [*self.reports[:-2:2], *self.reports[-1:]]
        return len(found)

    def points(self, metric: str) -> list[Point]:
        """Values of a metric by step."""
        return points(self.reports, metric)


def points(reports: Sequence[Report], metric: str) -> list[Point]:
    """Values of a metric by step."""
    return [Point(one.step, one.metrics[metric]) for one in reports if metric in one.metrics]


def parse(line: bytes) -> Report | None:
    """A line of progress.jsonl; None where it is no report."""
    try:
        raw = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(raw, dict) or (step := metrics.number(raw.get("step"))) is None:
        return None
    said: dict[str, Any] = raw["metrics"] if isinstance(raw.get("metrics"), dict) else {}
    numbers = {name: value for name, one in said.items() if (value := metrics.number(one)) is not None}
    numbers = dict([item for item in numbers.items() if len(item[0]) <= MOST_NAME_CHARS][:MOST_NAMES])
    target, elapsed = metrics.number(raw.get("step_target")), metrics.number(raw.get("elapsed_s"))
    return Report(step=step, step_target=target, elapsed_s=elapsed, metrics=numbers)


def hopeless(
    trail: Trail, best: float | None, peers: Sequence[Sequence[Point]], objective: Objective, rule: Cancel
) -> str:
    """Why a trial should leave; empty where it should go on.

    A trial that already is better than the best, or has not reported enough, goes on.

    Args:
        peers: points of trials that ended well, for the median rule.
    """
    found = trail.points(objective.metric)
    if best is None or len(found) < rule.min_reports_before_decide or found[-1].step < rule.min_steps:
        return ""
    if any(objective.is_better(one.value, best) for one in found):
        return ""
    if rule.rule == "median":
        is_worse = forecast.is_below_median(found, peers, objective.direction)
        return f"worse at step {found[-1].step:g} than the median of the trials before it" if is_worse else ""
    target = trail.reports[-1].step_target
    if target is None or found[-1].step >= target:
        return ""
    chance = forecast.probability(found, target, best, objective.direction)
    if chance >= rule.min_probability:
        return ""
    return f"beats {best:.6g} at step {target:g} with probability {chance:.3f}, as seen from step {found[-1].step:g}"
