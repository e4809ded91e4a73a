"""The clock as the supervisor sees it: when words arrive, and what is refused."""

import os
import subprocess
import sys
import time

import pytest

from autoresearch.attempt import stamps
from autoresearch.attempt.stamps import Stamps

LIMITS = stamps.Limits(start_up_s=60.0, budget_s=300.0, step_s=0.5)


def tell(script: str) -> tuple[dict[str, float], float]:
    """Run a Python text that writes to the descriptor named by its first argument; returns stamps and wall time."""
    clock, begun = Stamps(), time.monotonic()
    number = clock.inherited.fileno()
    command = [sys.executable, "-c", "import os, sys, time; to = int(sys.argv[1])\n" + script, str(number)]
    child = subprocess.Popen(command, pass_fds=[number])
    clock.listen()
    child.wait()
    clock.close()
    return clock.since(begun), time.monotonic() - begun


def test_words_are_noted_when_they_arrive():
    found, wall_s = tell("os.write(to, b'start\\n'); time.sleep(0.3); os.write(to, b'done\\n')")
    assert found.keys() == {"start", "done"}
    assert found["start"] > 0 and 0.25 < found["done"] - found["start"] <= wall_s


@pytest.mark.parametrize(
    ("script", "names"),
    [
        ("pass", set()),
        ("os.write(to, b'start\\n')", {"start"}),
        ("os.write(to, b'sta'); time.sleep(0.05); os.write(to, b'rt\\ndone\\n')", {"start", "done"}),
        ("os.write(to, b'hello\\nstart')", set()),
        ("os.write(to, b'x' * 60000)", set()),
    ],
)
def test_only_whole_words_count(script, names):
    assert tell(script)[0].keys() == names


def test_first_word_counts():
    found, _ = tell("os.write(to, b'start\\n'); time.sleep(0.3); os.write(to, b'start\\ndone\\n')")
    assert found["done"] - found["start"] > 0.25


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ({"start": 5.0, "done": 305.5}, ""),
        ({"start": 5.0, "done": 20.0}, ""),  # the budget was one of steps
        ({"start": 5.0, "done": 305.0 + 6.0 + 1.0 + 0.4}, ""),
        ({"start": 5.0, "done": 305.0 + 6.0 + 1.0 + 0.6}, "must end within 307.5 s of clock.start() but took 307.6 s"),
        ({}, "clock.start() must be called"),
        ({"done": 300.0}, "clock.start() must be called"),
        ({"start": 61.0, "done": 300.0}, "must come within 60 s but came after 61.0 s"),
        ({"start": 5.0}, "must go on until clock.done"),
    ],
)
def test_judge_names_what_is_wrong(found, why):
    crash = stamps.judge(found, found.get("done", 300.0) + 3.0, LIMITS)
    assert (crash is None) == (why == "")
    assert crash is None or (crash.kind == "refused" and why in crash.why)


def test_run_must_end_soon_after_its_clock():
    found = {"start": 5.0, "done": 305.0}
    assert stamps.judge(found, 364.0, LIMITS) is None
    crash = stamps.judge(found, 366.0, LIMITS)
    assert crash and "must end within 60 s of clock.done but went on for 61.0 s" in crash.why


def test_longest_update_that_is_believed_is_a_tenth_of_the_budget():
    assert stamps.excess_s(300.0, 1e9) == stamps.excess_s(300.0) == 37.0


@pytest.mark.parametrize(
    ("scale", "baseline_s", "most_s"),
    [("cpu", 20.0, 60.0), ("tiny", 0.0, 60.0), ("gpu", 20.0, 240.0), ("cpu", 50.0, 100.0), ("cpu", None, 600.0)],
)
def test_bound_of_the_start_allows_for_a_slow_machine(scale, baseline_s, most_s):
    assert stamps.start_up_s(scale, baseline_s) == most_s


def test_nothing_is_left_open():
    before = len(os.listdir("/proc/self/fd"))
    tell("pass")
    assert len(os.listdir("/proc/self/fd")) == before
